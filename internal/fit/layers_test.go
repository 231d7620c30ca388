package fit

import (
	"strings"
	"testing"

	"github.com/mkcdrec/mkcdrec/internal/machine"
	"github.com/mkcdrec/mkcdrec/internal/machine/machinetest"
)

// mirrorOnto fits the mirrored machine onto two disks of these sizes.
func mirrorOnto(t *testing.T, a, b machine.Bytes) machine.Machine {
	t.Helper()
	here := blank(machine.Disk{Name: "nvme0n1", Size: a}, machine.Disk{Name: "nvme1n1", Size: b})
	got, _, err := Onto(machinetest.RAID1LVM(), here, Wishes{Map: map[string]string{"sda": "nvme0n1", "sdb": "nvme1n1"}})
	if err != nil {
		t.Fatal(err)
	}
	if err := plannable(got); err != nil {
		t.Fatal(err)
	}
	return got
}

func TestMirrorOntoLargerDisks(t *testing.T) {
	was := machinetest.RAID1LVM()
	size := was.Disks[0].Size
	got := mirrorOnto(t, 2*size, 3*size)
	if want := machine.PartRef("nvme1n1", 3); got.Array("md2").Members[1].On != want {
		t.Errorf("second member on %s, want %s", got.Array("md2").Members[1].On, want)
	}
	// The smaller of the two disks says how large the mirror can be.
	grew := got.Array("md2").Size - was.Array("md2").Size
	if grew > size || grew < size-100*mib {
		t.Errorf("the mirror grew by %d MiB, its smaller disk by %d", grew/mib, size/mib)
	}
	if pv := got.VolumeGroups[0].Physical[0].Size; pv <= was.VolumeGroups[0].Physical[0].Size+size/2 || pv > got.Array("md2").Size {
		t.Errorf("the volume group did not follow: its member has %d MiB", pv/mib)
	}
	if got.Array("md0").Size != was.Array("md0").Size || got.Array("md1").Size != was.Array("md1").Size {
		t.Error("a mirror changed its size though its members have theirs")
	}
}

func TestMirrorOntoOneSmallerDisk(t *testing.T) {
	was := machinetest.RAID1LVM()
	size := was.Disks[0].Size
	got := mirrorOnto(t, size, size*3/4)
	a := got.Array("md2")
	second, err := got.Resolve(a.Members[1].On)
	if err != nil {
		t.Fatal(err)
	}
	if a.Component >= second.Size || a.Size != a.Component {
		t.Errorf("a mirror of %d bytes with parts of %d on a partition of %d", a.Size, a.Component, second.Size)
	}
}

func TestEncryptedDeviceFollowsItsPartition(t *testing.T) {
	m := machinetest.LUKSLVM()
	was := m.Crypts[0]
	for _, percent := range []machine.Bytes{80, 200} {
		here := blank(machine.Disk{Name: "sda", Size: m.Disks[0].Size / 100 * percent / mib * mib})
		got, _, err := Onto(m, here, Wishes{})
		if err != nil {
			t.Fatal(err)
		}
		if err := plannable(got); err != nil {
			t.Fatal(err)
		}
		c := got.Crypts[0]
		under, err := got.Resolve(c.On)
		if err != nil {
			t.Fatal(err)
		}
		if c.Offset != was.Offset || c.Size != (under.Size-c.Offset)/4096*4096 {
			t.Errorf("%d %%: %d bytes from %d on a device of %d", percent, c.Size, c.Offset, under.Size)
		}
		if pv := got.VolumeGroups[0].Physical[0].Size; pv > c.Size || pv < c.Size-8*mib {
			t.Errorf("%d %%: physical volume of %d bytes in %d", percent, pv, c.Size)
		}
	}
}

func TestLayersThatNothingOfTheBackupNeeds(t *testing.T) {
	m := machinetest.RAID1LVM()
	// A mirror of two data disks, and one over the system's disks that was not mounted.
	for _, n := range []string{"sdc", "sdd"} {
		m.Disks = append(m.Disks, machine.Disk{Name: n, Path: "/dev/" + n, Size: 4 * machinetest.GiB, LogicalSector: 512, Serial: n, Signatures: []string{"linux_raid_member"}})
	}
	m.Arrays = append(m.Arrays, machine.Array{
		Disk: machine.Disk{Name: "md9", Path: "/dev/md/data", Size: 3 * machinetest.GiB, LogicalSector: 512}, Level: "raid1", Slots: 2, Component: 3 * machinetest.GiB,
		Members: []machine.ArrayMember{{On: machine.DiskRef("sdc")}, {On: machine.DiskRef("sdd"), Slot: 1}},
	})
	m.Crypts = []machine.Crypt{{Name: "data", On: machine.ArrayRef("md9"), Version: 2, Size: 2 * machinetest.GiB}}
	m.Mounts = m.Mounts[:2] // the ESP's mirror holds nothing of the backup now
	got, choices, err := Onto(m, m, Wishes{})
	if err != nil {
		t.Fatal(err)
	}
	if got.Array("md9") != nil || len(got.Crypts) > 0 || got.Disk("sdc") != nil {
		t.Error("layers and disks that the backup does not need are made anew")
	}
	if got.Array("md0") == nil {
		t.Error("a mirror on disks that are made anew anyway is lost")
	}
	var said []string
	for _, c := range choices {
		said = append(said, c.Subject+": "+c.Chosen)
	}
	all := strings.Join(said, "\n")
	for _, want := range []string{"array md9: left out", "encrypted device data: left out", "disk sdc: left out"} {
		if !strings.Contains(all, want) {
			t.Errorf("not said: %s; said:\n%s", want, all)
		}
	}
}
