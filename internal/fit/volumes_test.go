package fit

import (
	"fmt"
	"strings"
	"testing"

	"github.com/mkcdrec/mkcdrec/internal/fail"
	"github.com/mkcdrec/mkcdrec/internal/machine"
	"github.com/mkcdrec/mkcdrec/internal/machine/machinetest"
)

// onDisks fits a machine onto disks of these sizes, in its order.
func onDisks(t *testing.T, m machine.Machine, w Wishes, sizes ...machine.Bytes) (machine.Machine, string, error) {
	t.Helper()
	var disks []machine.Disk
	w.Map = map[string]string{}
	for i, d := range m.Disks {
		n := "sd" + string(rune('a'+i))
		disks, w.Map[d.Name] = append(disks, machine.Disk{Name: n, Size: sizes[i]}), n
	}
	got, choices, err := Onto(m, blank(disks...), w)
	if err == nil {
		err = plannable(got)
	}
	return got, fmt.Sprint(choices), err
}

// A pool shrinks to what its volumes hold; what they promise stays.
func TestThinPoolShrinksToItsContent(t *testing.T) {
	m := machinetest.LVMThin()
	got, said, err := onDisks(t, m, Wishes{}, 7<<30, 4<<30)
	if err != nil {
		t.Fatal(err)
	}
	g, was := got.VolumeGroup("vg0"), m.VolumeGroup("vg0")
	pool := g.Volume("pool")
	if pool.Size >= was.Volume("pool").Size || pool.Size < 2800*mib*111/100 {
		t.Errorf("the pool has %d MiB for 2800 used", pool.Size/mib)
	}
	for _, n := range []string{"root", "home"} {
		if g.Volume(n).Size != was.Volume(n).Size {
			t.Errorf("%s promises %d MiB, it promised %d", n, g.Volume(n).Size/mib, was.Volume(n).Size/mib)
		}
		if fs := got.FileSystemOn(machine.LVRef("vg0", n)); fs.Size != g.Volume(n).Size {
			t.Errorf("the file system on %s has another size than its volume", n)
		}
	}
	if !strings.Contains(said, "volume vg0/pool shrinks") {
		t.Errorf("not said: %s", said)
	}
	if _, _, err := onDisks(t, m, Wishes{}, 2<<30, 2<<30); fail.KindOf(err) != fail.Refused {
		t.Errorf("3.2 GiB of room for pool, mirror and swap of 5: %v", err)
	}
}

func TestThinPoolGrows(t *testing.T) {
	m := machinetest.LVMThin()
	got, _, err := onDisks(t, m, Wishes{GrowLargest: true}, 20<<30, 4<<30)
	if err != nil {
		t.Fatal(err)
	}
	if now, was := got.VolumeGroup("vg0").Volume("pool").Size, m.VolumeGroup("vg0").Volume("pool").Size; now < was+8<<30 {
		t.Errorf("the pool has %d MiB, it had %d", now/mib, was/mib)
	}
}

// What a pool's snapshots shared is there twice when it was restored.
func TestThinPoolHoldsWhatSnapshotsShared(t *testing.T) {
	m := machinetest.LVMThin()
	for i := range m.FileSystems {
		if m.FileSystems[i].On == "lv:vg0/home" {
			m.FileSystems[i].Used = 7500 * mib
		}
	}
	got, said, err := onDisks(t, m, Wishes{}, 14<<30, 4<<30)
	if err != nil {
		t.Fatal(err)
	}
	if p := got.VolumeGroup("vg0").Volume("pool"); p.Size < 8800*mib || !strings.Contains(said, "twice") {
		t.Errorf("the pool has %d MiB for 8800 used; said: %s", p.Size/mib, said)
	}
	if _, _, err := onDisks(t, m, Wishes{}, 9<<30, 4<<30); fail.KindOf(err) != fail.Refused || !strings.Contains(err.Error(), "twice") {
		t.Errorf("too small for both: %v", err)
	}
}

// A mirror is not made on fewer disks than it needs, nor both halves on one.
func TestRedundancyIsNotLost(t *testing.T) {
	m := machinetest.LVMThin()
	g := m.VolumeGroup("vg0")
	alone := *g
	alone.Physical = g.Physical[:1]
	f := fitter{m: &m, apart: apart(&m)}
	if err := f.enoughMembers(&alone); fail.KindOf(err) != fail.Refused || !strings.Contains(err.Error(), "needs 2 physical volumes, and volume group vg0 has 1") || fail.HintOf(err) == "" {
		t.Errorf("one member: %v", err)
	}
	same := *g
	same.Physical = []machine.PhysicalVolume{g.Physical[0], {On: machine.PartRef("vda", 2), Size: 4 << 30}}
	if err := f.enoughMembers(&same); fail.KindOf(err) != fail.Refused || !strings.Contains(err.Error(), "lies on 1 here") {
		t.Errorf("two members on one disk: %v", err)
	}
	// Recorded so, it stays so.
	f.apart = map[machine.Ref]bool{}
	if err := f.enoughMembers(&same); err != nil {
		t.Errorf("two members on one disk, as recorded: %v", err)
	}
}

// legsFit says whether each volume's legs have room, each on members of its own.
func legsFit(m *machine.Machine) error {
	for i := range m.VolumeGroups {
		g := &m.VolumeGroups[i]
		free := map[machine.Ref]machine.Bytes{}
		for _, p := range g.Physical {
			free[p.On] = p.Size / extent(g) * extent(g)
		}
		for _, lv := range g.Logical {
			for _, p := range lv.Parts() {
				if p.Legs() == len(p.Devices) {
					for _, r := range p.Devices {
						if free[r] -= p.Leg(extent(g)); free[r] < 0 {
							return fmt.Errorf("%s/%s: no room on %s", g.Name, lv.Name, r)
						}
					}
				}
				if p.Redundant() && disksOf(m, p.Devices) < p.Legs() {
					return fmt.Errorf("%s/%s: %d legs on %v", g.Name, lv.Name, p.Legs(), p.Devices)
				}
			}
		}
	}
	return nil
}

// poolsHold says whether the pools have room for what was used.
func poolsHold(m *machine.Machine) error {
	for i := range m.VolumeGroups {
		g := &m.VolumeGroups[i]
		for _, pool := range g.Logical {
			var used machine.Bytes
			for _, lv := range g.ThinIn(pool.Name) {
				if fs := m.FileSystemOn(machine.LVRef(g.Name, lv.Name)); fs != nil && len(m.MountsOn(fs.On)) > 0 {
					used += fs.Used
				}
			}
			if pool.Pool != nil && pool.Size < used+used/20 {
				return fmt.Errorf("the pool %s has %d bytes for %d used", pool.Name, pool.Size, used)
			}
		}
	}
	return nil
}
