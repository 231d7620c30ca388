package fit

import (
	"strings"
	"testing"

	"github.com/mkcdrec/mkcdrec/internal/fail"
	"github.com/mkcdrec/mkcdrec/internal/machine"
	"github.com/mkcdrec/mkcdrec/internal/machine/machinetest"
)

// pair are two blank disks of these sizes.
func pair(first, second machine.Bytes) machine.Machine {
	return blank(machine.Disk{Name: "sdx", Size: first}, machine.Disk{Name: "sdy", Size: second})
}

var ontoPair = Wishes{Map: map[string]string{"vda": "sdx", "vdb": "sdy"}}

func TestBtrfsOverTwoSmallerDisks(t *testing.T) {
	const gib = machinetest.GiB
	for _, c := range []struct {
		profile       string
		used          machine.Bytes
		first, second machine.Bytes
		refused       bool
	}{
		{"raid1", 2 * gib, 4 * gib, 4 * gib, false},
		{"raid1", 2 * gib, 2 * gib, 4 * gib, true},   // each holds all of it
		{"single", 4 * gib, 4 * gib, 4 * gib, false}, // together they hold it
		{"raid1", 4 * gib, 4 * gib, 4 * gib, true},
		{"raid0", 4 * gib, 4 * gib, 16 * gib, false},
	} {
		m := machinetest.BtrfsTwo()
		fs := m.FileSystemOn(machine.PartRef("vda", 2))
		fs.Used, fs.Options[machine.DataProfile] = c.used, c.profile
		got, choices, err := Onto(m, pair(c.first, c.second), ontoPair)
		if c.refused {
			if fail.KindOf(err) != fail.Refused {
				t.Errorf("%+v: not refused: %v", c, err)
			}
			continue
		}
		if err != nil {
			t.Errorf("%+v: %v", c, err)
			continue
		}
		if err := plannable(got); err != nil {
			t.Errorf("%+v: %v", c, err)
		}
		is := got.FileSystemOn(machine.PartRef("sdx", 2))
		if is == nil || len(is.Devices) != 2 || is.Devices[1].On != machine.PartRef("sdy", 1) || is.Size != is.Devices[0].Size+is.Devices[1].Size {
			t.Errorf("%+v: %+v\n%v", c, is, choices)
			continue
		}
		for _, d := range is.Devices {
			if dev, _ := got.Resolve(d.On); dev.Size != d.Size {
				t.Errorf("%+v: %s has %d of %d bytes", c, d.On, d.Size, dev.Size)
			}
		}
	}
}

// One disk of a file system alone is never enough for the plan.
func TestAllDisksOfABtrfsAreNeeded(t *testing.T) {
	m := machinetest.BtrfsTwo()
	_, _, err := Onto(m, blank(machine.Disk{Name: "sdx", Size: 64 * machinetest.GiB}), Wishes{})
	if fail.KindOf(err) != fail.Refused || !strings.Contains(err.Error(), "more disk(s)") {
		t.Errorf("onto one disk: %v", err)
	}
	// Matched by serial number, whatever the disks are called here.
	here := blank(machine.Disk{Name: "sdx", Size: 8 * machinetest.GiB, Serial: "MKC-PAIR2"}, machine.Disk{Name: "sdy", Size: 8 * machinetest.GiB, Serial: "MKC-PAIR1"})
	got, _, err := Onto(m, here, Wishes{})
	if err != nil {
		t.Fatal(err)
	}
	if fs := got.FileSystemOn(machine.PartRef("sdy", 2)); fs == nil || fs.Devices[1].On != machine.PartRef("sdx", 1) {
		t.Errorf("laid out as %+v", got.FileSystems)
	}
}

func TestBtrfsThatLackedADevice(t *testing.T) {
	m := machinetest.BtrfsTwo()
	fs := m.FileSystemOn(machine.PartRef("vda", 2))
	fs.Devices, fs.Missing = fs.Devices[:1], 1
	got, choices, err := Onto(m, m, Wishes{})
	if err != nil {
		t.Fatal(err)
	}
	is := got.FileSystemOn(machine.PartRef("vda", 2))
	if is.Devices != nil || is.Missing != 0 || is.Options[machine.DataProfile] != "single" || is.Options[machine.MetadataProfile] != "dup" || is.Size != 7934*mib {
		t.Errorf("made as %+v", is)
	}
	said := false
	for _, c := range choices {
		said = said || strings.Contains(c.Chosen, "single instead of raid1") && strings.Contains(c.Why, "-dconvert=raid1")
	}
	if !said {
		t.Errorf("not said: %v", choices)
	}
	if err := plannable(got); err != nil {
		t.Error(err)
	}

	// Three of four still hold a raid1c3, and two of three a raid1.
	for _, c := range []struct {
		profile string
		n       int
		want    string
	}{{"raid1c4", 3, "raid1c3"}, {"raid1c3", 2, "raid1"}, {"raid10", 3, "raid1"}, {"raid6", 2, "raid5"}, {"raid1", 2, "raid1"}, {"raid0", 1, "single"}, {"dup", 1, "dup"}} {
		fs := machine.FileSystem{Options: map[string]string{machine.DataProfile: c.profile}}
		if lowered(&fs, c.n); fs.Options[machine.DataProfile] != c.want {
			t.Errorf("%s on %d devices becomes %s, want %s", c.profile, c.n, fs.Options[machine.DataProfile], c.want)
		}
	}
}

func TestWishesForABtrfsOverTwo(t *testing.T) {
	m := machinetest.BtrfsTwo()
	for _, w := range []Wishes{
		{Sizes: map[string]machine.Bytes{"/home": 4 * machinetest.GiB}}, {Kinds: map[string]machine.FSKind{"/home": "xfs"}}, {Drop: []string{"/home"}},
	} {
		if err := w.Check(m); fail.KindOf(err) != fail.Refused {
			t.Errorf("%+v: %v", w, err)
		}
	}
	// A data file system of its own goes as a whole, with all of its devices.
	m = machinetest.BtrfsTwo()
	d := m.Disks[1]
	d.Name, d.Path, d.Serial = "vdc", "/dev/vdc", "MKC-PAIR3"
	table := *d.Table
	table.ID, table.Partitions = "cccccccc-1111-4111-8111-aaaaaaaa0200", []machine.Partition{d.Table.Partitions[0], d.Table.Partitions[0]}
	for i := range 2 {
		p := &table.Partitions[i]
		p.Number, p.Start, p.Size, p.UUID = i+1, machine.Sectors(2048+i*2097152), 2097152, strings.Replace("cccccccc-1111-4111-8111-aaaaaaaa020N", "N", string(rune('1'+i)), 1)
	}
	d.Table = &table
	m.Disks = append(m.Disks, d)
	m.FileSystems = append(m.FileSystems, machine.FileSystem{On: machine.PartRef("vdc", 1), Kind: "btrfs", UUID: "cccccccc-aaaa-4aaa-8aaa-aaaaaaaaaa02", Size: 2 << 30,
		Options: map[string]string{}, Devices: []machine.FSDevice{{On: machine.PartRef("vdc", 1), ID: 1, Size: 1 << 30}, {On: machine.PartRef("vdc", 2), ID: 3, Size: 1 << 30}}})
	m.Mounts = append(m.Mounts, machine.Mount{On: machine.PartRef("vdc", 1), Target: "/data", Options: "rw"})
	if err := m.Validate(); err != nil {
		t.Fatal(err)
	}
	got, _, err := Onto(m, m, Wishes{Drop: []string{"/data"}})
	if err != nil {
		t.Fatal(err)
	}
	if got.Disk("vdc") != nil || len(got.FileSystems) != 2 {
		t.Errorf("something of /data is left: %+v", got.FileSystems)
	}
}

func TestOneDeviceOfSeveralIsNotMadeAnew(t *testing.T) {
	m, here := machinetest.BtrfsTwo(), machinetest.BtrfsTwo()
	for _, onto := range []string{"vda2", "vdb1"} {
		_, _, _, err := FileSystem(m, here, FSWishes{Mount: "/home", Onto: onto})
		if fail.KindOf(err) != fail.Refused || !strings.Contains(err.Error(), "one of the devices") {
			t.Errorf("%s: %v", onto, err)
		}
	}
	// A device of its own takes it as one on a single device.
	here.Disks = append(here.Disks, blank(machine.Disk{Name: "vdz", Size: 20 * machinetest.GiB}).Disks...)
	got, scope, choices, err := FileSystem(m, here, FSWishes{Mount: "/home", Onto: "vdz"})
	if err != nil {
		t.Fatal(err)
	}
	if fs := got.FileSystems[0]; fs.Devices != nil || fs.Options[machine.DataProfile] != "single" || len(scope.Mounts) != 4 || fs.Size != 20*machinetest.GiB {
		t.Errorf("placed as %+v, %v", fs, choices)
	}
}
