package fit

import (
	"fmt"
	"strings"
	"testing"

	"github.com/mkcdrec/mkcdrec/internal/fail"
	"github.com/mkcdrec/mkcdrec/internal/machine"
	"github.com/mkcdrec/mkcdrec/internal/machine/machinetest"
)

// A multipath device becomes the map of the same WWID, whatever it is called
// here; two disks that may be its paths are refused, and the hint says what to
// do.
func TestMultipath(t *testing.T) {
	m := machinetest.UEFIMultipath()
	if err := m.Validate(); err != nil {
		t.Fatal(err)
	}
	there := m.Disks[0]
	there.Name, there.Path, there.Paths, there.Table = "mpathb", "/dev/mapper/mpathb", []string{"sdc", "sdd"}, nil
	other := machine.Disk{Name: "sde", Path: "/dev/sde", Size: there.Size, LogicalSector: 512, Serial: "other"}
	here := machine.Machine{Version: machine.Version, Disks: []machine.Disk{other, there}}
	got, _, err := Onto(m, here, Wishes{})
	if err != nil {
		t.Fatal(err)
	}
	if err := plannable(got); err != nil {
		t.Fatal(err)
	}
	if d := got.Disks[0]; d.Name != "mpathb" || d.Table.Partitions[1].Path != "/dev/mapper/mpathb-part2" || len(d.Paths) != 2 {
		t.Errorf("became %+v", d)
	}
	if on := got.MountAt("/").On; on != machine.PartRef("mpathb", 2) {
		t.Errorf("/ is on %s", on)
	}
	path := func(name string) machine.Disk {
		return machine.Disk{Name: name, Path: "/dev/" + name, Size: there.Size, LogicalSector: 512, Serial: there.Serial}
	}
	_, _, err = Onto(m, blank(path("sda"), path("sdb")), Wishes{})
	if fail.KindOf(err) != fail.Refused || !strings.Contains(fail.HintOf(err), "multipath -v2") {
		t.Errorf("two paths without a map: %v (%s)", err, fail.HintOf(err))
	}
	_, choices, err := Onto(m, blank(path("sda")), Wishes{})
	if err != nil || !strings.Contains(fmt.Sprint(choices), "not a multipath device") {
		t.Errorf("onto a single disk: %v, %v", choices, err)
	}
	for name, w := range map[string]Wishes{
		"a path by name":    {Map: map[string]string{m.Disks[0].Name: "sdc"}},
		"a path as a disk":  {Disks: []string{"/dev/sdc"}},
		"a protected map":   {Protected: []string{"mpathb", "sdc", "sdd"}, Disks: []string{"mpathb"}},
		"a protected disk2": {Protected: []string{"mpathb"}, Map: map[string]string{m.Disks[0].Name: "mpathb"}},
	} {
		if _, _, err := Onto(m, here, w); fail.KindOf(err) != fail.Refused {
			t.Errorf("%s: %v", name, err)
		}
	}
}
