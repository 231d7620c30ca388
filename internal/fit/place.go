package fit

import (
	"slices"
	"strings"

	"github.com/mkcdrec/mkcdrec/internal/fail"
	"github.com/mkcdrec/mkcdrec/internal/machine"
)

// find is the device that was named, or where the file system was recorded.
func (p *placer) find(fs machine.FileSystem) (machine.Ref, error) {
	subject := "place of " + p.wishes.Mount
	if p.wishes.Onto != "" {
		ref, err := p.named(p.wishes.Onto)
		if err == nil {
			p.say(subject, ref.Body(), "told so by name; it was recorded on %s", fs.On.Body())
		}
		return ref, err
	}
	found, why, err := p.recordedPlace(fs)
	switch {
	case err != nil:
		return "", err
	case len(found) == 0:
		return "", fail.Hint(fail.New(fail.Refused, "the place of %s is not here any more: it was recorded on %s", p.wishes.Mount, fs.On.Body()),
			"name a device with --onto, or restore the whole machine: mkcdrec restore")
	case len(found) > 1:
		return "", fail.Hint(fail.New(fail.Refused, "cannot tell which device is the place of %s; candidates: %s", p.wishes.Mount, bodies(found)),
			"name it with --onto")
	}
	p.say(subject, found[0].Body(), "%s", why)
	return found[0], nil
}

// recordedPlace looks for the device that a file system was recorded on, by
// identities that do not depend on the disk's name.
func (p *placer) recordedPlace(fs machine.FileSystem) (found []machine.Ref, why string, err error) {
	was, err := p.recorded.Resolve(fs.On)
	if err != nil {
		return nil, "", fail.New(fail.Damaged, "the recorded layout contradicts itself: %w", err)
	}
	if was.Volume != nil {
		for _, g := range p.here.VolumeGroups {
			if g.Name == was.Group.Name && g.Volume(was.Volume.Name) != nil {
				found = append(found, fs.On)
			}
		}
		return found, "the volume of the recorded name", nil
	}
	if was.Crypt != nil || was.Array != nil && was.Partition == nil {
		found, why = p.recordedLayer(was)
		return found, why, nil
	}
	sameDisk := func(d machine.Disk) bool {
		return was.Disk.Serial != "" && d.Serial == was.Disk.Serial || was.Disk.WWN != "" && d.WWN == was.Disk.WWN
	}
	byID, why := "the recorded PARTUUID", "the same partition of the disk with the recorded identity"
	var same []machine.Ref
	for _, d := range p.tables() {
		if was.Partition == nil {
			if sameDisk(d) {
				same = append(same, machine.DiskRef(d.Name))
			} else if f := p.here.FileSystemOn(machine.DiskRef(d.Name)); f != nil && f.UUID != "" && f.UUID == fs.UUID {
				found = append(found, f.On)
			}
			continue
		}
		for _, q := range partitions(d) {
			switch {
			case was.Partition.UUID != "" && strings.EqualFold(q.UUID, was.Partition.UUID):
				found = append(found, machine.PartRef(d.Name, q.Number))
			case sameDisk(d) && q.Number == was.Partition.Number && q.Start == was.Partition.Start && q.Size == was.Partition.Size:
				same = append(same, machine.PartRef(d.Name, q.Number))
			}
		}
	}
	if was.Partition == nil {
		if byID, why = "the recorded UUID", "the disk with the recorded identity"; len(same) > 0 {
			return same, why, nil // a disk's serial number says more than what is on it
		}
	}
	if len(found) > 0 {
		return found, "it has " + byID, nil
	}
	return same, why, nil
}

// recordedLayer looks for the array or encrypted device of the recorded UUID.
func (p *placer) recordedLayer(was machine.Device) (found []machine.Ref, why string) {
	if was.Crypt != nil {
		for _, c := range p.here.Crypts {
			if c.UUID != "" && c.UUID == was.Crypt.UUID {
				found = append(found, machine.CryptRef(c.Name))
			}
		}
		return found, "the encrypted device with the recorded UUID"
	}
	for _, a := range p.here.Arrays {
		if a.UUID != "" && a.UUID == was.Array.UUID {
			found = append(found, machine.ArrayRef(a.Name))
		}
	}
	return found, "the array with the recorded UUID"
}

// tables are the disks here, and the arrays that look like one.
func (p *placer) tables() []machine.Disk {
	out := slices.Clone(p.here.Disks)
	for _, a := range p.here.Arrays {
		out = append(out, a.Disk)
	}
	return out
}

func partitions(d machine.Disk) []machine.Partition {
	if d.Table == nil {
		return nil
	}
	return d.Table.Partitions
}

func bodies(refs []machine.Ref) string {
	var out []string
	for _, r := range refs {
		out = append(out, r.Body())
	}
	return strings.Join(out, ", ")
}

// DeviceNames are the names by which a device here may be named: its path,
// with or without /dev/; of a partition "partuuid:U"; of a volume "VG/LV"; of a
// disk "serial:S" and "wwn:W".
func DeviceNames(here machine.Machine) map[string][]machine.Ref {
	out := map[string][]machine.Ref{}
	add := func(r machine.Ref, names ...string) {
		for _, n := range names {
			out[n] = append(out[n], r)
		}
	}
	parts := func(d machine.Disk) {
		for _, q := range partitions(d) {
			ref := machine.PartRef(d.Name, q.Number)
			add(ref, q.Path, strings.TrimPrefix(q.Path, "/dev/"))
			if q.UUID != "" {
				add(ref, "partuuid:"+strings.ToLower(q.UUID))
			}
		}
	}
	for _, d := range here.Disks {
		ref := machine.DiskRef(d.Name)
		add(ref, d.Path, strings.TrimPrefix(d.Path, "/dev/"))
		if d.Serial != "" {
			add(ref, "serial:"+d.Serial)
		}
		if d.WWN != "" {
			add(ref, "wwn:"+d.WWN)
		}
		parts(d)
	}
	for _, a := range here.Arrays {
		add(machine.ArrayRef(a.Name), a.Path, strings.TrimPrefix(a.Path, "/dev/"))
		parts(a.Disk)
	}
	for _, c := range here.Crypts {
		add(machine.CryptRef(c.Name), "/dev/mapper/"+c.Name, "mapper/"+c.Name)
	}
	for _, g := range here.VolumeGroups {
		for _, lv := range g.Logical {
			if lv.Pool != nil {
				continue // what writes to it writes over all its volumes
			}
			name := g.Name + "/" + lv.Name
			add(machine.LVRef(g.Name, lv.Name), name, "/dev/"+name, machine.MapperPath(g.Name, lv.Name))
		}
	}
	return out
}

// named is the one device here of a name.
func (p *placer) named(name string) (machine.Ref, error) {
	if rest, ok := strings.CutPrefix(name, "partuuid:"); ok {
		name = "partuuid:" + strings.ToLower(rest)
	}
	found := DeviceNames(*p.here)[name]
	switch {
	case len(found) == 1:
		return found[0], nil
	case len(found) > 1:
		return "", fail.New(fail.Refused, "%s names more than one device: %s", name, bodies(found))
	}
	return "", fail.Hint(fail.New(fail.Refused, "%s is no disk, partition or logical volume that can be written to here", name),
		"the disks here are: %s; see them with: mkcdrec layout", list(p.here.Disks))
}
