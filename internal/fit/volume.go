package fit

import (
	"fmt"
	"slices"

	"github.com/mkcdrec/mkcdrec/internal/fail"
	"github.com/mkcdrec/mkcdrec/internal/machine"
	"github.com/mkcdrec/mkcdrec/internal/plan"
)

// pvMetadata is what LVM keeps for itself at the start of a physical volume
// (lvm.conf(5), data_alignment).
const pvMetadata = mib

// growable says whether new space on this device would be of use.
func (f *fitter) growable(r machine.Ref) bool {
	if f.pins[r] > 0 {
		return false
	}
	if l, ok := f.m.LayerOn(r); ok {
		return l.Group != nil || slices.ContainsFunc(l.Gives(), f.growable)
	}
	fs := f.m.FileSystemOn(r)
	return fs != nil && resizable(*fs) && len(f.m.MountsOn(r)) > 0
}

// resizable says whether a file system of this kind may be made in another
// size than recorded. A vfat keeps its size: firmware is picky about ESPs.
func resizable(fs machine.FileSystem) bool {
	switch fs.Kind {
	case "ext2", "ext3", "ext4", "xfs", "btrfs", "f2fs", "exfat":
		return true
	}
	return false
}

// leastFS is the smallest size in which a file system holds its recorded
// content: the used space plus 11 % and what the file system needs itself.
// One that was not mounted has an unknown use and keeps its size.
func leastFS(fs machine.FileSystem, mounted bool) machine.Bytes {
	if !mounted {
		return fs.Size
	}
	return min(needs(fs), fs.Size)
}

// needs is what leastFS is, whatever size the file system has.
func needs(fs machine.FileSystem) machine.Bytes {
	if !resizable(fs) || fs.Used <= 0 {
		return fs.Size
	}
	b := fs.Used + fs.Used*11/100
	switch fs.Kind {
	case "xfs":
		b = max(b+b/50+128*mib, 304*mib) // log; mkfs.xfs(8) refuses less than 300 MiB
	case "btrfs":
		b = max(b+b/20+256*mib, 512*mib) // metadata and system chunks, twice
		b = raw(fs, b)
	case "f2fs":
		b = max(b+b/10+128*mib, 256*mib) // what it keeps for cleaning, and its tables
	case "exfat":
		b += 16 * mib // the table, and the bitmap of clusters
	default:
		// Journal, then inode tables of at most one inode for 8 KiB (see scaledInodes).
		b = (b+journal(fs.Size))*104/100 + 4*mib
	}
	return b
}

// journal is the size mke2fs(8) gives a journal, at most.
func journal(size machine.Bytes) machine.Bytes {
	switch {
	case size < 512*mib:
		return 16 * mib
	case size < 4096*mib:
		return 64 * mib
	case size < 128<<30:
		return 256 * mib
	}
	return 1024 * mib
}

// least is how small a device may become that has the given size now.
func (f *fitter) least(r machine.Ref, size machine.Bytes) machine.Bytes {
	if pinned := f.pins[r]; pinned > 0 {
		return pinned
	}
	if l, ok := f.m.LayerOn(r); ok {
		return min(f.leastBelow(l, r, size), size)
	}
	if fs := f.m.FileSystemOn(r); fs != nil {
		if !resizable(*fs) || len(f.m.MountsOn(r)) == 0 {
			return size
		}
		if fs.Device(r) != nil {
			return min(f.shares[r], size)
		}
		return min(leastFS(*fs, true), size)
	}
	return size
}

// leastLV is how small a logical volume may become, in whole extents (of all
// stripes). A thin volume keeps the size that it promises; its pool is what
// has to hold the content.
func (f *fitter) leastLV(g *machine.VolumeGroup, lv machine.LogicalVolume) machine.Bytes {
	r := machine.LVRef(g.Name, lv.Name)
	var least machine.Bytes
	switch {
	case lv.Kind == machine.ThinKind:
		return lv.Size
	case lv.Pool != nil:
		least = f.leastPool(g, lv)
	default:
		least = f.least(r, lv.Size)
	}
	return min(up(least, unit(g, lv).data), lv.Size)
}

func extent(g *machine.VolumeGroup) machine.Bytes { return g.Extent() }

// leastPV is the smallest device for this member of a group: what the volumes
// need at least, less what the other members hold. Where volumes need a part of
// themselves on every member, that has to have room.
func (f *fitter) leastPV(g *machine.VolumeGroup, r machine.Ref) machine.Bytes {
	need, others, legs, start := g.Spare, machine.Bytes(0), machine.Bytes(0), pvMetadata
	for _, lv := range g.Logical {
		lv.Size = f.leastLV(g, lv)
		need += lv.Takes(extent(g))
		for _, p := range lv.Parts() {
			if p.Legs() > 1 && p.Legs() >= len(g.Physical) {
				legs += p.Leg(extent(g))
			}
		}
	}
	for _, p := range g.Physical {
		if p.On != r {
			others += p.Size
		} else {
			start = pvStart(p)
		}
	}
	return max(need-others, legs, extent(g)) + start + extent(g)
}

// pvStart is what a member of a group has before its first extent.
func pvStart(p machine.PhysicalVolume) machine.Bytes {
	if p.Start > 0 {
		return p.Start
	}
	return pvMetadata
}

// resized tells what lies on a device that the device has another size now.
func (f *fitter) resized(r machine.Ref, was, now machine.Bytes) error {
	if was == now {
		return nil
	}
	if l, ok := f.m.LayerOn(r); ok {
		return f.resizedBelow(l, r, was, now)
	}
	if fs := f.m.FileSystemOn(r); fs != nil {
		f.resizeFS(fs, r, now)
	}
	if s := f.m.SwapOn(r); s != nil {
		if _, wished := f.wishes.Sizes[Swap]; !wished {
			now = min(s.Size, now)
		}
		s.Size = now
	}
	return nil
}

// resizeFS gives a file system, or one of its devices, a new size, and the
// number of inodes for it.
func (f *fitter) resizeFS(fs *machine.FileSystem, r machine.Ref, now machine.Bytes) {
	was := fs.Size
	fs.Resize(r, now)
	if fs.Inodes > 0 && was > 0 {
		fs.Inodes = scaledInodes(fs.Inodes, was, fs.Size)
	}
	delete(fs.Options, "journal_size") // it goes by the size
}

// scaledInodes keeps the ratio of inodes to space when a file system grows.
// When it shrinks it keeps their number, since the files are as many as
// before, up to one for 8 KiB.
func scaledInodes(n int64, was, now machine.Bytes) int64 {
	if now >= was {
		return int64(float64(n) * (float64(now) / float64(was)))
	}
	return min(n, max(int64(now/8192), 16))
}

// fileSystems adapts block sizes to the sectors below and checks that what was
// used still fits.
func (f *fitter) fileSystems() error {
	for i := range f.m.FileSystems {
		fs := &f.m.FileSystems[i]
		size := fs.Size
		if fs.Kind == "btrfs" {
			size = machine.Capacity(fs.Options[machine.DataProfile], fs.Sizes())
		}
		if len(f.m.MountsOn(fs.On)) > 0 && fs.Used > size && fs.Size > 0 {
			return fail.New(fail.Refused, "file system on %s would have room for %s, and %s are in use", fs.On.Body(), plan.Size(size), plan.Size(fs.Used))
		}
		for _, d := range f.m.DisksUnder(fs.On) {
			if fs.BlockSize > 0 && fs.BlockSize < d.LogicalSector && resizable(*fs) {
				f.say(fmt.Sprintf("%s on %s", fs.Kind, fs.On.Body()), fmt.Sprintf("%d byte blocks", d.LogicalSector), "the disk's sectors are larger than the recorded %d byte blocks", fs.BlockSize)
				fs.BlockSize = d.LogicalSector
			}
		}
	}
	return nil
}
