package machine

import "testing"

// As openSUSE has it: the root was rolled back to snapshot 5, snapper keeps
// others, and somebody looks at the top level.
func TestSnapshotsThatAreNotMadeAgain(t *testing.T) {
	sub := func(p string, snapshot, readOnly bool) Subvolume {
		return Subvolume{Path: p, Snapshot: snapshot, ReadOnly: readOnly}
	}
	m := Machine{Mounts: []Mount{
		{On: "disk:a", Target: "/", Subvolume: "@/.snapshots/5/snapshot"},
		{On: "disk:a", Target: "/.snapshots", Subvolume: "@/.snapshots"},
		{On: "disk:a", Target: "/var", Subvolume: "@/var"},
		{On: "disk:b", Target: "/mnt"},
	}}
	for _, c := range []struct {
		on   Ref
		s    Subvolume
		copy bool
		at   string // at which path the first mount shows it
	}{
		{"disk:a", sub("@/var", false, false), false, "/var"},
		{"disk:a", sub("@/.snapshots/5/snapshot", true, false), false, "/"},
		{"disk:a", sub("@/.snapshots/5/snapshot", true, true), false, "/"}, // a read-only root
		{"disk:a", sub("@/.snapshots/4/snapshot", true, true), true, "/.snapshots/4/snapshot"},
		{"disk:a", sub("@/.snapshots/6/snapshot", true, false), false, "/.snapshots/6/snapshot"}, // somebody works in it
		{"disk:a", sub("@old", true, false), true, ""},
		{"disk:a", sub("@/variable", true, true), true, ""},
		{"disk:a", sub("@/var/lib/machines", false, true), false, "/var/lib/machines"},
		{"disk:b", sub("timeshift/@", true, true), true, "/mnt/timeshift/@"},
	} {
		if got := m.IsCopy(c.on, c.s); got != c.copy {
			t.Errorf("%s %+v: %v", c.on, c.s, got)
		}
		at := ""
		for _, mt := range m.MountsOn(c.on) {
			if p, ok := mt.Shows(c.s); ok && at == "" {
				at = p
			}
		}
		if at != c.at {
			t.Errorf("%s %+v is shown at %q, want %q", c.on, c.s, at, c.at)
		}
	}
}
