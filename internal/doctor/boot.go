package doctor

import (
	"context"
	"strings"

	"github.com/mkcdrec/mkcdrec/internal/machine"
	"github.com/mkcdrec/mkcdrec/internal/medium"
	"github.com/mkcdrec/mkcdrec/internal/rescue"
)

// bootPackages bring the loaders of a family.
var bootPackages = map[rescue.Family]struct{ bios, uefi, signed []string }{
	rescue.Debian: {[]string{"grub-pc-bin", "grub-common"}, []string{"grub-efi-amd64-bin", "grub-common"}, []string{"grub-efi-amd64-signed", "shim-signed"}},
	rescue.Fedora: {[]string{"grub2-pc-modules", "grub2-tools"}, []string{"grub2-efi-x64-cdboot"}, []string{"grub2-efi-x64-cdboot", "shim-x64"}},
	rescue.SUSE:   {[]string{"grub2-i386-pc"}, []string{"grub2-x86_64-efi"}, []string{"grub2-x86_64-efi", "shim"}},
	rescue.Arch:   {[]string{"grub"}, []string{"grub"}, nil},
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
			c.Detail = "the medium does not boot so"
			if len(pkgs) > 0 {
				c.Detail += "; install " + strings.Join(pkgs, " ")
			}
		}
		return c
	}
	signed := check("boots by UEFI Secure Boot", l.GRUB64 != nil && l.Shim != nil, e.Machine.Firmware.SecureBoot, packages.signed)
	if signed.Status == NotFound && e.family == rescue.Debian && own == machine.UEFI {
		// Installing shim-signed on a machine that starts by UEFI runs
		// grub-install (its postinst): the administrator's decision, not ours.
		signed.Packages = nil
		signed.Detail = "the medium does not boot so; installing shim-signed would rewrite this machine's boot entry"
	}
	memtest := Check{Name: "memory test", Status: Found}
	if l.MemtestBIOS == "" && l.MemtestUEFI == "" {
		memtest.Status, memtest.Detail = NotApplicable, "none is installed"
	}
	return []Check{
		check("boots by BIOS (CD)", l.BIOS != nil, own != machine.UEFI, packages.bios),
		check("boots by BIOS (USB)", l.BIOS != nil && l.MBR != nil, false, packages.bios),
		check("boots by UEFI", l.GRUB64 != nil, own == machine.UEFI, packages.uefi),
		signed,
		memtest,
	}
}
