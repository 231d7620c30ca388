package fit

import (
	"strings"
	"testing"

	"github.com/mkcdrec/mkcdrec/internal/fail"
	"github.com/mkcdrec/mkcdrec/internal/machine"
	"github.com/mkcdrec/mkcdrec/internal/machine/machinetest"
	"github.com/mkcdrec/mkcdrec/internal/plan"
)

// ontoFirmware fits a machine onto disks of its own sizes, times percent, in a
// machine of that firmware.
func ontoFirmware(m machine.Machine, kind machine.FirmwareKind, percent machine.Bytes) (machine.Machine, []plan.Choice, error) {
	var disks []machine.Disk
	w := Wishes{Map: map[string]string{}}
	for i, d := range m.Disks {
		n := machine.Disk{Name: "sd" + string(rune('a'+i)), Size: d.Size / 100 * percent / mib * mib, LogicalSector: d.LogicalSector}
		disks, w.Map[d.Name] = append(disks, n), n.Name
	}
	here := blank(disks...)
	here.Firmware.Kind = kind
	got, choices, err := Onto(m, here, w)
	if err == nil {
		_, err = plan.Restore(got, choices, here, plan.Info{})
	}
	return got, choices, err
}

func TestBIOSMachineOntoUEFI(t *testing.T) {
	// The striped volume of two-disks does not shrink.
	for name, percents := range map[string][]machine.Bytes{"bios-mbr-logical": {80, 100, 200}, "two-disks": {103, 200}} {
		for _, percent := range percents {
			m := machinetest.Get(name)
			got, choices, err := ontoFirmware(m, machine.UEFI, percent)
			if err != nil {
				t.Fatalf("%s, %d %%: %v", name, percent, err)
			}
			esp := got.MountAt("/boot/efi")
			if esp == nil || !esp.Added || got.FileSystemOn(esp.On).Kind != "vfat" {
				t.Fatalf("%s: no ESP is mounted: %+v", name, got.Mounts)
			}
			dev, err := got.Resolve(esp.On)
			if err != nil || dev.Partition.Type != machine.TypeESP || dev.Size < 100*mib || dev.Disk.Table.Kind != machine.GPT {
				t.Errorf("%s: the ESP is %+v in a %s (%v)", name, dev.Partition, dev.Disk.Table.Kind, err)
			}
			if bl := got.BootLoader; bl.Kind != machine.GRUBEFI || bl.ID != "debian" || !bl.Exchanged || len(bl.Disks) > 0 || got.Firmware.Kind != machine.UEFI {
				t.Errorf("%s: boot loader %+v", name, bl)
			}
			for _, fs := range m.FileSystems {
				r := got.FileSystemOn(fs.On)
				if r == nil || r.UUID != fs.UUID {
					t.Errorf("%s: %s has lost its file system or UUID", name, fs.On)
				}
			}
			said := ""
			for _, c := range choices {
				said += c.Subject + ": " + c.Chosen + ": " + c.Why + "\n"
			}
			if !strings.Contains(said, "grub-efi-amd64-bin") {
				t.Errorf("%s: the package is not named:\n%s", name, said)
			}
		}
	}
}

func TestMBRBecomesGPT(t *testing.T) {
	m := machinetest.BIOSMBRLogical()
	got, _, err := ontoFirmware(m, machine.UEFI, 100)
	if err != nil {
		t.Fatal(err)
	}
	numbers := map[int]machine.Partition{}
	for _, p := range got.Disks[0].Table.Partitions {
		numbers[p.Number] = p
		if p.Extended() || len(p.Type) != 36 || len(p.UUID) != 36 {
			t.Errorf("partition %d of type %q, UUID %q in a GPT", p.Number, p.Type, p.UUID)
		}
	}
	if len(numbers) != 3 || numbers[5].Formerly != "2b3c4d5e-05" || numbers[1].Formerly != "2b3c4d5e-01" {
		t.Errorf("partitions %+v", numbers)
	}
	again, _, err := ontoFirmware(m, machine.UEFI, 100)
	if err != nil || again.Disks[0].Table.ID != got.Disks[0].Table.ID || again.Disks[0].Table.Partitions[0].UUID != got.Disks[0].Table.Partitions[0].UUID {
		t.Error("a second plan has other IDs: an interrupted restore would not be known again")
	}
}

func TestUEFIMachineOntoBIOS(t *testing.T) {
	for _, name := range []string{"uefi-plain", "uefi-lvm", "btrfs-subvols", "raid1-lvm", "luks-lvm"} {
		m := machinetest.Get(name)
		got, _, err := ontoFirmware(m, machine.BIOS, 100)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if bl := got.BootLoader; bl.Kind != machine.GRUBBIOS || !bl.Exchanged || len(bl.Disks) != len(m.Disks) {
			t.Errorf("%s: boot loader %+v", name, bl)
		}
		for _, d := range got.Disks {
			n := 0
			for _, p := range d.Table.Partitions {
				if p.Type == machine.TypeBIOSBoot {
					n++
				}
			}
			if n != 1 {
				t.Errorf("%s: %d BIOS boot partitions on %s", name, n, d.Name)
			}
		}
		if len(got.Mounts) != len(m.Mounts) {
			t.Errorf("%s: mounts %+v", name, got.Mounts)
		}
	}
}

func TestOtherFirmwareIsRefusedWhereItIsNotKnown(t *testing.T) {
	for want, spoil := range map[string]func(*machine.Machine){
		"known for Debian":            func(m *machine.Machine) { m.OS = machine.OS{ID: "fedora"} },
		"cannot be exchanged":         func(m *machine.Machine) { m.BootLoader.Kind = machine.SystemdBoot },
		"on amd64 only":               func(m *machine.Machine) { m.Arch = "arm64" },
		"has no partition table":      func(m *machine.Machine) { *m = wholeDiskBIOS() },
		"that is no EFI system parti": func(m *machine.Machine) { m.Mounts[1].Target = "/boot/efi" },
	} {
		m := machinetest.BIOSMBRLogical()
		spoil(&m)
		_, _, err := ontoFirmware(m, machine.UEFI, 100)
		if fail.KindOf(err) != fail.Unsupported || !strings.Contains(err.Error(), want) || fail.HintOf(err) == "" {
			t.Errorf("got %v (hint %q), want %q", err, fail.HintOf(err), want)
		}
	}
}

func wholeDiskBIOS() machine.Machine {
	m := machinetest.WholeDiskExt4()
	m.Firmware.Kind = machine.BIOS
	m.BootLoader = machine.BootLoader{Kind: machine.GRUBBIOS, Disks: []machine.Ref{machine.DiskRef(m.Disks[0].Name)}}
	m.OS.ID, m.Arch = "debian", "amd64"
	return m
}
