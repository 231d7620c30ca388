package fit

import (
	"crypto/sha256"
	"fmt"
	"slices"
	"strings"

	"github.com/mkcdrec/mkcdrec/internal/fail"
	"github.com/mkcdrec/mkcdrec/internal/machine"
	"github.com/mkcdrec/mkcdrec/internal/plan"
)

const (
	espSize = 128 * mib // of a new ESP: room for two boot loaders, and a valid FAT32 with 512-byte sectors
	// espSizeLarge: a FAT32 needs 65525 clusters, of at least one sector each.
	espSizeLarge = 300 * mib // with 4096-byte sectors
	bootSize     = mib       // of a BIOS boot partition, as GRUB's manual has it
)

// otherFirmware changes a machine that started by one firmware so that it
// starts by the one here: an ESP or a BIOS boot partition is added, an MBR
// becomes a GPT, and GRUB for the other firmware is to be installed from the
// restored system's own packages. m has the recorded disks still.
func (f *fitter) otherFirmware(here machine.Firmware) error {
	was, is := f.m.Firmware.Kind, here.Kind
	kind := f.m.BootLoader.Kind
	if was == "" || is == "" || was == is || kind == machine.NoBootLoader || kind == "" {
		return nil
	}
	refuse := func(why string) error {
		return fail.Hint(fail.New(fail.Unsupported, "the recorded machine starts by %s, and this one was started by %s: %s", was, is, why),
			"start this medium by %s (a firmware setting), or use a machine that can", was)
	}
	if kind != machine.GRUBBIOS && kind != machine.GRUBEFI {
		return refuse(fmt.Sprintf("the boot loader %s cannot be exchanged%s", kind, onlyBy[kind]))
	}
	if !grubOfDebian(f.m.OS) {
		return refuse("how the other boot loader is installed is known for Debian and what descends from it only")
	}
	if f.m.Arch != "amd64" {
		return refuse("that can be done on amd64 only")
	}
	disks := f.bootDisks()
	if len(disks) == 0 {
		return refuse("no disk is known that it starts from")
	}
	var err error
	if is == machine.UEFI {
		err = f.toUEFI(disks[0])
	} else {
		f.toBIOS(disks)
	}
	if err != nil {
		return err
	}
	f.m.Firmware = machine.Firmware{Kind: is, SecureBoot: here.SecureBoot}
	f.say("firmware", strings.ToUpper(string(is)), "the recorded machine started by %s; GRUB for %s is installed from the restored system's package %s: install %s there later, so that updates know of it",
		strings.ToUpper(string(was)), strings.ToUpper(string(is)), plan.LoaderPackage(f.m.BootLoader.Kind), strings.TrimSuffix(plan.LoaderPackage(f.m.BootLoader.Kind), "-bin"))
	if is == machine.UEFI && here.SecureBoot {
		f.say("Secure Boot", "must be switched off", "the boot loader that is installed is not signed")
	}
	return nil
}

// onlyBy says why a boot loader has no counterpart for the other firmware.
var onlyBy = map[machine.BootLoaderKind]string{
	machine.SystemdBoot: ": systemd-boot is for UEFI only, and its kernels lie on the EFI system partition, where BIOS finds none; GRUB would have to be set up on the recorded machine first (Debian: package grub-pc)",
	machine.UKI:         ": a unified kernel image is a program for UEFI; GRUB would have to be set up on the recorded machine first (Debian: package grub-pc)",
	machine.EXTLINUX:    ": EXTLINUX is for BIOS only; GRUB would have to be set up on the recorded machine first (Debian: package grub-efi-amd64)",
}

func grubOfDebian(os machine.OS) bool {
	return os.ID == "debian" || os.ID == "ubuntu" || slices.Contains(os.IDLike, "debian") || slices.Contains(os.IDLike, "ubuntu")
}

// bootDisks are the disks that the firmware reads the boot loader from: those
// recorded with boot code, else those under /boot.
func (f *fitter) bootDisks() []*machine.Disk {
	var out []*machine.Disk
	for _, r := range f.m.BootLoader.Disks {
		if d := f.m.Disk(r.Body()); d != nil && r.Kind() == machine.RefDisk {
			out = append(out, d)
		}
	}
	if len(out) > 0 {
		return out
	}
	return f.underBoot()
}

// underBoot are the disks under /boot.
func (f *fitter) underBoot() []*machine.Disk {
	var out []*machine.Disk
	boot := f.m.MountAt("/boot")
	if boot == nil {
		boot = f.m.MountAt("/")
	}
	if boot == nil {
		return nil
	}
	for _, d := range f.m.DisksUnder(boot.On) {
		out = append(out, f.m.Disk(d.Name))
	}
	return out
}

// toUEFI gives a disk a GPT with an ESP, mounted on /boot/efi.
func (f *fitter) toUEFI(d *machine.Disk) error {
	const target = "/boot/efi"
	f.m.BootLoader = machine.BootLoader{Kind: machine.GRUBEFI, ID: f.m.OS.ID, Exchanged: true}
	for i, m := range f.m.Mounts {
		// A machine that was made for both has its ESP already.
		if fs := f.m.FileSystemOn(m.On); fs != nil && fs.Kind == "vfat" && slices.Contains([]string{target, "/efi"}, m.Target) {
			dev, err := f.m.Resolve(m.On)
			if err == nil && dev.Partition != nil && isESP(*dev.Disk, *dev.Partition) {
				f.say("EFI system partition", f.m.Mounts[i].Target, "the recorded machine has one already")
				return nil
			}
		}
	}
	if d.Table == nil {
		return fail.Hint(fail.New(fail.Unsupported, "disk %s has no partition table, so that there is no place for an EFI system partition", d.Name), "start this medium by BIOS")
	}
	if f.m.MountAt(target) != nil {
		return fail.Hint(fail.New(fail.Unsupported, "something is mounted on %s that is no EFI system partition", target), "start this medium by BIOS")
	}
	f.toGPT(d)
	size := espSize
	if d.LogicalSector > 512 {
		size = espSizeLarge
	}
	p := f.addPartition(d, machine.TypeESP, "EFI system", size)
	on := machine.PartRef(d.Name, p.Number)
	id := sha256.Sum256([]byte("esp\x00" + d.Table.ID))
	f.m.FileSystems = append(f.m.FileSystems, machine.FileSystem{On: on, Kind: "vfat", UUID: fmt.Sprintf("%X-%X", id[:2], id[2:4]), Label: "ESP",
		Size: d.Bytes(p.Size), Options: map[string]string{"fat_bits": "32"}})
	mount := machine.Mount{On: on, Target: target, Options: "umask=0077", Added: true}
	at := slices.IndexFunc(f.m.Mounts, func(m machine.Mount) bool { return strings.HasPrefix(m.Target, target+"/") })
	if at < 0 {
		at = len(f.m.Mounts)
	}
	f.m.Mounts = slices.Insert(f.m.Mounts, at, mount)
	f.say("EFI system partition", "added to disk "+d.Name+", mounted on "+target, "UEFI starts from one")
	return nil
}

// toBIOS sees to it that GRUB's core image has a place on each boot disk.
func (f *fitter) toBIOS(disks []*machine.Disk) {
	f.m.BootLoader = machine.BootLoader{Kind: machine.GRUBBIOS, Exchanged: true}
	for _, d := range disks {
		f.m.BootLoader.Disks = append(f.m.BootLoader.Disks, machine.DiskRef(d.Name))
	}
	f.placeForGRUB()
}

// placeForGRUB gives each disk with boot code the partition that GRUB's core
// image needs on a GPT.
func (f *fitter) placeForGRUB() {
	for _, r := range f.m.BootLoader.Disks {
		d := f.m.Disk(r.Body())
		if d == nil || d.Table == nil || d.Table.Kind != machine.GPT || slices.ContainsFunc(d.Table.Partitions, func(p machine.Partition) bool { return p.Type == machine.TypeBIOSBoot }) {
			continue
		}
		f.addPartition(d, machine.TypeBIOSBoot, "BIOS boot", bootSize)
		f.say("BIOS boot partition", "added to disk "+d.Name, "GRUB has no other place on a GPT disk")
	}
}

// addPartition puts a partition behind all others, under the first free
// number. It may lie beyond the end of the disk: table makes room for it.
func (f *fitter) addPartition(d *machine.Disk, kind, name string, size machine.Bytes) machine.Partition {
	number, end := 1, machine.Bytes(0)
	for _, p := range d.Table.Partitions {
		end = max(end, d.Bytes(p.Start+p.Size))
	}
	for d.Partition(number) != nil {
		number++
	}
	p := machine.Partition{Number: number, Path: partitionPath(d.Path, number), Start: d.Sectors(up(end, align)), Size: d.Sectors(size),
		Type: kind, Name: name, UUID: derivedUUID(name, d.Table.ID)}
	d.Table.Partitions = append(d.Table.Partitions, p)
	f.relaid[d.Name] = true
	return p
}

// gptTypes are the types of GPT partitions for those of an MBR.
var gptTypes = map[string]string{
	"82": "0657FD6D-A4AB-43C4-84E5-0933C84B4F4F", "8e": machine.TypeLVM, "fd": machine.TypeRAID, "ef": machine.TypeESP,
	"7": "EBD0A0A2-B9E5-4433-87C0-68B6B72699C7", "b": "EBD0A0A2-B9E5-4433-87C0-68B6B72699C7", "c": "EBD0A0A2-B9E5-4433-87C0-68B6B72699C7",
}

const typeLinuxData = "0FC63DAF-8483-4772-8E79-3D69D8477DE4"

// toGPT turns an MBR into a GPT: logical partitions become partitions like
// others under their numbers, the extended one is not needed any more.
func (f *fitter) toGPT(d *machine.Disk) { f.toGPTFor(d, "UEFI does not start from an MBR everywhere") }

func (f *fitter) toGPTFor(d *machine.Disk, why string) {
	if d.Table.Kind != machine.MBR {
		return
	}
	t := &machine.PartitionTable{Kind: machine.GPT, ID: derivedUUID("gpt", d.Table.ID+d.Serial)}
	for _, p := range d.Table.Partitions {
		if p.Extended() {
			continue
		}
		kind, ok := gptTypes[strings.ToLower(p.Type)]
		if !ok {
			kind = typeLinuxData
		}
		q := machine.Partition{Number: p.Number, Path: p.Path, Start: p.Start, Size: p.Size, Type: kind, Formerly: p.UUID,
			UUID: derivedUUID(fmt.Sprint(p.Number), t.ID)}
		t.Partitions = append(t.Partitions, q)
	}
	d.Table = t
	f.relaid[d.Name] = true
	f.say("partition table of "+d.Name, "GPT", "%s", why)
}

// derivedUUID makes a UUID from what is recorded: the same each time, so that
// an interrupted restore is known again (RFC 9562, version 8).
func derivedUUID(parts ...string) string {
	b := sha256.Sum256([]byte(strings.Join(parts, "\x00")))
	b[6], b[8] = b[6]&0x0f|0x80, b[8]&0x3f|0x80
	return strings.ToUpper(fmt.Sprintf("%x-%x-%x-%x-%x", b[:4], b[4:6], b[6:8], b[8:10], b[10:16]))
}
