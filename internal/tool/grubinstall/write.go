// Package grubinstall calls grub-install (grub2-install on Fedora and SUSE)
// inside a restored system.
package grubinstall

import (
	"context"
	"fmt"

	"github.com/mkcdrec/mkcdrec/internal/system"
)

// Programs are the names under which distributions ship it.
var Programs = []string{"grub-install", "grub2-install"}

// BIOS writes the boot code to a disk and core.img behind it, from inside root.
func BIOS(ctx context.Context, r system.Runner, root, program, disk string) error {
	_, err := r.Run(ctx, system.Command{Name: program, Args: []string{"--target=i386-pc", "--recheck", disk}, Chroot: root})
	if err != nil {
		return fmt.Errorf("cannot install GRUB for BIOS on %s: %w", disk, err)
	}
	return nil
}

// EFI writes GRUB to the ESP mounted at esp, as seen inside root. The firmware's
// boot entry is made separately (efibootmgr).
func EFI(ctx context.Context, r system.Runner, root, program, target, esp, id string) error {
	args := []string{"--target=" + target, "--efi-directory=" + esp, "--no-nvram", "--recheck"}
	if id != "" {
		args = append(args, "--bootloader-id="+id)
	}
	if _, err := r.Run(ctx, system.Command{Name: program, Args: args, Chroot: root}); err != nil {
		return fmt.Errorf("cannot install GRUB for UEFI: %w", err)
	}
	return nil
}
