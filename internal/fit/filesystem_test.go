package fit

import (
	"reflect"
	"strings"
	"testing"

	"github.com/mkcdrec/mkcdrec/internal/fail"
	"github.com/mkcdrec/mkcdrec/internal/machine"
	"github.com/mkcdrec/mkcdrec/internal/machine/machinetest"
	"github.com/mkcdrec/mkcdrec/internal/plan"
)

// rescued is a machine as the rescue system sees it: nothing is mounted, and
// disks go by other names.
func rescued(m machine.Machine, names map[string]string) machine.Machine {
	m.Mounts = nil
	pairs := make([]machine.Disk, len(m.Disks))
	for i, d := range m.Disks {
		pairs[i] = d
		if n := names[d.Name]; n != "" {
			pairs[i].Name = n
		}
	}
	rename(&m, pairs)
	for i := range m.Disks {
		d := &m.Disks[i]
		d.Name = pairs[i].Name
		d.Path = "/dev/" + d.Name
		for k := range partitions(*d) {
			d.Table.Partitions[k].Path = partitionPath(d.Path, d.Table.Partitions[k].Number)
		}
	}
	return m
}

func TestEveryRecordedFileSystemFindsItsPlace(t *testing.T) {
	other := map[string]string{"vda": "sdx", "sda": "sdy", "sdb": "sdx", "nvme0n1": "nvme3n1"}
	for _, name := range machinetest.Names() {
		m := machinetest.Get(name)
		for _, mt := range m.Mounts {
			t.Run(name+mt.Target, func(t *testing.T) {
				here := rescued(machinetest.Get(name), other)
				want := here.FileSystems[0].On
				for i, fs := range m.FileSystems {
					if fs.On == mt.On {
						want = here.FileSystems[i].On
					}
				}
				got, scope, choices, err := FileSystem(m, here, FSWishes{Mount: mt.Target})
				if n := len(m.FileSystemOn(mt.On).Devices); n > 0 {
					if fail.KindOf(err) != fail.Refused || !strings.Contains(err.Error(), "it lies on 2 devices") && !strings.Contains(err.Error(), "lies on 2 devices") {
						t.Errorf("over %d devices: %v", n, err)
					}
					got, scope, choices, err = FileSystem(m, here, FSWishes{Mount: mt.Target, Keep: true})
				}
				if err != nil {
					t.Fatal(err)
				}
				if len(got.FileSystems) != 1 || got.FileSystems[0].On != want {
					t.Fatalf("placed on %+v, want %s", got.FileSystems, want)
				}
				was := *m.FileSystemOn(mt.On)
				was.On = want
				if len(was.Devices) > 0 {
					was = *here.FileSystemOn(want)
				}
				if !reflect.DeepEqual(got.FileSystems[0], was) {
					t.Errorf("the file system changed on its own place:\n got %+v\nwant %+v", got.FileSystems[0], was)
				}
				if len(choices) == 0 || len(got.Mounts) != len(scope.Mounts) {
					t.Errorf("choices %v, mounts %v, scope %+v", choices, got.Mounts, scope)
				}
				if n := len(scope.Mounts) + len(scope.Others); n != len(m.Mounts) {
					t.Errorf("%d mount points in the scope, %d were recorded", n, len(m.Mounts))
				}
				if _, err := plan.FileSystem(got, scope, choices, here, plan.Info{Entries: 1}); err != nil {
					t.Error(err)
				}
			})
		}
	}
}

func TestSubvolumesOfOneBtrfsAreRestoredTogether(t *testing.T) {
	m := machinetest.BtrfsSubvols()
	here := rescued(machinetest.BtrfsSubvols(), nil)
	got, scope, _, err := FileSystem(m, here, FSWishes{Mount: "/home"})
	if err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(scope.Mounts, []string{"/", "/home"}) || !reflect.DeepEqual(scope.Others, []string{"/boot/efi"}) || len(got.Mounts) != 2 {
		t.Errorf("made anew: scope %+v, mounts %+v", scope, got.Mounts)
	}
	got, scope, _, err = FileSystem(m, here, FSWishes{Mount: "/home", Keep: true})
	if err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(scope.Mounts, []string{"/home"}) || len(got.Mounts) != 1 || got.Mounts[0].Subvolume != "@home" {
		t.Errorf("unpacked over: scope %+v, mounts %+v", scope, got.Mounts)
	}
}

// fsGuard is one try to get a file system onto a device that must be refused.
type fsGuard struct {
	name   string
	spoil  func(recorded, here *machine.Machine)
	wishes FSWishes
	want   string
	kind   fail.Kind
}

func TestFileSystemGuards(t *testing.T) {
	sdb := func(size machine.Bytes) machine.Disk {
		d := machine.Disk{Name: "sdb", Path: "/dev/sdb", Size: size, LogicalSector: 512, Serial: "SPARE"}
		end := machine.Sectors(size/512) - 2048
		d.Table = &machine.PartitionTable{Kind: machine.GPT, ID: "x", FirstLBA: 34, LastLBA: end + 1, Partitions: []machine.Partition{
			{Number: 1, Path: "/dev/sdb1", Start: 2048, Size: end - 2048, Type: "0FC63DAF-8483-4772-8E79-3D69D8477DE4", UUID: "aaaaaaaa-0000-4000-8000-000000000001"},
		}}
		return d
	}
	spare := func(size machine.Bytes) func(_, here *machine.Machine) {
		return func(_, here *machine.Machine) { here.Disks = append(here.Disks, sdb(size)) }
	}
	part := func(here *machine.Machine, n int) *machine.Partition { return here.Disks[0].Partition(n) }
	for _, tt := range []fsGuard{
		{name: "no such mount point", wishes: FSWishes{Mount: "/srv"}, want: "no file system was mounted on /srv", kind: fail.Usage},
		{name: "disk with the backup", wishes: FSWishes{Mount: "/boot", Protected: []string{"vda"}}, want: "medium or the backup", kind: fail.Refused},
		{name: "volume on the disk with the backup", wishes: FSWishes{Mount: "/home", Protected: []string{"vda"}}, want: "medium or the backup", kind: fail.Refused},
		{name: "named partition on the disk with the backup", spoil: spare(4 << 30), wishes: FSWishes{Mount: "/home", Onto: "/dev/sdb1", Protected: []string{"sdb"}}, want: "medium or the backup", kind: fail.Refused},
		{name: "read-only disk", spoil: func(_, here *machine.Machine) { here.Disks[0].ReadOnly = true }, wishes: FSWishes{Mount: "/boot"}, want: "read-only", kind: fail.Refused},
		{name: "physical volume", wishes: FSWishes{Mount: "/home", Onto: "/dev/vda3"}, want: "a part of volume group vg0", kind: fail.Refused},
		{name: "swap", wishes: FSWishes{Mount: "/boot", Onto: "vg0/swap"}, want: "holds swap", kind: fail.Refused},
		{name: "disk with a table", wishes: FSWishes{Mount: "/boot", Onto: "/dev/vda"}, want: "partition table", kind: fail.Refused},
		{name: "EFI system partition for another kind", wishes: FSWishes{Mount: "/boot", Onto: "vda1"}, want: "EFI system partition", kind: fail.Refused},
		{name: "BIOS boot partition", spoil: func(_, here *machine.Machine) { part(here, 2).Type = machine.TypeBIOSBoot }, wishes: FSWishes{Mount: "/boot"}, want: "boot loader's code", kind: fail.Refused},
		{name: "not a device", wishes: FSWishes{Mount: "/boot", Onto: "/dev/loop0"}, want: "no disk, partition or logical volume", kind: fail.Refused},
		{name: "too small", spoil: spare(300 << 20), wishes: FSWishes{Mount: "/home", Onto: "sdb1"}, want: "too small", kind: fail.Refused},
		{name: "too small to keep", wishes: FSWishes{Mount: "/boot", Keep: true}, want: "too small", kind: fail.Refused,
			spoil: func(_, here *machine.Machine) { here.FileSystems[1].Size = 80 << 20 }},
		{name: "nothing there to keep", spoil: spare(4 << 30), wishes: FSWishes{Mount: "/home", Onto: "sdb1", Keep: true}, want: "no file system", kind: fail.Refused},
		{name: "another kind there to keep", wishes: FSWishes{Mount: "/home", Onto: "vg0/root", Keep: true}, want: "holds a ext4", kind: fail.Refused},
		{name: "place gone", spoil: func(_, here *machine.Machine) { here.Disks = []machine.Disk{sdb(10 << 30)} }, wishes: FSWishes{Mount: "/boot"}, want: "not here any more", kind: fail.Refused},
		{name: "group gone", spoil: func(_, here *machine.Machine) { here.VolumeGroups = nil }, wishes: FSWishes{Mount: "/home"}, want: "not here any more", kind: fail.Refused},
		{name: "disk there twice", wishes: FSWishes{Mount: "/boot"}, want: "candidates: vda/2, vdb/2", kind: fail.Refused, spoil: func(_, here *machine.Machine) {
			d := machinetest.UEFILVM().Disks[0]
			d.Name, d.Path = "vdb", "/dev/vdb"
			here.Disks = append(here.Disks, d)
		}},
		{name: "group there twice", wishes: FSWishes{Mount: "/home"}, want: "candidates", kind: fail.Refused,
			spoil: func(_, here *machine.Machine) { here.VolumeGroups = append(here.VolumeGroups, here.VolumeGroups[0]) }},
		{name: "serial number of two disks", wishes: FSWishes{Mount: "/boot", Onto: "serial:SPARE"}, want: "more than one", kind: fail.Refused, spoil: func(_, here *machine.Machine) {
			e := sdb(4 << 30)
			e.Name, e.Path = "sdc", "/dev/sdc"
			here.Disks = append(here.Disks, sdb(4<<30), e)
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			m, here := machinetest.UEFILVM(), rescued(machinetest.UEFILVM(), nil)
			if tt.spoil != nil {
				tt.spoil(&m, &here)
			}
			got, _, _, err := FileSystem(m, here, tt.wishes)
			if err == nil || !strings.Contains(err.Error(), tt.want) || fail.KindOf(err) != tt.kind {
				t.Fatalf("got %v (kind %s), want %q (kind %s); placed on %+v", err, fail.KindOf(err).Name(), tt.want, tt.kind.Name(), got.FileSystems)
			}
		})
	}
}

func TestExtendedPartitionTakesNoFileSystem(t *testing.T) {
	m := machinetest.BIOSMBRLogical()
	_, _, _, err := FileSystem(m, rescued(machinetest.BIOSMBRLogical(), nil), FSWishes{Mount: "/home", Onto: "/dev/sda2"})
	if fail.KindOf(err) != fail.Refused || err == nil || !strings.Contains(err.Error(), "extended") {
		t.Fatalf("got %v", err)
	}
}

// A disk without table is known by its serial number, or by the file system on it.
func TestWholeDiskIsFoundByWhatItIs(t *testing.T) {
	m := machinetest.WholeDiskExt4()
	if m.Disks[0].Serial != "" {
		t.Fatal("the named machine's disk is to have no serial number")
	}
	here := rescued(machinetest.WholeDiskExt4(), map[string]string{"vda": "vdq"})
	got, _, choices, err := FileSystem(m, here, FSWishes{Mount: "/"})
	if err != nil || got.FileSystems[0].On != "disk:vdq" || !strings.Contains(choices[0].Why, "UUID") {
		t.Fatalf("%v, %+v, %v", err, got.FileSystems, choices)
	}
	here.FileSystems[0].UUID = "another"
	if _, _, _, err := FileSystem(m, here, FSWishes{Mount: "/"}); fail.KindOf(err) != fail.Refused || err == nil {
		t.Errorf("a disk that nothing tells by was taken: %v", err)
	}
	m.Disks[0].Serial, here.Disks[0].Serial = "S1", "S1"
	got, _, choices, err = FileSystem(m, here, FSWishes{Mount: "/"})
	if err != nil || got.FileSystems[0].On != "disk:vdq" || !strings.Contains(choices[0].Why, "identity") {
		t.Fatalf("%v, %+v, %v", err, got.FileSystems, choices)
	}
}

// Beside the original, a copy gets a UUID of its own: two file systems of one
// UUID are mixed up, and btrfs destroys both.
func TestCopyBesideTheOriginalHasItsOwnUUID(t *testing.T) {
	for _, kind := range []string{"/home", "/boot/efi"} {
		m, here := machinetest.UEFILVM(), rescued(machinetest.UEFILVM(), nil)
		here.Disks = append(here.Disks, machine.Disk{Name: "sdb", Path: "/dev/sdb", Size: 8 << 30, LogicalSector: 512, Serial: "N"})
		was := m.FileSystemOn(m.MountAt(kind).On).UUID
		var uuids []string
		for range 2 {
			got, _, choices, err := FileSystem(m, here, FSWishes{Mount: kind, Onto: "/dev/sdb"})
			if err != nil {
				t.Fatal(err)
			}
			fs := got.FileSystems[0]
			uuids = append(uuids, fs.UUID)
			if fs.UUID == was || len(fs.UUID) != len(was) || strings.Count(fs.UUID, "-") != strings.Count(was, "-") {
				t.Errorf("UUID %s, recorded %s", fs.UUID, was)
			}
			said := false
			for _, c := range choices {
				said = said || c.Chosen == fs.UUID && strings.Contains(c.Why, "/etc/fstab")
			}
			if !said {
				t.Errorf("nothing says that the UUID is another: %v", choices)
			}
		}
		if uuids[0] != uuids[1] {
			t.Error("an interrupted restore would not know its file system again")
		}
		here.FileSystems = nil // the original is gone
		got, _, _, err := FileSystem(m, here, FSWishes{Mount: kind, Onto: "/dev/sdb"})
		if err != nil || got.FileSystems[0].UUID != was {
			t.Errorf("%v: without the original the UUID is %s, recorded %s", err, got.FileSystems[0].UUID, was)
		}
	}
}

func TestAnotherSize(t *testing.T) {
	m, here := machinetest.UEFILVM(), rescued(machinetest.UEFILVM(), nil)
	here.Disks = append(here.Disks, machine.Disk{Name: "sdb", Path: "/dev/sdb", Size: 1 << 30, LogicalSector: 4096, Serial: "N"})
	got, _, _, err := FileSystem(m, here, FSWishes{Mount: "/boot", Onto: "serial:N"})
	if err != nil {
		t.Fatal(err)
	}
	was, fs := m.FileSystemOn(m.MountAt("/boot").On), got.FileSystems[0]
	if fs.Size != 1<<30 || was.Inodes > 0 && fs.Inodes <= was.Inodes || fs.BlockSize < 4096 {
		t.Errorf("on twice the space: %+v", fs)
	}
	if m.FileSystems[0].Options["fat_bits"] == "" {
		t.Fatal("the named machine's ESP is to have a width")
	}
	if _, _, _, err := FileSystem(m, here, FSWishes{Mount: "/boot/efi", Onto: "serial:N"}); err != nil || m.FileSystems[0].Options["fat_bits"] == "" {
		t.Errorf("the recorded machine was changed: %v", err)
	}
}
