package machine

import (
	"reflect"
	"testing"
)

func twoDiskVG() *Machine {
	return &Machine{
		Arrays: []Array{{
			Disk: Disk{Name: "md0", Path: "/dev/md/data", Size: 2 << 30, LogicalSector: 512, Table: &PartitionTable{
				Kind: GPT, Partitions: []Partition{{Number: 1, Path: "/dev/md0p1", Start: 2048, Size: 2048}},
			}},
			Level: "raid0", Slots: 2, Members: []ArrayMember{{On: DiskRef("sdc")}, {On: LVRef("vg-0", "pinned"), Slot: 1}},
		}},
		Crypts: []Crypt{{Name: "secret", Version: 2, On: PartRef("md0", 1), Size: 512 << 20}},
		Disks: []Disk{
			{Name: "sda", Path: "/dev/sda", Size: 1 << 30, LogicalSector: 4096, Table: &PartitionTable{
				Kind: GPT, Partitions: []Partition{{Number: 1, Path: "/dev/sda1", Start: 256, Size: 1024}},
			}},
			{Name: "sdb", Path: "/dev/sdb", Size: 1 << 30, LogicalSector: 512},
			{Name: "sdc", Path: "/dev/sdc", Size: 1 << 30, LogicalSector: 512},
		},
		VolumeGroups: []VolumeGroup{{
			Name:     "vg-0",
			Physical: []PhysicalVolume{{On: PartRef("sda", 1)}, {On: DiskRef("sdb")}},
			Logical:  []LogicalVolume{{Name: "root", Size: 42}, {Name: "pinned", Devices: []Ref{DiskRef("sdb")}}},
		}},
	}
}

func TestResolve(t *testing.T) {
	m := twoDiskVG()
	for _, c := range []struct {
		ref  Ref
		path string
		size Bytes
		err  string
	}{
		{ref: "disk:sdb", path: "/dev/sdb", size: 1 << 30},
		{ref: "part:sda/1", path: "/dev/sda1", size: 1024 * 4096},
		{ref: "lv:vg-0/root", path: "/dev/mapper/vg--0-root", size: 42},
		{ref: "disk:sdz", err: "disk:sdz: no such disk"},
		{ref: "part:sda/2", err: "part:sda/2: disk sda has no partition 2"},
		{ref: "part:sdb/1", err: "part:sdb/1: disk sdb has no partition 1"},
		{ref: "part:sda/01", err: `"part:sda/01": malformed name of a partition`},
		{ref: "lv:vg-0", err: `"lv:vg-0": malformed name of a logical volume`},
		{ref: "lv:vg-0/home", err: "lv:vg-0/home: volume group vg-0 has no volume home"},
		{ref: "md:md0", path: "/dev/md/data", size: 2 << 30},
		{ref: "part:md0/1", path: "/dev/md0p1", size: 2048 * 512},
		{ref: "luks:secret", path: "/dev/mapper/secret", size: 512 << 20},
		{ref: "md:md1", err: "md:md1: no such array"},
		{ref: "part:md1/1", err: "part:md1/1: no disk or array md1"},
		{ref: "luks:none", err: "luks:none: no such encrypted device"},
		{ref: "zfs:tank", err: `"zfs:tank": not a device that this version knows`},
		{ref: "", err: `"": not a device that this version knows`},
	} {
		got, err := m.Resolve(c.ref)
		if c.err != "" {
			if err == nil || err.Error() != c.err {
				t.Errorf("Resolve(%q): error %v, want %s", c.ref, err, c.err)
			}
			continue
		}
		if err != nil || got.Path != c.path || got.Size != c.size {
			t.Errorf("Resolve(%q) = %s, %d, %v; want %s, %d", c.ref, got.Path, got.Size, err, c.path, c.size)
		}
	}
}

func TestDisksUnder(t *testing.T) {
	m := twoDiskVG()
	for ref, want := range map[Ref][]string{
		"lv:vg-0/root":   {"sda", "sdb"},
		"lv:vg-0/pinned": {"sdb"},
		"part:sda/1":     {"sda"},
		"disk:sdc":       {"sdc"},
		"luks:secret":    {"sda", "sdb", "sdc"}, // by way of the array, whose member is a volume
		"disk:none":      nil,
	} {
		var got []string
		for _, d := range m.DisksUnder(ref) {
			got = append(got, d.Name)
		}
		if !reflect.DeepEqual(got, want) {
			t.Errorf("DisksUnder(%s) = %v, want %v", ref, got, want)
		}
	}
}

func TestDisksUnderCircle(t *testing.T) {
	m := &Machine{VolumeGroups: []VolumeGroup{{
		Name:     "a",
		Physical: []PhysicalVolume{{On: LVRef("a", "x")}},
		Logical:  []LogicalVolume{{Name: "x"}},
	}}}
	if got := m.DisksUnder(LVRef("a", "x")); got != nil {
		t.Errorf("a volume on itself lies on %v", got)
	}
}
