package fit

import (
	"github.com/mkcdrec/mkcdrec/internal/fail"
	"github.com/mkcdrec/mkcdrec/internal/machine"
	"github.com/mkcdrec/mkcdrec/internal/plan"
)

// resize is a size before and now.
type resize struct{ was, now machine.Bytes }

// layers fits what lies between disks and file systems, each layer after those
// that it stands on. An encrypted device follows its device at once (resized);
// an array and a group can only be fitted when all their members are.
func (f *fitter) layers() error {
	layers, err := f.m.Layers()
	if err != nil {
		return fail.New(fail.Damaged, "the recorded layout contradicts itself: %w", err)
	}
	for _, l := range layers {
		switch {
		case l.Array != nil:
			err = f.array(l.Array)
		case l.Group != nil:
			err = f.group(l.Group)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// leastBelow is how small the device r of a layer may become, which has the
// given size now.
func (f *fitter) leastBelow(l machine.Layer, r machine.Ref, size machine.Bytes) machine.Bytes {
	switch {
	case l.Array != nil:
		return f.leastMember(l.Array, r, size)
	case l.Crypt != nil:
		return l.Crypt.Offset + up(f.least(machine.CryptRef(l.Crypt.Name), l.Crypt.Size), cryptUnit)
	}
	return f.leastPV(l.Group, r)
}

// resizedBelow tells a layer that one of its devices has another size now.
func (f *fitter) resizedBelow(l machine.Layer, r machine.Ref, was, now machine.Bytes) error {
	switch {
	case l.Array != nil:
		f.members[r] = resize{was, now}
		return nil
	case l.Crypt != nil:
		c := l.Crypt
		before := c.Size
		c.Size = (now - c.Offset) / cryptUnit * cryptUnit
		return f.resized(machine.CryptRef(c.Name), before, c.Size)
	}
	g := l.Group
	for i := range g.Physical {
		p := &g.Physical[i]
		if p.On != r {
			continue
		}
		size := max(now-pvStart(*p), 0) / extent(g) * extent(g)
		if size > p.Size {
			f.grown[g.Name] = true
		}
		p.Free = max(p.Free+size-p.Size, 0)
		p.Size = size
	}
	return nil
}

// cryptUnit is the largest sector of a LUKS2 device (cryptsetup(8)).
const cryptUnit = machine.Bytes(4096)

// mdSpace is the most that mdadm(8) keeps of a member for itself: superblock,
// bitmap, and room to reshape of up to a thousandth of the device.
func mdSpace(size machine.Bytes) machine.Bytes { return up(size/1000, mib) + 2*mib }

// leastMember is the smallest device for a member of an array.
func (f *fitter) leastMember(a *machine.Array, r machine.Ref, size machine.Bytes) machine.Bytes {
	if a.Component <= 0 {
		return size // raid0 and linear use all of each member
	}
	for _, m := range a.Members {
		if m.On == r && m.Slot < 0 {
			return min(size, a.Component+mdSpace(size)) // a spare has to be able to step in
		}
	}
	least := f.leastArray(a)
	// The share of one member of that, the other way round than Capacity.
	one := a.Capacity(mib)
	if one <= 0 {
		return size
	}
	component := machine.Bytes(float64(least)/float64(one)*float64(mib)) + mib
	return up(component, max(a.Chunk, mib)) + mdSpace(size)
}

// leastArray is how small an array may become.
func (f *fitter) leastArray(a *machine.Array) machine.Bytes {
	if a.Table == nil {
		return f.least(machine.ArrayRef(a.Name), a.Size)
	}
	least := a.Size
	for i := range a.Table.Partitions {
		p := &a.Table.Partitions[i]
		size := a.Bytes(p.Size)
		least -= f.spare(&a.Disk, piece{p: p, start: a.Bytes(p.Start), size: size})
		least += max(f.pins[machine.PartRef(a.Name, p.Number)]-size, 0)
	}
	for _, g := range f.gaps[a.Name] {
		least -= a.Bytes(g.Size) / align * align
	}
	return least
}

// array gives an array the size that its members have now.
func (f *fitter) array(a *machine.Array) error {
	was, changed := a.Disk, false
	component, sum := machine.Bytes(-1), a.Size
	for i, m := range a.Members {
		r, ok := f.members[m.On]
		if !ok {
			dev, err := f.m.Resolve(m.On)
			if err != nil {
				return fail.New(fail.Damaged, "the recorded layout contradicts itself: %w", err)
			}
			r = resize{dev.Size, dev.Size}
		}
		changed = changed || r.was != r.now
		if ok {
			sum += r.now - r.was - mdSpace(r.now)
		}
		if room := r.now - mdSpace(r.now); i == 0 || room < component {
			component = room
		}
		// A disk of larger sectors below makes those of the array larger.
		for _, d := range f.m.DisksUnder(m.On) {
			a.LogicalSector = max(a.LogicalSector, d.LogicalSector)
		}
	}
	if !changed && a.LogicalSector == was.LogicalSector && !f.relaid[a.Name] {
		return nil
	}
	a.Offset = 0 // it went by the old size of the members: mdadm chooses another
	unit := max(a.Chunk, 64<<10)
	switch {
	case !changed:
	case a.Component > 0:
		a.Component = component / unit * unit
		a.Size = a.Capacity(a.Component)
	default:
		stripe := unit * machine.Bytes(max(a.Slots, 1))
		a.Size = sum / stripe * stripe
	}
	if a.Size <= 0 {
		return fail.New(fail.Refused, "array %s has no room on these disks", a.Name)
	}
	if a.Size != was.Size {
		f.say("array "+a.Name, plan.Size(a.Size), "its members have other sizes than recorded, when it had %s", plan.Size(was.Size))
	}
	if a.Table == nil {
		return f.resized(machine.ArrayRef(a.Name), was.Size, a.Size)
	}
	return f.table(&a.Disk, was)
}
