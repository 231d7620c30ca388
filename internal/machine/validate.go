package machine

import (
	"errors"
	"fmt"
	"path"
	"sort"
	"strings"
)

// Validate says everything that is wrong with a machine, joined into one
// error: references to nothing, partitions that overlap or leave their disk,
// volumes larger than their group, mounts without a file system, names and
// UUIDs that occur twice. Findings are no errors: they were seen and said.
func (m *Machine) Validate() error {
	v := &validator{m: m}
	if m.Version != Version {
		v.bad("version %d of the layout is not known, this program knows %d", m.Version, Version)
	}
	if m.Firmware.Kind != BIOS && m.Firmware.Kind != UEFI {
		v.bad("firmware %q is neither %s nor %s", m.Firmware.Kind, BIOS, UEFI)
	}
	v.disks()
	v.arrays()
	v.crypts()
	v.groups()
	if _, err := m.Layers(); err != nil {
		v.bad("%w", err)
	}
	v.fileSystems()
	v.swaps()
	v.mounts()
	for _, r := range m.BootLoader.Disks {
		v.resolve("the boot loader", r)
	}
	return errors.Join(v.problems...)
}

type validator struct {
	m        *Machine
	problems []error
	holds    map[Ref]string // what lies on a device
	uuids    map[string]string
}

func (v *validator) bad(format string, args ...any) {
	v.problems = append(v.problems, fmt.Errorf(format, args...))
}

func (v *validator) resolve(what string, r Ref) (Device, bool) {
	d, err := v.m.Resolve(r)
	if err != nil {
		v.bad("%s: %w", what, err)
		return d, false
	}
	return d, true
}

// put says that a device holds something; it can hold one thing only.
func (v *validator) put(r Ref, what string) {
	if v.holds == nil {
		v.holds = map[Ref]string{}
	}
	if old := v.holds[r]; old != "" {
		v.bad("%s holds %s and %s", r, old, what)
	}
	v.holds[r] = what
	dev, err := v.m.Resolve(r)
	switch {
	case err != nil:
	case dev.Partition == nil && dev.Disk != nil && dev.Disk.Table != nil:
		v.bad("%s holds %s and a partition table", r, what)
	case dev.Partition != nil && dev.Disk.Table.Kind == MBR && dev.Partition.Extended():
		v.bad("%s is an extended partition and holds %s", r, what)
	}
}

func (v *validator) unique(uuid, what string) {
	if v.uuids == nil {
		v.uuids = map[string]string{}
	}
	key := strings.ToLower(uuid)
	if old := v.uuids[key]; key != "" && old != "" {
		v.bad("%s and %s have the same UUID %s", old, what, uuid)
	}
	v.uuids[key] = what
}

func (v *validator) disks() {
	seen := map[string]bool{}
	for i := range v.m.Disks {
		d := &v.m.Disks[i]
		switch {
		case d.Name == "" || strings.Contains(d.Name, "/"):
			v.bad("disk %d has the name %q", i+1, d.Name)
		case seen[d.Name]:
			v.bad("disk %s occurs twice", d.Name)
		}
		seen[d.Name] = true
		if d.Size < 0 || d.LogicalSector < 512 || d.LogicalSector > 65536 || d.LogicalSector&(d.LogicalSector-1) != 0 {
			v.bad("disk %s has %d bytes in sectors of %d", d.Name, d.Size, d.LogicalSector)
			continue
		}
		if d.Table != nil {
			v.table(d)
		}
	}
}

func (v *validator) table(d *Disk) {
	t := d.Table
	if t.Kind != GPT && t.Kind != MBR {
		v.bad("disk %s has a partition table of kind %q", d.Name, t.Kind)
		return
	}
	numbers := map[int]bool{}
	end := d.Sectors(d.Size)
	var extended *Partition
	for i, p := range t.Partitions {
		if p.Number < 1 || numbers[p.Number] {
			v.bad("disk %s has partition %d twice, or its number is not valid", d.Name, p.Number)
		}
		numbers[p.Number] = true
		// The comparison is written so that no sum can overflow.
		if p.Start < 1 || p.Size < 1 || p.Start >= end || p.Size > end-p.Start {
			v.bad("%s: sectors %d+%d are not on the disk, which has %d", PartRef(d.Name, p.Number), p.Start, p.Size, end)
		}
		if p.UUID != "" {
			v.unique(p.UUID, "partition "+string(PartRef(d.Name, p.Number)))
		}
		if t.Kind == MBR && p.Extended() {
			if extended != nil {
				v.bad("disk %s has two extended partitions", d.Name)
			}
			extended = &t.Partitions[i]
		}
	}
	v.overlaps(d, extended)
}

// overlaps compares neighbours on the disk. Logical partitions lie within the
// extended one, all others beside each other.
func (v *validator) overlaps(d *Disk, extended *Partition) {
	var side, logical []Partition
	for _, p := range d.Table.Partitions {
		if d.Table.Kind == MBR && p.Number >= 5 {
			logical = append(logical, p)
			if extended == nil || p.Start < extended.Start || p.Start-extended.Start > extended.Size-p.Size {
				v.bad("%s is a logical partition outside of an extended one", PartRef(d.Name, p.Number))
			}
		} else {
			side = append(side, p)
		}
	}
	for _, list := range [][]Partition{side, logical} {
		sort.Slice(list, func(i, j int) bool { return list[i].Start < list[j].Start })
		for i := 1; i < len(list); i++ {
			if list[i].Start-list[i-1].Start < list[i-1].Size {
				v.bad("%s and %s overlap", PartRef(d.Name, list[i-1].Number), PartRef(d.Name, list[i].Number))
			}
		}
	}
}

func (v *validator) fileSystems() {
	for _, fs := range v.m.FileSystems {
		what := "the " + string(fs.Kind) + " file system on " + string(fs.On)
		if len(fs.Devices) > 0 || fs.Missing != 0 {
			v.devices(&fs, what)
		} else if dev, ok := v.resolve(what, fs.On); ok && (fs.Size < 0 || fs.Size > dev.Size) {
			v.bad("%s has %d bytes, its device %d", what, fs.Size, dev.Size)
		} else {
			v.put(fs.On, "a file system")
		}
		if fs.Kind == "" {
			v.bad("%s has no kind", what)
		}
		v.unique(fs.UUID, what)
		for _, s := range fs.Subvolumes {
			if s.Path == "" || unclean(s.Path) {
				v.bad("%s has a subvolume with the path %q", what, s.Path)
			}
		}
	}
}

// unclean says that a path from the top level would lead elsewhere.
func unclean(p string) bool { return path.Clean("/"+p) != "/"+p }

func (v *validator) swaps() {
	for _, s := range v.m.Swaps {
		switch {
		case s.File != "" && (s.On != "" || !path.IsAbs(s.File) || path.Clean(s.File) != s.File || s.File == "/"):
			v.bad("swap file %q on %q: the path must be absolute and clean, without a device", s.File, s.On)
		case s.Size < 1:
			v.bad("swap on %s%s has %d bytes", s.On, s.File, s.Size)
		case s.File == "":
			if dev, ok := v.resolve("swap", s.On); ok && s.Size > dev.Size {
				v.bad("swap on %s has %d bytes, its device %d", s.On, s.Size, dev.Size)
			}
			v.put(s.On, "swap")
		}
		v.unique(s.UUID, "swap on "+string(s.On)+s.File)
	}
}

func (v *validator) mounts() {
	seen := map[string]bool{}
	for _, mt := range v.m.Mounts {
		if !path.IsAbs(mt.Target) || path.Clean(mt.Target) != mt.Target {
			v.bad("mount point %q is not an absolute, clean path", mt.Target)
		}
		if seen[mt.Target] {
			v.bad("mount point %s occurs twice", mt.Target)
		}
		for other := range seen {
			if mt.Target == "/" || strings.HasPrefix(other, mt.Target+"/") {
				v.bad("mount point %s comes behind %s, which is below it", mt.Target, other)
			}
		}
		seen[mt.Target] = true
		fs := v.m.FileSystemOn(mt.On)
		if fs == nil {
			v.bad("mount point %s: no file system is recorded on %s", mt.Target, mt.On)
			continue
		}
		if mt.Subvolume != "" && !fs.hasSubvolume(mt.Subvolume) {
			v.bad("mount point %s: %s has no subvolume %s", mt.Target, mt.On, mt.Subvolume)
		}
	}
	if !seen["/"] {
		v.bad("no file system is recorded for /")
	}
}

func (fs *FileSystem) hasSubvolume(path string) bool {
	for _, s := range fs.Subvolumes {
		if s.Path == path {
			return true
		}
	}
	return false
}
