package plan

import (
	"slices"
	"strings"

	"github.com/mkcdrec/mkcdrec/internal/machine"
)

// Changes are what the administrator wished otherwise than it was recorded, as
// far as the files and the configuration of the restored system go. What they
// mean for the disks is in the plan's Target.
type Changes struct {
	// LeftOut are mount points whose file systems are not made. Nothing that
	// lies on them is unpacked or compared.
	LeftOut []string `json:"left_out,omitempty"`
	// Crypts are the names of encrypted devices that are not made.
	Crypts []string `json:"crypts,omitempty"`
	// NoSwap says that no swap of any kind is made.
	NoSwap bool `json:"no_swap,omitempty"`
	// Kinds are the file systems that are made as another kind.
	Kinds []KindChange `json:"kinds,omitempty"`
	// Flattened are the arrays that became plain devices.
	Flattened []FlatArray `json:"flattened,omitempty"`
	// Moved are the devices that are not where configuration files may say.
	Moved []DeviceMove `json:"moved,omitempty"`
	// Mirrored says that the arrays of the target are new to the system.
	Mirrored bool `json:"mirrored,omitempty"`
}

// FlatArray is an array that is not made, with all its names in /dev.
type FlatArray struct {
	Name  string   `json:"name"`
	Path  string   `json:"path"`
	UUID  string   `json:"uuid"`
	Names []string `json:"names"`
}

// DeviceMove is what lies on another device than recorded: by which names it may
// be known, and the UUID by which it is found; "" where it has none.
type DeviceMove struct {
	Was  []string `json:"was"`
	UUID string   `json:"uuid,omitempty"`
}

// Reshaped says that the system stands on other layers than recorded.
func (c *Changes) Reshaped() bool {
	return c != nil && (len(c.Flattened) > 0 || len(c.Moved) > 0 || c.Mirrored)
}

// KindChange is one file system that becomes another kind.
type KindChange struct {
	Mount string         `json:"mount"`
	From  machine.FSKind `json:"from"`
	To    machine.FSKind `json:"to"`
	UUID  string         `json:"uuid,omitempty"`
	// LostLabel is the recorded label, where the new kind cannot hold it.
	LostLabel string `json:"lost_label,omitempty"`
}

// none says that everything is as it was recorded.
func (c *Changes) none() bool {
	return c == nil || len(c.LeftOut) == 0 && len(c.Crypts) == 0 && !c.NoSwap && len(c.Kinds) == 0 && !c.Reshaped()
}

// Paths is what of the backup the plan is about: its Scope, or all but what is
// left out. nil: everything.
func (p Plan) Paths() *Scope {
	if p.Scope != nil || p.Changes.none() || len(p.Changes.LeftOut)+len(p.Changes.Kinds) == 0 {
		return p.Scope
	}
	s := &Scope{Others: p.Changes.LeftOut, kinds: p.Changes.Kinds}
	for _, m := range p.Target.Mounts {
		s.Mounts = append(s.Mounts, m.Target)
	}
	return s
}

// KindAt is the kind that the file system of a path is made as, where that is
// another one than recorded; else "".
func (s *Scope) KindAt(name string) machine.FSKind {
	if s == nil || len(s.kinds) == 0 {
		return ""
	}
	at := s.MountOf(name)
	for _, k := range s.kinds {
		if k.Mount == at {
			return k.To
		}
	}
	return ""
}

// valid says whether the plan mounts nothing that it leaves out.
func (c *Changes) valid(m machine.Machine) bool {
	return c == nil || !slices.ContainsFunc(m.Mounts, func(mt machine.Mount) bool { return slices.Contains(c.LeftOut, mt.Target) })
}

// mountPoints are the directories that remain of what is left out: those on
// file systems that are made.
func (c *Changes) mountPoints() []string {
	var out []string
	for _, l := range c.LeftOut {
		if !slices.ContainsFunc(c.LeftOut, func(o string) bool { return strings.HasPrefix(l, o+"/") }) {
			out = append(out, l)
		}
	}
	return out
}
