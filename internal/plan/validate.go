package plan

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"

	"github.com/mkcdrec/mkcdrec/internal/fail"
	"github.com/mkcdrec/mkcdrec/internal/identity"
	"github.com/mkcdrec/mkcdrec/internal/machine"
)

// Validate says whether a plan is consistent in itself: every device it names
// is in its target, partitions lie on their disk without overlap, volumes fit
// their group, file systems hold what was used, IDs are unique. The executor
// refuses a plan that does not pass. The error is of kind fail.Refused.
func Validate(p Plan) error {
	if err := validLayout(p.Target); err != nil {
		return err
	}
	if err := validPaths(p.Target); err != nil {
		return err
	}
	if err := p.validImages(); err != nil {
		return err
	}
	if p.Scope == nil && p.Target.MountAt("/") == nil {
		return fail.New(fail.Refused, "no root file system is recorded")
	}
	if p.Scope != nil && !p.Scope.valid(p.Target) {
		return fail.New(fail.Refused, "the plan is for %s, and mounts something else", p.Scope.Text())
	}
	if !p.Changes.valid(p.Target) {
		return fail.New(fail.Refused, "the plan mounts what it leaves out")
	}
	if len(p.Erases) == 0 {
		return fail.New(fail.Refused, "the plan names no disk")
	}
	erased := map[machine.Ref]bool{}
	for _, e := range p.Erases {
		if erased[e.Device] {
			return fail.New(fail.Refused, "the plan uses %s twice", e.Name(p.Target))
		}
		erased[e.Device] = true
	}
	ids := map[string]bool{}
	for _, s := range p.Steps {
		if s.Clone != nil {
			if err := s.Clone.Validate(); err != nil {
				return err
			}
		}
		if ids[s.ID] {
			return fail.New(fail.Refused, "the plan has two steps %s", s.ID)
		}
		ids[s.ID] = true
		if s.Device == "" {
			continue
		}
		if _, err := p.Target.Resolve(s.Device); err != nil {
			return fail.New(fail.Refused, "step %s: %w", s.ID, err)
		}
		for _, d := range p.Target.DisksUnder(s.Device) {
			if !erased[s.Device] && !erased[machine.DiskRef(d.Name)] {
				return fail.New(fail.Refused, "step %s writes to disk %s, which the plan does not name as erased", s.ID, d.Name)
			}
		}
	}
	return nil
}

// Validate checks the names and addresses of a clone before anything is
// written: later they would be found out on an erased disk. The error is of
// kind fail.Usage.
func (w CloneWishes) Validate() error {
	if w.Hostname != "" && !identity.ValidHostname(w.Hostname) {
		return fail.New(fail.Usage, "%q cannot be a host name", w.Hostname)
	}
	for _, a := range w.Addresses {
		if _, err := netip.ParsePrefix(a); err != nil {
			return fail.Hint(fail.New(fail.Usage, "%q is not an address with its prefix length", a), "write it as 192.0.2.7/24")
		}
	}
	if w.Gateway == "" {
		return nil
	}
	if _, err := netip.ParseAddr(w.Gateway); err != nil {
		return fail.New(fail.Usage, "%q is not the address of a gateway", w.Gateway)
	}
	if len(w.Addresses) == 0 {
		return fail.Hint(fail.New(fail.Usage, "a gateway was given and no address"), "by DHCP the gateway comes with the address")
	}
	return nil
}

// validLayout checks that everything lies on something, and fits there.
func validLayout(m machine.Machine) error {
	for i := range m.Disks {
		if err := validTable(&m.Disks[i]); err != nil {
			return fail.New(fail.Refused, "disk %s: %w", m.Disks[i].Name, err)
		}
	}
	if err := validLayers(m); err != nil {
		return err
	}
	for i := range m.VolumeGroups {
		g := &m.VolumeGroups[i]
		var room machine.Bytes
		for _, pv := range g.Physical {
			dev, err := m.Resolve(pv.On)
			if err != nil {
				return fail.New(fail.Refused, "volume group %s: %w", g.Name, err)
			}
			if pv.Size > dev.Size {
				return fail.New(fail.Refused, "volume group %s: %s is larger than its device", g.Name, pv.On)
			}
			room += pv.Size
		}
		for _, lv := range g.Logical {
			if lv.Kind == machine.ThinKind && (g.Volume(lv.In) == nil || g.Volume(lv.In).Pool == nil) {
				return fail.New(fail.Refused, "volume %s/%s is thin, and its pool %q is not to be made", g.Name, lv.Name, lv.In)
			}
			for _, p := range lv.Parts() {
				if p.Legs() < 1 || p.Legs() > len(g.Physical) {
					return fail.New(fail.Refused, "volume %s/%s is %s over %d of %d physical volumes", g.Name, lv.Name, p.Kind, p.Legs(), len(g.Physical))
				}
			}
		}
		if used := g.Takes(); used > room {
			return fail.New(fail.Refused, "volume group %s: its volumes need %s, and it has %s", g.Name, Size(used), Size(room))
		}
	}
	for _, fs := range m.FileSystems {
		var room machine.Bytes
		for i, r := range fs.Refs() {
			dev, err := m.Resolve(r)
			if err != nil {
				return fail.New(fail.Refused, "file system: %w", err)
			}
			if fs.Sizes()[i] > dev.Size {
				return fail.New(fail.Refused, "the %s on %s is larger than its device", fs.Kind, r.Body())
			}
			if i == 0 && r != fs.On || slices.Contains(fs.Refs()[:i], r) {
				return fail.New(fail.Refused, "the %s on %s names its devices wrongly", fs.Kind, fs.On.Body())
			}
			room += dev.Size
		}
		if fs.Size > room {
			return fail.New(fail.Refused, "the %s on %s is larger than its devices", fs.Kind, fs.On.Body())
		}
	}
	for _, mt := range m.Mounts {
		if fs := m.FileSystemOn(mt.On); fs == nil || fs.On != mt.On {
			return fail.New(fail.Refused, "nothing is to be made on %s, which is to be mounted on %s", mt.On, mt.Target)
		}
	}
	return nil
}

// validLayers checks that arrays and encrypted devices fit on their devices.
func validLayers(m machine.Machine) error {
	if _, err := m.Layers(); err != nil {
		return fail.New(fail.Refused, "%w", err)
	}
	for i := range m.Arrays {
		a := &m.Arrays[i]
		if m.Disk(a.Name) != nil || m.Array(a.Name) != a {
			return fail.New(fail.Refused, "array %s has the name of another array or disk", a.Name)
		}
		if err := validTable(&a.Disk); err != nil {
			return fail.New(fail.Refused, "array %s: %w", a.Name, err)
		}
		var room machine.Bytes
		for _, member := range a.Members {
			dev, err := m.Resolve(member.On)
			if err != nil {
				return fail.New(fail.Refused, "array %s: %w", a.Name, err)
			}
			if dev.Size < a.Component {
				return fail.New(fail.Refused, "array %s: %s is smaller than its part of the array", a.Name, member.On)
			}
			room += dev.Size
		}
		if a.Component > 0 {
			room = min(room, a.Capacity(a.Component))
		}
		if a.Size > room {
			return fail.New(fail.Refused, "array %s has %s, and its members hold %s", a.Name, Size(a.Size), Size(room))
		}
	}
	for _, c := range m.Crypts {
		dev, err := m.Resolve(c.On)
		if err != nil {
			return fail.New(fail.Refused, "encrypted device %s: %w", c.Name, err)
		}
		if c.Size <= 0 || c.Offset < 0 || c.Size > dev.Size-c.Offset {
			return fail.New(fail.Refused, "encrypted device %s is larger than its device", c.Name)
		}
	}
	return nil
}

// validTable checks that partitions are on the disk and do not overlap.
func validTable(d *machine.Disk) error {
	if d.Table == nil {
		return nil
	}
	end := d.Sectors(d.Size)
	if d.Table.Kind == machine.GPT && d.Table.LastLBA > 0 {
		end = d.Table.LastLBA + 1
	}
	parts := slices.Clone(d.Table.Partitions)
	slices.SortStableFunc(parts, func(a, b machine.Partition) int { return cmp.Compare(a.Start, b.Start) })
	var before, container *machine.Partition
	for i := range parts {
		p := &parts[i]
		if p.Size <= 0 || p.Start <= 0 || p.Start+p.Size > end {
			return fmt.Errorf("partition %d does not lie on the disk", p.Number)
		}
		if container != nil && p.Number >= 5 {
			if p.Start <= container.Start || p.Start+p.Size > container.Start+container.Size {
				return fmt.Errorf("logical partition %d is not inside the extended one", p.Number)
			}
		} else if container != nil && p.Start < container.Start+container.Size {
			return fmt.Errorf("partitions %d and %d overlap", container.Number, p.Number)
		}
		if before != nil && p.Start < before.Start+before.Size {
			return fmt.Errorf("partitions %d and %d overlap", before.Number, p.Number)
		}
		if p.Extended() {
			container, before = p, nil
			continue
		}
		before = p
	}
	return nil
}
