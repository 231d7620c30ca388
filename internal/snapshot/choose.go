package snapshot

import (
	"fmt"
	"path"
	"slices"
	"strings"
	"time"

	"github.com/mkcdrec/mkcdrec/internal/fail"
	"github.com/mkcdrec/mkcdrec/internal/machine"
	"github.com/mkcdrec/mkcdrec/internal/tool/lvm"
)

// Wishes say what is wanted of a backup's source.
type Wishes struct {
	Mode   Mode
	Freeze []string // mount points that are frozen while they are read
	// FreezeLimit is how long each of them may stay so.
	FreezeLimit time.Duration
	// Skip says whether an absolute path is left out of the backup.
	Skip func(path string) bool
	// Busy says why a mount point cannot be frozen while we run: what of ours
	// is on it. "": nothing.
	Busy func(mount string) string
	// LVMMissing says that lvm(8) could not be asked, and why.
	LVMMissing error
}

// A classic snapshot that is smaller than this would soon be full.
const (
	leastSize  = 64 << 20
	leastShare = 50 // a fiftieth of what the file system holds
)

// Choose decides for each mount how it is read. Errors: fail.Usage for a
// wish that cannot be met by anybody, fail.Refused where snapshots are
// required and cannot be taken.
func Choose(m *machine.Machine, rep lvm.Report, w Wishes) (*Plan, error) {
	p := &Plan{FreezeLimit: w.FreezeLimit, Require: w.Mode == Require}
	if w.Skip == nil {
		w.Skip = func(string) bool { return false }
	}
	for _, mt := range m.Mounts {
		if w.Skip(mt.Target) {
			continue
		}
		p.Choices = append(p.Choices, chooseOne(m, mt, rep, w))
	}
	p.share(m, rep)
	if err := p.freeze(m, w); err != nil {
		return nil, err
	}
	if w.Mode != Require {
		return p, nil
	}
	var open []string
	for _, c := range p.Choices {
		if c.Method == Live && !c.Still {
			open = append(open, c.Mount+" ("+c.Why+")")
		}
	}
	if len(open) > 0 {
		return nil, fail.Hint(fail.New(fail.Refused, "snapshots are required, and there can be none of %s", strings.Join(open, ", ")),
			`read them as they are with --snapshots auto, hold one still with --freeze, or leave it out with --exclude`)
	}
	return p, nil
}

// chooseOne looks at one mount alone; classic snapshots have no size yet.
func chooseOne(m *machine.Machine, mt machine.Mount, rep lvm.Report, w Wishes) Choice {
	c := Choice{Mount: mt.Target, Method: Live}
	fs := m.FileSystemOn(mt.On)
	dev, err := m.Resolve(mt.On)
	switch {
	case fs == nil || err != nil:
		c.Why = "it is not recorded on what it lies"
		return c
	case slices.Contains(strings.Split(mt.Options, ","), "ro"):
		c.Why, c.Still = "mounted read-only", true
		return c
	case fs.Kind == "exfat":
		c.Why = "exFAT has no snapshots"
		return c
	case fs.Kind == "vfat":
		c.Why, c.Still = "FAT has no snapshots; only updates of the boot loader write to it", dev.Partition != nil && dev.Partition.Type == machine.TypeESP
		if !c.Still {
			c.Why = "FAT has no snapshots"
		}
		return c
	case w.Mode == Off:
		c.Why = "snapshots are off"
		return c
	}
	c.kind = fs.Kind
	switch {
	case fs.Kind == "btrfs":
		// Never by LVM: two devices with one btrfs identity confuse the kernel.
		c.Method, c.device, c.subvolume = Btrfs, dev.Path, mt.Subvolume
		c.nested = nestedIn(m, mt, fs, w.Skip)
	case dev.Volume != nil:
		c.volume(dev, rep, w.LVMMissing)
	default:
		c.Why = fmt.Sprintf("%s on a device without snapshots", fs.Kind)
	}
	return c
}

// volume decides by what lvs says of a logical volume.
func (c *Choice) volume(dev machine.Device, rep lvm.Report, missing error) {
	if missing != nil {
		c.Why = missing.Error()
		return
	}
	c.group, c.origin = dev.Group.Name, dev.Volume.Name
	kind := ""
	for _, s := range rep.Segments {
		if s.Group == c.group && s.Volume == c.origin {
			kind = s.Type
			// What a cached volume caches is called its origin, too.
			if s.Origin != "" && kind != "thin" && kind != "cache" && kind != "writecache" {
				kind = "snapshot"
			}
		}
	}
	switch {
	case kind == "thin":
		c.Method = Thin
	case kind == "linear" || kind == "striped" || kind == "mirror" || kind == "cache" || strings.HasPrefix(kind, "raid"):
		c.Method = LVM
	case kind == "":
		c.Why = "lvs does not list its volume"
	default:
		c.Why = "no snapshot can be taken of a logical volume of kind " + kind
	}
}

// nestedIn are the subvolumes that a mount shows below its own, and that are
// part of the backup there or where they are mounted themselves.
func nestedIn(m *machine.Machine, mt machine.Mount, fs *machine.FileSystem, skip func(string) bool) []nested {
	var out []nested
	for _, s := range fs.Subvolumes {
		at, ok := mt.Shows(s)
		if !ok || s.Path == mt.Subvolume || machine.Innermost(m.Mounts, at) != mt.Target || skip(at) {
			continue
		}
		out = append(out, nested{at: at, subvolume: s.Path})
	}
	return out
}

// freeze marks what is to be held still.
func (p *Plan) freeze(m *machine.Machine, w Wishes) error {
	for _, want := range w.Freeze {
		want = path.Clean(want)
		mt := m.MountAt(want)
		i := slices.IndexFunc(p.Choices, func(c Choice) bool { return c.Mount == want })
		if mt == nil || i < 0 && !w.Skip(want) {
			return fail.Hint(fail.New(fail.Usage, "cannot freeze %s: it is no mount point of a local file system", want), "the mount points are: mkcdrec backup --plan")
		}
		if i < 0 {
			continue // left out of this backup
		}
		c := &p.Choices[i]
		fs := m.FileSystemOn(mt.On)
		if c.Still || c.Method != Live {
			continue // there is something better
		}
		if fs == nil || !slices.Contains([]machine.FSKind{"ext2", "ext3", "ext4", "xfs"}, fs.Kind) {
			return fail.New(fail.Usage, "cannot freeze %s: only ext and xfs file systems are frozen", want)
		}
		busy := "programs that we run, and the system itself, write to it"
		if want != "/" {
			busy = ""
			if w.Busy != nil {
				busy = w.Busy(want)
			}
		}
		if busy != "" {
			return fail.Hint(fail.New(fail.Refused, "cannot freeze %s while it is read: %s; this run would wait for itself", want, busy),
				"have it on a logical volume or btrfs for a snapshot, or stop its writers in the hook pre-backup")
		}
		c.Method, c.Why = Frozen, ""
	}
	return nil
}

// share divides the free space of each volume group among the classic
// snapshots in it, by the sizes of their origins.
func (p *Plan) share(m *machine.Machine, rep lvm.Report) {
	groups := map[string]machine.Bytes{} // group -> sum of origins
	size := func(c Choice) machine.Bytes { return m.VolumeGroup(c.group).Volume(c.origin).Size }
	for _, c := range p.Choices {
		if c.Method == LVM {
			groups[c.group] += size(c)
		}
	}
	for i := range p.Choices {
		c := &p.Choices[i]
		if c.Method != LVM {
			continue
		}
		origin, free := size(*c), rep.Free(c.group)
		// In floating point: bytes times bytes do not fit into 64 bits.
		part := machine.Bytes(float64(free) * float64(origin) / float64(groups[c.group]))
		// A store for every block of the origin, with its tables, is never full.
		part = min(part, origin+origin/50+leastSize)
		extent := max(m.VolumeGroup(c.group).ExtentSize, 1)
		part -= part % extent
		least := machine.Bytes(leastSize)
		if fs := m.FileSystemOn(machine.LVRef(c.group, c.origin)); fs != nil {
			least = max(least, fs.Used/leastShare)
		}
		if part < min(least, origin) {
			c.Method = Live
			c.Why = fmt.Sprintf("volume group %s has %d MiB free for its snapshot, which takes %d MiB or more", c.group, part>>20, (min(least, origin)+1<<20-1)>>20)
			continue
		}
		c.Size = part
	}
}
