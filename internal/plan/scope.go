package plan

import (
	"path"
	"slices"
	"strings"

	"github.com/mkcdrec/mkcdrec/internal/machine"
)

// Scope narrows a plan to one file system of the recorded machine. All else,
// on the disks and in the backup, is left alone.
type Scope struct {
	// Mounts are the mount points that are restored, parents before children:
	// one, or those of all subvolumes of a btrfs.
	Mounts []string `json:"mounts"`
	// Others are the mount points of the other recorded file systems.
	Others []string `json:"others,omitempty"`
	// Keep says that the file system is not made anew: what is in the backup
	// is unpacked over what is there.
	Keep bool `json:"keep,omitempty"`

	kinds []KindChange // see KindAt
}

// Holds says whether a path, absolute or relative to the root, lies on the file
// system: the innermost recorded mount point above it is one of Mounts. A
// mount point belongs to the file system that is mounted there. A nil Scope
// holds everything.
func (s *Scope) Holds(name string) bool {
	return s == nil || slices.Contains(s.Mounts, s.MountOf(name))
}

// MountOf is the innermost recorded mount point at or above a path; "/" where
// none is.
func (s *Scope) MountOf(name string) string {
	p := path.Clean("/" + name)
	for p != "/" && !slices.Contains(s.Mounts, p) && !slices.Contains(s.Others, p) {
		p = path.Dir(p)
	}
	return p
}

// inner are the mount points of other file systems whose directories lie on
// this one.
func (s *Scope) inner() []string {
	var out []string
	for _, o := range s.Others {
		if s.Holds(path.Dir(o)) && o != "/" {
			out = append(out, o)
		}
	}
	return out
}

// valid says whether every mount of the plan is in the scope.
func (s *Scope) valid(m machine.Machine) bool {
	for _, mt := range m.Mounts {
		if !slices.Contains(s.Mounts, mt.Target) {
			return false
		}
	}
	return len(s.Mounts) > 0
}

// Text names the mount points for people.
func (s *Scope) Text() string { return strings.Join(s.Mounts, ", ") }
