package fit

import (
	"cmp"
	"fmt"
	"slices"
	"testing"

	"github.com/mkcdrec/mkcdrec/internal/machine"
	"github.com/mkcdrec/mkcdrec/internal/machine/machinetest"
	"github.com/mkcdrec/mkcdrec/internal/plan"
	"pgregory.net/rapid"
)

// oddTable is a machine whose disk has a table with partitions of any
// alignment, with gaps and numbers that are neither in order nor without holes;
// / is on one of them.
func oddTable(t *rapid.T, sector machine.Bytes) machine.Machine {
	m := machinetest.UEFIPlain()
	d := &m.Disks[0]
	d.LogicalSector = sector
	kind := rapid.SampledFrom([]machine.TableKind{machine.GPT, machine.MBR}).Draw(t, "kind")
	d.Table = &machine.PartitionTable{Kind: kind, ID: "0x1"}
	typ, numbers := "83", rapid.Permutation([]int{1, 2, 3, 4}).Draw(t, "numbers")
	if kind == machine.GPT {
		typ, numbers = "0FC63DAF-8483-4772-8E79-3D69D8477DE4", rapid.Permutation([]int{1, 3, 7, 128}).Draw(t, "numbers")
		d.Table.ID, d.Table.FirstLBA = "11111111-1111-4111-8111-111111111100", machine.Sectors(40960/sector)
		d.Table.LastLBA = d.Sectors(d.Size) - machine.Sectors(16384/sector) - 2
		d.Table.Entries = rapid.SampledFrom([]int{0, 256}).Draw(t, "entries")
	}
	at := d.Sectors(mib)
	for i, n := range numbers {
		at += machine.Sectors(rapid.Int64Range(0, 5000).Draw(t, "gap"))
		size := machine.Sectors(rapid.Int64Range(1, 40_000).Draw(t, "size"))
		if i == 2 {
			size = d.Sectors(5 << 30)
		}
		d.Table.Partitions = append(d.Table.Partitions, machine.Partition{Number: n, Path: fmt.Sprint("/dev/vda", n), Start: at, Size: size, Type: typ,
			UUID: fmt.Sprintf("11111111-0000-4000-8000-%012d", n), Name: fmt.Sprint("p", n), Attrs: "GUID:60"})
		if at += size; kind == machine.MBR && i == 3 && rapid.Bool().Draw(t, "extended") {
			p := &d.Table.Partitions[i]
			p.Type, p.Size = "f", d.Sectors(200*mib)
			inside := p.Start
			for l := 5; l < 8; l++ {
				inside += machine.Sectors(rapid.Int64Range(63, 3000).Draw(t, "gap"))
				n := machine.Sectors(rapid.Int64Range(1, 9000).Draw(t, "size"))
				d.Table.Partitions = append(d.Table.Partitions, machine.Partition{Number: l, Path: fmt.Sprint("/dev/vda", l), Start: inside, Size: n, Type: typ})
				inside += n
			}
		}
	}
	root := machine.PartRef("vda", numbers[2])
	m.FileSystems, m.Swaps = m.FileSystems[1:2], nil
	m.FileSystems[0].On, m.FileSystems[0].Size = root, 5<<30
	m.Mounts = []machine.Mount{{On: root, Target: "/", Options: "rw"}}
	m.Firmware, m.BootLoader = machine.Firmware{Kind: machine.BIOS}, machine.BootLoader{Kind: machine.NoBootLoader}
	return m
}

// TestOtherSectors lays any table out on a larger disk of other sectors: each
// partition keeps number, type, identity and order, and has at least the room
// that it had.
func TestOtherSectors(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		was := machine.Bytes(rapid.SampledFrom([]int{512, 4096}).Draw(t, "sector"))
		is := 512 + 4096 - was
		m := oddTable(t, was)
		if err := m.Validate(); err != nil {
			t.Fatalf("the test's own machine: %v", err)
		}
		here := blank(machine.Disk{Name: "nvme0n1", Size: 2 * m.Disks[0].Size, LogicalSector: is})
		got, _, err := Onto(m, here, Wishes{})
		if err != nil {
			t.Fatal(err)
		}
		if err := plannable(got); err != nil {
			t.Fatal(err)
		}
		if err := got.Validate(); err != nil {
			t.Fatal(err)
		}
		before, after := m.Disks[0], got.Disks[0]
		if after.Table.Kind != before.Table.Kind || after.Table.ID != before.Table.ID || after.Table.Entries != before.Table.Entries {
			t.Fatalf("another table: %+v", after.Table)
		}
		order := func(d machine.Disk) (numbers []int) {
			parts := slices.Clone(d.Table.Partitions)
			slices.SortStableFunc(parts, func(a, b machine.Partition) int { return cmp.Compare(a.Start, b.Start) })
			for _, p := range parts {
				numbers = append(numbers, p.Number)
			}
			return numbers
		}
		if !slices.Equal(order(before), order(after)) {
			t.Fatalf("order %v, recorded %v", order(after), order(before))
		}
		for _, p := range before.Table.Partitions {
			q := after.Partition(p.Number)
			if q == nil || q.Type != p.Type || q.UUID != p.UUID || q.Name != p.Name || q.Attrs != p.Attrs {
				t.Fatalf("partition %d: %+v, recorded %+v", p.Number, q, p)
			}
			if after.Bytes(q.Size) < before.Bytes(p.Size) {
				t.Fatalf("partition %d has %d bytes, recorded %d", p.Number, after.Bytes(q.Size), before.Bytes(p.Size))
			}
		}
	})
}

// A hybrid MBR is kept on a disk of the same size, and left out with a word
// where the partitions may move.
func TestHybrid(t *testing.T) {
	m := machinetest.UEFIPlain()
	m.Disks[0].Table.Hybrid = "00"
	got, _, err := Onto(m, m, Wishes{})
	if err != nil || got.Disks[0].Table.Hybrid != "00" {
		t.Errorf("on the same disk: %q, %v", got.Disks[0].Table.Hybrid, err)
	}
	here := blank(machine.Disk{Name: "sda", Size: 2 * m.Disks[0].Size})
	got, choices, err := Onto(m, here, Wishes{})
	if err != nil || got.Disks[0].Table.Hybrid != "" {
		t.Errorf("on a larger disk: %v", err)
	}
	if !slices.ContainsFunc(choices, func(c plan.Choice) bool { return c.Chosen == "without its hybrid MBR" }) {
		t.Errorf("not said: %v", choices)
	}
}
