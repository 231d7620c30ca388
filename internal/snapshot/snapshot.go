// Package snapshot decides from where each mounted file system is read for a
// backup, takes the snapshots that make it one moment's content, watches them
// and removes them. Deciding is pure (Choose); the rest changes the machine,
// and leaves nothing behind: what a run that was killed has left is known by
// name and tag, and removed by the next one (Sweep). It does not read files.
package snapshot

import (
	"slices"
	"strings"
	"time"

	"github.com/mkcdrec/mkcdrec/internal/machine"
)

// Mode says whether snapshots are taken.
type Mode string

// The modes.
const (
	Auto    Mode = "auto"    // where they can be; the other file systems are read as they are
	Off     Mode = "off"     // none
	Require Mode = "require" // of everything that can change while it is read, or no backup
)

// Method says from where a file system is read.
type Method string

// The methods.
const (
	Live   Method = "live"
	LVM    Method = "lvm-snapshot"
	Thin   Method = "lvm-thin-snapshot"
	Btrfs  Method = "btrfs-snapshot"
	Frozen Method = "frozen" // nobody can write to it while it is read
)

// String says it for people.
func (m Method) String() string {
	switch m {
	case LVM:
		return "LVM snapshot"
	case Thin:
		return "thin LVM snapshot"
	case Btrfs:
		return "btrfs snapshot"
	}
	return string(m)
}

// Choice says how one mounted file system is read.
type Choice struct {
	Mount  string        `json:"mount"`
	Method Method        `json:"method"`
	Why    string        `json:"why,omitempty"`   // why it is read live
	Still  bool          `json:"still,omitempty"` // read live, and it does not change: mounted read-only, or an EFI system partition
	Size   machine.Bytes `json:"size,omitempty"`  // of a classic LVM snapshot

	group, origin string         // LVM
	kind          machine.FSKind // to mount it by
	device        string         // btrfs: what holds the file system
	subvolume     string         // btrfs: from the top level
	nested        []nested       // btrfs: subvolumes that the mount shows below its own
}

// nested is a btrfs subvolume that is seen at a place below a mount. A
// snapshot of what is around it has an empty directory there.
type nested struct {
	at        string // absolute
	subvolume string // from the top level
}

// Plan is what is done for one backup.
type Plan struct {
	Choices []Choice
	// FreezeLimit is how long a file system is kept frozen at most.
	FreezeLimit time.Duration
	// Require ends the backup where a choice cannot be met; without it the file
	// system is read live, and that is named.
	Require bool
}

// Takes are the mount points that snapshots are taken of, in order.
func (p *Plan) Takes() []string {
	var out []string
	for _, c := range p.Choices {
		if c.Method == LVM || c.Method == Thin || c.Method == Btrfs {
			out = append(out, c.Mount)
		}
	}
	return out
}

// The marks of what is ours. An LVM snapshot has a tag with the machine's ID:
// other machines may see the same volume group. A btrfs snapshot lies at the
// top level of its file system, under a name that begins with a dot and the
// program's name, which nobody else has a use for.
const (
	tagPrefix     = "mkcdrec-snapshot-of="
	volumePrefix  = "mkcdrec_"
	subvolPrefix  = ".mkcdrec-snapshot-"
	maxVolumeName = 100 // lvm(8) allows 127 together with the name of the group
)

// IsVolume says whether a logical volume is a snapshot that a backup takes,
// of this machine or of another.
func IsVolume(name, origin string, tags []string) bool {
	return origin != "" && strings.HasPrefix(name, volumePrefix) &&
		slices.ContainsFunc(tags, func(t string) bool { return strings.HasPrefix(t, tagPrefix) })
}

// IsSubvolume says whether a btrfs subvolume is a snapshot that a backup takes.
func IsSubvolume(s machine.Subvolume) bool {
	return s.Snapshot && s.ReadOnly && strings.HasPrefix(s.Path, subvolPrefix) && !strings.Contains(s.Path, "/")
}
