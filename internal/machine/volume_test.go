package machine_test

import (
	"strings"
	"testing"

	"github.com/mkcdrec/mkcdrec/internal/machine"
	"github.com/mkcdrec/mkcdrec/internal/machine/machinetest"
)

// What lvs said of such volumes: how many devices, and what each gives.
func TestWhatVolumesTake(t *testing.T) {
	const extent = 4 << 20
	for _, c := range []struct {
		lv   machine.LogicalVolume
		legs int
		raw  machine.Bytes // MiB
	}{
		{machine.LogicalVolume{Kind: "linear"}, 1, 120},
		{machine.LogicalVolume{Kind: "striped", Stripes: 2}, 2, 120},
		{machine.LogicalVolume{Kind: "mirror", Mirrors: 1, Log: "disk"}, 2, 244},
		{machine.LogicalVolume{Kind: "mirror", Mirrors: 1, Log: "core"}, 2, 240},
		{machine.LogicalVolume{Kind: "raid0", Stripes: 3}, 3, 120},
		{machine.LogicalVolume{Kind: "raid0_meta", Stripes: 3}, 3, 132},
		{machine.LogicalVolume{Kind: "raid1", Mirrors: 2, RegionSize: 2 << 20}, 3, 372},
		{machine.LogicalVolume{Kind: "raid5_la", Stripes: 2, RegionSize: 2 << 20}, 3, 192},
		{machine.LogicalVolume{Kind: "raid6_n_6", Stripes: 3, RegionSize: 2 << 20}, 5, 220},
		{machine.LogicalVolume{Kind: "raid10", Stripes: 2, Mirrors: 1, RegionSize: 2 << 20}, 4, 256},
		{machine.LogicalVolume{Kind: "thin", In: "pool"}, 0, 0},
		{machine.LogicalVolume{Kind: "thin-pool", Mirrors: 1, Pool: &machine.ThinPool{Data: "raid1", Metadata: machine.PoolMetadata{Kind: "linear", Size: 8 << 20}}}, 2, 256},
	} {
		c.lv.Size = 120 << 20
		if legs, raw := c.lv.Legs(), c.lv.Takes(extent); legs != c.legs || raw != c.raw<<20 {
			t.Errorf("%+v: %d legs take %d MiB, want %d and %d", c.lv, legs, raw>>20, c.legs, c.raw)
		}
	}
}

func TestVolumesThatCannotBe(t *testing.T) {
	for _, c := range []struct {
		machine string
		change  func(g *machine.VolumeGroup)
		want    string
	}{
		{"lvm-thin", func(g *machine.VolumeGroup) { g.Volume("root").In = "home" }, `is thin, in "home"`},
		{"lvm-thin", func(g *machine.VolumeGroup) { g.Volume("root").In = "nowhere" }, `is thin, in "nowhere"`},
		{"lvm-thin", func(g *machine.VolumeGroup) { g.Volume("swap").In = "pool" }, "lies in the pool"},
		{"lvm-thin", func(g *machine.VolumeGroup) { g.Volume("pool").Pool = nil }, "contradicts itself"},
		{"lvm-thin", func(g *machine.VolumeGroup) { g.Volume("pool").Pool.Chunk = 1000 }, "chunks of 1000 bytes"},
		{"lvm-thin", func(g *machine.VolumeGroup) { g.Volume("pool").Pool.Discards = "; reboot" }, "has discards"},
		{"lvm-thin", func(g *machine.VolumeGroup) { g.Volume("pool").Pool.Metadata.Size = 1 << 60 }, "bytes"},
		{"lvm-thin", func(g *machine.VolumeGroup) { g.Volume("pool").Size += 20 << 30 }, "take"},
		{"lvm-thin", func(g *machine.VolumeGroup) { g.Volume("srv").Mirrors = 2 }, "over 3 of 2"},
		{"lvm-thin", func(g *machine.VolumeGroup) { g.Volume("srv").Mirrors = 0 }, "over 1 of 2"},
		{"lvm-thin", func(g *machine.VolumeGroup) { g.Volume("srv").Mirrors = 1 << 40 }, "copies more"},
		{"lvm-thin", func(g *machine.VolumeGroup) { g.Volume("srv").Devices[0] = machine.PartRef("vda", 2) }, "no member of its group"},
		{"lvm-thin", func(g *machine.VolumeGroup) { g.Spare = -1 }, "spare metadata"},
		{"lvm-thin", func(g *machine.VolumeGroup) { g.Physical[1].Start = 1 << 40 }, "uses"},
		{"lvm-raid", func(g *machine.VolumeGroup) { g.Volume("safe").Kind = "vdo" }, "which is not known"},
		{"lvm-raid", func(g *machine.VolumeGroup) { g.Volume("safe").Stripes = 4 }, "over 6 of 5"},
		{"lvm-raid", func(g *machine.VolumeGroup) { g.Volume("fast").Size = 1 << 59 }, "bytes"},
	} {
		m := machinetest.Get(c.machine)
		c.change(&m.VolumeGroups[0])
		if err := m.Validate(); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: got %v, want %q", c.machine, err, c.want)
		}
	}
	// Thin volumes may promise what nobody has.
	m := machinetest.LVMThin()
	m.VolumeGroups[0].Volume("home").Size = 1 << 50
	if err := m.Validate(); err != nil {
		t.Error(err)
	}
}

// A thin volume lies where its pool does, and on no other disk of the group.
func TestDisksUnderAThinVolume(t *testing.T) {
	m := machinetest.LVMThin()
	for volume, want := range map[string]string{"root": "vda", "swap": "vdb", "srv": "vda vdb", "pool": "vda"} {
		var got []string
		for _, d := range m.DisksUnder(machine.LVRef("vg0", volume)) {
			got = append(got, d.Name)
		}
		if strings.Join(got, " ") != want {
			t.Errorf("%s lies on %v, want %s", volume, got, want)
		}
	}
	// What lies on no member of its group may lie on all: no guard is led astray.
	m.VolumeGroups[0].Volume("swap").Devices = []machine.Ref{machine.DiskRef("nowhere")}
	if got := m.DisksUnder(machine.LVRef("vg0", "swap")); len(got) != 2 {
		t.Errorf("a volume on nothing lies on %d disks", len(got))
	}
}
