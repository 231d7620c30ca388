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
	case "ext2", "ext3", "ext4", "xfs", "btrfs":
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
		return min(leastFS(*fs, true), size)
	}
	return size
}

// leastLV is how small a logical volume may become, in whole extents (of all
// stripes).
func (f *fitter) leastLV(g *machine.VolumeGroup, lv machine.LogicalVolume) machine.Bytes {
	unit := extent(g) * machine.Bytes(max(lv.Stripes, 1))
	if len(lv.Devices) > 0 || lv.Stripes > 1 {
		return lv.Size // where it lies matters; its size stays
	}
	return min(up(f.least(machine.LVRef(g.Name, lv.Name), lv.Size), unit), lv.Size)
}

func extent(g *machine.VolumeGroup) machine.Bytes {
	if g.ExtentSize > 0 {
		return g.ExtentSize
	}
	return 4 * mib
}

// leastPV is the smallest device for this member of a group: what the volumes
// need at least, less what the other members hold.
func (f *fitter) leastPV(g *machine.VolumeGroup, r machine.Ref) machine.Bytes {
	var need, others machine.Bytes
	for _, lv := range g.Logical {
		if lv.Stripes > 1 || len(lv.Devices) > 0 {
			// Each member must keep its part; do not touch any of them.
			for _, p := range g.Physical {
				if p.On == r {
					return p.Size + pvMetadata + extent(g)
				}
			}
		}
		need += f.leastLV(g, lv)
	}
	for _, p := range g.Physical {
		if p.On != r {
			others += p.Size
		}
	}
	return max(need-others, extent(g)) + pvMetadata + extent(g)
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
		f.resizeFS(fs, now)
	}
	if s := f.m.SwapOn(r); s != nil {
		if _, wished := f.wishes.Sizes[Swap]; !wished {
			now = min(s.Size, now)
		}
		s.Size = now
	}
	return nil
}

// resizeFS gives a file system a new size and the number of inodes for it.
func (f *fitter) resizeFS(fs *machine.FileSystem, now machine.Bytes) {
	if fs.Inodes > 0 && fs.Size > 0 {
		fs.Inodes = scaledInodes(fs.Inodes, fs.Size, now)
	}
	fs.Size = now
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

// group shrinks the volumes of a group that lost space, or grows its largest
// one when that was wished.
func (f *fitter) group(g *machine.VolumeGroup) error {
	var room, used machine.Bytes
	for _, p := range g.Physical {
		room += p.Size / extent(g) * extent(g)
	}
	for _, lv := range g.Logical {
		used += up(lv.Size, extent(g))
	}
	switch {
	case used > room:
		return f.shrinkVolumes(g, used-room)
	case f.grown[g.Name] && f.wishes.GrowLargest:
		return f.growLargest(g, room-used)
	case f.grown[g.Name]:
		f.say("volume group "+g.Name, plan.Size(room-used)+" free", "the disk is larger; the volumes keep their sizes")
	}
	return nil
}

func (f *fitter) shrinkVolumes(g *machine.VolumeGroup, missing machine.Bytes) error {
	spare := make([]machine.Bytes, len(g.Logical))
	for i, lv := range g.Logical {
		spare[i] = (lv.Size - f.leastLV(g, lv)) / extent(g) * extent(g)
	}
	give, ok := share(missing, spare, extent(g))
	if !ok {
		return fail.New(fail.Refused, "volume group %s is too small on these disks: its volumes need %s more", g.Name, plan.Size(missing))
	}
	for i, b := range give {
		if b == 0 {
			continue
		}
		lv := &g.Logical[i]
		if err := f.setVolume(g, lv, lv.Size-b); err != nil {
			return err
		}
		f.say("volume "+g.Name+"/"+lv.Name, "shrinks to "+plan.Size(lv.Size), "the disk is smaller; what is on it fits")
	}
	return nil
}

func (f *fitter) growLargest(g *machine.VolumeGroup, space machine.Bytes) error {
	best := -1
	for i, lv := range g.Logical {
		if len(lv.Devices) == 0 && lv.Stripes <= 1 && f.growable(machine.LVRef(g.Name, lv.Name)) && (best < 0 || lv.Size > g.Logical[best].Size) {
			best = i
		}
	}
	if space = space / extent(g) * extent(g); best < 0 || space <= 0 {
		return nil
	}
	lv := &g.Logical[best]
	f.say("volume "+g.Name+"/"+lv.Name, "grows to "+plan.Size(lv.Size+space), "it is the largest volume that can grow")
	return f.setVolume(g, lv, lv.Size+space)
}

func (f *fitter) setVolume(g *machine.VolumeGroup, lv *machine.LogicalVolume, size machine.Bytes) error {
	was := lv.Size
	lv.Size = size
	return f.resized(machine.LVRef(g.Name, lv.Name), was, size)
}

// fileSystems adapts block sizes to the sectors below and checks that what was
// used still fits.
func (f *fitter) fileSystems() error {
	for i := range f.m.FileSystems {
		fs := &f.m.FileSystems[i]
		if len(f.m.MountsOn(fs.On)) > 0 && fs.Used > fs.Size && fs.Size > 0 {
			return fail.New(fail.Refused, "file system on %s would have %s, and %s are in use", fs.On.Body(), plan.Size(fs.Size), plan.Size(fs.Used))
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
