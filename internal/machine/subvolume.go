package machine

import (
	"path"
	"strings"
)

// Shows says at which absolute path of the running machine a mount shows a
// subvolume of its file system: its own root, or a place below it. A further
// mount may still lie over that place.
func (mt Mount) Shows(s Subvolume) (at string, ok bool) {
	switch {
	case s.Path == mt.Subvolume:
		return mt.Target, true
	case mt.Subvolume == "":
		return path.Join(mt.Target, s.Path), true
	}
	rest, ok := strings.CutPrefix(s.Path, mt.Subvolume+"/")
	if !ok {
		return "", false
	}
	return path.Join(mt.Target, rest), true
}

// Innermost is the target of the mount that an absolute path lies on.
func Innermost(mounts []Mount, p string) string {
	best := ""
	for _, mt := range mounts {
		if (mt.Target == "/" || p == mt.Target || strings.HasPrefix(p, mt.Target+"/")) && len(mt.Target) > len(best) {
			best = mt.Target
		}
	}
	return best
}

// IsCopy says that a subvolume of the file system on r is a snapshot which is
// not made again: it is not mounted itself, and nobody can have changed it, or
// no mount shows it. A root that began as a snapshot, as after a rollback, is
// none.
func (m *Machine) IsCopy(r Ref, s Subvolume) bool {
	if !s.Snapshot {
		return false
	}
	shown := false
	for _, mt := range m.MountsOn(r) {
		if mt.Subvolume == s.Path {
			return false
		}
		_, ok := mt.Shows(s)
		shown = shown || ok
	}
	return s.ReadOnly || !shown
}
