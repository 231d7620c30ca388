package machinetest

import (
	"bytes"
	"reflect"
	"strings"
	"testing"

	"github.com/mkcdrec/mkcdrec/internal/fail"
	"github.com/mkcdrec/mkcdrec/internal/machine"
)

func TestNamedMachines(t *testing.T) {
	for _, name := range Names() {
		t.Run(name, func(t *testing.T) {
			m := Get(name)
			if err := m.Validate(); err != nil {
				t.Fatal(err)
			}
			b, err := m.Layout()
			if err != nil {
				t.Fatal(err)
			}
			back, err := machine.ReadLayout(b)
			if err != nil {
				t.Fatal(err)
			}
			if !reflect.DeepEqual(*back, m) {
				t.Errorf("the JSON form loses something:\n%+v\n%+v", *back, m)
			}
		})
	}
}

// TestValidate breaks one thing at a time; each must be named.
func TestValidate(t *testing.T) {
	for _, c := range []struct {
		machine string
		spoil   func(*machine.Machine)
		want    string
	}{
		{"uefi-plain", func(m *machine.Machine) { m.Version = 0 }, "version 0"},
		{"uefi-plain", func(m *machine.Machine) { m.Firmware.Kind = "" }, `firmware ""`},
		{"uefi-plain", func(m *machine.Machine) { m.Disks = append(m.Disks, m.Disks[0]) }, "disk vda occurs twice"},
		{"uefi-plain", func(m *machine.Machine) { m.Disks[0].LogicalSector = 0 }, "sectors of 0"},
		{"uefi-plain", func(m *machine.Machine) { m.Disks[0].Table.Partitions[1].Start-- }, "part:vda/1 and part:vda/2 overlap"},
		{"uefi-plain", func(m *machine.Machine) { m.Disks[0].Table.Partitions[2].Size = 1 << 62 }, "part:vda/3: sectors"},
		{"uefi-plain", func(m *machine.Machine) { m.Disks[0].Table.Partitions[2].Number = 2 }, "partition 2 twice"},
		{"uefi-plain", func(m *machine.Machine) {
			m.Disks[0].Table.Partitions[1].UUID = m.Disks[0].Table.Partitions[0].UUID
		}, "have the same UUID"},
		{"uefi-plain", func(m *machine.Machine) { m.FileSystems[1].On = "part:vda/9" }, "no partition 9"},
		{"uefi-plain", func(m *machine.Machine) { m.FileSystems[1].Size = 1 << 50 }, "its device"},
		{"uefi-plain", func(m *machine.Machine) { m.FileSystems[1].UUID = m.Swaps[0].UUID }, "have the same UUID"},
		{"uefi-plain", func(m *machine.Machine) { m.Swaps[0].On = m.FileSystems[1].On }, "holds a file system and swap"},
		{"uefi-plain", func(m *machine.Machine) { m.Mounts = m.Mounts[1:] }, "no file system is recorded for /"},
		{"uefi-plain", func(m *machine.Machine) { m.Mounts[0], m.Mounts[1] = m.Mounts[1], m.Mounts[0] }, "which is below it"},
		{"uefi-plain", func(m *machine.Machine) { m.Mounts[1].Target = "/../etc" }, "not an absolute, clean path"},
		{"uefi-plain", func(m *machine.Machine) { m.Mounts[1].On = "disk:vda" }, "no file system is recorded on disk:vda"},
		{"bios-mbr-logical", func(m *machine.Machine) { m.Disks[0].Table.Partitions[1].Type = "83" }, "outside of an extended one"},
		{"bios-mbr-logical", func(m *machine.Machine) { m.FileSystems[1].On = "part:sda/2" }, "extended partition and holds"},
		{"bios-mbr-logical", func(m *machine.Machine) { m.BootLoader.Disks[0] = "disk:sdz" }, "the boot loader: disk:sdz"},
		{"bios-mbr-logical", func(m *machine.Machine) { m.Swaps[0].File = "/a/../../swap" }, "swap file"},
		{"uefi-lvm", func(m *machine.Machine) { m.VolumeGroups[0].Logical[0].Size *= 2 }, "the volumes of group vg0"},
		{"uefi-lvm", func(m *machine.Machine) { m.VolumeGroups[0].Logical[0].Kind = "thin" }, "lv:vg0/root is thin"},
		{"uefi-lvm", func(m *machine.Machine) { m.VolumeGroups[0].Physical[0].On = "part:vda/2" }, "holds a physical volume of vg0 and a file system"},
		{"two-disks", func(m *machine.Machine) { m.VolumeGroups[0].Logical[1].Stripes = 3 }, "striped over 3 of 2"},
		{"btrfs-subvols", func(m *machine.Machine) { m.Mounts[0].Subvolume = "@root" }, "no subvolume @root"},
		{"btrfs-subvols", func(m *machine.Machine) { m.FileSystems[1].Subvolumes[0].Path = "../@" }, "subvolume with the path"},
		{"whole-disk-ext4", func(m *machine.Machine) { m.Disks[0].Table = &machine.PartitionTable{Kind: machine.GPT} }, "and a partition table"},
	} {
		m := Get(c.machine)
		c.spoil(&m)
		if err := m.Validate(); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: got %v, want an error with %q", c.machine, err, c.want)
		}
	}
}

func TestReadLayoutRefuses(t *testing.T) {
	good := UEFIPlain()
	b, err := good.Layout()
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name  string
		bytes []byte
		kind  fail.Kind
	}{
		{"cut short", b[:len(b)/2], fail.Damaged},
		{"nothing", nil, fail.Damaged},
		{"newer", bytes.Replace(b, []byte(`"version": 1`), []byte(`"version": 2`), 1), fail.Unsupported},
		{"too large", append(bytes.Repeat([]byte(" "), machine.MaxLayout), b...), fail.Damaged},
		{"no root", bytes.Replace(b, []byte(`"target": "/"`), []byte(`"target": "/root"`), 1), fail.Damaged},
	} {
		if _, err := machine.ReadLayout(c.bytes); err == nil || fail.KindOf(err) != c.kind {
			t.Errorf("%s: got %v (%s), want kind %s", c.name, err, fail.KindOf(err).Name(), c.kind.Name())
		}
	}
}

func FuzzReadLayout(f *testing.F) {
	for _, name := range Names() {
		m := Get(name)
		b, err := m.Layout()
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		m, err := machine.ReadLayout(b)
		if err != nil {
			return
		}
		for _, fs := range m.FileSystems {
			if _, err := m.Resolve(fs.On); err != nil {
				t.Errorf("a valid machine has a file system on nothing: %v", err)
			}
			m.DisksUnder(fs.On)
		}
	})
}
