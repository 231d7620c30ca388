package inspect

import (
	"bytes"
	"io"
	"os"
	"runtime"
	"strings"

	"github.com/mkcdrec/mkcdrec/internal/machine"
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
		in.efiLoader()
		return
	}
	grub := in.exists("/boot/grub") || in.exists("/boot/grub2")
	for _, d := range in.m.Disks {
		if grub && in.hasGRUBCode(d.Path) {
			in.m.BootLoader.Kind = machine.GRUBBIOS
			in.m.BootLoader.Disks = append(in.m.BootLoader.Disks, machine.DiskRef(d.Name))
		}
	}
	if in.m.BootLoader.Kind == machine.NoBootLoader && (in.exists("/boot/extlinux/extlinux.conf") || in.exists("/boot/syslinux/syslinux.cfg")) {
		in.m.BootLoader.Kind = machine.EXTLINUX
	}
}

// hasGRUBCode says that a disk's first sector holds GRUB's boot.img, which
// has its name within the 440 bytes of code.
func (in *inspector) hasGRUBCode(path string) bool {
	f, err := os.Open(in.path(path))
	if err != nil {
		return false
	}
	defer f.Close()
	code := make([]byte, 440)
	if _, err := io.ReadFull(f, code); err != nil {
		return false
	}
	return bytes.Contains(code, []byte("GRUB"))
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
			in.m.BootLoader.Kind = machine.SystemdBoot
			return
		case !strings.EqualFold(id, "BOOT") && grubIn(id):
			in.m.BootLoader.Kind, in.m.BootLoader.ID = machine.GRUBEFI, id
			return
		}
	}
	switch {
	case in.m.BootLoader.Fallback && (in.exists("/boot/grub") || in.exists("/boot/grub2")):
		in.m.BootLoader.Kind = machine.GRUBEFI // installed as if on a removable disk
	case in.m.BootLoader.Fallback || len(in.m.Firmware.Entries) > 0:
		in.note("boot-loader", "see that the machine starts after a restore",
			"the EFI boot loader is of a kind that is not known: its files come back with the EFI system partition, it is not installed anew")
	}
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
