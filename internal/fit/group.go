package fit

import (
	"slices"

	"github.com/mkcdrec/mkcdrec/internal/fail"
	"github.com/mkcdrec/mkcdrec/internal/machine"
	"github.com/mkcdrec/mkcdrec/internal/plan"
)

// step is the least by which a volume can grow or shrink: one extent of each
// leg. data is what is seen of it, raw what the group gives for it.
type step struct{ data, raw machine.Bytes }

func unit(g *machine.VolumeGroup, lv machine.LogicalVolume) step {
	e := extent(g)
	s := step{data: e, raw: e}
	switch lv.Layout() {
	case "striped", "raid0", "raid4", "raid5", "raid6", "raid10":
		s.data *= machine.Bytes(max(lv.Stripes, 1))
	}
	s.raw *= machine.Bytes(max(lv.Legs(), 1))
	return s
}

// room is what the members of a group hold in whole extents.
func room(g *machine.VolumeGroup) machine.Bytes {
	var n machine.Bytes
	for _, p := range g.Physical {
		n += p.Size / extent(g) * extent(g)
	}
	return n
}

// group shrinks the volumes of a group that lost space, or grows its largest
// one when that was wished, and says on which members each volume lies.
func (f *fitter) group(g *machine.VolumeGroup) error {
	if err := f.enoughMembers(g); err != nil {
		return err
	}
	if err := f.fillPools(g); err != nil {
		return err
	}
	missing := max(g.Takes()-room(g), 0)
	if missing > 0 || f.lay(g, false) != nil {
		if err := f.shrinkVolumes(g, missing); err != nil {
			return err
		}
	}
	if f.grown[g.Name] {
		free := room(g) - g.Takes()
		if !f.wishes.GrowLargest {
			f.say("volume group "+g.Name, plan.Size(free)+" free", "the disk is larger; the volumes keep their sizes")
		} else if err := f.growLargest(g, free); err != nil {
			return err
		}
	}
	return f.lay(g, true)
}

// shrinkVolumes takes the missing space from the volumes, each in proportion to
// what it can give; and more, where not all of them could be laid out else.
func (f *fitter) shrinkVolumes(g *machine.VolumeGroup, missing machine.Bytes) error {
	var all machine.Bytes
	was := slices.Clone(g.Logical)
	spare := make([]machine.Bytes, len(was))
	for i, lv := range was {
		u := unit(g, lv)
		if lv.Kind != machine.ThinKind {
			spare[i] = (lv.Size - f.leastLV(g, lv)) / u.data * u.raw
		}
		all += spare[i]
	}
	with := func(amount machine.Bytes) bool {
		give, ok := share(amount, spare, extent(g))
		for i, lv := range was {
			u := unit(g, lv)
			g.Logical[i].Size = lv.Size - up(give[i], u.raw)/u.raw*u.data
		}
		return ok && g.Takes() <= room(g)
	}
	laid := func(amount machine.Bytes) bool { return with(amount) && f.lay(g, false) == nil }
	amount := missing
	if !laid(amount) {
		if !laid(all) {
			held := with(all)
			g.Logical = was
			if !held {
				return fail.New(fail.Refused, "volume group %s is too small on these disks: its volumes need %s more", g.Name, plan.Size(max(missing-all, extent(g))))
			}
			return fail.Hint(fail.New(fail.Refused, "volume group %s is too small on these disks: its volumes would fit together, but not each with its parts on disks of their own", g.Name),
				"use disks of more equal size")
		}
		bad := missing
		for amount = all; amount-bad > extent(g); {
			if middle := (amount + bad) / 2; laid(middle) {
				amount = middle
			} else {
				bad = middle
			}
		}
	}
	with(amount)
	for i := range g.Logical {
		lv := &g.Logical[i]
		size := lv.Size
		if size == was[i].Size {
			continue
		}
		lv.Size = was[i].Size
		if err := f.setVolume(g, lv, size); err != nil {
			return err
		}
		f.say("volume "+g.Name+"/"+lv.Name, "shrinks to "+plan.Size(lv.Size), "the disk is smaller; what is on it fits")
	}
	return nil
}

// growLargest gives new space to the largest volume that can use it, as far as
// its parts find room each on a member of its own.
func (f *fitter) growLargest(g *machine.VolumeGroup, space machine.Bytes) error {
	best := -1
	for i, lv := range g.Logical {
		can := f.growable(machine.LVRef(g.Name, lv.Name))
		if lv.Pool != nil {
			can = slices.ContainsFunc(g.ThinIn(lv.Name), func(t machine.LogicalVolume) bool { return f.growable(machine.LVRef(g.Name, t.Name)) })
		}
		if can && lv.Kind != machine.ThinKind && (best < 0 || lv.Size > g.Logical[best].Size) {
			best = i
		}
	}
	if best < 0 {
		return nil
	}
	lv := &g.Logical[best]
	was, u := lv.Size, unit(g, *lv)
	with := func(n machine.Bytes) bool {
		lv.Size = was + n*u.data
		return g.Takes() <= room(g) && f.lay(g, false) == nil
	}
	good, bad := machine.Bytes(0), space/u.raw+1
	for bad-good > 1 {
		if middle := (good + bad) / 2; with(middle) {
			good = middle
		} else {
			bad = middle
		}
	}
	lv.Size = was
	if good == 0 {
		return nil
	}
	f.say("volume "+g.Name+"/"+lv.Name, "grows to "+plan.Size(was+good*u.data), "it is the largest volume that can grow")
	return f.setVolume(g, lv, was+good*u.data)
}

func (f *fitter) setVolume(g *machine.VolumeGroup, lv *machine.LogicalVolume, size machine.Bytes) error {
	was := lv.Size
	lv.Size = size
	return f.resized(machine.LVRef(g.Name, lv.Name), was, size)
}

// leastPool is how small a thin pool may become: what its volumes hold, not
// what they promise.
func (f *fitter) leastPool(g *machine.VolumeGroup, pool machine.LogicalVolume) machine.Bytes {
	var n machine.Bytes
	for _, lv := range g.ThinIn(pool.Name) {
		n += up(f.held(g, lv), pool.Pool.Chunk) + scattered(lv.Size, pool.Pool.Chunk)
	}
	return n
}

// scattered is what is wasted where a file system touches a chunk with little
// in it: one for each group of block groups (ext4(5), flex_bg).
func scattered(size, chunk machine.Bytes) machine.Bytes { return (size/(2<<30) + 1) * chunk }

// held is what a thin volume takes of its pool when it was restored, with room
// to work.
func (f *fitter) held(g *machine.VolumeGroup, lv machine.LogicalVolume) machine.Bytes {
	r := machine.LVRef(g.Name, lv.Name)
	if _, ok := f.m.LayerOn(r); ok {
		return f.least(r, lv.Size)
	}
	fs := f.m.FileSystemOn(r)
	if fs == nil {
		if f.m.SwapOn(r) != nil {
			return lv.Size
		}
		return 0
	}
	used := fs.Used
	switch {
	case len(f.m.MountsOn(r)) == 0:
		used = 0 // it is made empty
	case used <= 0 || !resizable(*fs):
		return lv.Size
	}
	return min(used+used*11/100+overhead(*fs), lv.Size)
}

// overhead is what a file system of its size writes for itself.
func overhead(fs machine.FileSystem) machine.Bytes {
	switch fs.Kind {
	case "ext2", "ext3", "ext4":
		// The kernel zeroes the inode tables some time after mkfs.
		return journal(fs.Size) + machine.Bytes(fs.Inodes)*max(fs.InodeSize, 128) + fs.Size/8192 + 4*mib
	case "xfs":
		return min(fs.Size/50, 2048*mib) + 16*mib // the log, at most
	case "btrfs":
		return 256*mib + fs.Used/20
	}
	return fs.Size
}

// fillPools gives a pool more room that would be full when its volumes are
// restored: blocks that snapshots shared are there twice.
func (f *fitter) fillPools(g *machine.VolumeGroup) error {
	for i := range g.Logical {
		pool := &g.Logical[i]
		if pool.Pool == nil {
			continue
		}
		var used machine.Bytes
		for _, lv := range g.ThinIn(pool.Name) {
			if fs := f.m.FileSystemOn(machine.LVRef(g.Name, lv.Name)); fs != nil && len(f.m.MountsOn(fs.On)) > 0 {
				used += fs.Used
			}
		}
		if used <= pool.Size {
			continue
		}
		was := pool.Size
		pool.Size = up(f.leastPool(g, *pool), unit(g, *pool).data)
		if g.Takes() > room(g) {
			return fail.Hint(fail.New(fail.Refused, "the thin pool %s/%s has %s, and its volumes have files of %s: what snapshots shared is there twice", g.Name, pool.Name, plan.Size(was), plan.Size(used)),
				"use a larger disk, or leave a snapshot out with --drop")
		}
		f.say("volume "+g.Name+"/"+pool.Name, "grows to "+plan.Size(pool.Size), "its volumes have files of %s: what snapshots shared is there twice", plan.Size(used))
	}
	return nil
}
