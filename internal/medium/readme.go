package medium

import (
	"fmt"
	"strings"
)

// readme is the README.txt of the medium: for somebody who holds it in his
// hands years later and has nothing else.
func readme(o Options, s Summary) string {
	var b strings.Builder
	line := func(format string, args ...any) { fmt.Fprintf(&b, format+"\n", args...) }
	line("Recovery medium %s of the machine %s, made %s by mkcdrec.", s.Label, o.Host, o.Made.UTC().Format("2006-01-02 15:04 MST"))
	line("")
	line("Start a machine from it (CD, DVD, or copied to a USB disk with")
	line("    dd if=IMAGE.iso of=/dev/sdX bs=4M conv=fsync")
	line("): a rescue system comes up and tells what to type. Starting it changes no disk.")
	line("It starts on: %s.", strings.Join(startsOn(s), ", "))
	for _, n := range s.Notes {
		line("Note: %s.", n)
	}
	line("")
	line("To check the medium, mount it and type in its root directory:")
	line("    sha256sum -c SHA256SUMS")
	line("")
	if o.BackupID == "" {
		line("There is no backup on this medium.")
		return b.String()
	}
	if o.Menu.Partial {
		line("The backup has only some paths of the machine, and cannot bring it back.")
	}
	line("The backup is in %s/%s:", BackupDir, o.BackupID)
	line("    manifest.json   what belongs to the backup, with SHA-256 of each part")
	line("    layout.json     disks, partitions and file systems of the machine")
	line("    data volumes    zstd frames with a PAX tar archive in them")
	line("")
	line("Without mkcdrec, its files come back with standard tools: join the data volumes")
	line("in their order and unpack them as root below the mounted new root file system:")
	line("    cat VOLUMES... | zstd -dc | tar -xp --numeric-owner --xattrs --xattrs-include='*' --acls -C /mnt")
	line("")
	line("To take the boot partition image out of this medium: boot/grub/efi.img is a FAT")
	line("file system with the UEFI boot loaders; they can be copied to any FAT USB stick.")
	return b.String()
}

func startsOn(s Summary) []string {
	var on []string
	add := func(yes bool, what string) {
		if yes {
			on = append(on, what)
		}
	}
	add(s.BIOS, "BIOS")
	add(s.BIOSUSB, "BIOS from USB")
	add(s.UEFI, "UEFI")
	add(s.SecureBoot, "UEFI with Secure Boot")
	return on
}
