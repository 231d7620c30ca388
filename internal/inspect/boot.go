package inspect

import (
	"encoding/binary"
	"fmt"
	"os"
	"runtime"
	"strings"

	"github.com/mkcdrec/mkcdrec/internal/machine"
	"github.com/mkcdrec/mkcdrec/internal/tool/efiimage"
	"github.com/mkcdrec/mkcdrec/internal/tool/efivars"
)

// firmware says how the machine was started, and the boot entries.
func (in *inspector) firmware() {
	in.m.Firmware.Kind = machine.BIOS
	if !in.exists("/sys/firmware/efi") {
		return
	}
	in.m.Firmware.Kind = machine.UEFI
	var err error
	in.m.Firmware.Entries, in.m.Firmware.SecureBoot, err = efivars.Read(os.DirFS(in.path("/sys/firmware/efi/efivars")))
	if err != nil {
		in.note("efivars", "mount efivarfs at /sys/firmware/efi/efivars", "not all EFI boot entries are known: %v", err)
	}
}

// bootLoader finds out what starts the installed kernel.
func (in *inspector) bootLoader() {
	in.m.BootLoader.Kind = machine.NoBootLoader
	if in.m.Firmware.Kind == machine.UEFI {
		if !in.kernelStarted() {
			in.efiLoader()
			in.efiStart()
		}
		return
	}
	in.biosLoader()
}

// efiArch is the suffix of EFI programs for an architecture.
var efiArch = map[string]string{"amd64": "x64", "arm64": "aa64", "386": "ia32"}

// efiLoader looks at the mounted ESP.
func (in *inspector) efiLoader() {
	esp := in.esp()
	if esp == "" {
		in.note("esp", "mount the EFI system partition (on /boot/efi as a rule)",
			"no EFI system partition is mounted: the boot loader is not known")
		return
	}
	arch := efiArch[runtime.GOARCH]
	efi := in.entry(esp, "EFI")
	boot := in.entry(efi, "BOOT")
	in.m.BootLoader.Fallback = in.entry(boot, "boot"+arch+".efi") != ""
	grubIn := func(dir string) bool {
		d := in.entry(efi, dir)
		return in.entry(d, "shim"+arch+".efi") != "" || in.entry(d, "grub"+arch+".efi") != ""
	}
	// In boot order: what the firmware really starts comes first.
	var ids []string
	for _, e := range in.m.Firmware.Entries {
		if f := strings.Split(strings.Trim(e.Loader, `\`), `\`); len(f) == 3 && strings.EqualFold(f[0], "EFI") && e.Active {
			ids = append(ids, f[1])
		}
	}
	ids = append(ids, in.m.OS.ID)
	list, _ := os.ReadDir(in.path(efi))
	for _, e := range list {
		ids = append(ids, e.Name())
	}
	for _, id := range ids {
		switch {
		case id == "" || in.entry(efi, id) == "":
		case strings.EqualFold(id, "systemd"):
			if file := in.entry(in.entry(efi, id), "systemd-boot"+arch+".efi"); file != "" {
				in.m.BootLoader.Kind, in.m.BootLoader.Path = machine.SystemdBoot, strings.TrimPrefix(file, esp+"/")
				return
			}
		case !strings.EqualFold(id, "BOOT") && grubIn(id):
			in.m.BootLoader.Kind, in.m.BootLoader.ID = machine.GRUBEFI, id
			return
		}
	}
	switch {
	case in.m.BootLoader.Fallback && (in.exists("/boot/grub") || in.exists("/boot/grub2")):
		in.m.BootLoader.Kind = machine.GRUBEFI // installed as if on a removable disk
	}
}

// kernelStarted says whether the firmware started a kernel itself: a unified image,
// or one that the boot entry gives its command line.
func (in *inspector) kernelStarted() bool {
	e, esp := in.startEntry(), in.esp()
	if e == nil || esp == "" {
		return false
	}
	file := in.onESP(esp, e.Loader)
	if file == "" {
		return false
	}
	f, err := os.Open(in.path(file))
	if err != nil {
		return false
	}
	defer f.Close()
	if efiimage.KindOf(f) == efiimage.Other {
		return false
	}
	boot := in.entry(in.entry(esp, "EFI"), "BOOT")
	in.m.BootLoader = machine.BootLoader{Kind: machine.UKI, Path: strings.TrimPrefix(file, esp+"/"),
		Fallback: in.entry(boot, "boot"+efiArch[runtime.GOARCH]+".efi") != ""}
	return true
}

// onESP is the file that a boot entry names, or "".
func (in *inspector) onESP(esp, loader string) string {
	file := esp
	for _, name := range strings.Split(strings.Trim(loader, `\`), `\`) {
		file = in.entry(file, name)
	}
	return file
}

// efiStart looks at the boot entry that started the machine. Restore brings
// back the mounted EFI system partition with its files, and makes the entries
// that lead to it; of a kind that is known it makes the fallback, too.
func (in *inspector) efiStart() {
	bl, e, esp := &in.m.BootLoader, in.startEntry(), in.esp()
	if e == nil {
		if bl.Kind == machine.NoBootLoader && esp != "" {
			in.note("boot-loader", "see that the machine starts after a restore",
				"no EFI boot loader that is known was found: the files of the EFI system partition come back, none is installed anew")
		}
		return
	}
	file := in.onESP(esp, e.Loader)
	switch {
	case bl.Kind != machine.NoBootLoader && file == "":
		in.note("boot-entry", "see that the machine starts after a restore",
			"the boot entry %q leads to %s, which is not on the EFI system partition: a restore makes the machine start by %s", e.Label, e.Loader, bl.Kind)
	case bl.Kind != machine.NoBootLoader:
	case file == "":
		bl.Kind = machine.OtherLoader
		in.blocking("boot-loader:efi", "mount the EFI system partition that holds it (on /boot/efi as a rule); or take the boot loader out of the backup by this name",
			"the machine starts by %s (boot entry %q), which is on no EFI system partition that is mounted: what is restored would not start", e.Loader, e.Label)
	default:
		bl.Kind, bl.Path = machine.EFIProgram, strings.TrimPrefix(file, esp+"/")
		in.note("boot-loader", "see that the machine starts after a restore",
			"the EFI boot loader %s is of a kind that is not known: its files come back with the EFI system partition, and a restore makes its boot entry", e.Loader)
	}
}

// startEntry is the boot entry with a file that started the machine. Where the
// firmware does not say which that was, it is the first active one; but only
// where nothing that is known was found, as it may be another system's.
// Source: UEFI specification 2.10, 3.3 (BootCurrent).
func (in *inspector) startEntry() *machine.EFIEntry {
	b, err := os.ReadFile(in.path("/sys/firmware/efi/efivars/BootCurrent-" + efivars.Global))
	current := ""
	if err == nil && len(b) == 6 { // four bytes of attributes come first
		current = fmt.Sprintf("%04X", binary.LittleEndian.Uint16(b[4:]))
	}
	for i, e := range in.m.Firmware.Entries {
		if e.Number == current || current == "" && in.m.BootLoader.Kind == machine.NoBootLoader && e.Active && e.Loader != "" {
			if e.Loader == "" {
				return nil // the network, or the fallback
			}
			return &in.m.Firmware.Entries[i]
		}
	}
	return nil
}

// esp is the mount point of the EFI system partition, or "".
func (in *inspector) esp() string {
	best := ""
	for _, m := range in.m.Mounts {
		fs := in.m.FileSystemOn(m.On)
		if fs == nil || fs.Kind != "vfat" {
			continue
		}
		dev, err := in.m.Resolve(m.On)
		isESP := err == nil && dev.Partition != nil && (dev.Partition.Type == machine.TypeESP || dev.Partition.Type == "ef")
		if isESP && in.entry(m.Target, "EFI") != "" {
			return m.Target
		}
		if isESP || in.entry(m.Target, "EFI") != "" {
			best = m.Target
		}
	}
	return best
}

// entry finds a name in a directory whatever its case, as FAT does; "" when
// there is none.
func (in *inspector) entry(dir, name string) string {
	if dir == "" {
		return ""
	}
	list, err := os.ReadDir(in.path(dir))
	if err != nil {
		return ""
	}
	for _, e := range list {
		if strings.EqualFold(e.Name(), name) {
			return dir + "/" + e.Name()
		}
	}
	return ""
}
