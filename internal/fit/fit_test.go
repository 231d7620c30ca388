package fit

import (
	"fmt"
	"strings"
	"testing"

	"github.com/mkcdrec/mkcdrec/internal/fail"
	"github.com/mkcdrec/mkcdrec/internal/machine"
	"github.com/mkcdrec/mkcdrec/internal/machine/machinetest"
	"github.com/mkcdrec/mkcdrec/internal/plan"
	"pgregory.net/rapid"
)

// blank is a machine with empty disks.
func blank(disks ...machine.Disk) machine.Machine {
	for i := range disks {
		disks[i].Path = "/dev/" + disks[i].Name
		if disks[i].LogicalSector == 0 {
			disks[i].LogicalSector = 512
		}
	}
	return machine.Machine{Version: machine.Version, Disks: disks}
}

// plannable says whether a plan can be made of what was fitted: that everything
// lies on something, and fits there.
func plannable(fitted machine.Machine) error {
	_, err := plan.Restore(fitted, nil, fitted, plan.Info{})
	return err
}

func TestEveryNamedMachineFitsItsOwnDisks(t *testing.T) {
	for _, name := range machinetest.Names() {
		t.Run(name, func(t *testing.T) {
			m := machinetest.Get(name)
			got, choices, err := Onto(m, m, Wishes{})
			if err != nil {
				t.Fatal(err)
			}
			if err := plannable(got); err != nil {
				t.Fatal(err)
			}
			if len(choices) == 0 {
				t.Fatal("no choice is explained")
			}
			for _, d := range got.Disks {
				was := m.Disk(d.Name)
				if was.Table == nil {
					continue
				}
				for i, p := range d.Table.Partitions {
					was.Table.Partitions[i].Holds = "" // it will be empty
					if p != was.Table.Partitions[i] {
						t.Errorf("partition changed on the same disk:\n got %+v\nwant %+v", p, was.Table.Partitions[i])
					}
				}
			}
		})
	}
}

func TestLargerDiskUnderAnotherName(t *testing.T) {
	m := machinetest.UEFILVM()
	was := m.Disks[0]
	here := blank(machine.Disk{Name: "nvme0n1", Size: was.Size * 2, Serial: "new"})
	got, _, err := Onto(m, here, Wishes{})
	if err != nil {
		t.Fatal(err)
	}
	if err := plannable(got); err != nil {
		t.Fatal(err)
	}
	parts := got.Disks[0].Table.Partitions
	last := parts[len(parts)-1]
	if want := machine.PartRef("nvme0n1", last.Number); got.VolumeGroups[0].Physical[0].On != want {
		t.Errorf("physical volume on %s, want %s", got.VolumeGroups[0].Physical[0].On, want)
	}
	if last.Path != "/dev/nvme0n1p3" {
		t.Errorf("partition is called %s", last.Path)
	}
	if grew := got.Disks[0].Bytes(last.Size) - was.Bytes(was.Table.Partitions[len(parts)-1].Size); grew < was.Size-2*mib {
		t.Errorf("last partition grew by %s only", plan.Size(grew))
	}
	for i, lv := range got.VolumeGroups[0].Logical {
		if lv.Size != m.VolumeGroups[0].Logical[i].Size {
			t.Errorf("volume %s changed its size though that was not wished", lv.Name)
		}
	}
	if strings.Contains(string(got.Mounts[len(got.Mounts)-1].On), "vda") {
		t.Errorf("mount still names the old disk: %s", got.Mounts[len(got.Mounts)-1].On)
	}
	grown, _, err := Onto(m, here, Wishes{GrowLargest: true})
	if err != nil {
		t.Fatal(err)
	}
	var before, after machine.Bytes
	for i, lv := range grown.VolumeGroups[0].Logical {
		before += m.VolumeGroups[0].Logical[i].Size
		after += lv.Size
	}
	if after < before+was.Size-64*mib {
		t.Errorf("the largest volume did not get the space: %s before, %s after", plan.Size(before), plan.Size(after))
	}
	if err := plannable(grown); err != nil {
		t.Fatal(err)
	}
}

func TestGuards(t *testing.T) {
	m := machinetest.UEFIPlain()
	d := m.Disks[0]
	size := d.Size
	same := func(name, serial string) machine.Disk { return machine.Disk{Name: name, Size: size, Serial: serial} }
	tests := []struct {
		name   string
		here   machine.Machine
		wishes Wishes
		want   string // part of the error; "" for the disk in chosen
		chosen string
		kind   fail.Kind
	}{
		{name: "no disk", here: blank(), want: "more disk(s) than can be used", kind: fail.Refused},
		{name: "only the medium", here: blank(same("sda", d.Serial)), wishes: Wishes{Protected: []string{"sda"}}, want: "more disk(s)", kind: fail.Refused},
		{name: "medium named", here: blank(same("sda", d.Serial)), wishes: Wishes{Disks: []string{"sda"}, Protected: []string{"sda"}}, want: "never overwritten", kind: fail.Refused},
		{name: "medium mapped", here: blank(same("sda", d.Serial)), wishes: Wishes{Map: map[string]string{d.Name: "sda"}, Protected: []string{"sda"}}, want: "never overwritten", kind: fail.Refused},
		{name: "two alike", here: blank(same("sda", "A"), same("sdb", "B")), want: "candidates: sda", kind: fail.Refused},
		{name: "two with the serial", here: blank(same("sda", d.Serial), same("sdb", d.Serial)), want: "same serial number", kind: fail.Refused},
		{name: "wish names two", here: blank(same("sda", "A"), same("sdb", "A")), wishes: Wishes{Disks: []string{"serial:A"}}, want: "more than one disk", kind: fail.Refused},
		{name: "wish names none", here: blank(same("sda", "A")), wishes: Wishes{Disks: []string{"serial:B"}}, want: "no disk here", kind: fail.Refused},
		{name: "only, but two", here: blank(same("sda", d.Serial), same("sdb", "B")), wishes: Wishes{Only: true}, want: "the only disk", kind: fail.Refused},
		{name: "unknown recorded name", here: blank(same("sda", "A")), wishes: Wishes{Map: map[string]string{"hdx": "sda"}}, want: "no disk of that name", kind: fail.Usage},
		{name: "read-only", here: blank(machine.Disk{Name: "sda", Size: size, ReadOnly: true}), want: "more disk(s)", kind: fail.Refused},
		{name: "stick is not chosen", here: blank(machine.Disk{Name: "sda", Size: size, Removable: true}), want: "more disk(s)", kind: fail.Refused},
		{name: "too small", here: blank(machine.Disk{Name: "sda", Size: 700 * mib, Serial: "A"}), want: "too small", kind: fail.Refused},
		{name: "serial beats size", here: blank(same("sda", "B"), machine.Disk{Name: "sdb", Size: size * 2, Serial: d.Serial}), chosen: "sdb"},
		{name: "size decides", here: blank(same("sda", "B"), machine.Disk{Name: "sdb", Size: size * 2, Serial: "C"}), chosen: "sda"},
		{name: "mapped", here: blank(same("sda", d.Serial), same("sdb", "B")), wishes: Wishes{Map: map[string]string{d.Name: "sdb"}}, chosen: "sdb"},
		{name: "named", here: blank(same("sda", "A"), same("sdb", "B")), wishes: Wishes{Disks: []string{"serial:B"}}, chosen: "sdb"},
		{name: "medium aside", here: blank(same("sda", "A"), same("sdb", "B")), wishes: Wishes{Protected: []string{"sda"}}, chosen: "sdb"},
		{name: "the only one, larger", here: blank(machine.Disk{Name: "sda", Size: size * 3}), wishes: Wishes{Only: true}, chosen: "sda"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, _, err := Onto(m, tt.here, tt.wishes)
			if tt.want == "" {
				if err != nil {
					t.Fatal(err)
				}
				if got.Disks[0].Name != tt.chosen {
					t.Fatalf("chose %s, want %s", got.Disks[0].Name, tt.chosen)
				}
				return
			}
			if err == nil || !strings.Contains(err.Error(), tt.want) || fail.KindOf(err) != tt.kind {
				t.Fatalf("got %v (kind %s), want %q (kind %s)", err, fail.KindOf(err).Name(), tt.want, tt.kind.Name())
			}
		})
	}
}

// Two new disks for the two of a mirror: which is which does not matter. With
// one more, or of another size, it does.
func TestAlikeDisksForAlikeDisks(t *testing.T) {
	m := machinetest.RAID1LVM()
	disk := func(name string, size machine.Bytes) machine.Disk {
		return machine.Disk{Name: name, Size: size, Serial: name, Rotational: true, LogicalSector: 512}
	}
	size := m.Disks[0].Size
	fitted, choices, err := Onto(m, blank(disk("vdb", size), disk("vdc", size)), Wishes{})
	if err != nil {
		t.Fatal(err)
	}
	if fitted.Disks[0].Name != "vdb" || fitted.Disks[1].Name != "vdc" || !strings.Contains(fmt.Sprint(choices), "one of the 2 disks") {
		t.Errorf("%s, %s: %v", fitted.Disks[0].Name, fitted.Disks[1].Name, choices)
	}
	if fitted.Arrays[0].Offset != m.Arrays[0].Offset || fitted.Arrays[0].Size != m.Arrays[0].Size {
		t.Errorf("the array changed on disks of the same size: %+v", fitted.Arrays[0])
	}
	for name, here := range map[string]machine.Machine{
		"one more":      blank(disk("vdb", size), disk("vdc", size), disk("vdd", size)),
		"another size":  blank(disk("vdb", 2*size), disk("vdc", 2*size)),
		"not both same": blank(disk("vdb", 2*size), disk("vdc", 3*size)),
	} {
		if _, _, err := Onto(m, here, Wishes{}); fail.KindOf(err) != fail.Refused {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// Where the data begins went by the size of the members.
func TestOffsetOfAnArrayOnOtherDisks(t *testing.T) {
	m := machinetest.RAID1LVM()
	for i := range m.Arrays {
		m.Arrays[i].Offset = mib
		m.Arrays[i].Component -= 8 * mib
		m.Arrays[i].Size -= 8 * mib
	}
	m.Arrays[2].Component, m.Arrays[2].Size = machinetest.RAID1LVM().Arrays[2].Component, machinetest.RAID1LVM().Arrays[2].Size
	here := blank(m.Disks[0], m.Disks[1])
	for i := range here.Disks {
		here.Disks[i].Size *= 2
		here.Disks[i].Table = nil
	}
	fitted, _, err := Onto(m, here, Wishes{})
	if err != nil {
		t.Fatal(err)
	}
	if fitted.Arrays[0].Offset != mib || fitted.Arrays[2].Offset != 0 || fitted.Arrays[2].Size <= m.Arrays[2].Size {
		t.Errorf("offsets %d and %d, size %d", fitted.Arrays[0].Offset, fitted.Arrays[2].Offset, fitted.Arrays[2].Size)
	}
}

func TestRecordedDataDiskIsLeftAlone(t *testing.T) {
	m := machinetest.UEFIPlain()
	m.Disks = append(m.Disks, machine.Disk{Name: "vdz", Size: m.Disks[0].Size, Serial: "DATA", LogicalSector: 512, Signatures: []string{"ext4"}})
	here := blank(machine.Disk{Name: "vda", Size: m.Disks[0].Size, Serial: "DATA"}, machine.Disk{Name: "vdb", Size: 2 * m.Disks[0].Size, Serial: "NEW"})
	got, _, err := Onto(m, here, Wishes{})
	if err != nil {
		t.Fatal(err)
	}
	if len(got.Disks) != 1 || got.Disks[0].Name != "vdb" {
		t.Fatalf("chose %+v, want vdb: vda is the recorded data disk", got.Disks)
	}
}

func TestSectorSizeChanges(t *testing.T) {
	m := machinetest.UEFIPlain()
	got, _, err := Onto(m, blank(machine.Disk{Name: "nvme0n1", Size: m.Disks[0].Size + 64*mib, LogicalSector: 4096}), Wishes{})
	if err != nil {
		t.Fatal(err)
	}
	if err := plannable(got); err != nil {
		t.Fatal(err)
	}
	for i, p := range got.Disks[0].Table.Partitions {
		was := m.Disks[0].Table.Partitions[i]
		if got, want := machine.Bytes(p.Size)*4096, machine.Bytes(was.Size)*512; got < want {
			t.Errorf("partition %d has %d bytes, had %d", p.Number, got, want)
		}
		if machine.Bytes(p.Start)*4096%align != 0 {
			t.Errorf("partition %d begins at sector %d, not aligned", p.Number, p.Start)
		}
	}
}

func TestMBRBeyond2TiB(t *testing.T) {
	m := machinetest.BIOSMBRLogical()
	got, choices, err := Onto(m, blank(machine.Disk{Name: "sda", Size: 3 << 40}), Wishes{})
	if err != nil {
		t.Fatal(err)
	}
	if err := plannable(got); err != nil {
		t.Fatal(err)
	}
	for _, p := range got.Disks[0].Table.Partitions {
		if p.Start+p.Size > maxMBR {
			t.Errorf("partition %d ends at %d", p.Number, p.Start+p.Size)
		}
	}
	said := false
	for _, c := range choices {
		said = said || strings.Contains(c.Why, "MBR")
	}
	if !said {
		t.Error("nothing says that the disk is not used whole")
	}
}

// TestSmallestDisk looks for the smallest disk that is accepted: everything
// must hold what was used and some more, and the size that a refusal names
// must be accepted.
func TestSmallestDisk(t *testing.T) {
	for _, name := range []string{"uefi-plain", "bios-mbr-logical", "uefi-lvm", "btrfs-subvols", "nvme-4k", "whole-disk-ext4", "raid1-lvm", "luks-lvm", "lvm-thin"} {
		t.Run(name, func(t *testing.T) {
			m := machinetest.Get(name)
			onto := func(size machine.Bytes) (machine.Machine, error) {
				var disks []machine.Disk
				w := Wishes{Map: map[string]string{}}
				for i, d := range m.Disks {
					n := machine.Disk{Name: "sd" + string(rune('a'+i)), Size: size, LogicalSector: d.LogicalSector}
					disks, w.Map[d.Name] = append(disks, n), n.Name
				}
				got, _, err := Onto(m, blank(disks...), w)
				return got, err
			}
			bad, good := 64*mib, m.Disks[0].Size
			_, err := onto(bad)
			if err == nil {
				t.Fatalf("a disk of %s is accepted", plan.Size(bad))
			}
			for good-bad > mib {
				middle := (bad + good) / 2 / mib * mib
				if _, err := onto(middle); err != nil {
					bad = middle
				} else {
					good = middle
				}
			}
			got, err := onto(good)
			if err != nil {
				t.Fatal(err)
			}
			t.Logf("recorded on %s, fits %s", plan.Size(m.Disks[0].Size), plan.Size(good))
			if good > m.Disks[0].Size*9/10 {
				t.Errorf("hardly shrinks: needs %s of %s", plan.Size(good), plan.Size(m.Disks[0].Size))
			}
			for _, fs := range got.FileSystems {
				if len(got.MountsOn(fs.On)) > 0 && fs.Size < fs.Used*111/100 {
					t.Errorf("%s has %s for %s", fs.On, plan.Size(fs.Size), plan.Size(fs.Used))
				}
			}
			_, err = onto(bad)
			var least int64
			if _, serr := fmt.Sscanf(fail.HintOf(err), "use a disk of at least %d bytes", &least); serr != nil {
				t.Fatalf("no size in the hint of %v: %q", err, fail.HintOf(err))
			}
			if _, err := onto(machine.Bytes(least)); err != nil {
				t.Errorf("the hint says %s, and that is refused: %v", plan.Size(machine.Bytes(least)), err)
			}
			if slack := machine.Bytes(least) - good; slack > 8*mib {
				t.Errorf("the hint asks for %s more than is needed", plan.Size(slack))
			}
		})
	}
}

// TestAnySizeHoldsTheData is the promise of fit: whatever the disks' sizes,
// either the layout is valid and every file system holds what was used, or the
// disk is refused as too small.
func TestAnySizeHoldsTheData(t *testing.T) {
	names := machinetest.Names()
	shrunk := 0
	rapid.Check(t, func(t *rapid.T) {
		m := machinetest.Get(rapid.SampledFrom(names).Draw(t, "machine"))
		for i := range m.FileSystems {
			if fs := &m.FileSystems[i]; len(fs.Devices) > 0 {
				for _, key := range []string{machine.DataProfile, machine.MetadataProfile} {
					fs.Options[key] = rapid.SampledFrom([]string{"single", "raid0", "raid1", "raid5", "dup"}).Draw(t, key)
				}
				fs.Used = machine.Bytes(rapid.Int64Range(0, int64(machine.Capacity(fs.Options[machine.DataProfile], fs.Sizes())*3/4)).Draw(t, "used"))
			}
		}
		here := blank()
		w := Wishes{Map: map[string]string{}, GrowLargest: rapid.Bool().Draw(t, "grow")}
		for i, d := range m.Disks {
			least, most := d.Size/4, d.Size*3
			if rapid.Bool().Draw(t, "smaller") { // often enough where it is hard
				least, most = d.Size/2, d.Size
			}
			size := machine.Bytes(rapid.Int64Range(int64(least), int64(most)).Draw(t, "size")) / 4096 * 4096
			n := machine.Disk{Name: "sd" + string(rune('a'+i)), Size: size, LogicalSector: d.LogicalSector}
			if d.Table != nil && d.LogicalSector == 512 {
				n.LogicalSector = machine.Bytes(rapid.SampledFrom([]int{512, 4096}).Draw(t, "sector"))
			}
			n.Path = "/dev/" + n.Name
			here.Disks = append(here.Disks, n)
			w.Disks = append(w.Disks, n.Name)
		}
		got, _, err := Onto(m, here, w)
		for i, d := range m.Disks {
			if got.Disk(here.Disks[i].Name) != nil || err != nil {
				w.Map[d.Name] = here.Disks[i].Name
			}
		}
		got, _, err = Onto(m, here, w)
		if err != nil {
			if fail.KindOf(err) != fail.Refused && fail.KindOf(err) != fail.Usage {
				t.Fatalf("kind %s: %v", fail.KindOf(err).Name(), err)
			}
			return
		}
		if err := plannable(got); err != nil {
			t.Fatal(err)
		}
		for _, fs := range got.FileSystems {
			if held := machine.Capacity(fs.Options[machine.DataProfile], fs.Sizes()); len(got.MountsOn(fs.On)) > 0 && held < fs.Used+fs.Used/20 {
				t.Fatalf("%s holds %d bytes for %d used", fs.On, held, fs.Used)
			}
		}
		if err := legsFit(&got); err != nil {
			t.Fatal(err)
		}
		if err := poolsHold(&got); err != nil {
			t.Fatal(err)
		}
		for i, d := range got.Disks {
			if d.Size < m.Disks[i].Size {
				shrunk++
			}
		}
	})
	if shrunk == 0 {
		t.Fatal("no layout was ever shrunk: the test checks nothing")
	}
}

// What a recorded partition held that the backup has nothing of is said, and
// so is what one here holds that will be overwritten.
func TestPartitionThatHeldSomethingElse(t *testing.T) {
	m := machinetest.UEFIPlain()
	p := &m.Disks[0].Table.Partitions[2]
	m.Swaps, p.Holds = nil, "ntfs"
	got, choices, err := Onto(m, m, Wishes{})
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(fmt.Sprint(choices), "{partition 3 of vda made empty it held ntfs, of which the backup has nothing}") {
		t.Errorf("not said: %v", choices)
	}
	if got.Disks[0].Table.Partitions[2].Holds != "" {
		t.Error("the plan says that it will hold it again")
	}
	pl, err := plan.Restore(got, choices, m, plan.Info{})
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(fmt.Sprint(pl.Erases[0].Holds), "part 3: ntfs") {
		t.Errorf("what is overwritten: %v", pl.Erases[0].Holds)
	}
}
