package backup

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/mkcdrec/mkcdrec/internal/machine"
	"github.com/mkcdrec/mkcdrec/internal/machine/machinetest"
)

func subvolume(p string) machine.Subvolume {
	return machine.Subvolume{Path: p, Snapshot: true, ReadOnly: true}
}

func said(list []Snapshots) string {
	var out []string
	for _, s := range list {
		out = append(out, s.String())
	}
	return strings.Join(out, "; ")
}

func TestLeaveOutSnapshots(t *testing.T) {
	type mounts = []machine.Mount
	mount := func(target, sub string) machine.Mount {
		return machine.Mount{On: "disk:a", Target: target, Subvolume: sub}
	}
	fstab := func(m machine.Mount) machine.Mount { m.InFstab = true; return m }
	snapper := func(dir string, n int) (out []machine.Subvolume) {
		for i := range n {
			out = append(out, subvolume(fmt.Sprintf("%s/%d/snapshot", dir, i+1)))
		}
		return out
	}
	for _, c := range []struct {
		what   string
		mounts mounts
		subs   []machine.Subvolume
		only   []string
		said   string
		kept   int // mounts
	}{
		{"snapper, nested", mounts{mount("/", "@")}, snapper("@/.snapshots", 12), nil, "12 snapshots below /.snapshots", 1},
		{"snapper, mounted beside", mounts{mount("/", "@"), fstab(mount("/.snapshots", "@/.snapshots"))}, snapper("@/.snapshots", 3), nil, "3 snapshots below /.snapshots", 2},
		{"snapper, of two subvolumes", mounts{mount("/", "@"), mount("/home", "@home")}, append(snapper("@/.snapshots", 2), snapper("@home/.snapshots", 2)...), nil,
			"2 snapshots below /.snapshots; 2 snapshots below /home/.snapshots", 2},
		{"one", mounts{mount("/", "@")}, snapper("@/.snapshots", 1), nil, "the snapshot /.snapshots/1/snapshot", 1},
		{"timeshift", mounts{mount("/", "@"), mount("/run/timeshift", "")}, []machine.Subvolume{subvolume("snapshots/mon/@"), subvolume("snapshots/mon/@home"), subvolume("snapshots/tue/@"), subvolume("snapshots/tue/@home")}, nil,
			"4 snapshots below /run/timeshift/snapshots", 2},
		{"btrbk", mounts{mount("/", "@")}, []machine.Subvolume{subvolume("@/btrbk/@.1"), subvolume("@/btrbk/@.2")}, nil, "2 snapshots below /btrbk", 1},
		{"mounted by hand", mounts{mount("/", "@"), mount("/mnt", "@/.snapshots/1/snapshot")}, snapper("@/.snapshots", 2), nil,
			"the snapshot mounted on /mnt; 2 snapshots below /.snapshots", 1},
		{"needed by the system", mounts{mount("/", "@/.snapshots/1/snapshot"), fstab(mount("/usr", "@/.snapshots/2/snapshot"))}, snapper("@/.snapshots", 3), nil, "", 2},
		{"writable", mounts{mount("/", "@")}, []machine.Subvolume{{Path: "@/work", Snapshot: true}, {Path: "@/sealed", ReadOnly: true}}, nil, "", 1},
		{"another file system over them", mounts{mount("/", "@"), {On: "disk:b", Target: "/.snapshots"}}, snapper("@/.snapshots", 3), nil, "", 2},
		{"asked for", mounts{mount("/", "@")}, snapper("@/.snapshots", 3), []string{"/.snapshots/2/snapshot/etc"}, "2 snapshots below /.snapshots", 1},
		{"mounted, asked for", mounts{mount("/", "@"), mount("/mnt", "@/.snapshots/1/snapshot")}, snapper("@/.snapshots", 1), []string{"/mnt/"}, "the snapshot /.snapshots/1/snapshot", 2},
		{"shown by no mount", mounts{mount("/", "@")}, snapper("@other", 3), nil, "", 1},
	} {
		m := machine.Machine{Mounts: c.mounts, FileSystems: []machine.FileSystem{{On: "disk:a", Kind: "btrfs", Subvolumes: c.subs}, {On: "disk:b", Kind: "ext4"}}}
		was := len(c.mounts)
		got := said(LeaveOutSnapshots(&m, c.only))
		if got != c.said || len(m.Mounts) != c.kept || len(c.mounts) != was {
			t.Errorf("%s: left out %q, want %q; %d mounts are kept, want %d", c.what, got, c.said, len(m.Mounts), c.kept)
		}
	}
}

func TestNamedMachinesLoseNothingElse(t *testing.T) {
	want := map[string]string{"btrfs-two": "the snapshot /.snapshots/2/snapshot"}
	for _, name := range machinetest.Names() {
		m := machinetest.Get(name)
		n := len(m.Mounts)
		left := LeaveOutSnapshots(&m, nil)
		if said(left) != want[name] || len(m.Mounts) != n {
			t.Errorf("%s: left out %q, want %q", name, said(left), want[name])
		}
	}
	if !slices.Contains(machinetest.Names(), "btrfs-subvols") {
		t.Error("no named machine has snapshots")
	}
}
