package fit

import (
	"fmt"
	"slices"
	"strings"

	"github.com/mkcdrec/mkcdrec/internal/fail"
	"github.com/mkcdrec/mkcdrec/internal/machine"
	"github.com/mkcdrec/mkcdrec/internal/plan"
)

// merge lays recorded disks together that are to go onto one disk here.
func (t *topology) merge() error {
	m := t.f.m
	var groups [][]string
	for _, from := range sortedGroups(t.wishes.together()) {
		for _, name := range from {
			if m.Disk(name) == nil {
				return fail.Hint(fail.New(fail.Usage, "cannot map disk %s: the backup needs no disk of that name", name), "the recorded disks are: %s", list(m.Disks))
			}
		}
		groups = append(groups, from)
	}
	if t.wishes.OntoOne {
		groups = [][]string{nil}
		for _, d := range m.Disks {
			groups[0] = append(groups[0], d.Name)
		}
	}
	for _, g := range groups {
		if len(g) < 2 {
			t.f.say("disk "+g[0], "alone", "told so, and the backup needs no other one")
			continue
		}
		if err := t.together(g); err != nil {
			return err
		}
	}
	return nil
}

func sortedGroups(by map[string][]string) [][]string {
	var out [][]string
	for _, g := range by {
		out = append(out, g)
	}
	slices.SortFunc(out, slices.Compare)
	return out
}

// base is the disk of a group that keeps its table and its place: the one that
// the machine starts from, and one with a table before one without.
func (t *topology) base(names []string) string {
	m := t.f.m
	best, found := "", -1
	for _, d := range m.Disks {
		if !slices.Contains(names, d.Name) {
			continue
		}
		score := 0
		if d.Table != nil {
			score += 8
		}
		if slices.Contains(m.BootLoader.Disks, machine.DiskRef(d.Name)) {
			score += 4
		}
		for _, mt := range m.Mounts {
			if !slices.Contains(m.Below(mt.On), machine.DiskRef(d.Name)) {
				continue
			}
			if readByFirmware(m, mt.On) {
				score |= 2
			}
			if bootsFrom(m, mt.On) {
				score |= 1
			}
		}
		if score > found {
			best, found = d.Name, score
		}
	}
	return best
}

// together appends what all disks of a group hold to one of them.
func (t *topology) together(names []string) error {
	m := t.f.m
	name := t.base(names)
	base := m.Disk(name)
	if base.Table == nil {
		if err := t.tableFor(base); err != nil {
			return err
		}
	}
	refs := map[machine.Ref]machine.Ref{}
	loader := false
	t.rest = 0
	for _, d := range m.Disks {
		if d.Name != name && slices.Contains(names, d.Name) {
			t.rest += placed(d)
		}
	}
	for i := range m.Disks {
		d := &m.Disks[i]
		if d.Name == name || !slices.Contains(names, d.Name) {
			continue
		}
		r := machine.DiskRef(d.Name)
		loader = loader || slices.Contains(m.BootLoader.Disks, r)
		if err := t.append(base, d, refs); err != nil {
			return err
		}
		refs[r] = machine.DiskRef(name)
		delete(t.f.gaps, d.Name)
	}
	replace(m, refs)
	m.Disks = filter(m.Disks, func(d machine.Disk) bool { return d.Name == name || !slices.Contains(names, d.Name) })
	var boots []machine.Ref
	for _, r := range m.BootLoader.Disks {
		if !slices.Contains(boots, r) {
			boots = append(boots, r)
		}
	}
	m.BootLoader.Disks = boots
	if loader && m.BootLoader.Kind == machine.GRUBBIOS {
		t.f.placeForGRUB()
	}
	for _, n := range names {
		if to := t.wishes.Map[n]; to != "" {
			t.wishes.Map[name] = to
		}
		if n != name {
			delete(t.wishes.Map, n)
		}
	}
	t.f.tight[name] = "several recorded disks have to fit onto it"
	return t.apart()
}

// apart refuses arrays that would have two members on one disk: it would be the
// load of a mirror with the safety of one disk.
func (t *topology) apart() error {
	m := t.f.m
	for _, a := range m.Arrays {
		seen := map[string]bool{}
		for _, member := range a.Members {
			for _, d := range m.DisksUnder(member.On) {
				if seen[d.Name] {
					return fail.Hint(fail.New(fail.Refused, "the %s array %s would have two of its members on one disk", a.Level, a.Name),
						"what it holds can be made as a plain device, without redundancy: --flatten")
				}
				seen[d.Name] = true
			}
		}
	}
	return nil
}

// tableFor gives a disk that was used as a whole a table, with what filled it
// as the only partition.
func (t *topology) tableFor(d *machine.Disk) error {
	m := t.f.m
	r := machine.DiskRef(d.Name)
	if root := m.MountAt("/"); root != nil && root.On == r {
		return fail.New(fail.Refused, "disk %s has no partition table, and the system on it is started from outside by the disk's name: it cannot become a partition", d.Name)
	}
	was := *d
	d.Table = &machine.PartitionTable{Kind: machine.GPT, ID: derivedUUID("table", d.Name, d.Serial), FirstLBA: 2048}
	d.Size = d.Bytes(2048)
	t.f.relaid[d.Name] = true
	t.f.say("partition table of "+d.Name, "GPT", "what filled the disk shares it with others")
	return t.append(d, &was, nil)
}

// placed is how many partitions of a disk need a place beside others.
func placed(d machine.Disk) int {
	if d.Table == nil {
		return 1
	}
	n := 0
	for _, p := range d.Table.Partitions {
		if !p.Extended() {
			n++
		}
	}
	return n
}

// append adds the partitions of a disk, or what fills it, to another one.
func (t *topology) append(base, d *machine.Disk, refs map[machine.Ref]machine.Ref) error {
	m := t.f.m
	if d.Table == nil {
		was := machine.DiskRef(d.Name)
		if !holdsSomething(m, was) {
			return nil
		}
		whole := machine.Partition{Size: d.Sectors(d.Size), UUID: "", Type: typeFor(m, was, base.Table.Kind)}
		to, err := t.adopt(base, whole, d, was)
		if err != nil {
			return err
		}
		t.noteMoved(was, to, "it filled disk "+d.Name)
		boots := m.BootLoader.Disks // of the disk, not of what filled it
		m.BootLoader.Disks = nil
		replace(m, map[machine.Ref]machine.Ref{was: to})
		m.BootLoader.Disks = boots
		return nil
	}
	for _, p := range d.Table.Partitions {
		was := machine.PartRef(d.Name, p.Number)
		switch {
		case p.Extended():
			continue
		case p.Type == machine.TypeBIOSBoot || p.Type == machine.TypePReP:
			t.f.say("partition "+was.Body(), "not made", "one partition with boot code is enough on a disk")
			continue
		}
		to, err := t.adopt(base, p, d, was)
		if err != nil {
			return err
		}
		refs[was] = to
		t.noteMoved(was, to, "told so: it follows those of disk "+base.Name)
	}
	return nil
}

// noteMoved says what becomes of a device of a disk that is laid beside another, and
// notes the names that files may know it by.
func (t *topology) noteMoved(was, to machine.Ref, why string) {
	t.f.say("partition "+was.Body(), "becomes "+to.Body(), "%s", why)
	dev, err := t.f.m.Resolve(was)
	if err != nil || !holdsSomething(t.f.m, was) {
		return
	}
	t.moved = append(t.moved, plan.DeviceMove{Was: []string{dev.Path}, UUID: contentUUID(t.f.m, was)})
}

// adopt puts a partition of another disk, or of an array, behind those of d. The
// caller rewrites the references to it.
func (t *topology) adopt(d *machine.Disk, p machine.Partition, from *machine.Disk, was machine.Ref) (machine.Ref, error) {
	size := up(from.Bytes(p.Size), max(d.LogicalSector, 512))
	q := machine.Partition{Type: p.Type, Formerly: p.Formerly}
	same := from.Table != nil && from.Table.Kind == d.Table.Kind
	if !same {
		q.Type = typeFor(t.f.m, was, d.Table.Kind)
	}
	if d.Table.Kind == machine.GPT {
		if same {
			q.Name, q.Attrs, q.UUID = p.Name, p.Attrs, p.UUID
		}
		t.place(d, &q, size)
		taken := slices.ContainsFunc(d.Table.Partitions, func(o machine.Partition) bool { return strings.EqualFold(o.UUID, q.UUID) })
		if q.UUID == "" || taken {
			q.UUID = derivedUUID("adopted", fmt.Sprint(q.Number), d.Table.ID)
		}
	} else {
		ok, err := t.placeMBR(d, &q, size)
		if err != nil {
			return "", err
		}
		if !ok { // it is a GPT now
			return t.adopt(d, p, from, was)
		}
		q.UUID = mbrUUID(d.Table.ID, q.Number)
	}
	if q.Formerly == "" && p.UUID != "" && !strings.EqualFold(p.UUID, q.UUID) {
		q.Formerly = p.UUID
	}
	t.rest--
	q.Path = partitionPath(d.Path, q.Number)
	d.Table.Partitions = append(d.Table.Partitions, q)
	return machine.PartRef(d.Name, q.Number), nil
}

// ends is where the last partition or gap of a disk ends, and the highest number.
func (t *topology) ends(d *machine.Disk) (end machine.Bytes, number int) {
	for _, p := range slices.Concat(d.Table.Partitions, t.f.gaps[d.Name]) {
		end, number = max(end, d.Bytes(p.Start+p.Size)), max(number, p.Number)
	}
	return max(end, d.Bytes(d.Table.FirstLBA)), number
}

// place gives a partition of a GPT the place behind all others.
func (t *topology) place(d *machine.Disk, q *machine.Partition, size machine.Bytes) {
	end, number := t.ends(d)
	start := up(end, align)
	q.Number, q.Start, q.Size = number+1, d.Sectors(start), d.Sectors(size)
	t.room(d, start+size)
}

// room makes a recorded disk so large that it reaches to end, and a GPT behind it.
func (t *topology) room(d *machine.Disk, end machine.Bytes) {
	t.f.enlarge(d, max(up(end+mib-d.Size, align), 0))
}

// placeMBR gives a partition a place in an MBR: one of the four, else a logical
// one. Where neither can be the table becomes a GPT, and ok is false.
func (t *topology) placeMBR(d *machine.Disk, q *machine.Partition, size machine.Bytes) (ok bool, err error) {
	end, _ := t.ends(d)
	var extended *machine.Partition
	primary, logical := map[int]bool{}, 4
	for i, p := range d.Table.Partitions {
		if p.Extended() {
			extended = &d.Table.Partitions[i]
		}
		if p.Number <= 4 {
			primary[p.Number] = true
		} else {
			logical = max(logical, p.Number)
		}
	}
	free := 1
	for primary[free] {
		free++
	}
	switch {
	case extended != nil:
		// Behind the last logical one, with room for its own small table before it.
		edge := d.Bytes(extended.Start + extended.Size)
		start := up(edge, align) + align
		by := start + size - edge
		for _, list := range [][]machine.Partition{d.Table.Partitions, t.f.gaps[d.Name]} {
			for i := range list {
				if d.Bytes(list[i].Start) >= edge {
					list[i].Start += d.Sectors(up(by, align))
				}
			}
		}
		extended.Size += d.Sectors(by)
		q.Number, q.Start, q.Size = logical+1, d.Sectors(start), d.Sectors(size)
		end += up(by, align)
	case free < 4 || free == 4 && t.rest <= 1:
		start := up(end, align)
		q.Number, q.Start, q.Size = free, d.Sectors(start), d.Sectors(size)
		end = start + size
	case free == 4:
		start := up(end, align)
		d.Table.Partitions = append(d.Table.Partitions, machine.Partition{Number: 4, Path: partitionPath(d.Path, 4), Start: d.Sectors(start), Size: d.Sectors(align + size),
			Type: "f", UUID: mbrUUID(d.Table.ID, 4)})
		q.Number, q.Start, q.Size = 5, d.Sectors(start+align), d.Sectors(size)
		end = start + align + size
	default:
		return false, t.mbrFull(d)
	}
	t.room(d, end)
	return true, nil
}

// mbrFull turns an MBR with four partitions into a GPT, where its boot loader
// can be installed to one.
func (t *topology) mbrFull(d *machine.Disk) error {
	m := t.f.m
	switch k := m.BootLoader.Kind; {
	case !slices.Contains(m.BootLoader.Disks, machine.DiskRef(d.Name)), k == machine.GRUBBIOS, k == machine.GRUBEFI, k == machine.NoBootLoader:
	default:
		return fail.New(fail.Refused, "the MBR of disk %s has four partitions already and room for no more, and the boot loader %s starts from no other table", d.Name, k)
	}
	t.f.toGPTFor(d, "an MBR has room for four partitions, and there are more")
	t.f.enlarge(d, 2*mib)
	if m.BootLoader.Kind == machine.GRUBBIOS {
		t.f.placeForGRUB()
	}
	return nil
}
