package fit

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/mkcdrec/mkcdrec/internal/fail"
	"github.com/mkcdrec/mkcdrec/internal/machine"
	"github.com/mkcdrec/mkcdrec/internal/plan"
)

const (
	mib = machine.Bytes(1 << 20)
	// align is what partitions begin at multiples of (sfdisk(8), parted(8)).
	align = mib
	// maxMBR is how many sectors an MBR can count (32 bits).
	maxMBR = machine.Sectors(1)<<32 - 1
)

// fitter changes m, the renamed copy of old, disk by disk.
type fitter struct {
	m       *machine.Machine
	choices []plan.Choice
	grown   map[string]bool        // volume groups that got new space
	members map[machine.Ref]resize // members of arrays that got another size
	relaid  map[string]bool        // recorded disks and arrays whose table got another kind, a partition, or one of a wished size
	wishes  Wishes
	gaps    map[string][]machine.Partition // left out, by recorded disk or array
	pins    pins                           // sizes that were wished, under the new names
	apart   map[machine.Ref]bool           // volumes whose parts lay on disks of their own
	shares  map[machine.Ref]machine.Bytes  // least sizes of the devices of file systems over several
	later   []plan.Choice                  // what is said behind the choice of disks
	// tight says of disks, recorded and here, why there is too little room on
	// one that is as large as the recorded one.
	tight map[string]string
}

func newFitter(m *machine.Machine, w Wishes) *fitter {
	return &fitter{m: m, wishes: w, grown: map[string]bool{}, members: map[machine.Ref]resize{}, relaid: map[string]bool{}, tight: map[string]string{}}
}

func (f *fitter) say(subject, chosen, why string, args ...any) {
	f.choices = append(f.choices, plan.Choice{Subject: subject, Chosen: chosen, Why: fmt.Sprintf(why, args...)})
}

// disk makes d, a recorded disk, into target: its identity and size are the
// target's, its table is the recorded one laid out for that size.
func (f *fitter) disk(d *machine.Disk, target machine.Disk) error {
	was := *d
	*d = target
	d.Signatures = nil
	if was.Multipath() && !d.Multipath() {
		f.say("disk "+d.Name, "not a multipath device", "it was one when recorded: where fstab or the boot loader name %s they have to be changed by hand", was.Path)
	}
	if d.LogicalSector <= 0 {
		d.LogicalSector = 512
	}
	if was.LogicalSector <= 0 {
		was.LogicalSector = 512
	}
	d.Table = was.Table
	if why := f.tight[was.Name]; why != "" {
		f.tight[d.Name] = why
	}
	if was.Table == nil {
		return f.wholeDisk(d, was)
	}
	for i := range d.Table.Partitions {
		p := &d.Table.Partitions[i]
		p.Path = partitionPath(d.Path, p.Number)
	}
	if was.Size == d.Size && was.LogicalSector == d.LogicalSector && !f.relaid[was.Name] {
		return nil
	}
	return f.table(d, was)
}

// partitionPath is what the kernel will call a partition. For the plan's text
// only: whoever opens a partition asks the kernel for its name.
func partitionPath(disk string, n int) string {
	if strings.HasPrefix(disk, "/dev/mapper/") {
		return fmt.Sprintf("%s-part%d", disk, n)
	}
	if last := disk[len(disk)-1:]; last >= "0" && last <= "9" {
		return fmt.Sprintf("%sp%d", disk, n)
	}
	return fmt.Sprintf("%s%d", disk, n)
}

// wholeDisk fits a file system or physical volume that fills a disk.
func (f *fitter) wholeDisk(d *machine.Disk, was machine.Disk) error {
	ref := machine.DiskRef(d.Name)
	if least := f.least(ref, was.Size); d.Size < least {
		return tooSmall(*d, least)
	}
	return f.resized(ref, was.Size, d.Size)
}

func tooSmall(d machine.Disk, least machine.Bytes) error {
	return fail.Hint(fail.New(fail.Refused, "disk %s is too small: what was recorded needs at least %s", Describe(d), plan.Size(least)),
		"use a disk of at least %d bytes", least)
}

// piece is one partition in bytes while it is laid out.
type piece struct {
	p           *machine.Partition
	start, size machine.Bytes
	gap         bool // where a partition was that is left out
}

func (p piece) end() machine.Bytes { return p.start + p.size }

// table lays the partitions of d out for its new size or sector size: in the
// recorded order, with the recorded gaps, one growing into new space, or the
// shrinkable ones giving back what is missing.
func (f *fitter) table(d *machine.Disk, was machine.Disk) error {
	first, end, err := f.usable(d)
	if err != nil {
		return err
	}
	if d.Table.Hybrid != "" {
		d.Table.Hybrid = ""
		f.say("disk "+d.Name, "without its hybrid MBR", "the partitions are laid out anew; make it again by hand (gdisk) where something needs it")
	}
	pieces := make([]piece, 0, len(d.Table.Partitions))
	for i := range len(d.Table.Partitions) + len(f.gaps[was.Name]) {
		pc := piece{gap: i >= len(d.Table.Partitions)}
		if pc.gap {
			pc.p = &f.gaps[was.Name][i-len(d.Table.Partitions)]
		} else {
			pc.p = &d.Table.Partitions[i]
		}
		p := pc.p
		pc.start, pc.size = was.Bytes(p.Start), was.Bytes(p.Size)
		if was.LogicalSector != d.LogicalSector && !p.Extended() {
			pc.size = up(pc.size, d.LogicalSector)
		}
		pieces = append(pieces, pc)
	}
	slices.SortStableFunc(pieces, func(a, b piece) int { return cmp.Compare(a.start, b.start) })
	if was.LogicalSector != d.LogicalSector {
		f.say("disk "+d.Name, fmt.Sprintf("%d byte sectors", d.LogicalSector), "recorded with %d byte sectors; the partition table is converted", was.LogicalSector)
		realign(pieces, first)
	}
	if len(pieces) > 0 && pieces[0].start < first {
		realign(pieces, first) // an MBR may begin where a GPT has its entries
	}
	f.pinned(d, pieces)
	last := lastEnd(pieces, false)
	switch {
	case last > end:
		if missing := f.closeGaps(d, pieces, last-end); missing > 0 {
			if err := f.shrink(d, pieces, missing, first); err != nil {
				return err
			}
		}
	case d.Size > was.Size:
		f.grow(d, pieces, (end-lastEnd(pieces, true))/align*align)
	}
	for _, pc := range pieces {
		if pc.gap {
			continue
		}
		p := pc.p
		old := was.Bytes(p.Size)
		p.Start, p.Size = d.Sectors(pc.start), d.Sectors(pc.size)
		if d.Table.Kind == machine.MBR && p.Start+p.Size > maxMBR {
			return fail.Hint(fail.New(fail.Unsupported, "an MBR partition table cannot describe partition %d of disk %s beyond 2 TiB", p.Number, d.Name),
				"use a disk of at most 2 TiB")
		}
		if err := f.resized(machine.PartRef(d.Name, p.Number), old, d.Bytes(p.Size)); err != nil {
			return err
		}
	}
	return nil
}

// usable is the room for partitions on d: first byte, and the byte behind the
// last. It corrects the table's own idea of that.
func (f *fitter) usable(d *machine.Disk) (first, end machine.Bytes, err error) {
	sectors := d.Sectors(d.Size)
	t := d.Table
	if t.Kind == machine.MBR {
		if sectors > maxMBR {
			sectors = maxMBR
			f.say("disk "+d.Name, "used up to "+plan.Size(d.Bytes(sectors)), "an MBR partition table cannot describe more")
		}
		return d.LogicalSector, d.Bytes(sectors), nil
	}
	// UEFI 2.10, 5.3: header plus at least 16 KiB of entries at both ends.
	room := max(16384, machine.Bytes(t.Entries)*128)
	entries := machine.Sectors((room + d.LogicalSector - 1) / d.LogicalSector)
	t.LastLBA = sectors - entries - 2
	t.FirstLBA = max(min(t.FirstLBA, 2048), entries+2)
	if t.LastLBA <= t.FirstLBA {
		return 0, 0, tooSmall(*d, 2*mib)
	}
	return d.Bytes(t.FirstLBA), d.Bytes(t.LastLBA + 1), nil
}

func lastEnd(pieces []piece, gaps bool) machine.Bytes {
	var end machine.Bytes
	for _, p := range pieces {
		if gaps || !p.gap {
			end = max(end, p.end())
		}
	}
	return end
}

// closeGaps takes what is missing from the places of partitions that are left
// out, the last first, and returns what is missing still.
func (f *fitter) closeGaps(d *machine.Disk, pieces []piece, missing machine.Bytes) machine.Bytes {
	for i := len(pieces) - 1; i >= 0 && missing > 0; i-- {
		g := pieces[i]
		inside := d.Table.Kind == machine.MBR && g.p.Number >= 5
		useful := slices.ContainsFunc(pieces, func(p piece) bool { return !p.gap && (p.start >= g.end() || inside && p.p.Extended()) })
		give := min(up(missing, align), g.size/align*align)
		if !g.gap || !useful || give == 0 {
			continue
		}
		move(pieces, i, g.end(), -give)
		missing -= give
		f.say("disk "+d.Name, plan.Size(give)+" closed up", "the room of partition %d, which is left out, is needed for the rest", g.p.Number)
	}
	return missing
}

// realign moves every partition to the next multiple of 1 MiB that is free.
// Logical partitions keep room for their EBR in front of them.
func realign(pieces []piece, first machine.Bytes) {
	free := up(first, align)
	container := -1
	for i := range pieces {
		p := &pieces[i]
		if container >= 0 && p.p.Number < 5 {
			container = -1
		}
		p.start = up(max(p.start, free), align)
		if p.p.Extended() && !p.gap {
			container = i
			free = p.start + align // the first EBR
			continue
		}
		free = p.end()
		if container >= 0 {
			pieces[container].size = max(pieces[container].size, p.end()-pieces[container].start)
			pieces[container].size = up(pieces[container].size, align)
			free = p.end() + align // the next EBR
		}
	}
}

// grow gives space to the last partition that can use it and moves what lies
// behind it.
func (f *fitter) grow(d *machine.Disk, pieces []piece, space machine.Bytes) {
	if space < align {
		return
	}
	for i := len(pieces) - 1; i >= 0; i-- {
		if !f.growable(machine.PartRef(d.Name, pieces[i].p.Number)) {
			continue
		}
		edge := pieces[i].end()
		move(pieces, i, edge, space)
		f.say(fmt.Sprintf("partition %d of %s", pieces[i].p.Number, d.Name), "grows by "+plan.Size(space), "the disk is larger than the recorded one")
		return
	}
	f.say("disk "+d.Name, plan.Size(space)+" left free", "no partition on it can grow")
}

// move changes the size of piece i by delta, takes everything that began at or
// behind edge along, and keeps an extended partition around its logical ones.
func move(pieces []piece, i int, edge, delta machine.Bytes) {
	for j := range pieces {
		switch p := &pieces[j]; {
		case j == i:
			p.size += delta
		case p.start >= edge:
			p.start += delta
		case p.p.Extended() && pieces[i].p.Number >= 5:
			p.size += delta
		}
	}
}

// shrink takes what is missing from the partitions that can give it, each in
// proportion to what it can spare.
func (f *fitter) shrink(d *machine.Disk, pieces []piece, missing, first machine.Bytes) error {
	spare := make([]machine.Bytes, len(pieces))
	for i, pc := range pieces {
		spare[i] = f.spare(d, pc)
	}
	give, ok := share(up(missing, align), spare, align)
	if !ok {
		var all machine.Bytes
		for _, s := range spare {
			all += s
		}
		return tooSmall(*d, d.Size+up(missing, align)-all)
	}
	for i := len(pieces) - 1; i >= 0; i-- {
		if give[i] > 0 {
			move(pieces, i, pieces[i].end(), -give[i])
			f.say(fmt.Sprintf("partition %d of %s", pieces[i].p.Number, d.Name), "shrinks by "+plan.Size(give[i]), "%s", cmp.Or(f.tight[d.Name], "the disk is smaller than the recorded one"))
		}
	}
	// An extended partition may have had free room behind its last logical one.
	end := d.Size
	if _, e, err := f.usable(d); err == nil {
		end = e
	}
	for i := range pieces {
		if pieces[i].p.Extended() && pieces[i].end() > end {
			pieces[i].size = end - pieces[i].start
		}
	}
	return nil
}

// spare is how much smaller a partition may become.
func (f *fitter) spare(d *machine.Disk, pc piece) machine.Bytes {
	if pc.p.Extended() || pc.gap {
		return 0
	}
	least := up(f.least(machine.PartRef(d.Name, pc.p.Number), pc.size), align)
	return max(pc.size-least, 0) / align * align
}

// share splits an amount over givers in proportion to what they can spare, in
// whole units; ok is false when all of them together have not enough.
func share(amount machine.Bytes, spare []machine.Bytes, unit machine.Bytes) (give []machine.Bytes, ok bool) {
	var all machine.Bytes
	for _, s := range spare {
		all += s
	}
	give = make([]machine.Bytes, len(spare))
	if all < amount {
		return give, false
	}
	rest := amount
	for i, s := range spare {
		part := machine.Bytes(float64(amount) * (float64(s) / float64(max(all, 1))))
		give[i] = min(part/unit*unit, s)
		rest -= give[i]
	}
	// What rounding left over comes from whoever still can, last first.
	for i := len(spare) - 1; i >= 0 && rest > 0; i-- {
		more := min(up(rest, unit), spare[i]-give[i])
		give[i] += more
		rest -= more
	}
	return give, rest <= 0
}

func up(b, unit machine.Bytes) machine.Bytes { return (b + unit - 1) / unit * unit }
