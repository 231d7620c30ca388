package machine

import (
	"strings"
	"testing"
)

func TestLayersComeAfterWhatTheyStandOn(t *testing.T) {
	m := twoDiskVG()
	// Recorded in an order in which they cannot be made.
	m.Crypts = append([]Crypt{{Name: "on-volume", Version: 1, On: LVRef("vg-0", "root")}}, m.Crypts...)
	layers, err := m.Layers()
	if err != nil {
		t.Fatal(err)
	}
	at := map[string]int{}
	for i, l := range layers {
		at[l.Name()] = i
	}
	if len(at) != 4 {
		t.Fatalf("%d layers, want 4: %v", len(at), at)
	}
	for _, pair := range [][2]string{
		{"volume group vg-0", "array md0"}, {"array md0", "encrypted device secret"}, {"volume group vg-0", "encrypted device on-volume"},
	} {
		if at[pair[0]] >= at[pair[1]] {
			t.Errorf("%s is made after %s, which stands on it", pair[0], pair[1])
		}
	}
}

func TestLayersInACircle(t *testing.T) {
	m := twoDiskVG()
	m.VolumeGroups[0].Physical[0].On = CryptRef("secret")
	if _, err := m.Layers(); err == nil || !strings.Contains(err.Error(), "stands on itself") {
		t.Errorf("error %v, want one that names the circle", err)
	}
	m.DisksUnder(CryptRef("secret")) // must end
}

func TestCapacity(t *testing.T) {
	for _, c := range []struct {
		level, layout string
		slots         int
		want          Bytes // for components of 100
		lost          int   // that may fail
	}{
		{"raid0", "", 3, 300, 0}, {"raid1", "", 3, 100, 2}, {"raid4", "", 3, 200, 1}, {"raid5", "left-symmetric", 4, 300, 1},
		{"raid6", "left-symmetric", 5, 300, 2}, {"raid10", "near=2", 4, 200, 1}, {"raid10", "far=3", 3, 100, 2}, {"raid10", "near=2", 3, 150, 1},
		{"linear", "", 2, 200, 0},
	} {
		a := Array{Level: c.level, Layout: c.layout, Slots: c.slots}
		if got := a.Capacity(100); got != c.want {
			t.Errorf("%s %s over %d: capacity %d, want %d", c.level, c.layout, c.slots, got, c.want)
		}
		if got := a.Redundant(); got != c.lost {
			t.Errorf("%s %s over %d: %d may fail, want %d", c.level, c.layout, c.slots, got, c.lost)
		}
	}
}

func TestValidateLayers(t *testing.T) {
	for name, c := range map[string]struct {
		spoil func(*Machine)
		want  string
	}{
		"as it is":             {func(*Machine) {}, ""},
		"array named as disk":  {func(m *Machine) { m.Arrays[0].Name = "sda" }, "array sda has the name of another array or disk"},
		"two arrays of a name": {func(m *Machine) { m.Arrays = append(m.Arrays, m.Arrays[0]) }, "array md0 has the name of another"},
		"unknown level":        {func(m *Machine) { m.Arrays[0].Level = "raid7" }, `level "raid7"`},
		"too large":            {func(m *Machine) { m.Arrays[0].Level, m.Arrays[0].Component = "raid1", 5 }, "its members hold 5"},
		"too many missing":     {func(m *Machine) { m.Arrays[0].Members = m.Arrays[0].Members[:1] }, "lacks 1 of 2 members"},
		"two in a slot":        {func(m *Machine) { m.Arrays[0].Members[1].Slot = 0 }, "or two there"},
		"member of two":        {func(m *Machine) { m.Crypts[0].On = DiskRef("sdc") }, "disk:sdc holds a member of array md0 and encrypted device secret"},
		"table and more":       {func(m *Machine) { m.Crypts[0].On = ArrayRef("md0") }, "and a partition table"},
		"name with a slash":    {func(m *Machine) { m.Crypts[0].Name = "../sda" }, "has no valid name"},
		"larger than below":    {func(m *Machine) { m.Crypts[0].Offset = 1 << 62 }, "encrypted device secret has 536870912 bytes from"},
	} {
		t.Run(name, func(t *testing.T) {
			m := twoDiskVG()
			m.Arrays[0].Table.Partitions[0].Size = 2 << 20 // sectors: 1 GiB
			c.spoil(m)
			err := m.Validate()
			got := ""
			if err != nil {
				got = err.Error()
			}
			if c.want != "" && !strings.Contains(got, c.want) {
				t.Errorf("no complaint %q in:\n%s", c.want, got)
			}
			if c.want == "" && (strings.Contains(got, "array ") || strings.Contains(got, "encrypted ")) {
				t.Errorf("complains without a reason:\n%s", got)
			}
		})
	}
}
