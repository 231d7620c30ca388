package fit

import (
	"cmp"
	"slices"
	"strconv"
	"strings"

	"github.com/mkcdrec/mkcdrec/internal/fail"
	"github.com/mkcdrec/mkcdrec/internal/machine"
	"github.com/mkcdrec/mkcdrec/internal/plan"
	"github.com/mkcdrec/mkcdrec/internal/wording"
)

// flatten puts what stood on arrays onto one plain device each: that of one of
// their members. Arrays on arrays go first.
func (t *topology) flatten() error {
	m := t.f.m
	if len(t.wishes.Flatten) == 0 {
		return nil
	}
	names, err := t.toFlatten()
	if err != nil {
		return err
	}
	layers, err := m.Layers()
	if err != nil {
		return fail.New(fail.Damaged, "the recorded layout contradicts itself: %w", err)
	}
	before := map[string]bool{} // disks that mirrors were on
	for _, l := range slices.Backward(layers) {
		if l.Array == nil || !names[l.Array.Name] {
			continue
		}
		a := *m.Array(l.Array.Name) // another one may have moved it since
		for _, d := range m.DisksUnder(machine.ArrayRef(a.Name)) {
			before[d.Name] = true
		}
		if err := t.flattenArray(a); err != nil {
			return err
		}
	}
	t.leaveDisks(before)
	return nil
}

// toFlatten are the names of the arrays that are to be flattened.
func (t *topology) toFlatten() (map[string]bool, error) {
	m, out := t.f.m, map[string]bool{}
	var known []string
	for _, a := range m.Arrays {
		known = append(known, a.Name)
	}
	if len(known) == 0 {
		return nil, fail.New(fail.Usage, "--flatten: the recorded machine has no RAID array")
	}
	for _, wish := range t.wishes.Flatten {
		found := false
		for _, a := range m.Arrays {
			if wish == FlattenAll || slices.Contains(arrayNames(a), wish) || slices.Contains(arrayNames(a), "/dev/"+wish) || slices.Contains(arrayNames(a), "/dev/md/"+wish) {
				out[a.Name], found = true, true
			}
		}
		if !found {
			return nil, fail.Hint(fail.New(fail.Usage, "--flatten: no array %s was recorded", wish), "the recorded arrays are: %s", strings.Join(known, ", "))
		}
	}
	return out, nil
}

// arrayNames are the names in /dev that an array may have.
func arrayNames(a machine.Array) []string {
	names := []string{"/dev/" + a.Name, a.Path}
	if a.Label != "" {
		short := a.Label[strings.IndexByte(a.Label, ':')+1:]
		names = append(names, "/dev/md/"+short, "/dev/md/"+a.Label, "/dev/disk/by-id/md-name-"+a.Label)
	}
	if a.UUID != "" {
		names = append(names, "/dev/disk/by-id/md-uuid-"+a.UUID)
	}
	slices.Sort(names)
	return slices.DeleteFunc(slices.Compact(names), func(n string) bool { return n == "" || n == "/dev/md/" })
}

// rank orders disks by how good it is to keep them: mapped by name, here, the
// boot loader's, in use by more than arrays, with a member of most arrays.
func (t *topology) rank(d machine.Disk) []int {
	m := t.f.m
	score := func(ok bool) int {
		if ok {
			return 0
		}
		return 1
	}
	_, mapped := t.wishes.Map[d.Name]
	here := slices.ContainsFunc(t.here.Disks, func(h machine.Disk) bool {
		return !slices.Contains(t.wishes.Protected, h.Name) && (d.Serial != "" && h.Serial == d.Serial || d.WWN != "" && h.WWN == d.WWN)
	})
	boots := slices.Contains(m.BootLoader.Disks, machine.DiskRef(d.Name))
	plain := slices.ContainsFunc(m.Mounts, func(mt machine.Mount) bool {
		dev, err := m.Resolve(mt.On)
		return err == nil && dev.Disk != nil && dev.Array == nil && dev.Disk.Name == d.Name
	})
	active := 0
	for _, a := range m.Arrays {
		for _, member := range a.Members {
			if member.Slot >= 0 && slices.Contains(m.Below(member.On), machine.DiskRef(d.Name)) {
				active--
			}
		}
	}
	return []int{score(mapped), score(here), score(boots), score(plain), active}
}

// survivor is the member whose device takes what is on an array.
func (t *topology) survivor(a machine.Array) machine.ArrayMember {
	m := t.f.m
	members := filter(a.Members, func(x machine.ArrayMember) bool { return x.Slot >= 0 })
	rank := func(x machine.ArrayMember) []int {
		under := m.DisksUnder(x.On)
		if len(under) == 0 {
			return []int{2}
		}
		return t.rank(under[0])
	}
	return slices.MinFunc(members, func(x, y machine.ArrayMember) int {
		return cmp.Or(slices.Compare(rank(x), rank(y)), cmp.Compare(x.Slot, y.Slot))
	})
}

// flattenArray puts what stands on an array onto one of its members.
func (t *topology) flattenArray(a machine.Array) error {
	m := t.f.m
	on := t.survivor(a).On
	whole := machine.ArrayRef(a.Name)
	t.arrays = append(t.arrays, plan.FlatArray{Name: a.Name, Path: a.Path, UUID: a.UUID, Names: arrayNames(a)})
	if uuid := contentUUID(m, whole); holdsSomething(m, whole) {
		t.moved = append(t.moved, plan.DeviceMove{Was: arrayNames(a), UUID: uuid})
	}
	if a.Table != nil {
		for _, p := range a.Table.Partitions {
			was := []string{p.Path}
			for _, n := range arrayNames(a) {
				was = append(was, n+"p"+strconv.Itoa(p.Number), n+"-part"+strconv.Itoa(p.Number))
			}
			slices.Sort(was)
			t.moved = append(t.moved, plan.DeviceMove{Was: slices.DeleteFunc(slices.Compact(was), func(s string) bool { return s == "" }), UUID: contentUUID(m, machine.PartRef(a.Name, p.Number))})
		}
	}
	dev, err := m.Resolve(on)
	if err != nil {
		return fail.New(fail.Damaged, "the recorded layout contradicts itself: %w", err)
	}
	for _, member := range a.Members {
		if member.On != on {
			t.left = append(t.left, member.On)
		}
	}
	boots := bootsFrom(m, whole)
	if a.Table != nil {
		for _, p := range a.Table.Partitions {
			boots = boots || bootsFrom(m, machine.PartRef(a.Name, p.Number))
		}
	}
	t.f.say("array "+a.Name, "becomes "+deviceText(dev), "told so: of its %s one is made, as a plain device without redundancy", wording.Count(a.Slots, "member"))
	m.Arrays = filter(m.Arrays, func(x machine.Array) bool { return x.Name != a.Name })
	if dev, err = m.Resolve(on); err != nil {
		return fail.New(fail.Damaged, "the recorded layout contradicts itself: %w", err)
	}
	if a.Table != nil {
		err = t.flattenTable(a, dev)
	} else {
		t.flattenContent(a, dev)
	}
	if boots {
		t.loaderAnew("what it reads /boot from is no array any more")
	}
	return err
}

// deviceText names a device for people.
func deviceText(dev machine.Device) string {
	if dev.Partition != nil {
		return "the plain partition " + dev.Ref.Body()
	}
	return "the plain device " + dev.Ref.Body()
}

// flattenContent gives a device what stood on an array, and the room for it.
func (t *topology) flattenContent(a machine.Array, dev machine.Device) {
	m := t.f.m
	switch {
	case dev.Partition != nil && dev.Size < a.Size:
		t.f.widen(dev.Disk, dev.Partition.Number, a.Size)
	case dev.Disk != nil && dev.Partition == nil && dev.Size < a.Size:
		t.f.enlarge(dev.Disk, up(a.Size-dev.Size, align))
	}
	replace(m, map[machine.Ref]machine.Ref{machine.ArrayRef(a.Name): dev.Ref})
	if !holdsSomething(m, dev.Ref) {
		t.left = append(t.left, dev.Ref)
		return
	}
	if dev.Partition == nil {
		return
	}
	p := dev.Partition
	if p.Type == machine.TypeRAID || strings.EqualFold(p.Type, "fd") || strings.EqualFold(p.Type, "da") || readByFirmware(m, dev.Ref) {
		p.Type = typeFor(m, dev.Ref, dev.Disk.Table.Kind)
	}
}

// flattenTable gives a whole disk the partition table that an array had; that
// within a partition is of no use to anybody, and its partitions go beside it.
func (t *topology) flattenTable(a machine.Array, dev machine.Device) error {
	refs := map[machine.Ref]machine.Ref{}
	switch {
	case dev.Disk == nil:
		return fail.New(fail.Refused, "array %s cannot be flattened: it has a partition table, and %s can have none", a.Name, dev.Ref.Body())
	case dev.Partition == nil:
		d := dev.Disk
		d.Table, t.f.relaid[d.Name] = a.Table, true
		for i := range d.Table.Partitions {
			p := &d.Table.Partitions[i]
			p.Path = partitionPath(d.Path, p.Number)
			refs[machine.PartRef(a.Name, p.Number)] = machine.PartRef(d.Name, p.Number)
		}
		if a.LogicalSector != d.LogicalSector {
			return fail.New(fail.Refused, "array %s cannot be flattened onto %s: its partition table is for sectors of %d bytes", a.Name, d.Name, a.LogicalSector)
		}
		t.f.enlarge(d, max(up(a.Size-d.Size, align), 0))
	default:
		d := dev.Disk
		n := dev.Partition.Number
		t.rest = placed(a.Disk)
		t.f.gaps[d.Name] = append(t.f.gaps[d.Name], *dev.Partition)
		d.Table.Partitions = filter(d.Table.Partitions, func(p machine.Partition) bool { return p.Number != n })
		for _, p := range a.Table.Partitions {
			if p.Extended() {
				continue
			}
			was := machine.PartRef(a.Name, p.Number)
			to, err := t.adopt(d, p, &a.Disk, was)
			if err != nil {
				return err
			}
			refs[was] = to
			t.f.say("partition "+was.Body(), "becomes "+to.Body(), "a partition can have no partitions of its own")
		}
	}
	replace(t.f.m, refs)
	return nil
}

// leaveDisks takes boot code off the disks that hold nothing any more.
func (t *topology) leaveDisks(before map[string]bool) {
	m := t.f.m
	var used []machine.Ref
	for _, mt := range m.Mounts {
		used = append(used, mt.On)
	}
	for _, s := range m.Swaps {
		used = append(used, s.On)
	}
	needed := map[machine.Ref]bool{}
	for _, r := range used {
		for _, b := range m.Below(r) {
			needed[b] = true
		}
	}
	for i := range m.Disks {
		d := &m.Disks[i]
		if before[d.Name] && !needed[machine.DiskRef(d.Name)] {
			t.without[d.Name] = "its arrays are flattened, and what they hold is made on another disk"
			if to, ok := t.wishes.Map[d.Name]; ok && len(t.wishes.together()[strings.TrimPrefix(to, "/dev/")]) > 1 {
				delete(t.wishes.Map, d.Name) // both were mapped to the one disk
			}
		}
	}
	bl := &m.BootLoader
	if len(bl.Disks) == 0 {
		return
	}
	keep := filter(bl.Disks, func(r machine.Ref) bool { return t.without[r.Body()] == "" })
	if len(keep) > 0 {
		bl.Disks = keep
		return
	}
	// The boot code was on the other disks only.
	for _, d := range t.f.underBoot() {
		keep = append(keep, machine.DiskRef(d.Name))
	}
	bl.Disks = keep
	if bl.Kind == machine.GRUBBIOS {
		t.f.placeForGRUB()
	}
}

// twins says of disks here that are left alone and hold the other half of what is
// flattened that a system with both in it could start either.
func (t *topology) twins(matched []plan.Choice) []plan.Choice {
	for i, c := range matched {
		for name := range t.without {
			if c.Chosen == "left alone" && strings.HasPrefix(c.Why, "it is the recorded disk "+name+",") {
				matched[i].Why = "it is the recorded disk " + name + ", whose arrays are flattened: it has the same under the same UUIDs, so detach it or wipe it (wipefs -a) before the system starts"
			}
		}
	}
	return matched
}

// closeMembers takes the partitions of members that nothing is on any more out
// of the tables of disks that are needed for other things.
func (t *topology) closeMembers() {
	t.emptied = nil
	for _, r := range t.left {
		if dev, err := t.f.m.Resolve(r); err == nil && dev.Partition != nil && !holdsSomething(t.f.m, r) {
			t.emptied = append(t.emptied, r)
		}
	}
	said := len(t.choices)
	t.closeTables()
	t.f.choices = append(t.f.choices, t.choices[said:]...)
}
