package machine_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/mkcdrec/mkcdrec/internal/machine"
	"github.com/mkcdrec/mkcdrec/internal/machine/machinetest"
)

func TestDevicesOfAFileSystemBelongTogether(t *testing.T) {
	m := machinetest.BtrfsTwo()
	first, second := machine.PartRef("vda", 2), machine.PartRef("vdb", 1)
	for _, r := range []machine.Ref{first, second} {
		if fs := m.FileSystemOn(r); fs == nil || fs.On != first {
			t.Errorf("on %s is %+v", r, fs)
		}
		if n := len(m.MountsOn(r)); n != 4 {
			t.Errorf("%d mounts of what is on %s, want 4", n, r)
		}
		below := m.Below(r)
		if below[0] != r || !slices.Contains(below, machine.DiskRef("vda")) || !slices.Contains(below, machine.DiskRef("vdb")) {
			t.Errorf("below %s are %v", r, below)
		}
		if n := len(m.DisksUnder(r)); n != 2 {
			t.Errorf("%d disks under %s, want both", n, r)
		}
	}
	// What lies on one of the disks alone does not need the other.
	if under := m.DisksUnder(machine.PartRef("vda", 1)); len(under) != 1 {
		t.Errorf("the ESP lies on %d disks", len(under))
	}
	fs := m.FileSystemOn(first)
	fs.Resize(second, 1<<30)
	if fs.Devices[1].Size != 1<<30 || fs.Size != fs.Devices[0].Size+1<<30 {
		t.Errorf("resized to %d: %+v", fs.Size, fs.Devices)
	}
}

func TestCapacityOfProfiles(t *testing.T) {
	for _, c := range []struct {
		profile string
		sizes   []machine.Bytes
		want    machine.Bytes
	}{
		{"single", []machine.Bytes{100, 50}, 150}, {"dup", []machine.Bytes{100}, 50}, {"", []machine.Bytes{100}, 100}, {"raid9", []machine.Bytes{100}, 100},
		{"raid1", []machine.Bytes{100, 100}, 100}, {"raid1", []machine.Bytes{100, 60}, 60}, {"raid1", []machine.Bytes{100, 60, 60}, 110}, {"raid1", []machine.Bytes{300, 60, 60}, 120},
		{"raid1", []machine.Bytes{100}, 0},
		{"raid1c3", []machine.Bytes{100, 100, 100}, 100}, {"raid1c3", []machine.Bytes{900, 100, 50}, 50}, {"raid1c4", []machine.Bytes{100, 100, 100, 100, 100}, 125},
		{"raid0", []machine.Bytes{100, 60}, 120}, {"raid0", []machine.Bytes{100, 60, 60}, 180}, {"raid0", []machine.Bytes{100}, 100},
		{"raid5", []machine.Bytes{100, 100, 100}, 200}, {"raid5", []machine.Bytes{100, 60, 60}, 120}, {"raid6", []machine.Bytes{100, 100, 100, 50}, 150},
		{"raid10", []machine.Bytes{100, 100, 100, 100}, 200}, {"raid10", []machine.Bytes{100, 100}, 100}, {"raid10", []machine.Bytes{100, 100, 100, 100, 100}, 200},
		{"raid6", nil, 0},
	} {
		if got := machine.Capacity(c.profile, c.sizes); got != c.want {
			t.Errorf("%s on %v holds %d, want %d", c.profile, c.sizes, got, c.want)
		}
	}
}

func TestValidateDevices(t *testing.T) {
	for name, c := range map[string]struct {
		spoil func(*machine.Machine, *machine.FileSystem)
		want  string
	}{
		"as it is":            {func(*machine.Machine, *machine.FileSystem) {}, ""},
		"degraded":            {func(_ *machine.Machine, fs *machine.FileSystem) { fs.Devices, fs.Missing = fs.Devices[:1], 1 }, ""},
		"one alone":           {func(_ *machine.Machine, fs *machine.FileSystem) { fs.Devices = fs.Devices[:1] }, "cannot have 1 devices"},
		"more than there are": {func(_ *machine.Machine, fs *machine.FileSystem) { fs.Missing = -1 }, "-1 missing"},
		"not btrfs":           {func(_ *machine.Machine, fs *machine.FileSystem) { fs.Kind = "ext4" }, "cannot have 2 devices"},
		"another first":       {func(_ *machine.Machine, fs *machine.FileSystem) { slices.Reverse(fs.Devices) }, "begins on another device"},
		"twice the same":      {func(_ *machine.Machine, fs *machine.FileSystem) { fs.Devices[1].On = fs.On }, "holds a file system and a file system"},
		"twice the number":    {func(_ *machine.Machine, fs *machine.FileSystem) { fs.Devices[1].ID = 1 }, "two devices of number 1"},
		"no such device":      {func(_ *machine.Machine, fs *machine.FileSystem) { fs.Devices[1].On = "part:vdz/1" }, "no disk or array vdz"},
		"larger than it":      {func(_ *machine.Machine, fs *machine.FileSystem) { fs.Devices[1].Size = 1 << 40 }, "uses 1099511627776 bytes"},
		"larger than all":     {func(_ *machine.Machine, fs *machine.FileSystem) { fs.Size = 1 << 40 }, "its devices"},
		"profile":             {func(_ *machine.Machine, fs *machine.FileSystem) { fs.Options["data"] = "raid7" }, `profile "raid7"`},
		"in use": {func(m *machine.Machine, fs *machine.FileSystem) {
			m.Swaps = append(m.Swaps, machine.Swap{On: fs.Devices[1].On, Size: 1})
		}, "holds a file system and swap"},
	} {
		t.Run(name, func(t *testing.T) {
			m := machinetest.BtrfsTwo()
			c.spoil(&m, m.FileSystemOn(machine.PartRef("vda", 2)))
			err := m.Validate()
			switch {
			case c.want == "" && err != nil:
				t.Errorf("complains without a reason: %v", err)
			case c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)):
				t.Errorf("no complaint %q in: %v", c.want, err)
			}
		})
	}
}
