package restore

import (
	"context"
	"errors"
	"io"
	"os"
	"path"
	"strings"

	"github.com/mkcdrec/mkcdrec/internal/fail"
	"github.com/mkcdrec/mkcdrec/internal/machine"
	"github.com/mkcdrec/mkcdrec/internal/plan"
	"github.com/mkcdrec/mkcdrec/internal/tool/bootctl"
	"github.com/mkcdrec/mkcdrec/internal/tool/grubinstall"
)

// bootLoader makes the disk start. An error here is the restore's error: a
// machine that does not start is not restored.
func (x *executor) bootLoader(ctx context.Context, s plan.Step) error {
	switch s.BootLoader.Kind {
	case machine.GRUBBIOS:
		return x.grubBIOS(ctx, *s.BootLoader)
	case machine.GRUBEFI, machine.SystemdBoot, machine.UKI, machine.EFIProgram:
		return x.efi(ctx, *s.BootLoader)
	case machine.EXTLINUX:
		return x.extlinux(ctx, *s.BootLoader)
	}
	return fail.New(fail.Unsupported, "this version cannot install the boot loader %q", s.BootLoader.Kind)
}

// grubBIOS writes GRUB's boot code, which lies outside of all file systems.
func (x *executor) grubBIOS(ctx context.Context, bl machine.BootLoader) error {
	program := x.grubInstall()
	if program == "" {
		return fail.New(fail.Failed, "the restored system has no grub-install")
	}
	disks := bl.Disks
	if len(disks) == 0 {
		// Which disk it was is not recorded: the one that holds /boot.
		boot := x.m.MountAt("/boot")
		if boot == nil {
			boot = x.m.MountAt("/")
		}
		for _, d := range x.m.DisksUnder(boot.On) {
			disks = append(disks, machine.DiskRef(d.Name))
		}
	}
	if err := x.bind(ctx); err != nil {
		return err
	}
	for _, r := range disks {
		dev, err := x.device(r)
		if err != nil {
			return err
		}
		if err := grubinstall.BIOS(ctx, x.System, x.TargetRoot, program, dev); err != nil {
			return err
		}
	}
	x.grubFiles()
	return nil
}

func (x *executor) grubInstall() string {
	for _, p := range grubinstall.Programs {
		if path := x.program(p); path != "" {
			return path
		}
	}
	return ""
}

// grubFiles are what grub-install writes anew.
func (x *executor) grubFiles() {
	for _, dir := range []string{"boot/grub", "boot/grub2"} {
		x.changed[dir] = true
		for _, sub := range []string{"i386-pc", "x86_64-efi", "arm64-efi", "fonts", "locale"} {
			x.changed[dir+"/"+sub+"/"] = true
		}
		for _, f := range []string{"grubenv", "unicode.pf2", "device.map"} {
			x.changed[dir+"/"+f] = true
		}
	}
}

// efi sees to it that the firmware finds a loader: the files that were
// restored to the ESP stay as recorded (with their signatures), GRUB or
// systemd-boot is installed only where they are missing; the boot entries and
// the fallback path are made.
func (x *executor) efi(ctx context.Context, bl machine.BootLoader) error {
	esp := x.esp()
	if esp == nil {
		return fail.New(fail.Failed, "no EFI system partition is mounted in the recorded machine")
	}
	base := strings.TrimPrefix(esp.Target, "/")
	loader := x.loader(base, bl)
	if loader == "" || bl.Anew && bl.Kind == machine.GRUBEFI {
		if err := x.installOnESP(ctx, esp, bl); err != nil {
			return err
		}
		loader = x.loader(base, bl)
	}
	if loader == "" {
		return fail.New(fail.Failed, "there is no boot loader on the EFI system partition %s", esp.Target)
	}
	// A kernel is large, and what is not known may need files beside it: of these
	// no copy is made.
	copied := bl.Kind == machine.GRUBEFI || bl.Kind == machine.SystemdBoot
	fallback := x.exists(x.fallbackPath(base))
	if copied && !fallback {
		if err := x.makeFallback(base, loader); err != nil {
			return err
		}
		fallback = true
	}
	if x.Images != nil && fallback {
		return nil // by the fallback path: an image has no firmware to keep an entry
	}
	if x.Images != nil {
		return fail.New(fail.Failed, `an image has no firmware to keep a boot entry, and the recorded machine had no fallback %s: nothing would start it`, `\EFI\BOOT\BOOTX64.EFI`)
	}
	if err := x.entries(ctx, esp, bl, loader); err != nil {
		if !fallback {
			return fail.Hint(err, `without an entry the firmware starts %s only, which the recorded machine did not have: copy the loader there, or make the entry in the firmware's menu`, `\EFI\BOOT\BOOTX64.EFI`)
		}
		x.warn("%v; the machine starts by the fallback path EFI/BOOT", err)
	}
	return nil
}

// installOnESP installs a loader from the restored system's packages: the backup
// has none on the EFI system partition.
func (x *executor) installOnESP(ctx context.Context, esp *machine.Mount, bl machine.BootLoader) error {
	base := strings.TrimPrefix(esp.Target, "/")
	target, suffix := efiNames(x.m.Arch)
	grub := x.grubInstall()
	switch {
	case bl.Kind == machine.SystemdBoot && x.program(bootctl.Program) != "" && x.first(bootctl.Loaders(suffix)) != "":
		if err := x.bind(ctx); err != nil {
			return err
		}
		if err := bootctl.Install(ctx, x.System, x.TargetRoot, esp.Target); err != nil {
			return err
		}
		x.changed[base+"/loader/"] = true
		x.change(base+"/EFI/", "systemd-boot installed anew on the EFI system partition: the backup had none there")
	case bl.Kind == machine.SystemdBoot:
		return fail.New(fail.Failed, "the backup has no systemd-boot on the EFI system partition, and the restored system has not the package that it is installed from: %s", bootctl.Package)
	case bl.Kind == machine.GRUBEFI && grub == "":
		return fail.New(fail.Failed, "GRUB has to be installed on the EFI system partition, and the restored system has no grub-install")
	case bl.Kind == machine.GRUBEFI:
		if err := x.bind(ctx); err != nil {
			return err
		}
		if err := grubinstall.EFI(ctx, x.System, x.TargetRoot, grub, target, esp.Target, bl.ID); err != nil {
			return err
		}
		x.grubFiles()
		why := "the backup had none there"
		if bl.Anew {
			why = "what it reads /boot from is not as recorded"
		}
		x.change(base+"/EFI/", "GRUB installed anew on the EFI system partition: %s", why)
	}
	return nil
}

// esp is the mount of the EFI system partition; beside it there may be another
// vfat for the kernels (XBOOTLDR).
func (x *executor) esp() *machine.Mount {
	for i, m := range x.m.Mounts {
		dev, err := x.m.Resolve(m.On)
		if err == nil && dev.Partition != nil && (strings.EqualFold(dev.Partition.Type, machine.TypeESP) || dev.Partition.Type == "ef") {
			return &x.m.Mounts[i]
		}
	}
	for _, want := range []string{"/boot/efi", "/efi", "/boot"} {
		if m := x.m.MountAt(want); m != nil {
			if fs := x.m.FileSystemOn(m.On); fs != nil && fs.Kind == "vfat" {
				return m
			}
		}
	}
	return nil
}

// efiNames are GRUB's target and the firmware's suffix for an architecture.
func efiNames(arch string) (target, suffix string) {
	if arch == "arm64" {
		return "arm64-efi", "aa64"
	}
	return "x86_64-efi", "x64"
}

// loader is the path of the boot loader on the ESP, relative to it, or "": the
// recorded one, else what a recorded entry names, else what distributions call it.
func (x *executor) loader(base string, bl machine.BootLoader) string {
	_, suffix := efiNames(x.m.Arch)
	var names []string
	switch bl.Kind {
	case machine.UKI, machine.EFIProgram:
		names = []string{bl.Path}
	case machine.SystemdBoot:
		names = []string{bl.Path, "EFI/systemd/systemd-boot" + suffix + ".efi"}
	default:
		for _, e := range x.m.Firmware.Entries {
			l := strings.TrimPrefix(strings.ReplaceAll(e.Loader, `\`, "/"), "/")
			if _, ok := x.partitionOf(e.PartUUID); ok && l != "" && (bl.ID == "" || strings.Contains(strings.ToLower(l), "/"+strings.ToLower(bl.ID)+"/")) {
				names = append(names, l)
			}
		}
		if bl.ID != "" {
			names = append(names, "EFI/"+bl.ID+"/shim"+suffix+".efi", "EFI/"+bl.ID+"/grub"+suffix+".efi")
		}
		names = append(names, "EFI/BOOT/BOOT"+strings.ToUpper(suffix)+".EFI")
	}
	for _, n := range names {
		if n != "" && x.exists(path.Join(base, n)) {
			return n
		}
	}
	return ""
}

// fallbackPath is what firmware without a boot entry starts, from the root.
func (x *executor) fallbackPath(base string) string {
	_, suffix := efiNames(x.m.Arch)
	return path.Join(base, "EFI/BOOT/BOOT"+strings.ToUpper(suffix)+".EFI")
}

// makeFallback copies the loader to EFI/BOOT/BOOTX64.EFI. With shim goes the GRUB
// that shim loads.
func (x *executor) makeFallback(base, loader string) error {
	_, suffix := efiNames(x.m.Arch)
	name := x.fallbackPath(base)
	copies := map[string]string{name: path.Join(base, loader)}
	if strings.HasPrefix(strings.ToLower(path.Base(loader)), "shim") {
		grub := "grub" + suffix + ".efi"
		copies[path.Join(base, "EFI/BOOT", grub)] = path.Join(base, path.Dir(loader), grub)
	}
	err := x.inRoot(func(r *os.Root) error {
		if err := r.MkdirAll(path.Join(base, "EFI/BOOT"), 0o755); err != nil {
			return err
		}
		for to, from := range copies {
			if err := copyFile(r, from, to); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return fail.New(fail.Failed, "cannot make the fallback boot loader: %w", err)
	}
	for to := range copies {
		x.changed[to] = true
	}
	x.changed[path.Join(base, "EFI")], x.changed[path.Join(base, "EFI/BOOT")] = true, true
	x.change("", "%s made, a copy of %s, for firmware without a boot entry", name, loader)
	return nil
}

func copyFile(r *os.Root, from, to string) error {
	in, err := r.Open(from)
	if err != nil {
		return err
	}
	defer in.Close()
	out, err := r.OpenFile(to, os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o755)
	if err != nil {
		return err
	}
	_, err = io.Copy(out, in)
	return errors.Join(err, out.Sync(), out.Close())
}

// places are the partitions that the firmware sees as the EFI system
// partition: of a mirror all its members.
func (x *executor) places(esp *machine.Mount) []machine.Device {
	var out []machine.Device
	refs := []machine.Ref{esp.On}
	if dev, err := x.m.Resolve(esp.On); err == nil && dev.Array != nil && dev.Partition == nil {
		refs = nil
		for _, m := range dev.Array.Members {
			if m.Slot >= 0 { // a spare holds nothing yet
				refs = append(refs, m.On)
			}
		}
	}
	for _, r := range refs {
		if dev, err := x.m.Resolve(r); err == nil && dev.Partition != nil && dev.Array == nil {
			out = append(out, dev)
		}
	}
	return out
}
