// Package fit lays a recorded machine onto the disks that are here: it matches
// disks, renames what lies on them, and grows or shrinks partitions, volume
// groups and file systems to the new sizes. It is pure: machines in, machine
// and explained choices out. It neither looks at disks nor writes to them, and
// it never guesses: what is not unique is refused with the candidates' names.
package fit

import (
	"encoding/json"
	"fmt"
	"slices"

	"github.com/mkcdrec/mkcdrec/internal/fail"
	"github.com/mkcdrec/mkcdrec/internal/machine"
	"github.com/mkcdrec/mkcdrec/internal/plan"
)

// Wishes are what the administrator, or an answer file, demands of the result.
type Wishes struct {
	// Disks are the disks here that may be used: "serial:S", "wwn:W",
	// "/dev/vda" or "vda". Empty: every disk that is not protected.
	Disks []string
	// Only demands that there is exactly one disk that could be used.
	Only bool
	// Map says which disk here takes the place of a recorded disk: kernel
	// name when recorded -> kernel name here.
	Map map[string]string
	// Protected are kernel names of disks that are never used: the one with
	// the medium and the one with the backup.
	Protected []string
	// GrowLargest gives new space in a volume group to its largest volume
	// that can grow. Without it the space stays free in the group.
	GrowLargest bool

	// Drop are mount points whose file systems are left out, with the volume or
	// partition of each.
	Drop []string
	// NoSwap leaves all swap out.
	NoSwap bool
	// Sizes are those of the devices of file systems, by mount point, and of
	// the machine's only swap under the key Swap.
	Sizes map[string]machine.Bytes
	// Kinds are what file systems are made as instead of the recorded kind, by
	// mount point.
	Kinds map[string]machine.FSKind
	// Content is what the backup has of a file system, by mount point, where
	// that is known: more than was used where it was compressed.
	Content map[string]machine.Bytes

	// Flatten are arrays, by any of their names, that become one plain device
	// each; or FlattenAll.
	Flatten []string
	// Mirror makes a machine on one disk one on two: MirrorAny, or the disk here
	// that takes the second half. "": no mirror.
	Mirror string
	// OntoOne lays all disks that the backup needs together onto one. Those that
	// Map maps to one disk here are laid together, too.
	OntoOne bool
}

// Onto fits the recorded machine onto the disks of this one. The result has
// only the disks that are needed, under their names here, and everything on
// them. Errors are of kind fail.Refused (not unique, protected, none here,
// too small) or fail.Unsupported (cannot be laid out on such a disk).
func Onto(recorded, here machine.Machine, w Wishes) (machine.Machine, []plan.Choice, error) {
	out, choices, err := onto(recorded, here, w)
	if err != nil && len(w.Sizes) > 0 {
		err = w.explain(recorded, here, err)
	}
	if err != nil {
		err = w.suggest(recorded, here, err)
	}
	return out, choices, err
}

func onto(recorded, here machine.Machine, w Wishes) (machine.Machine, []plan.Choice, error) {
	out, err := clone(recorded)
	if err != nil {
		return machine.Machine{}, nil, err
	}
	wished, err := w.apply(&out)
	if err != nil {
		return machine.Machine{}, nil, err
	}
	f := newFitter(&out, w)
	f.choices, f.gaps, f.apart = slices.Clone(wished.choices), wished.gaps, apart(&recorded)
	shaped, needed, err := w.shape(wished, f, here)
	if err != nil {
		return machine.Machine{}, nil, err
	}
	f.choices = append(f.choices, withoutMissing(&out)...)
	pins, err := w.pins(&out)
	if err != nil {
		return machine.Machine{}, nil, err
	}
	pairs, matched, err := match(needed, recorded, here, shaped.wishes, shaped.halves)
	if err != nil {
		return machine.Machine{}, nil, err
	}
	f.choices = slices.Concat(f.choices, shaped.twins(matched), f.later)
	names := rename(&out, pairs)
	f.shares = shares(&out)
	if err := f.pin(pins, names); err != nil {
		return machine.Machine{}, nil, err
	}
	for i := range out.Disks {
		if err := f.disk(&out.Disks[i], pairs[i]); err != nil {
			return machine.Machine{}, nil, err
		}
	}
	if err := f.layers(); err != nil {
		return machine.Machine{}, nil, err
	}
	if err := f.holdable(wished.kinds); err != nil {
		return machine.Machine{}, nil, err
	}
	if err := f.fileSystems(); err != nil {
		return machine.Machine{}, nil, err
	}
	return out, f.choices, nil
}

// clone copies a machine deeply, so that fitting never changes the recorded one.
func clone(m machine.Machine) (machine.Machine, error) {
	b, err := json.Marshal(m)
	if err != nil {
		return machine.Machine{}, fmt.Errorf("cannot copy the recorded layout: %w", err)
	}
	var out machine.Machine
	if err := json.Unmarshal(b, &out); err != nil {
		return machine.Machine{}, fmt.Errorf("cannot copy the recorded layout: %w", err)
	}
	return out, nil
}

// keepNeeded drops the disks and layers that hold nothing of the backup: no
// mounted file system, no swap, no boot loader. What it drops is named in the
// choices.
func keepNeeded(m *machine.Machine) ([]machine.Disk, []plan.Choice, error) {
	var refs []machine.Ref
	for _, mt := range m.Mounts {
		refs = append(refs, mt.On)
	}
	for _, s := range m.Swaps {
		refs = append(refs, s.On)
	}
	refs = append(refs, m.BootLoader.Disks...)
	needed := map[machine.Ref]bool{}
	for _, r := range refs {
		if r == "" { // a swap file
			continue
		}
		if _, err := m.Resolve(r); err != nil {
			return nil, nil, fail.New(fail.Damaged, "the recorded layout contradicts itself: %w", err)
		}
		for _, b := range m.Below(r) {
			needed[b] = true
		}
	}
	onNeeded := func(d machine.Disk) bool { return needed[machine.DiskRef(d.Name)] }
	if !slices.ContainsFunc(m.Disks, onNeeded) {
		return nil, nil, fail.New(fail.Unsupported, "the recorded layout has no disk that holds anything of the backup")
	}
	choices, err := keepLayers(m, needed)
	if err != nil {
		return nil, nil, err
	}
	m.Disks = filter(m.Disks, func(d machine.Disk) bool {
		if !onNeeded(d) && (d.Table != nil || len(d.Signatures) > 0) {
			choices = append(choices, plan.Choice{Subject: "disk " + d.Name, Chosen: "left out", Why: "nothing of it is in the backup"})
		}
		return onNeeded(d)
	})
	resolves := func(r machine.Ref) bool { _, err := m.Resolve(r); return err == nil }
	m.FileSystems = filter(m.FileSystems, func(fs machine.FileSystem) bool {
		refs := fs.Refs()
		there := filter(refs, resolves)
		if n := len(there); n > 0 && n < len(refs) {
			choices = append(choices, plan.Choice{Subject: fmt.Sprintf("%s on %s", fs.Kind, there[0].Body()), Chosen: "not made",
				Why: "nothing of it is in the backup, and others of its devices are left out"})
		}
		return len(there) == len(refs)
	})
	for _, fs := range m.FileSystems {
		if len(m.MountsOn(fs.On)) == 0 {
			choices = append(choices, plan.Choice{Subject: fmt.Sprintf("%s on %s", fs.Kind, fs.On.Body()), Chosen: "made empty",
				Why: "it was not mounted, so the backup has no files of it"})
		}
	}
	for _, d := range m.Disks {
		for i, p := range partitions(d) {
			if p.Holds != "" {
				choices = append(choices, plan.Choice{Subject: fmt.Sprintf("partition %d of %s", p.Number, d.Name), Chosen: "made empty",
					Why: "it held " + p.Holds + ", of which the backup has nothing"})
				d.Table.Partitions[i].Holds = "" // not here any more
			}
		}
	}
	return m.Disks, choices, nil
}

// keepLayers drops the layers that nothing of the backup stands on. One that
// lies only on disks that are made anew anyway is made anew, too, though the
// backup has no file of it.
func keepLayers(m *machine.Machine, needed map[machine.Ref]bool) ([]plan.Choice, error) {
	layers, err := m.Layers()
	if err != nil {
		return nil, fail.New(fail.Damaged, "the recorded layout contradicts itself: %w", err)
	}
	keep := map[string]bool{}
	var choices []plan.Choice
	dropped := map[machine.Ref]bool{}
	for _, l := range layers {
		k, whole := false, len(l.On()) > 0
		for _, r := range l.Gives() {
			k = k || needed[r]
		}
		for _, r := range l.On() {
			for _, b := range m.Below(r) {
				whole = whole && !dropped[b] && (b.Kind() != machine.RefDisk || needed[b])
			}
		}
		if keep[l.Name()] = k || whole; !keep[l.Name()] {
			for _, r := range l.Gives() {
				dropped[r] = true
			}
			choices = append(choices, plan.Choice{Subject: l.Name(), Chosen: "left out", Why: "nothing of it is in the backup"})
		}
	}
	m.Arrays = filter(m.Arrays, func(a machine.Array) bool { return keep[machine.Layer{Array: &a}.Name()] })
	m.Crypts = filter(m.Crypts, func(c machine.Crypt) bool { return keep[machine.Layer{Crypt: &c}.Name()] })
	m.VolumeGroups = filter(m.VolumeGroups, func(g machine.VolumeGroup) bool { return keep[machine.Layer{Group: &g}.Name()] })
	return choices, nil
}

func filter[T any](in []T, keep func(T) bool) []T {
	var out []T
	for _, v := range in {
		if keep(v) {
			out = append(out, v)
		}
	}
	return out
}

// rename gives every disk of m the name of its new disk and rewrites all refs.
// It returns the new names by the recorded ones.
func rename(m *machine.Machine, pairs []machine.Disk) (names map[string]string) {
	names = map[string]string{}
	for i, d := range m.Disks {
		names[d.Name] = pairs[i].Name
	}
	ref := func(r *machine.Ref) {
		switch r.Kind() {
		case machine.RefDisk:
			if n, ok := names[r.Body()]; ok {
				*r = machine.DiskRef(n)
			}
		case machine.RefPart:
			if d, num, ok := r.Part(); ok && names[d] != "" {
				*r = machine.PartRef(names[d], num)
			}
		}
	}
	for i := range m.Arrays {
		for j := range m.Arrays[i].Members {
			ref(&m.Arrays[i].Members[j].On)
		}
	}
	for i := range m.Crypts {
		ref(&m.Crypts[i].On)
	}
	for i := range m.VolumeGroups {
		g := &m.VolumeGroups[i]
		for j := range g.Physical {
			ref(&g.Physical[j].On)
		}
		for j := range g.Logical {
			for k := range g.Logical[j].Devices {
				ref(&g.Logical[j].Devices[k])
			}
			if p := g.Logical[j].Pool; p != nil {
				for k := range p.Metadata.Devices {
					ref(&p.Metadata.Devices[k])
				}
			}
		}
	}
	for i := range m.FileSystems {
		ref(&m.FileSystems[i].On)
		for j := range m.FileSystems[i].Devices {
			ref(&m.FileSystems[i].Devices[j].On)
		}
	}
	for i := range m.Swaps {
		ref(&m.Swaps[i].On)
	}
	for i := range m.Mounts {
		ref(&m.Mounts[i].On)
	}
	for i := range m.BootLoader.Disks {
		ref(&m.BootLoader.Disks[i])
	}
	return names
}
