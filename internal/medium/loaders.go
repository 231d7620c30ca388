package medium

import (
	"context"
	"fmt"
	"os"
	"path"
	"path/filepath"
	"strings"

	"github.com/mkcdrec/mkcdrec/internal/system"
	"github.com/mkcdrec/mkcdrec/internal/tool/grub"
)

// signedLoaders says where a distribution keeps a shim that Microsoft signed
// and the GRUB that this shim accepts. Both must come from the same row.
type signedLoaders struct {
	family  string
	shim    []string
	grub    []string
	manager []string // MokManager
	// config is the directory on the ESP where this GRUB looks for grub.cfg.
	config string
}

// signed is tried from top to bottom.
var signed = []signedLoaders{
	{
		family: "debian",
		shim:   []string{"usr/lib/shim/shimx64.efi.signed", "usr/lib/shim/shimx64.efi.signed.latest"},
		// gcdx64 is made for removable media; grubx64 is for installed systems.
		grub:    []string{"usr/lib/grub/x86_64-efi-signed/gcdx64.efi.signed", "usr/lib/grub/x86_64-efi-signed/grubx64.efi.signed"},
		manager: []string{"usr/lib/shim/mmx64.efi.signed", "usr/lib/shim/mmx64.efi"},
		config:  "EFI/debian",
	},
	{
		family:  "ubuntu",
		shim:    []string{"usr/lib/shim/shimx64.efi.dualsigned"},
		grub:    []string{"usr/lib/grub/x86_64-efi-signed/gcdx64.efi.signed", "usr/lib/grub/x86_64-efi-signed/grubx64.efi.signed"},
		manager: []string{"usr/lib/shim/mmx64.efi"},
		config:  "EFI/ubuntu",
	},
	{
		family:  "fedora",
		shim:    []string{"boot/efi/EFI/fedora/shimx64.efi"},
		grub:    []string{"boot/efi/EFI/fedora/gcdx64.efi", "boot/efi/EFI/fedora/grubx64.efi"},
		manager: []string{"boot/efi/EFI/fedora/mmx64.efi"},
		config:  "EFI/fedora",
	},
	{
		family:  "redhat",
		shim:    []string{"boot/efi/EFI/redhat/shimx64.efi", "boot/efi/EFI/rocky/shimx64.efi", "boot/efi/EFI/almalinux/shimx64.efi", "boot/efi/EFI/centos/shimx64.efi"},
		grub:    []string{"boot/efi/EFI/redhat/grubx64.efi", "boot/efi/EFI/rocky/grubx64.efi", "boot/efi/EFI/almalinux/grubx64.efi", "boot/efi/EFI/centos/grubx64.efi"},
		manager: []string{"boot/efi/EFI/redhat/mmx64.efi", "boot/efi/EFI/rocky/mmx64.efi", "boot/efi/EFI/almalinux/mmx64.efi", "boot/efi/EFI/centos/mmx64.efi"},
		config:  "EFI/redhat",
	},
	{
		family:  "suse",
		shim:    []string{"usr/share/efi/x86_64/shim.efi", "usr/lib64/efi/shim.efi"},
		grub:    []string{"usr/share/efi/x86_64/grub.efi", "usr/share/grub2/x86_64-efi/grub.efi", "usr/lib64/efi/grub.efi"},
		manager: []string{"usr/share/efi/x86_64/MokManager.efi", "usr/lib64/efi/MokManager.efi"},
		config:  "EFI/BOOT",
	},
}

// memoryTests are where the distributions put a memory test: for BIOS, for UEFI.
var memoryTests = [2][]string{
	{"boot/memtest86+x64.bin", "boot/memtest86+/memtest.bin", "boot/memtest86+.bin", "boot/memtest.bin"},
	{"boot/memtest86+x64.efi", "boot/memtest86+/memtest.efi", "boot/memtest86+.efi", "boot/memtest.efi"},
}

// biosModules are built into the BIOS image, so that it needs no directory of
// modules on the medium: disks, the medium's file systems, the menu, what the
// menu's entries do, and a little for the GRUB prompt.
var biosModules = strings.Fields("biosdisk iso9660 part_gpt part_msdos fat ext2 normal configfile linux linux16 chain drivemap " +
	"search search_label search_fs_file search_fs_uuid serial terminal test true regexp echo ls cat sleep minicmd reboot halt " +
	"all_video keystatus loadenv help")

// efiModules are the same for a GRUB of our own for UEFI.
var efiModules = strings.Fields("iso9660 part_gpt part_msdos fat ext2 normal configfile linux chain " +
	"search search_label search_fs_file search_fs_uuid serial terminal test true regexp echo ls cat sleep minicmd reboot halt " +
	"all_video efi_gop efi_uga efifwsetup keystatus loadenv help")

// Loaders are the boot loaders found on this machine, ready for a medium.
type Loaders struct {
	BIOS    []byte // El Torito image: cdboot.img + core image; nil: does not boot by BIOS
	MBR     []byte // boot_hybrid.img; nil: a USB disk does not boot by BIOS
	Shim    []byte // nil: no Secure Boot
	GRUB64  []byte // GRUB for x86_64 UEFI; nil: does not boot by UEFI
	Manager []byte // MokManager, may be nil
	// Config is a further directory on the ESP where GRUB64 looks for grub.cfg, or "".
	Config string
	// MemtestBIOS and MemtestUEFI are paths of memory tests, "" where there is none.
	MemtestBIOS, MemtestUEFI string
	// Notes say, each in a sentence, why something is missing.
	Notes []string
}

// FindLoaders collects the boot loaders that the machine below root ("/") has,
// and makes GRUB images with its grub-mkimage. A missing loader is a note, not
// an error; no loader at all is NewWriter's to refuse. label is the medium's.
func FindLoaders(ctx context.Context, r system.Runner, root, label string) (Loaders, error) {
	var l Loaders
	if dir := grub.ModuleDir(root, grub.ElTorito); dir == "" {
		l.note("it does not boot on BIOS: GRUB's i386-pc files are not here (Debian: grub-pc-bin, Fedora: grub2-pc-modules)")
	} else if im, err := grub.MakeImage(ctx, r, grub.Image{Format: grub.ElTorito, Dir: dir, Prefix: "/boot/grub", Modules: biosModules}); err != nil {
		if ctx.Err() != nil {
			return l, err
		}
		l.note("it does not boot on BIOS: " + err.Error())
	} else {
		l.BIOS = im
		if l.MBR, err = os.ReadFile(filepath.Join(dir, "boot_hybrid.img")); err != nil {
			l.note("it does not boot on BIOS from a USB disk: " + err.Error())
		}
	}
	if err := l.findUEFI(ctx, r, root, label); err != nil {
		return l, err
	}
	l.MemtestBIOS, l.MemtestUEFI = first(root, memoryTests[0]), first(root, memoryTests[1])
	return l, nil
}

func (l *Loaders) note(s string) { l.Notes = append(l.Notes, s) }

// findUEFI takes a signed shim and GRUB, or makes a GRUB that is not signed.
func (l *Loaders) findUEFI(ctx context.Context, r system.Runner, root, label string) error {
	for _, s := range signed {
		shim, grub64 := first(root, s.shim), first(root, s.grub)
		if shim == "" || grub64 == "" {
			continue
		}
		var err error
		if l.Shim, err = os.ReadFile(shim); err != nil {
			return fmt.Errorf("cannot read the signed boot loader: %w", err)
		}
		if l.GRUB64, err = os.ReadFile(grub64); err != nil {
			return fmt.Errorf("cannot read the signed boot loader: %w", err)
		}
		if m := first(root, s.manager); m != "" {
			if l.Manager, err = os.ReadFile(m); err != nil {
				return fmt.Errorf("cannot read the signed boot loader: %w", err)
			}
		}
		l.Config = s.config
		if family := path.Base(path.Dir(shim)); strings.HasPrefix(shim, filepath.Join(root, "boot/efi/EFI")) {
			l.Config = "EFI/" + family
		}
		return nil
	}
	l.note("it does not boot with Secure Boot: no signed shim and GRUB here (Debian: shim-signed and grub-efi-amd64-signed)")
	dir := grub.ModuleDir(root, grub.EFI64)
	if dir == "" {
		l.note("it does not boot on UEFI: GRUB's x86_64-efi files are not here (Debian: grub-efi-amd64-bin, Fedora: grub2-efi-x64-modules)")
		return nil
	}
	im, err := grub.MakeImage(ctx, r, grub.Image{Format: grub.EFI64, Dir: dir, Prefix: "/boot/grub", Config: findMedium(label), Modules: efiModules})
	if err != nil {
		if ctx.Err() != nil {
			return err
		}
		l.note("it does not boot on UEFI: " + err.Error())
		return nil
	}
	l.GRUB64 = im
	return nil
}

// first is the first of the paths that is a file below root, or "".
func first(root string, paths []string) string {
	for _, p := range paths {
		full := filepath.Join(root, p)
		if fi, err := os.Stat(full); err == nil && fi.Mode().IsRegular() {
			return full
		}
	}
	return ""
}
