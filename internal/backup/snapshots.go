package backup

import (
	"fmt"
	"maps"
	"path"
	"slices"
	"strings"

	"github.com/mkcdrec/mkcdrec/internal/machine"
)

// Snapshots are read-only btrfs snapshots that a backup leaves out. They are
// copies of what it has, in full each: a hundred of them make it a hundred
// times as large.
type Snapshots struct {
	Below string   `json:"below"` // the directory that holds them, or the mount point of one
	Paths []string `json:"paths"` // absolute; none where it is mounted there
}

// String says it for people.
func (s Snapshots) String() string {
	switch n := len(s.Paths); n {
	case 0:
		return "the snapshot mounted on " + s.Below
	case 1:
		return "the snapshot " + s.Paths[0]
	default:
		return fmt.Sprintf("%d snapshots below %s", n, s.Below)
	}
}

// LeaveOutSnapshots says which snapshots of a machine a backup is to leave
// out: the read-only ones within its mounts. Those that are mounted themselves
// are taken out of m.Mounts, unless the system needs them: as its root, or by
// its fstab. What only names is asked for, and kept.
func LeaveOutSnapshots(m *machine.Machine, only []string) []Snapshots {
	asked := func(p string) bool {
		return slices.ContainsFunc(only, func(o string) bool {
			o = path.Clean("/" + o)
			return o == p || strings.HasPrefix(o, p+"/")
		})
	}
	var out []Snapshots
	paths := map[string]bool{}
	all := slices.Clone(m.Mounts)
	m.Mounts = slices.DeleteFunc(slices.Clone(all), func(mt machine.Mount) bool {
		drop := mt.Target != "/" && !mt.InFstab && !asked(mt.Target) && slices.ContainsFunc(readOnly(m, mt.On), func(s machine.Subvolume) bool { return s.Path == mt.Subvolume })
		if drop {
			out = append(out, Snapshots{Below: mt.Target})
		}
		return drop
	})
	for _, mt := range m.Mounts {
		for _, s := range readOnly(m, mt.On) {
			// Where a further mount lies over the place, something else is there.
			p, ok := mt.Shows(s)
			if ok && s.Path != mt.Subvolume && machine.Innermost(all, p) == mt.Target && !asked(p) {
				paths[p] = true
			}
		}
	}
	return append(out, grouped(slices.Sorted(maps.Keys(paths)))...)
}

// readOnly are the read-only snapshots of a file system.
func readOnly(m *machine.Machine, r machine.Ref) []machine.Subvolume {
	fs := m.FileSystemOn(r)
	if fs == nil {
		return nil
	}
	return slices.DeleteFunc(slices.Clone(fs.Subvolumes), func(s machine.Subvolume) bool { return !s.Snapshot || !s.ReadOnly })
}

// grouped puts snapshots together by the directory that holds them: for
// snapper's /.snapshots/12/snapshot that is /.snapshots.
func grouped(paths []string) []Snapshots {
	in := map[string]int{} // directory -> snapshots in it
	up := map[string]int{} // directory -> snapshots in its directories
	for _, p := range paths {
		in[path.Dir(p)]++
		up[path.Dir(path.Dir(p))]++
	}
	at := map[string]int{}
	var out []Snapshots
	for _, p := range paths {
		dir := path.Dir(p)
		if above := path.Dir(dir); up[above] > in[dir] {
			dir = above
		}
		i, ok := at[dir]
		if !ok {
			i = len(out)
			at[dir] = i
			out = append(out, Snapshots{Below: dir})
		}
		out[i].Paths = append(out[i].Paths, p)
	}
	return out
}
