package vm

import (
	"context"
	"maps"
	"regexp"
	"strings"
	"testing"

	"github.com/mkcdrec/mkcdrec/internal/rehearse/qemu"
)

// TestGridUEFIToBIOS brings a machine that starts by UEFI back on one that has
// BIOS only, and a disk of the same size: room for a BIOS boot partition is
// made, and GRUB for BIOS is installed from the restored system's own packages.
// The ESP and all files on it stay as they were.
func TestGridUEFIToBIOS(t *testing.T) {
	scenario{fixture: "uefi-btrfs", onto: qemu.BIOS, apart: regexp.MustCompile(`^/boot/grub/i386-pc($|/)`)}.run(t)
}

// startsByBIOS sees that a machine was started by BIOS, from a disk that has
// both an ESP and a partition for GRUB's core image.
func startsByBIOS(ctx context.Context, t *testing.T, vm *qemu.VM, key string) {
	t.Helper()
	out, err := vm.SSH(ctx, key, "ls -d /sys/firmware/efi 2>/dev/null; lsblk -nro PARTTYPE /dev/vda | grep -ciE 'c12a7328|21686148'; findmnt -no FSTYPE /boot/efi; ls /boot/grub/i386-pc/core.img", nil)
	if err != nil || string(out) != "2\nvfat\n/boot/grub/i386-pc/core.img\n" {
		t.Errorf("ESP and BIOS boot partition, what is on /boot/efi, GRUB's core image: %q (%v)", out, err)
	}
}

// without is what a listing says of all other paths.
func (l Listing) without(paths *regexp.Regexp) Listing {
	l = maps.Clone(l)
	maps.DeleteFunc(l, func(k, _ string) bool {
		_, path, _ := strings.Cut(k, " ")
		return paths.MatchString(path)
	})
	return l
}
