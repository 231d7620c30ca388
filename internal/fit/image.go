package fit

import (
	"github.com/mkcdrec/mkcdrec/internal/fail"
	"github.com/mkcdrec/mkcdrec/internal/machine"
	"github.com/mkcdrec/mkcdrec/internal/plan"
)

// Needed are the recorded disks that a restore makes, in the recorded order.
// The errors are those of Onto.
func Needed(recorded machine.Machine, w Wishes) ([]machine.Disk, error) {
	m, err := clone(recorded)
	if err != nil {
		return nil, err
	}
	if _, err := w.apply(&m); err != nil {
		return nil, err
	}
	disks, _, err := keepNeeded(&m)
	return disks, err
}

// OntoImages fits the recorded machine onto image files: images are their
// disks, one for each of Needed and in that order. Nothing is matched, and no
// disk of this machine is looked at. firmware is what the machine that will
// have them starts by; "" is the recorded one. here is that machine, as Onto
// and plan.Restore take it.
func OntoImages(recorded machine.Machine, images []machine.Disk, files []string, firmware machine.FirmwareKind, w Wishes) (fitted, here machine.Machine, choices []plan.Choice, err error) {
	needed, err := Needed(recorded, w)
	if err != nil {
		return fitted, here, nil, err
	}
	if len(images) != len(needed) || len(files) != len(needed) {
		return fitted, here, nil, fail.New(fail.Usage, "the backup needs %d image files, and there are %d", len(needed), len(images))
	}
	here = machine.Machine{Version: machine.Version, Arch: recorded.Arch, Disks: images, Firmware: machine.Firmware{Kind: firmware}}
	if firmware == "" {
		here.Firmware = machine.Firmware{Kind: recorded.Firmware.Kind}
	}
	w.Map, w.Disks, w.Only, w.Protected = map[string]string{}, nil, false, nil
	why := map[string]string{}
	for i, d := range needed {
		w.Map[d.Name] = images[i].Name
		why["disk "+d.Name] = "the image file " + files[i]
	}
	if len(w.Map) != len(needed) {
		return fitted, here, nil, fail.New(fail.Damaged, "the recorded layout has two disks of one name")
	}
	fitted, choices, err = Onto(recorded, here, w)
	for i, c := range choices {
		if reason, ok := why[c.Subject]; ok && c.Why == toldByName {
			choices[i].Why = reason
		}
	}
	return fitted, here, choices, err
}
