// Package extlinux calls extlinux(1) inside a restored system, and knows where
// distributions put it and the boot code of SYSLINUX for a disk's first sector.
package extlinux

import (
	"context"
	"fmt"
	"path"
	"slices"

	"github.com/mkcdrec/mkcdrec/internal/system"
)

// Programs are the places of the installer, relative to the root.
var Programs = []string{"usr/bin/extlinux", "usr/sbin/extlinux", "sbin/extlinux", "bin/extlinux"}

// codeDirs are the directories of the boot code: Debian, older Debian, Arch, then
// Fedora and SUSE.
var codeDirs = []string{"usr/lib/syslinux/mbr", "usr/lib/syslinux", "usr/lib/syslinux/bios", "usr/share/syslinux"}

// Packages are what Debian calls the packages of the installer and of the boot code.
const (
	Package     = "extlinux"
	CodePackage = "syslinux-common"
)

// codeSize is the room for boot code: the disk's ID and the partition table
// follow it.
const codeSize = 440

// Code are the places of the code that starts the active partition of an MBR, or
// of a GPT the one with the attribute LegacyBIOSBootable; relative to the root.
func Code(gpt bool) (names []string) {
	name := "mbr.bin"
	if gpt {
		name = "gptmbr.bin"
	}
	for _, d := range codeDirs {
		names = append(names, path.Join(d, name))
	}
	return names
}

// Files are the names below its directory that an installation makes anew.
var Files = []string{"ldlinux.sys", "ldlinux.c32"}

// CanStartFrom says whether it reads a kind of file system.
func CanStartFrom(kind string) bool {
	return slices.Contains([]string{"ext2", "ext3", "ext4", "btrfs", "xfs"}, kind)
}

// Install writes ldlinux.sys into a directory of root, and the boot sector of the
// partition that it lies on. program and dir are paths as seen inside root.
func Install(ctx context.Context, r system.Runner, root, program, dir string) error {
	if _, err := r.Run(ctx, system.Command{Name: program, Args: []string{"--install", dir}, Chroot: root}); err != nil {
		return fmt.Errorf("cannot install EXTLINUX in %s: %w", dir, err)
	}
	return nil
}

// WriteCode writes boot code to the first sector of a disk, and leaves the
// partition table in it as it is.
func WriteCode(ctx context.Context, r system.Runner, code, disk string) error {
	_, err := r.Run(ctx, system.Command{Name: "dd", Args: []string{"if=" + code, "of=" + disk, fmt.Sprintf("bs=%d", codeSize), "count=1", "conv=notrunc,fsync", "status=none"}})
	if err != nil {
		return fmt.Errorf("cannot write boot code to %s: %w", disk, err)
	}
	return nil
}
