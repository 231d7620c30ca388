package fit

import (
	"fmt"
	"slices"

	"github.com/mkcdrec/mkcdrec/internal/fail"
	"github.com/mkcdrec/mkcdrec/internal/machine"
	"github.com/mkcdrec/mkcdrec/internal/plan"
	"github.com/mkcdrec/mkcdrec/internal/wording"
)

// leastDevice is the smallest that a device of a btrfs over several may be
// (mkfs.btrfs(8) refuses less than 109 MiB, and its chunks have to fit).
const leastDevice = 256 * mib

// raw is how large the devices of a btrfs have to be together, each in its
// recorded proportion, to hold b bytes by its profile: in mirrors twice that.
func raw(fs machine.FileSystem, b machine.Bytes) machine.Bytes {
	held := machine.Capacity(fs.Options[machine.DataProfile], fs.Sizes())
	if held <= 0 || held == fs.Size {
		return b
	}
	return machine.Bytes(float64(b) / float64(held) * float64(fs.Size))
}

// shares are the least sizes of the devices of file systems over several. Each
// gives back what is not used in proportion to its size, so that it does not
// matter which disk is fitted first.
func shares(m *machine.Machine) map[machine.Ref]machine.Bytes {
	out := map[machine.Ref]machine.Bytes{}
	for _, fs := range m.FileSystems {
		least := leastFS(fs, len(m.MountsOn(fs.On)) > 0)
		for _, d := range fs.Devices {
			share := machine.Bytes(float64(least) * (float64(d.Size) / float64(max(fs.Size, 1))))
			out[d.On] = max(up(share, align), leastDevice)
		}
	}
	return out
}

// withoutMissing makes of file systems that lacked devices when they were
// recorded ones that can be made on those that were there.
func withoutMissing(m *machine.Machine) []plan.Choice {
	var out []plan.Choice
	for i := range m.FileSystems {
		fs := &m.FileSystems[i]
		if fs.Missing == 0 {
			continue
		}
		n := len(fs.Devices)
		why := fmt.Sprintf("it lacked %s when it was recorded", wording.Count(fs.Missing, "device"))
		chosen := "made on " + wording.Count(n, "device")
		fs.Missing = 0
		was := fs.Options[machine.DataProfile]
		if lowered(fs, n) {
			chosen += fmt.Sprintf(", its data %s instead of %s", fs.Options[machine.DataProfile], was)
			why += "; add one then (btrfs device add) and balance (btrfs balance start -dconvert=" + was + ")"
		}
		if n == 1 {
			fs.Size, fs.Devices = fs.Devices[0].Size, nil
			delete(fs.Options, "devices")
		}
		out = append(out, plan.Choice{Subject: fmt.Sprintf("%s on %s", fs.Kind, fs.On.Body()), Chosen: chosen, Why: why})
	}
	return out
}

// lower is the next profile that needs fewer devices.
var lower = map[string]string{"raid1c4": "raid1c3", "raid1c3": "raid1", "raid1": "single", "raid10": "raid1", "raid6": "raid5", "raid5": "single", "raid0": "single"}

// lowered gives a file system profiles that n devices are enough for, and says
// whether it had others.
func lowered(fs *machine.FileSystem, n int) bool {
	changed := false
	for _, key := range []string{machine.DataProfile, machine.MetadataProfile, machine.SystemProfile} {
		for lower[fs.Options[key]] != "" && machine.ProfileDevices(fs.Options[key]) > n {
			fs.Options[key], changed = lower[fs.Options[key]], true
		}
		// As mkfs.btrfs(8) has it: two copies of what everything hangs on.
		if key != machine.DataProfile && n == 1 && changed && !slices.Contains(fs.Features, "MIXED_GROUPS") {
			fs.Options[key] = "dup"
		}
	}
	return changed
}

// onOneDevice makes of a file system over several devices one on the device
// that was named for it. The places of several are found for a whole machine
// only.
func onOneDevice(fs machine.FileSystem, w FSWishes) (machine.FileSystem, plan.Choice, error) {
	if w.Onto == "" {
		return fs, plan.Choice{}, fail.Hint(fail.New(fail.Refused, "%s lies on %d devices: they are made anew with the whole machine only", w.Mount, len(fs.Devices)+fs.Missing),
			"name one device that is large enough with --onto, or unpack over what is there with --no-format")
	}
	was := fs.Options[machine.DataProfile]
	fs.Devices, fs.Missing = nil, 0
	delete(fs.Options, "devices")
	lowered(&fs, 1)
	c := plan.Choice{Subject: "devices of " + w.Mount, Chosen: "one", Why: "told so by name; it had more"}
	if now := fs.Options[machine.DataProfile]; now != was {
		c.Why += ", and its data were " + was
	}
	return fs, c, nil
}
