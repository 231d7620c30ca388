package fit

import (
	"fmt"
	"maps"
	"slices"

	"github.com/mkcdrec/mkcdrec/internal/fail"
	"github.com/mkcdrec/mkcdrec/internal/machine"
	"github.com/mkcdrec/mkcdrec/internal/plan"
)

// pins are the devices whose size is wished: partitions and volumes.
type pins map[machine.Ref]machine.Bytes

// pins finds the devices that have to get the wished sizes. The refs are those
// of the recorded machine.
func (w Wishes) pins(m *machine.Machine) (pins, error) {
	out := pins{}
	for _, target := range slices.Sorted(maps.Keys(w.Sizes)) {
		size := w.Sizes[target]
		on, err := sized(m, target, size)
		if err != nil {
			return nil, err
		}
		if on == "" { // a swap file
			continue
		}
		ref, size, err := carrier(m, target, on, size)
		if err != nil {
			return nil, err
		}
		if other, ok := out[ref]; ok && other != size {
			return nil, fail.New(fail.Usage, "--size gives %s two sizes: mount points on it are one file system", ref.Body())
		}
		out[ref] = size
	}
	return out, nil
}

// sized is the device of the file system or swap that gets a size; "" for a
// swap file, which is given its size at once.
func sized(m *machine.Machine, target string, size machine.Bytes) (machine.Ref, error) {
	if target == Swap {
		if len(m.Swaps) != 1 {
			return "", fail.New(fail.Usage, "--size swap: the machine has %d swap areas, not one", len(m.Swaps))
		}
		s := &m.Swaps[0]
		if size < mib {
			return "", fail.New(fail.Refused, "swap of %s is of no use: 1 MiB is the least", plan.Size(size))
		}
		if s.File != "" {
			// What a larger swap file takes is no room for files any more.
			if fs := holder(m, s.File); fs != nil {
				fs.Used += max(size-s.Size, 0)
			}
			s.Size = size
		}
		return s.On, nil
	}
	mt, err := mounted(m, "size", target)
	if err != nil {
		return "", err
	}
	fs := *m.FileSystemOn(mt.On)
	if len(fs.Devices) > 0 {
		return "", fail.New(fail.Refused, "%s cannot be given a size: it lies on %d devices, and fills them", mt.Target, len(fs.Devices))
	}
	if !resizable(fs) {
		return "", fail.New(fail.Refused, "%s is a %s, which keeps its size of %s", mt.Target, fs.Kind, plan.Size(fs.Size))
	}
	if least := leastFS(fs, true); size < least {
		return "", fail.New(fail.Refused, "%s cannot have %s: what was used on it needs at least %s", mt.Target, plan.Size(size), plan.Size(least))
	}
	return mt.On, nil
}

// holder is the file system that a file lies on.
func holder(m *machine.Machine, file string) *machine.FileSystem {
	var best machine.Mount
	for _, mt := range m.Mounts {
		if (mt.Target == "/" || len(file) > len(mt.Target) && file[:len(mt.Target)+1] == mt.Target+"/") && len(mt.Target) > len(best.Target) {
			best = mt
		}
	}
	return m.FileSystemOn(best.On)
}

// carrier is the partition or volume whose size decides on that of a device,
// and the size that it needs for that.
func carrier(m *machine.Machine, target string, r machine.Ref, size machine.Bytes) (machine.Ref, machine.Bytes, error) {
	dev, err := m.Resolve(r)
	refuse := func(why string) (machine.Ref, machine.Bytes, error) {
		return "", 0, fail.New(fail.Refused, "%s cannot be given a size: %s", target, why)
	}
	switch {
	case err != nil:
		return "", 0, fail.New(fail.Damaged, "the recorded layout contradicts itself: %w", err)
	case dev.Crypt != nil:
		return carrier(m, target, dev.Crypt.On, dev.Crypt.Offset+up(size, cryptUnit))
	case dev.Volume != nil:
		return r, up(size, unit(dev.Group, *dev.Volume).data), nil
	case dev.Partition != nil:
		return r, up(size, align), nil
	case dev.Array != nil:
		return refuse("the size of array " + r.Body() + " comes from its members")
	}
	return refuse("it fills disk " + r.Body())
}

// pin takes the wished sizes over under the names of the disks here, and gives
// them to the volumes; partitions get theirs when their table is laid out.
func (f *fitter) pin(p pins, names map[string]string) error {
	f.pins = pins{}
	for _, r := range slices.Sorted(maps.Keys(p)) {
		size := p[r]
		if d, n, ok := r.Part(); ok {
			f.relaid[d] = true
			if names[d] != "" {
				d = names[d]
			}
			f.pins[machine.PartRef(d, n)] = size
			continue
		}
		f.pins[r] = size
		dev, err := f.m.Resolve(r)
		if err != nil {
			return fail.New(fail.Damaged, "the recorded layout contradicts itself: %w", err)
		}
		was := dev.Size
		if err := f.setVolume(dev.Group, dev.Volume, size); err != nil {
			return err
		}
		f.say("volume "+r.Body(), plan.Size(size), "told so; it had %s", plan.Size(was))
	}
	for _, s := range f.m.Swaps {
		if size, ok := f.wishes.Sizes[Swap]; ok && s.File != "" {
			f.say("swap file "+s.File, plan.Size(size), "told so")
		}
	}
	return nil
}

// pinned gives the partitions of a table their wished sizes. What lies behind
// one moves along.
func (f *fitter) pinned(d *machine.Disk, pieces []piece) {
	for i := range pieces {
		r := machine.PartRef(d.Name, pieces[i].p.Number)
		size, ok := f.pins[r]
		if !ok || pieces[i].gap {
			continue
		}
		was := pieces[i].size
		delta := up(size-was, align)
		if size < was {
			delta = -((was - size) / align * align)
		}
		move(pieces, i, pieces[i].end(), delta)
		f.say(fmt.Sprintf("partition %d of %s", pieces[i].p.Number, d.Name), plan.Size(pieces[i].size), "told so; it had %s", plan.Size(was))
	}
}

// explain makes of a refusal that a wished size is the reason of one that says
// which sizes are possible. They are found by trying.
func (w Wishes) explain(recorded, here machine.Machine, refused error) error {
	if fail.KindOf(refused) != fail.Refused {
		return refused
	}
	for _, target := range slices.Sorted(maps.Keys(w.Sizes)) {
		with := func(size machine.Bytes) bool {
			o := w
			o.Sizes = maps.Clone(w.Sizes)
			o.Sizes[target] = size
			_, _, err := onto(recorded, here, o)
			return err == nil
		}
		without := w
		without.Sizes = maps.Clone(w.Sizes)
		delete(without.Sizes, target)
		fitted, _, err := onto(recorded, here, without)
		if err != nil {
			continue
		}
		good := sizeOf(fitted, target)
		if !with(good) {
			continue // no size of it is possible: refused says why
		}
		var most machine.Bytes
		for _, d := range here.Disks {
			most += d.Size
		}
		least := edge(good, 0, with)
		most = edge(good, most, with)
		return fail.Hint(fail.New(fail.Refused, "%s cannot have %s here: it can have %s to %s", target, plan.Size(w.Sizes[target]), plan.Size(least), plan.Size(most)),
			"--size %s=N, with N from %d to %d bytes", target, least, most)
	}
	return refused
}

// sizeOf is the size of the file system's device, or of the swap, that a wish names.
func sizeOf(m machine.Machine, target string) machine.Bytes {
	if target == Swap {
		return m.Swaps[0].Size
	}
	mt, err := mounted(&m, "size", target)
	if err != nil {
		return 0
	}
	dev, err := m.Resolve(mt.On)
	if err != nil {
		return 0
	}
	return dev.Size
}

// edge is the last good size on the way from a good one to a bad one, to 1 MiB.
func edge(good, bad machine.Bytes, ok func(machine.Bytes) bool) machine.Bytes {
	for good-bad > mib || bad-good > mib {
		if middle := (good + bad) / 2; ok(middle) {
			good = middle
		} else {
			bad = middle
		}
	}
	return good
}
