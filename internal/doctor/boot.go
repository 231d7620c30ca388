package doctor

import (
	"context"

	"github.com/mkcdrec/mkcdrec/internal/machine"
	"github.com/mkcdrec/mkcdrec/internal/medium"
	"github.com/mkcdrec/mkcdrec/internal/rescue"
)

// bootPackages bring the loaders, by family: for BIOS, for UEFI with Secure Boot.
var bootPackages = map[rescue.Family][2][]string{
	rescue.Debian: {{"grub-pc-bin", "grub-common"}, {"grub-efi-amd64-signed", "shim-signed", "grub-efi-amd64-bin"}},
	rescue.Fedora: {{"grub2-pc-modules", "grub2-tools"}, {"grub2-efi-x64-cdboot", "shim-x64"}},
	rescue.SUSE:   {{"grub2-i386-pc"}, {"grub2-x86_64-efi", "shim"}},
	rescue.Arch:   {{"grub"}, {"grub"}},
}

// bootLoaders says what the medium will boot on. It makes the images that the
// medium would get, so that what it says is what will be.
func bootLoaders(ctx context.Context, e *environment) []Check {
	l, err := medium.FindLoaders(ctx, e.Runner, "/"+e.Root, medium.Label("00000000"))
	if err != nil {
		return []Check{{Name: "boot loaders", Status: NotFound, Needed: true, Detail: err.Error()}}
	}
	packages := bootPackages[e.family]
	// What starts this machine is needed; the other makes the medium boot elsewhere, too.
	own := e.Machine.Firmware.Kind
	check := func(name string, ok, needed bool, pkgs []string) Check {
		c := Check{Name: name, Status: Found, Needed: needed}
		if !ok {
			c.Status, c.Packages = NotFound, pkgs
			c.Detail = "the medium does not boot so; install"
			for _, p := range pkgs {
				c.Detail += " " + p
			}
		}
		return c
	}
	memtest := Check{Name: "memory test", Status: Found}
	if l.MemtestBIOS == "" && l.MemtestUEFI == "" {
		memtest.Status, memtest.Detail = NotApplicable, "none is installed"
	}
	return []Check{
		check("boots by BIOS (CD)", l.BIOS != nil, own != machine.UEFI, packages[0]),
		check("boots by BIOS (USB)", l.BIOS != nil && l.MBR != nil, false, packages[0]),
		check("boots by UEFI", l.GRUB64 != nil, own == machine.UEFI, packages[1]),
		check("boots by UEFI Secure Boot", l.GRUB64 != nil && l.Shim != nil, e.Machine.Firmware.SecureBoot, packages[1]),
		memtest,
	}
}
