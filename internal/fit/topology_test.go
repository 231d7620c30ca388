package fit

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/mkcdrec/mkcdrec/internal/fail"
	"github.com/mkcdrec/mkcdrec/internal/machine"
	"github.com/mkcdrec/mkcdrec/internal/machine/machinetest"
	"github.com/mkcdrec/mkcdrec/internal/plan"
	"pgregory.net/rapid"
)

// shapedOnto fits with wishes, plans, and sees that the result is valid: that of
// a plan file, too, is.
func shapedOnto(t *testing.T, m machine.Machine, w Wishes, disks ...machine.Disk) (machine.Machine, plan.Plan) {
	t.Helper()
	got, p := fitted(t, m, blank(disks...), w)
	if err := got.Validate(); err != nil {
		t.Errorf("the result is no valid machine: %v", err)
	}
	return got, p
}

func names(m machine.Machine) string {
	var out []string
	for _, d := range m.Disks {
		out = append(out, d.Name)
	}
	return strings.Join(out, " ")
}

func types(d machine.Disk) string {
	var out []string
	for _, p := range d.Table.Partitions {
		out = append(out, fmt.Sprintf("%d:%s", p.Number, p.Type))
	}
	return strings.Join(out, " ")
}

func TestMirrorsFlattenedOntoOneSmallerDisk(t *testing.T) {
	m := machinetest.RAID1LVM()
	got, p := shapedOnto(t, m, Wishes{Flatten: []string{FlattenAll}}, machine.Disk{Name: "nvme0n1", Size: 8 * machinetest.GiB, Serial: "N"})
	if len(got.Arrays) > 0 || names(got) != "nvme0n1" {
		t.Errorf("arrays %v, disks %s", got.Arrays, names(got))
	}
	if want := "1:" + machine.TypeESP + " 2:" + typeLinuxData + " 3:" + machine.TypeLVM; types(got.Disks[0]) != want {
		t.Errorf("partitions %s, want %s", types(got.Disks[0]), want)
	}
	for target, n := range map[string]int{"/boot": 2, "/boot/efi": 1} {
		if on := got.MountAt(target).On; on != machine.PartRef("nvme0n1", n) {
			t.Errorf("%s is on %s", target, on)
		}
	}
	if pv := got.VolumeGroups[0].Physical[0].On; pv != machine.PartRef("nvme0n1", 3) {
		t.Errorf("the volume group is on %s", pv)
	}
	for i, q := range got.Disks[0].Table.Partitions {
		if was := m.Disks[0].Table.Partitions[i]; q.UUID != was.UUID || q.Formerly != "" {
			t.Errorf("partition %d: PARTUUID %s, was %s", q.Number, q.UUID, was.UUID)
		}
	}
	if !got.BootLoader.Anew {
		t.Error("GRUB, which may read /boot by the array's UUID, is not installed anew")
	}
	c := p.Changes
	if len(c.Flattened) != 3 || len(c.Moved) != 3 || c.Mirrored || len(c.LeftOut)+len(c.Crypts) > 0 {
		t.Fatalf("changes %+v", c)
	}
	i := slices.IndexFunc(c.Moved, func(v plan.DeviceMove) bool { return slices.Contains(v.Was, "/dev/md1") })
	for _, name := range []string{"/dev/md/boot", "/dev/disk/by-id/md-name-mirrored:boot", "/dev/disk/by-id/md-uuid-" + m.Arrays[1].UUID} {
		if i < 0 || !slices.Contains(c.Moved[i].Was, name) || c.Moved[i].UUID != m.FileSystems[1].UUID {
			t.Fatalf("%s is not known: %+v", name, c.Moved)
		}
	}
	for _, want := range []string{"array md0: becomes the plain partition sda/1 (told so: of its 2 members one is made, as a plain device without redundancy)",
		"disk sdb: left out (its arrays are flattened", "disk sda: nvme0n1 (the only disk that can be used)"} {
		if !strings.Contains(said(p), want) {
			t.Errorf("not said: %s; said:\n%s", want, said(p))
		}
	}
	for _, s := range p.Steps {
		if s.Kind == plan.MakeArray {
			t.Error("an array is made")
		}
	}
	if again, _ := shapedOnto(t, m, Wishes{Flatten: []string{"md0", "/dev/md/boot", "lvm"}}, machine.Disk{Name: "nvme0n1", Size: 8 * machinetest.GiB, Serial: "N"}); len(again.Arrays) > 0 {
		t.Error("arrays that were named are made")
	}
}

func TestFlattenKeepsTheDiskThatIsHere(t *testing.T) {
	m := machinetest.RAID1LVM()
	here := m.Disks[1]
	here.Name, here.Table = "sdq", nil
	got, p := shapedOnto(t, m, Wishes{Flatten: []string{FlattenAll}}, here)
	if !strings.Contains(said(p), "disk sdb: sdq (same serial number MIR0002)") || got.Disks[0].Table.ID != m.Disks[1].Table.ID {
		t.Errorf("not the second disk:\n%s", said(p))
	}
	if _, p = shapedOnto(t, m, Wishes{Flatten: []string{FlattenAll}, Map: map[string]string{"sdb": "sda"}},
		machine.Disk{Name: "sda", Size: 16 * machinetest.GiB}, machine.Disk{Name: "sdb", Size: 16 * machinetest.GiB}); !strings.Contains(said(p), "disk sdb: sda (told so by name)") {
		t.Errorf("not the mapped disk:\n%s", said(p))
	}
	// Both mapped to the one disk: that is what is meant.
	shapedOnto(t, m, Wishes{Flatten: []string{FlattenAll}, Map: map[string]string{"sda": "sdz", "sdb": "sdz"}}, machine.Disk{Name: "sdz", Size: 16 * machinetest.GiB}, machine.Disk{Name: "sdy", Size: 16 * machinetest.GiB})
}

func TestTheOtherHalfThatIsHereIsNamed(t *testing.T) {
	m := machinetest.RAID1LVM()
	got, p := shapedOnto(t, m, Wishes{Flatten: []string{FlattenAll}}, m.Disks[0], m.Disks[1])
	if names(got) != "sda" || !strings.Contains(said(p), "disk sdb: left alone (it is the recorded disk sdb, whose arrays are flattened") {
		t.Errorf("on %s:\n%s", names(got), said(p))
	}
}

func TestOneArrayOfThreeIsFlattened(t *testing.T) {
	m := machinetest.RAID1LVM()
	got, p := shapedOnto(t, m, Wishes{Flatten: []string{"md1"}, Map: map[string]string{"sda": "sda", "sdb": "sdb"}}, machine.Disk{Name: "sda", Size: 16 * machinetest.GiB}, machine.Disk{Name: "sdb", Size: 16 * machinetest.GiB})
	if len(got.Arrays) != 2 || got.Array("md1") != nil || got.MountAt("/boot").On != machine.PartRef("sda", 2) {
		t.Errorf("arrays %+v, /boot on %s", got.Arrays, got.MountAt("/boot").On)
	}
	if got.Disk("sdb").Partition(2) != nil || got.Disk("sdb").Partition(3) == nil {
		t.Errorf("the other member's partition is made: %s", types(*got.Disk("sdb")))
	}
	if !strings.Contains(said(p), "partition sdb/2: not made") {
		t.Errorf("not said:\n%s", said(p))
	}
}

func TestDegradedMirrorIsFlattenedOntoItsMember(t *testing.T) {
	m := machinetest.RAID1LVM()
	for i := range m.Arrays {
		m.Arrays[i].Members = m.Arrays[i].Members[1:]
	}
	got, _ := shapedOnto(t, m, Wishes{Flatten: []string{FlattenAll}}, machine.Disk{Name: "vda", Size: 12 * machinetest.GiB})
	if got.Disks[0].Table.ID != m.Disks[1].Table.ID {
		t.Error("it went onto the disk that had failed")
	}
}

// biosMirror starts by GRUB from an MBR of two disks, whose mirror has a
// partition table of its own.
func biosMirror() machine.Machine {
	m := machinetest.BIOSMBRLogical()
	d := m.Disks[0]
	table := *d.Table
	d.Table = &machine.PartitionTable{Kind: machine.MBR, ID: "0x11111111", Partitions: []machine.Partition{
		{Number: 1, Path: "/dev/sda1", Start: 2048, Size: 12580864, Type: "fd", UUID: "11111111-01"}}}
	e := d
	e.Name, e.Path, e.Serial = "sdb", "/dev/sdb", "QM00002"
	e.Table = &machine.PartitionTable{Kind: machine.MBR, ID: "0x22222222", Partitions: []machine.Partition{
		{Number: 1, Path: "/dev/sdb1", Start: 2048, Size: 12580864, Type: "fd", UUID: "22222222-01"}}}
	a := machine.Array{Disk: machine.Disk{Name: "md127", Path: "/dev/md/all", Size: 6141 * mib, LogicalSector: 512}, UUID: "1:2:3:4", Level: "raid1", Metadata: "1.2", Slots: 2, Component: 6141 * mib,
		Members: []machine.ArrayMember{{On: machine.PartRef("sda", 1)}, {On: machine.PartRef("sdb", 1), Slot: 1}}}
	a.Table = &table
	table.Partitions[1].Size -= 16384
	table.Partitions[2].Size -= 16384
	m.FileSystems[1].Size -= 16 * mib
	for i := range table.Partitions {
		table.Partitions[i].Path = fmt.Sprintf("/dev/md127p%d", table.Partitions[i].Number)
	}
	replace(&m, map[machine.Ref]machine.Ref{machine.PartRef("sda", 1): machine.PartRef("md127", 1), machine.PartRef("sda", 5): machine.PartRef("md127", 5)})
	m.Disks, m.Arrays = []machine.Disk{d, e}, []machine.Array{a}
	m.BootLoader.Disks = []machine.Ref{machine.DiskRef("sda"), machine.DiskRef("sdb")}
	return m
}

func TestArrayWithATableIsFlattened(t *testing.T) {
	m := biosMirror()
	if err := m.Validate(); err != nil {
		t.Fatal(err)
	}
	got, p := shapedOnto(t, m, Wishes{Flatten: []string{FlattenAll}}, machine.Disk{Name: "vda", Size: 6 * machinetest.GiB})
	if len(got.BootLoader.Disks) != 1 || got.BootLoader.Disks[0] != machine.DiskRef("vda") {
		t.Errorf("boot loader on %v", got.BootLoader.Disks)
	}
	root, _ := got.Resolve(got.MountAt("/").On)
	home, _ := got.Resolve(got.MountAt("/home").On)
	if root.Partition == nil || home.Partition == nil || root.Array != nil || root.Partition.Formerly != "2b3c4d5e-01" || root.Partition.Type != "83" {
		t.Errorf("/ on %+v, /home on %+v\n%s", root.Partition, home.Partition, said(p))
	}
	if !slices.ContainsFunc(p.Changes.Moved, func(v plan.DeviceMove) bool {
		return slices.Contains(v.Was, "/dev/md127p5") && v.UUID == m.FileSystems[1].UUID
	}) {
		t.Errorf("moved %+v", p.Changes.Moved)
	}
	// Whole disks as members: the array's table is the disk's.
	for i := range m.Disks {
		m.Disks[i].Table = nil
		m.Arrays[0].Members[i].On = machine.DiskRef(m.Disks[i].Name)
	}
	got, p = shapedOnto(t, m, Wishes{Flatten: []string{FlattenAll}}, machine.Disk{Name: "vda", Size: 5 * machinetest.GiB})
	if got.MountAt("/home").On != machine.PartRef("vda", 5) || got.Disks[0].Partition(5).UUID != "2b3c4d5e-05" {
		t.Errorf("/home on %s\n%s", got.MountAt("/home").On, said(p))
	}
}

// raid5 has /srv on three disks beside the system's.
func raid5() machine.Machine {
	m := machinetest.UEFIPlain()
	a := machine.Array{Disk: machine.Disk{Name: "md5", Path: "/dev/md5", Size: 8 * machinetest.GiB, LogicalSector: 512}, UUID: "5:5:5:5", Level: "raid5", Metadata: "1.2", Slots: 3,
		Chunk: 512 << 10, Layout: "left-symmetric", Component: 4 * machinetest.GiB}
	for i, n := range []string{"sdx", "sdy", "sdz"} {
		d := machine.Disk{Name: n, Path: "/dev/" + n, Size: 4*machinetest.GiB + 8*mib, LogicalSector: 512}
		m.Disks = append(m.Disks, d)
		a.Members = append(a.Members, machine.ArrayMember{On: machine.DiskRef(n), Slot: i})
	}
	m.Arrays = []machine.Array{a}
	m.FileSystems = append(m.FileSystems, machine.FileSystem{On: machine.ArrayRef("md5"), Kind: "xfs", UUID: "55555555-aaaa-4aaa-8aaa-555555555505", Size: a.Size, Used: 3 * machinetest.GiB, BlockSize: 4096})
	m.Mounts = append(m.Mounts, machine.Mount{On: machine.ArrayRef("md5"), Target: "/srv", InFstab: true})
	return m
}

func TestRAID5IsFlattenedOntoOneDiskThatHoldsItsContent(t *testing.T) {
	m := raid5()
	system := machine.Disk{Name: "vda", Size: m.Disks[0].Size, Serial: m.Disks[0].Serial}
	got, _ := shapedOnto(t, m, Wishes{Flatten: []string{"md5"}}, system, machine.Disk{Name: "vdb", Size: 10 * machinetest.GiB})
	if fs := got.FileSystemOn(machine.DiskRef("vdb")); fs == nil || fs.Size < 10*machinetest.GiB {
		t.Errorf("/srv on %s, %+v", got.MountAt("/srv").On, fs)
	}
	_, _, err := Onto(m, blank(system, machine.Disk{Name: "vdb", Size: 3 * machinetest.GiB}), Wishes{Flatten: []string{"md5"}})
	if fail.KindOf(err) != fail.Refused || !strings.Contains(err.Error(), "too small") {
		t.Errorf("3 GiB for 3 GiB of files: %v", err)
	}
	// All of it onto one disk.
	got, p := shapedOnto(t, m, Wishes{Flatten: []string{FlattenAll}, OntoOne: true}, machine.Disk{Name: "sda", Size: 20 * machinetest.GiB})
	if on := got.MountAt("/srv").On; on != machine.PartRef("sda", 4) {
		t.Errorf("/srv on %s\n%s", on, said(p))
	}
}

func TestFewerDisksAreRefusedWithTheWayOut(t *testing.T) {
	m := machinetest.RAID1LVM()
	one := machine.Disk{Name: "nvme0n1", Size: 8 * machinetest.GiB}
	_, _, err := Onto(m, blank(one), Wishes{})
	if fail.KindOf(err) != fail.Refused || !strings.HasSuffix(fail.HintOf(err), ": --flatten") {
		t.Errorf("%v (hint %q)", err, fail.HintOf(err))
	}
	// What does not help is not advised.
	one.Size = 2 * machinetest.GiB
	if _, _, err := Onto(m, blank(one), Wishes{}); strings.Contains(fail.HintOf(err), "--flatten") {
		t.Errorf("%v (hint %q)", err, fail.HintOf(err))
	}
	one.Size = 48 * machinetest.GiB
	if _, _, err := Onto(machinetest.TwoDisks(), blank(one), Wishes{}); !strings.HasSuffix(fail.HintOf(err), ": --onto-one") {
		t.Errorf("%v (hint %q)", err, fail.HintOf(err))
	}
	w := Wishes{Map: map[string]string{"sda": "nvme0n1", "sdb": "nvme0n1"}}
	if _, _, err := Onto(m, blank(one), w); fail.KindOf(err) != fail.Refused || !strings.Contains(err.Error(), "two of its members on one disk") || !strings.Contains(fail.HintOf(err), "--flatten") {
		t.Errorf("a mirror on one disk: %v (hint %q)", err, fail.HintOf(err))
	}
}

func TestPlainMachineMirrored(t *testing.T) {
	m := machinetest.UEFIPlain()
	size := m.Disks[0].Size
	got, p := shapedOnto(t, m, Wishes{Mirror: MirrorAny}, machine.Disk{Name: "sda", Size: size}, machine.Disk{Name: "sdb", Size: size})
	if names(got) != "sda sdb" || len(got.Arrays) != 3 {
		t.Fatalf("disks %s, arrays %d", names(got), len(got.Arrays))
	}
	a, b := got.Disks[0].Table, got.Disks[1].Table
	if types(got.Disks[0]) != types(got.Disks[1]) || a.ID == b.ID {
		t.Errorf("tables %s and %s", types(got.Disks[0]), types(got.Disks[1]))
	}
	for i := range a.Partitions {
		x, y := a.Partitions[i], b.Partitions[i]
		if x.Start != y.Start || x.Size != y.Size || x.UUID == y.UUID || x.UUID != m.Disks[0].Table.Partitions[i].UUID {
			t.Errorf("partitions %+v and %+v", x, y)
		}
	}
	for i, want := range []string{"1.0", "1.0", "1.2"} { // the ESP, the root with /boot in it, swap
		if r := got.Arrays[i]; r.Metadata != want || !r.Added || r.Level != "raid1" || len(r.Members) != 2 || r.Missing() != 0 {
			t.Errorf("array %d: %+v", i, r)
		}
	}
	if got.MountAt("/").On != machine.ArrayRef("md1") || got.Swaps[0].On != machine.ArrayRef("md2") {
		t.Errorf("/ on %s, swap on %s", got.MountAt("/").On, got.Swaps[0].On)
	}
	if esp := got.Disks[1].Partition(1); esp.Type != machine.TypeESP {
		t.Errorf("the second ESP is a %s", esp.Type)
	}
	for _, fs := range got.FileSystems {
		dev, err := got.Resolve(fs.On)
		if err != nil || fs.Size > dev.Size {
			t.Errorf("%s has %d bytes on %d (%v)", fs.On, fs.Size, dev.Size, err)
		}
	}
	if c := p.Changes; !c.Mirrored || len(c.Moved) != 3 || !slices.Contains(c.Moved[1].Was, "/dev/vda2") || !slices.Contains(c.Moved[1].Was, "PARTUUID="+m.Disks[0].Table.Partitions[1].UUID) || c.Moved[1].UUID != m.FileSystems[1].UUID {
		t.Errorf("changes %+v", c)
	}
	again, _, err := Onto(m, blank(machine.Disk{Name: "sda", Size: size}, machine.Disk{Name: "sdb", Size: size}), Wishes{Mirror: MirrorAny})
	if err != nil || again.Arrays[0].UUID != got.Arrays[0].UUID || again.Disks[1].Table.ID != b.ID {
		t.Error("a second plan has other IDs: an interrupted restore would not be known again")
	}
}

func TestMirrorsOfOtherMachines(t *testing.T) {
	for name, arrays := range map[string]int{"uefi-lvm": 3, "luks-lvm": 3, "bios-mbr-logical": 2, "btrfs-subvols": 2, "nvme-4k": 2} {
		for _, percent := range []machine.Bytes{80, 100, 150} {
			m := machinetest.Get(name)
			size := m.Disks[0].Size / 100 * percent / mib * mib
			got, _ := shapedOnto(t, m, Wishes{Mirror: "sdb"}, machine.Disk{Name: "sda", Size: size, LogicalSector: m.Disks[0].LogicalSector}, machine.Disk{Name: "sdb", Size: 2 * size, LogicalSector: m.Disks[0].LogicalSector})
			if len(got.Arrays) != arrays || len(got.Disks) != 2 || got.Disks[1].Name != "sdb" {
				t.Errorf("%s, %d %%: %d arrays on %s", name, percent, len(got.Arrays), names(got))
			}
			if n := len(m.BootLoader.Disks); n > 0 && len(got.BootLoader.Disks) != 2*n {
				t.Errorf("%s: boot loader on %v", name, got.BootLoader.Disks)
			}
		}
	}
	// From BIOS to UEFI at once: the new ESP is mirrored, too.
	m := machinetest.BIOSMBRLogical()
	here := blank(machine.Disk{Name: "sda", Size: m.Disks[0].Size}, machine.Disk{Name: "sdb", Size: m.Disks[0].Size})
	here.Firmware.Kind = machine.UEFI
	got, _, err := Onto(m, here, Wishes{Mirror: MirrorAny})
	if err != nil {
		t.Fatal(err)
	}
	if on := got.MountAt("/boot/efi").On; on.Kind() != machine.RefArray || got.Array(on.Body()).Metadata != "1.0" {
		t.Errorf("the ESP is on %s", on)
	}
}

func TestMirrorIsRefused(t *testing.T) {
	disk := func(n string) machine.Disk { return machine.Disk{Name: n, Size: 64 * machinetest.GiB} }
	for _, tt := range []struct {
		machine string
		w       Wishes
		here    machine.Machine
		want    string
	}{
		{"raid1-lvm", Wishes{Mirror: MirrorAny}, blank(disk("sda"), disk("sdb")), "has RAID arrays already"},
		{"two-disks", Wishes{Mirror: MirrorAny}, blank(disk("sda"), disk("sdb")), "it stands on 2 disks"},
		{"whole-disk-ext4", Wishes{Mirror: MirrorAny}, blank(disk("sda"), disk("sdb")), "has no partition table"},
		{"uefi-plain", Wishes{Mirror: MirrorAny}, blank(disk("sda")), "1 more disk(s)"},
		{"uefi-plain", Wishes{Mirror: MirrorAny}, blank(disk("sda"), disk("sdb"), disk("sdc")), "which disks are to become a mirror"},
		{"uefi-plain", Wishes{Mirror: MirrorAny, Map: map[string]string{"vda": "sda"}}, blank(disk("sda"), disk("sdb"), disk("sdc")), "the second half of the mirror"},
		{"uefi-plain", Wishes{Mirror: "sdb", Protected: []string{"sdb"}}, blank(disk("sda"), disk("sdb")), "never overwritten"},
		{"uefi-plain", Wishes{Mirror: "sdq"}, blank(disk("sda"), disk("sdb")), "no disk here"},
		{"uefi-plain", Wishes{Mirror: "sda", Map: map[string]string{"vda": "sda"}}, blank(disk("sda"), disk("sdb")), "mapped"},
		{"raid1-lvm", Wishes{Mirror: MirrorAny, Flatten: []string{FlattenAll}}, blank(disk("sda"), disk("sdb")), "contradict"},
		{"raid1-lvm", Wishes{Flatten: []string{"md7"}}, blank(disk("sda")), "no array md7"},
		{"uefi-plain", Wishes{Flatten: []string{FlattenAll}}, blank(disk("sda")), "has no RAID array"},
	} {
		_, _, err := Onto(machinetest.Get(tt.machine), tt.here, tt.w)
		if err == nil || !strings.Contains(err.Error(), tt.want) || fail.KindOf(err) != fail.Refused && fail.KindOf(err) != fail.Usage {
			t.Errorf("%s %+v: %v, want %q", tt.machine, tt.w, err, tt.want)
		}
	}
	got, _ := shapedOnto(t, machinetest.TwoDisks(), Wishes{OntoOne: true, Mirror: MirrorAny}, disk("sda"), disk("sdb"))
	if len(got.Arrays) != 4 { // two physical volumes, /boot, swap
		t.Errorf("laid together and mirrored: %d arrays", len(got.Arrays))
	}
}

func TestTwoDisksLaidTogether(t *testing.T) {
	m := machinetest.TwoDisks()
	for what, w := range map[string]Wishes{"by map": {Map: map[string]string{"sda": "nvme0n1", "sdb": "nvme0n1"}}, "by name": {OntoOne: true}} {
		got, p := shapedOnto(t, m, w, machine.Disk{Name: "nvme0n1", Size: 48 * machinetest.GiB, Serial: "N"})
		d := got.Disks[0]
		if names(got) != "nvme0n1" || types(d) != "1:"+machine.TypeBIOSBoot+" 2:"+typeLinuxData+" 3:"+machine.TypeLVM+" 4:"+typeLinuxData+" 5:"+machine.TypeLVM {
			t.Errorf("%s: %s on %s", what, types(d), names(got))
		}
		if len(got.BootLoader.Disks) != 1 || got.Swaps[0].On != machine.PartRef("nvme0n1", 4) {
			t.Errorf("%s: boot loader on %v, swap on %s", what, got.BootLoader.Disks, got.Swaps[0].On)
		}
		g := got.VolumeGroups[0]
		if len(g.Physical) != 2 || g.Physical[1].On != machine.PartRef("nvme0n1", 5) || g.Logical[1].Devices[1] != g.Physical[1].On {
			t.Errorf("%s: volume group %+v", what, g)
		}
		if was := m.Disks[1].Partition(3).UUID; d.Partition(5).UUID != was {
			t.Errorf("%s: PARTUUID %s, was %s", what, d.Partition(5).UUID, was)
		}
		for _, want := range []string{"partition sdb/1: not made (one partition with boot code", "partition sdb/3: becomes sda/5"} {
			if !strings.Contains(said(p), want) {
				t.Errorf("%s: not said: %s; said:\n%s", what, want, said(p))
			}
		}
		if r := p.Renames(); r["sdb"] != "" || r["sda"] != "nvme0n1" {
			t.Errorf("%s: names %v: /dev/sdb3 is not /dev/nvme0n1p3", what, r)
		}
	}
}

// withDisks is a machine with an MBR of n primary partitions, and a second disk
// with a table or a file system on the whole.
func withDisks(n int, second machine.TableKind) machine.Machine {
	m := machinetest.BIOSMBRLogical()
	m.Disks[0].Table.Partitions = nil
	m.Mounts, m.FileSystems, m.Swaps = nil, nil, nil
	add := func(d *machine.Disk, number int, start, size machine.Bytes, target, uuid, kind string) {
		r := machine.DiskRef(d.Name)
		if d.Table != nil {
			d.Table.Partitions = append(d.Table.Partitions, machine.Partition{Number: number, Path: partitionPath(d.Path, number), Start: d.Sectors(start), Size: d.Sectors(size), Type: kind, UUID: uuid})
			r = machine.PartRef(d.Name, number)
		}
		m.FileSystems = append(m.FileSystems, machine.FileSystem{On: r, Kind: "ext4", UUID: fmt.Sprintf("22222222-aaaa-4aaa-8aaa-2222222%s%02d", d.Name, number), Size: size, Used: 100 * mib, BlockSize: 4096})
		m.Mounts = append(m.Mounts, machine.Mount{On: r, Target: target})
	}
	for i := range n {
		target := fmt.Sprintf("/d%d", i)
		if i == 0 {
			target = "/"
		}
		add(&m.Disks[0], i+1, machine.Bytes(i)*1000*mib+mib, 900*mib, target, fmt.Sprintf("2b3c4d5e-%02x", i+1), "83")
	}
	e := machine.Disk{Name: "sdb", Path: "/dev/sdb", Size: 4 * machinetest.GiB, LogicalSector: 512, Serial: "QM00002"}
	if second == "" {
		add(&e, 0, 0, e.Size, "/e0", "", "")
	} else {
		e.Table = &machine.PartitionTable{Kind: second, ID: "0x66666666"}
		for i := range 2 {
			uuid, kind := fmt.Sprintf("66666666-%02x", i+1), "83"
			if second == machine.GPT {
				uuid, kind = fmt.Sprintf("66666666-1111-4111-8111-66666666660%d", i+1), typeLinuxData
			}
			add(&e, i+1, machine.Bytes(i)*1000*mib+mib, 900*mib, fmt.Sprintf("/e%d", i), uuid, kind)
		}
	}
	m.Disks = append(m.Disks, e)
	return m
}

func TestTablesAreLaidTogether(t *testing.T) {
	for _, tt := range []struct {
		primaries int
		second    machine.TableKind
		want      string
	}{
		{1, machine.MBR, "1:83 2:83 3:83"},
		{2, machine.MBR, "1:83 2:83 3:83 4:83"},
		{3, "", "1:83 2:83 3:83 4:83"},
		{3, machine.GPT, "1:83 2:83 3:83 4:f 5:83 6:83"},
		{4, "", "1:" + typeLinuxData + " 2:" + typeLinuxData + " 3:" + typeLinuxData + " 4:" + typeLinuxData + " 5:" + machine.TypeBIOSBoot + " 6:" + typeLinuxData},
	} {
		m := withDisks(tt.primaries, tt.second)
		if err := m.Validate(); err != nil {
			t.Fatal(err)
		}
		for _, size := range []machine.Bytes{4, 12} {
			got, p := shapedOnto(t, m, Wishes{OntoOne: true}, machine.Disk{Name: "vda", Size: size * machinetest.GiB})
			if types(got.Disks[0]) != tt.want {
				t.Errorf("%d and %q: %s, want %s", tt.primaries, tt.second, types(got.Disks[0]), tt.want)
			}
			dev, err := got.Resolve(got.MountAt("/e0").On)
			if err != nil || dev.Partition == nil {
				t.Fatalf("/e0: %v", err)
			}
			if was := m.Disks[1]; was.Table != nil && dev.Partition.Formerly != was.Table.Partitions[0].UUID {
				t.Errorf("%d and %q: PARTUUID %s, formerly %q", tt.primaries, tt.second, dev.Partition.UUID, dev.Partition.Formerly)
			}
			name := "/dev/sdb1"
			if tt.second == "" {
				name = "/dev/sdb"
			}
			if !slices.ContainsFunc(p.Changes.Moved, func(v plan.DeviceMove) bool { return slices.Contains(v.Was, name) }) {
				t.Errorf("%s is not known to have moved: %+v", name, p.Changes)
			}
		}
	}
	m := machinetest.BIOSMBRLogical() // with an extended partition at its end
	e := withDisks(1, machine.MBR)
	m.Disks = append(m.Disks, e.Disks[1])
	m.FileSystems, m.Mounts = append(m.FileSystems, e.FileSystems[1:]...), append(m.Mounts, e.Mounts[1:]...)
	got, _ := shapedOnto(t, m, Wishes{OntoOne: true}, machine.Disk{Name: "vda", Size: 16 * machinetest.GiB})
	if want := "1:83 2:5 5:83 6:83 7:83"; types(got.Disks[0]) != want {
		t.Errorf("%s, want %s", types(got.Disks[0]), want)
	}
	four := withDisks(4, "")
	four.BootLoader.Kind = machine.EXTLINUX
	if _, _, err := Onto(four, blank(machine.Disk{Name: "vda", Size: 12 * machinetest.GiB}), Wishes{OntoOne: true}); fail.KindOf(err) != fail.Refused || !strings.Contains(err.Error(), "four partitions") {
		t.Errorf("an MBR with four partitions and a boot loader for MBR only: %v", err)
	}
}

// shapes are machines beside the named ones whose disks are put together otherwise.
var shapes = map[string]func() machine.Machine{
	"raid5": raid5, "mirror with a table": biosMirror, "MBR with four partitions": func() machine.Machine { return withDisks(4, machine.GPT) },
	"MBR and a whole disk": func() machine.Machine { return withDisks(3, "") }, "two tables": func() machine.Machine { return withDisks(2, machine.MBR) }, "with data": withData,
}

// TestAnyNumberOfDisksHoldsTheData: whatever machine, on however many disks of
// whatever sizes, with whatever wish about their number: either it is refused,
// or all that was mounted is there, valid, and has room for what was used.
func TestAnyNumberOfDisksHoldsTheData(t *testing.T) {
	all := machinetest.Names()
	for n := range shapes {
		all = append(all, n)
	}
	slices.Sort(all)
	done := map[string]int{}
	rapid.Check(t, func(t *rapid.T) {
		what := rapid.SampledFrom([]string{"nothing", "flatten", "flatten one", "mirror", "together", "onto one", "onto one and mirror", "flatten onto one"}).Draw(t, "wish")
		choice := all
		if strings.HasPrefix(what, "flatten") {
			choice = []string{"raid1-lvm", "raid5", "mirror with a table"}
		}
		name := rapid.SampledFrom(choice).Draw(t, "machine")
		make, ok := shapes[name]
		if !ok {
			make = func() machine.Machine { return machinetest.Get(name) }
		}
		m := make()
		var total machine.Bytes
		for _, d := range m.Disks {
			total += d.Size
		}
		here := blank()
		here.Firmware.Kind = rapid.SampledFrom([]machine.FirmwareKind{"", machine.BIOS, machine.UEFI}).Draw(t, "firmware")
		w := Wishes{GrowLargest: rapid.Bool().Draw(t, "grow")}
		count, least := rapid.IntRange(1, 3).Draw(t, "disks"), total/8
		if rapid.Bool().Draw(t, "as many as it needs") { // often enough where it is possible
			if count, least = 1, total/2; what == "mirror" || what == "onto one and mirror" {
				count = 2
			}
		}
		for i := range count {
			n := machine.Disk{Name: fmt.Sprintf("nvme%dn1", i), Size: machine.Bytes(rapid.Int64Range(int64(least), int64(total*2)).Draw(t, "size")) / mib * mib, LogicalSector: 512}
			n.LogicalSector = machine.Bytes(rapid.SampledFrom([]int{512, 512, 4096}).Draw(t, "sector"))
			if rapid.IntRange(0, 3).Draw(t, "known") == 0 && i < len(m.Disks) {
				n.Serial = m.Disks[i].Serial
			}
			n.Path = "/dev/" + n.Name
			here.Disks = append(here.Disks, n)
		}
		switch what {
		case "flatten":
			w.Flatten = []string{FlattenAll}
		case "flatten onto one":
			w.Flatten, w.OntoOne = []string{FlattenAll}, true
		case "flatten one":
			w.Flatten = []string{rapid.SampledFrom(m.Arrays).Draw(t, "array").Name}
		case "mirror":
			w.Mirror = MirrorAny
		case "onto one and mirror":
			w.Mirror, w.OntoOne = MirrorAny, true
		case "onto one":
			w.OntoOne = true
		case "together":
			w.Map = map[string]string{}
			for _, d := range m.Disks {
				w.Map[d.Name] = "nvme0n1"
			}
		}
		if mounts := m.Mounts[1:]; len(mounts) > 0 && rapid.IntRange(0, 4).Draw(t, "dropped") == 0 {
			w.Drop = []string{rapid.SampledFrom(mounts).Draw(t, "drop").Target}
		}
		w.NoSwap = rapid.IntRange(0, 4).Draw(t, "no swap") == 0
		before, err := m.Layout()
		if err != nil {
			t.Fatal(err)
		}
		got, choices, err := Onto(m, here, w)
		if err != nil {
			if k := fail.KindOf(err); k != fail.Refused && k != fail.Usage && k != fail.Unsupported {
				t.Fatalf("kind %s: %v", k.Name(), err)
			}
			return
		}
		if after, err := m.Layout(); err != nil || string(after) != string(before) {
			t.Fatal("the recorded machine was changed")
		}
		if err := got.Validate(); err != nil {
			t.Fatal(err)
		}
		changes, err := w.Changes(m)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := plan.Restore(got, choices, here, plan.Info{Changes: changes}); err != nil {
			t.Fatal(err)
		}
		for _, mt := range m.Mounts {
			is := got.MountAt(mt.Target)
			if is == nil {
				if changes == nil || !slices.Contains(changes.LeftOut, mt.Target) {
					t.Fatalf("%s is lost", mt.Target)
				}
				continue
			}
			was, fs := m.FileSystemOn(mt.On), got.FileSystemOn(is.On)
			if fs.UUID != was.UUID || fs.Kind != was.Kind || fs.Size < fs.Used+fs.Used/20 {
				t.Fatalf("%s: %+v, was %+v", mt.Target, fs, was)
			}
		}
		if len(got.Swaps) != len(m.Swaps) && !w.NoSwap && len(w.Drop) == 0 {
			t.Fatalf("swap %+v, was %+v", got.Swaps, m.Swaps)
		}
		for _, a := range got.Arrays {
			under := got.DisksUnder(machine.ArrayRef(a.Name))
			if a.Level == "raid1" && len(under) != len(a.Members) {
				t.Fatalf("array %s with %d members lies on %d disks", a.Name, len(a.Members), len(under))
			}
		}
		if what == "mirror" || what == "onto one and mirror" {
			for _, fs := range got.FileSystems {
				if len(got.DisksUnder(fs.On)) != 2 && len(m.VolumeGroups) == 0 {
					t.Fatalf("%s is on one disk", fs.On)
				}
			}
		}
		for _, r := range got.BootLoader.Disks {
			d := got.Disk(r.Body())
			if got.BootLoader.Kind == machine.GRUBBIOS && d.Table != nil && d.Table.Kind == machine.GPT && !slices.ContainsFunc(d.Table.Partitions, func(p machine.Partition) bool { return p.Type == machine.TypeBIOSBoot }) {
				t.Fatalf("GRUB has no place on %s", d.Name)
			}
		}
		done[what]++
	})
	t.Logf("%v", done)
	if delete(done, "nothing"); len(done) == 0 {
		t.Error("no wish was ever possible: the test checks nothing")
	}
}
