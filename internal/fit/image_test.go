package fit

import (
	"strings"
	"testing"

	"github.com/mkcdrec/mkcdrec/internal/fail"
	"github.com/mkcdrec/mkcdrec/internal/machine"
	"github.com/mkcdrec/mkcdrec/internal/machine/machinetest"
	"github.com/mkcdrec/mkcdrec/internal/plan"
)

// imagesFor are image files of the recorded sizes.
func imagesFor(t *testing.T, m machine.Machine, w Wishes) (disks []machine.Disk, files []string, info plan.Info) {
	t.Helper()
	needed, err := Needed(m, w)
	if err != nil {
		t.Fatal(err)
	}
	for i, d := range needed {
		n := machine.Disk{Name: "loop" + string(rune('3'+i)), Size: d.Size, LogicalSector: 512}
		n.Path = "/dev/" + n.Name
		disks, files = append(disks, n), append(files, "/srv/"+d.Name+".raw")
		info.Images = append(info.Images, plan.Image{Disk: n.Name, File: files[i]})
	}
	return disks, files, info
}

// Every machine fits into images of its own sizes, in the recorded order, with
// 512-byte sectors whatever it had; by its own firmware or the other one.
func TestEveryMachineIntoImages(t *testing.T) {
	for _, name := range machinetest.Names() {
		for _, firmware := range []machine.FirmwareKind{"", machine.BIOS, machine.UEFI} {
			m := machinetest.Get(name)
			disks, files, info := imagesFor(t, m, Wishes{})
			for i := range disks { // room for an ESP, or for larger tables
				disks[i].Size += 512 * mib
			}
			fitted, here, choices, err := OntoImages(m, disks, files, firmware, Wishes{})
			if err != nil && fail.KindOf(err) == fail.Unsupported && firmware != "" && firmware != m.Firmware.Kind {
				continue // a boot loader that cannot be exchanged
			}
			if err != nil {
				t.Errorf("%s, %q: %v", name, firmware, err)
				continue
			}
			p, err := plan.Restore(fitted, choices, here, info)
			if err != nil {
				t.Errorf("%s, %q: %v", name, firmware, err)
				continue
			}
			needed, _ := Needed(m, Wishes{})
			for i, d := range p.Target.Disks {
				if d.Name != disks[i].Name || d.LogicalSector != 512 {
					t.Errorf("%s: disk %d is %s with sectors of %d", name, i, d.Name, d.LogicalSector)
				}
				said := false
				for _, c := range choices {
					said = said || c.Subject == "disk "+needed[i].Name && c.Chosen == d.Name && c.Why == "the image file "+files[i]
				}
				if !said {
					t.Errorf("%s: nothing says that %s becomes %s: %+v", name, needed[i].Name, files[i], choices)
				}
			}
			if want := firmware; want != "" && m.BootLoader.Kind != machine.NoBootLoader && p.Target.Firmware.Kind != want {
				t.Errorf("%s: starts by %s, wanted %s", name, p.Target.Firmware.Kind, want)
			}
			// Nobody knows what a virtual machine will call the disk.
			if r := p.Renames(); len(r) > 0 {
				t.Errorf("%s: files are rewritten for %v", name, r)
			}
		}
	}
}

// A disk of which nothing is needed needs no image.
func TestNeededDisks(t *testing.T) {
	m := machinetest.TwoDisks()
	all, err := Needed(m, Wishes{})
	if err != nil || len(all) != 2 {
		t.Fatalf("%d disks, %v", len(all), err)
	}
	disks, files, _ := imagesFor(t, m, Wishes{})
	if _, _, _, err := OntoImages(m, disks[:1], files[:1], "", Wishes{}); fail.KindOf(err) != fail.Usage || !strings.Contains(err.Error(), "needs 2 image files") {
		t.Errorf("one image for two disks: %v", err)
	}
	// Names of disks here are no wish about images.
	if _, _, _, err := OntoImages(m, disks, files, "", Wishes{Only: true, Disks: []string{"serial:X"}, Map: map[string]string{"x": "y"}}); err != nil {
		t.Errorf("answers that name disks: %v", err)
	}
	small := []machine.Disk{disks[0], disks[1]}
	small[0].Size = 64 * mib
	if _, _, _, err := OntoImages(m, small, files, "", Wishes{}); fail.KindOf(err) != fail.Refused {
		t.Errorf("an image that is too small: %v", err)
	}
}
