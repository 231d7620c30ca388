package inspect

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"io"
	"os"
	"path"
	"slices"
	"strings"

	"github.com/mkcdrec/mkcdrec/internal/machine"
	"github.com/mkcdrec/mkcdrec/internal/tool/extlinux"
)

// bootCode is what BIOS firmware would run of a disk, or a generic MBR of a
// partition: the code of its first sector.
type bootCode int

const (
	noCode      bootCode = iota // nothing is started by it
	grubCode                    // GRUB's boot.img
	genericCode                 // starts the boot sector of the active partition, whatever that is
	otherCode                   // a boot loader that restore cannot install
)

// codeSize is the room for code in a first sector; the disk's ID and the
// partition table follow. sectorSize holds the signature at its end.
const (
	codeSize   = 440
	sectorSize = 512
)

// partedCode is the SHA-256 of the MBR code of libparted, without the zeros at
// its end, which "mklabel msdos" writes. It starts the active partition.
const partedCode = "7e015c5b4ecfc3b48686e289fb35445fc0c8726af061efcad746068278bd6e30"

// genericWords are the messages, all of one row, by which other generic code
// is known: mbr.bin and gptmbr.bin of SYSLINUX, the MBR of DOS and Windows.
// What is not known for certain to be generic is not in here.
var genericWords = [][]string{
	{"Missing operating system.", "Multiple active partitions.", "Operating system load error."},
	{"Missing OS", "Multiple active partitions", "Disk error"},
	{"Invalid partition table\x00", "Error loading operating system\x00", "Missing operating system\x00"},
}

// loaderWords are the names of boot loaders in their boot sectors.
var loaderWords = []struct{ word, name string }{
	{"LILO", "LILO"}, {"EXTLINUX", "EXTLINUX"}, {"SYSLINUX", "SYSLINUX"}, {"BOOTMGR", "Windows"}, {"GRUB", "GRUB"},
}

// codeOf judges a first sector, and names the boot loader where that is known.
// GRUB's boot.img has its name within the 440 bytes of code.
func codeOf(sector []byte) (bootCode, string) {
	code := sector[:codeSize]
	switch {
	case bytes.Contains(code, []byte("GRUB")):
		return grubCode, "GRUB"
	case len(bytes.Trim(code, "\x00")) == 0, sector[510] != 0x55, sector[511] != 0xaa:
		return noCode, ""
	case bytes.Contains(code, []byte("This is not a bootable disk")): // the message of mkfs.fat
		return noCode, ""
	case fmt.Sprintf("%x", sha256.Sum256(bytes.TrimRight(code, "\x00"))) == partedCode:
		return genericCode, ""
	}
	for _, words := range genericWords {
		if !slices.ContainsFunc(words, func(w string) bool { return !bytes.Contains(sector, []byte(w)) }) {
			return genericCode, ""
		}
	}
	for _, l := range loaderWords {
		if bytes.Contains(sector, []byte(l.word)) {
			return otherCode, l.name
		}
	}
	return otherCode, "a boot loader of a kind that is not known"
}

// sectorAt reads a sector of a disk.
func (in *inspector) sectorAt(d machine.Disk, offset machine.Bytes) ([]byte, error) {
	f, err := os.Open(in.path(d.Path))
	if err != nil {
		return nil, err
	}
	defer f.Close()
	b := make([]byte, sectorSize)
	_, err = io.ReadFull(io.NewSectionReader(f, int64(offset), sectorSize), b)
	return b, err
}

// startsBy is what starts from a disk and where its code lies, or "" where
// nothing does: generic code does what the active partition says.
func (in *inspector) startsBy(d machine.Disk) (code bootCode, name, where string, err error) {
	b, err := in.sectorAt(d, 0)
	if err != nil {
		return noCode, "", "", err
	}
	if code, name = codeOf(b); code != genericCode {
		return code, name, "the first sector of " + d.Path, nil
	}
	if d.Table == nil {
		return noCode, "", "", nil
	}
	for _, p := range d.Table.Partitions {
		if !p.Bootable && !strings.Contains(p.Attrs, "LegacyBIOSBootable") {
			continue
		}
		b, err := in.sectorAt(d, d.Bytes(p.Start))
		if err != nil {
			return noCode, "", "", err
		}
		// A generic MBR in a partition would start itself for ever: to restore that is not our task either.
		if code, name = codeOf(b); code != noCode {
			return otherCode, name, "the boot sector of " + p.Path, nil
		}
	}
	return noCode, "", "", nil
}

// biosLoader finds out what BIOS firmware starts: GRUB in the first sector of
// a disk can be installed anew, anything else is named.
func (in *inspector) biosLoader() {
	bl := &in.m.BootLoader
	hasGRUB := in.exists("/boot/grub") || in.exists("/boot/grub2")
	for _, d := range in.m.Disks {
		if code, _, _, err := in.startsBy(d); hasGRUB && err == nil && code == grubCode {
			bl.Kind, bl.Disks = machine.GRUBBIOS, append(bl.Disks, machine.DiskRef(d.Name))
		}
	}
	if bl.Kind != machine.GRUBBIOS && !in.extlinux() {
		in.foreignCode()
	}
}

// extlinuxDirs are where EXTLINUX keeps its files.
var extlinuxDirs = []string{"/boot/extlinux", "/boot/syslinux", "/boot", "/extlinux", "/syslinux", "/"}

// extlinux finds out whether the machine starts by EXTLINUX: generic code leads
// to a boot sector of it on the partition that holds its directory. Restore
// installs it anew by its own packages, so that they have to be here.
func (in *inspector) extlinux() bool {
	for _, dir := range extlinuxDirs {
		if !in.exists(path.Join(dir, "ldlinux.sys")) {
			continue
		}
		mt := in.mountOf(dir)
		if mt == nil {
			continue
		}
		dev, err := in.m.Resolve(mt.On)
		fs := in.m.FileSystemOn(mt.On)
		if err != nil || fs == nil || dev.Partition == nil || dev.Array != nil || !extlinux.CanStartFrom(string(fs.Kind)) {
			continue
		}
		_, name, where, err := in.startsBy(*dev.Disk)
		if err != nil || name != "EXTLINUX" || where != "the boot sector of "+dev.Partition.Path {
			continue
		}
		in.m.BootLoader = machine.BootLoader{Kind: machine.EXTLINUX, Path: dir, Disks: []machine.Ref{machine.DiskRef(dev.Disk.Name)}}
		in.extlinuxPackages(dev.Disk.Table.Kind == machine.GPT)
		return true
	}
	return false
}

// extlinuxPackages names what a restore could not install EXTLINUX with.
func (in *inspector) extlinuxPackages(gpt bool) {
	for _, need := range []struct {
		pkg   string
		files []string
	}{{extlinux.Package, extlinux.Programs}, {extlinux.CodePackage, extlinux.Code(gpt)}} {
		if !slices.ContainsFunc(need.files, func(f string) bool { return in.exists("/" + f) }) {
			in.m.BootLoader.Path = "" // nothing that a restore can install
			in.blocking("boot-loader:extlinux", "install the package "+need.pkg+"; or take the boot loader out of the backup by this name: after a restore it has to be installed by hand",
				"the machine starts by EXTLINUX, and the package that it is installed from is not here: %s (/%s)", need.pkg, need.files[0])
			return
		}
	}
}

// mountOf is the mount that holds a path.
func (in *inspector) mountOf(file string) (best *machine.Mount) {
	for i, m := range in.m.Mounts {
		inside := m.Target == "/" || file == m.Target || strings.HasPrefix(file, m.Target+"/")
		if inside && (best == nil || len(m.Target) > len(best.Target)) {
			best = &in.m.Mounts[i]
		}
	}
	return best
}

// loaderTodo is what to do about a boot loader that restore cannot install.
const loaderTodo = "install GRUB on this machine; or take the boot loader out of the backup by this name: after a restore it has to be installed by hand"

// foreignCode names boot code that is not GRUB's. On a disk of / or /boot it is
// what starts the machine; on another it may be a leftover.
func (in *inspector) foreignCode() {
	own := in.bootDisks()
	var unread error
	for _, d := range in.m.Disks {
		code, name, where, err := in.startsBy(d)
		isOwn := slices.Contains(own, d.Name)
		switch {
		case err != nil && isOwn:
			unread = err
		case err != nil || code == noCode:
		case isOwn:
			in.m.BootLoader.Kind = machine.OtherLoader
			in.m.BootLoader.Disks = append(in.m.BootLoader.Disks, machine.DiskRef(d.Name))
			if code == grubCode {
				name = "GRUB without /boot/grub"
			}
			in.blocking("boot-loader:"+d.Name, loaderTodo, "the machine starts by %s in %s, which this version cannot install there: what is restored would not start", name, where)
		case d.Table != nil && !d.Removable:
			in.note("boot-loader:"+d.Name, "see that the machine starts after a restore",
				"%s is in %s: it is not installed by a restore", name, where)
		}
	}
	switch {
	case in.m.BootLoader.Kind == machine.OtherLoader:
	case unread != nil:
		in.note("boot-loader", "run as root, outside of a container", "the boot loader is not known: %v", unread)
	default:
		in.note("boot-loader", "", "no boot loader was found: the machine is started from outside, and a restore installs none")
	}
}

// bootDisks are the names of the disks that hold / and /boot; where that is
// not recorded, of all that stay in the machine.
func (in *inspector) bootDisks() []string {
	var names []string
	for _, target := range []string{"/boot", "/"} {
		if m := in.m.MountAt(target); m != nil {
			for _, d := range in.m.DisksUnder(m.On) {
				names = append(names, d.Name)
			}
		}
	}
	if len(names) > 0 {
		return names
	}
	for _, d := range in.m.Disks {
		if !d.Removable {
			names = append(names, d.Name)
		}
	}
	return names
}
