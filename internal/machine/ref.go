package machine

import (
	"fmt"
	"strconv"
	"strings"
)

// The kinds of Ref that version 1 of the model knows.
const (
	RefDisk  = "disk"
	RefPart  = "part"
	RefArray = "md"
	RefCrypt = "luks"
	RefLV    = "lv"
)

// DiskRef names a whole disk by its Disk.Name.
func DiskRef(disk string) Ref { return Ref(RefDisk + ":" + disk) }

// ArrayRef names a whole RAID array by its Array.Name.
func ArrayRef(name string) Ref { return Ref(RefArray + ":" + name) }

// CryptRef names an open encrypted device by its Crypt.Name.
func CryptRef(name string) Ref { return Ref(RefCrypt + ":" + name) }

// PartRef names partition n of a disk or an array.
func PartRef(disk string, n int) Ref { return Ref(fmt.Sprintf("%s:%s/%d", RefPart, disk, n)) }

// LVRef names a logical volume.
func LVRef(vg, lv string) Ref { return Ref(RefLV + ":" + vg + "/" + lv) }

// Kind is the part before the colon: RefDisk ... RefLV, or what a later
// version of the model wrote there. "" where there is no colon.
func (r Ref) Kind() string {
	kind, _, ok := strings.Cut(string(r), ":")
	if !ok {
		return ""
	}
	return kind
}

// Body is the part behind the colon.
func (r Ref) Body() string {
	_, body, _ := strings.Cut(string(r), ":")
	return body
}

// Part splits "part:DISK/N"; ok is false for any other Ref.
func (r Ref) Part() (disk string, n int, ok bool) {
	if r.Kind() != RefPart {
		return "", 0, false
	}
	disk, num, found := strings.Cut(r.Body(), "/")
	n, err := strconv.Atoi(num)
	// The comparison refuses "01" and "+1": one device has one name.
	if !found || disk == "" || err != nil || n < 1 || strconv.Itoa(n) != num {
		return "", 0, false
	}
	return disk, n, true
}

// LV splits "lv:VG/LV"; ok is false for any other Ref.
func (r Ref) LV() (vg, lv string, ok bool) {
	if r.Kind() != RefLV {
		return "", "", false
	}
	vg, lv, found := strings.Cut(r.Body(), "/")
	if !found || vg == "" || lv == "" {
		return "", "", false
	}
	return vg, lv, true
}

// Device is what a Ref stands for within one Machine. Only the pointers of
// its kind are set: Disk for a disk, Disk and Partition for a partition, Crypt
// for an encrypted device, Group and Volume for a logical volume. Of an array
// and its partitions, Array is set beside them, and Disk is the array seen
// from above. They point into the Machine.
type Device struct {
	Ref       Ref
	Path      string // /dev/vda1, /dev/mapper/vg0-root: as recorded
	Size      Bytes
	Disk      *Disk
	Partition *Partition
	Array     *Array
	Crypt     *Crypt
	Group     *VolumeGroup
	Volume    *LogicalVolume
}

// Disk is the disk of that kernel name, or nil.
func (m *Machine) Disk(name string) *Disk {
	for i := range m.Disks {
		if m.Disks[i].Name == name {
			return &m.Disks[i]
		}
	}
	return nil
}

// Array is the RAID array of that kernel name, or nil.
func (m *Machine) Array(name string) *Array {
	for i := range m.Arrays {
		if m.Arrays[i].Name == name {
			return &m.Arrays[i]
		}
	}
	return nil
}

// Crypt is the encrypted device of that name, or nil.
func (m *Machine) Crypt(name string) *Crypt {
	for i := range m.Crypts {
		if m.Crypts[i].Name == name {
			return &m.Crypts[i]
		}
	}
	return nil
}

// VolumeGroup is the volume group of that name, or nil.
func (m *Machine) VolumeGroup(name string) *VolumeGroup {
	for i := range m.VolumeGroups {
		if m.VolumeGroups[i].Name == name {
			return &m.VolumeGroups[i]
		}
	}
	return nil
}

// Partition is the partition of that number, or nil.
func (d *Disk) Partition(n int) *Partition {
	if d.Table == nil {
		return nil
	}
	for i := range d.Table.Partitions {
		if d.Table.Partitions[i].Number == n {
			return &d.Table.Partitions[i]
		}
	}
	return nil
}

// Volume is the logical volume of that name, or nil.
func (g *VolumeGroup) Volume(name string) *LogicalVolume {
	for i := range g.Logical {
		if g.Logical[i].Name == name {
			return &g.Logical[i]
		}
	}
	return nil
}

// Resolve finds what a Ref stands for. The error names a Ref that is
// malformed, of an unknown kind, or points at nothing.
func (m *Machine) Resolve(r Ref) (Device, error) {
	switch r.Kind() {
	case RefDisk:
		if d := m.Disk(r.Body()); d != nil {
			return Device{Ref: r, Path: d.Path, Size: d.Size, Disk: d}, nil
		}
		return Device{}, fmt.Errorf("%s: no such disk", r)
	case RefPart:
		return m.resolvePart(r)
	case RefArray:
		if a := m.Array(r.Body()); a != nil {
			return Device{Ref: r, Path: a.Path, Size: a.Size, Disk: &a.Disk, Array: a}, nil
		}
		return Device{}, fmt.Errorf("%s: no such array", r)
	case RefCrypt:
		if c := m.Crypt(r.Body()); c != nil {
			return Device{Ref: r, Path: "/dev/mapper/" + c.Name, Size: c.Size, Crypt: c}, nil
		}
		return Device{}, fmt.Errorf("%s: no such encrypted device", r)
	case RefLV:
		vg, lv, ok := r.LV()
		if !ok {
			return Device{}, fmt.Errorf("%q: malformed name of a logical volume", r)
		}
		g := m.VolumeGroup(vg)
		if g == nil {
			return Device{}, fmt.Errorf("%s: no volume group %s", r, vg)
		}
		v := g.Volume(lv)
		if v == nil {
			return Device{}, fmt.Errorf("%s: volume group %s has no volume %s", r, vg, lv)
		}
		return Device{Ref: r, Path: MapperPath(vg, lv), Size: v.Size, Group: g, Volume: v}, nil
	}
	return Device{}, fmt.Errorf("%q: not a device that this version knows", r)
}

func (m *Machine) resolvePart(r Ref) (Device, error) {
	name, n, ok := r.Part()
	if !ok {
		return Device{}, fmt.Errorf("%q: malformed name of a partition", r)
	}
	var a *Array
	d := m.Disk(name)
	if d == nil {
		if a = m.Array(name); a == nil {
			return Device{}, fmt.Errorf("%s: no disk or array %s", r, name)
		}
		d = &a.Disk
	}
	p := d.Partition(n)
	if p == nil {
		return Device{}, fmt.Errorf("%s: disk %s has no partition %d", r, name, n)
	}
	return Device{Ref: r, Path: p.Path, Size: d.Bytes(p.Size), Disk: d, Partition: p, Array: a}, nil
}

// MapperPath is the device node that device mapper gives a logical volume:
// hyphens within the names are doubled (lvm(8), "dm_build_dm_name").
func MapperPath(vg, lv string) string {
	double := func(s string) string { return strings.ReplaceAll(s, "-", "--") }
	return "/dev/mapper/" + double(vg) + "-" + double(lv)
}

// Bytes turns sectors of this disk into bytes.
func (d *Disk) Bytes(s Sectors) Bytes {
	if d.LogicalSector <= 0 {
		return Bytes(s) * 512
	}
	return Bytes(s) * d.LogicalSector
}

// Sectors turns bytes into whole sectors of this disk, rounded down.
func (d *Disk) Sectors(b Bytes) Sectors {
	if d.LogicalSector <= 0 {
		return Sectors(b / 512)
	}
	return Sectors(b / d.LogicalSector)
}

// FileSystemOn is the file system on a device, or nil: of a btrfs over several
// devices on each of them.
func (m *Machine) FileSystemOn(r Ref) *FileSystem {
	for i := range m.FileSystems {
		if m.FileSystems[i].On == r || m.FileSystems[i].Device(r) != nil {
			return &m.FileSystems[i]
		}
	}
	return nil
}

// SwapOn is the swap area on a device, or nil. Swap files are on no device.
func (m *Machine) SwapOn(r Ref) *Swap {
	for i := range m.Swaps {
		if m.Swaps[i].On == r && m.Swaps[i].File == "" {
			return &m.Swaps[i]
		}
	}
	return nil
}

// GroupOn is the volume group that a device is a physical volume of, or nil.
func (m *Machine) GroupOn(r Ref) *VolumeGroup {
	for i := range m.VolumeGroups {
		for _, p := range m.VolumeGroups[i].Physical {
			if p.On == r {
				return &m.VolumeGroups[i]
			}
		}
	}
	return nil
}

// MountsOn are the mounts of the file system on a device, in recorded order.
// They go by its first device.
func (m *Machine) MountsOn(r Ref) []Mount {
	var out []Mount
	if fs := m.FileSystemOn(r); fs != nil {
		r = fs.On
	}
	for _, mt := range m.Mounts {
		if mt.On == r {
			out = append(out, mt)
		}
	}
	return out
}

// MountAt is the mount with exactly that target, or nil.
func (m *Machine) MountAt(target string) *Mount {
	for i := range m.Mounts {
		if m.Mounts[i].Target == target {
			return &m.Mounts[i]
		}
	}
	return nil
}

// DisksUnder are the disks that a device lies on, in the order of m.Disks and
// each once: itself, the disk of a partition, those of an array's members, or
// those of the physical volumes of a volume; and with a file system over
// several devices those of all of them. A Ref that points at nothing has none.
func (m *Machine) DisksUnder(r Ref) []Disk {
	var refs []Ref
	for _, r := range m.together(r) {
		// A volume that is pinned to some members of its group does not lie on the others.
		var on []Ref
		if dev, err := m.Resolve(r); err == nil && dev.Volume != nil {
			on = dev.Group.pinned(*dev.Volume)
		}
		if len(on) > 0 {
			refs = append(refs, on...)
		} else {
			refs = append(refs, r)
		}
	}
	under := map[Ref]bool{}
	for _, r := range refs {
		for _, b := range m.Below(r) {
			under[b] = true
		}
	}
	var out []Disk
	for _, d := range m.Disks {
		if under[DiskRef(d.Name)] {
			out = append(out, d)
		}
	}
	return out
}
