package restore

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"github.com/mkcdrec/mkcdrec/internal/fail"
	"github.com/mkcdrec/mkcdrec/internal/machine"
	"github.com/mkcdrec/mkcdrec/internal/plan"
	"github.com/mkcdrec/mkcdrec/internal/tool/efibootmgr"
	"github.com/mkcdrec/mkcdrec/internal/tool/efivars"
	"github.com/mkcdrec/mkcdrec/internal/tool/grubinstall"
)

// bootLoader makes the disk start. An error here is the restore's error: a
// machine that does not start is not restored.
func (x *executor) bootLoader(ctx context.Context, s plan.Step) error {
	switch s.BootLoader.Kind {
	case machine.GRUBBIOS:
		return x.grubBIOS(ctx, *s.BootLoader)
	case machine.GRUBEFI, machine.SystemdBoot:
		return x.efi(ctx, *s.BootLoader)
	}
	return fail.New(fail.Unsupported, "this version cannot install the boot loader %q", s.BootLoader.Kind)
}

// CheckLoader refuses a plan whose boot loader is not the recorded one, when
// the restored system has not what it is installed from. The error is of kind
// fail.Unsupported and names the package.
func CheckLoader(ctx context.Context, p plan.Plan, b Backup) error {
	for _, s := range p.Steps {
		if s.Kind != plan.InstallLoader || !s.BootLoader.Exchanged {
			continue
		}
		files := plan.LoaderFiles(s.BootLoader.Kind)
		has, err := b.Has(ctx, files)
		if err != nil {
			return fmt.Errorf("cannot see whether the backup has /%s: %w", files, err)
		}
		if !has {
			pkg := plan.LoaderPackage(s.BootLoader.Kind)
			return fail.Hint(fail.New(fail.Unsupported, "this machine needs the boot loader %s, and the backup has not the package that it is installed from: %s (/%s)", s.BootLoader.Kind, pkg, files),
				"start this medium by the recorded machine's firmware, or install %s there and make a new backup", pkg)
		}
	}
	return nil
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
// restored to the ESP stay as recorded (with their signatures), GRUB is
// installed only where they are missing; the fallback path and the boot entry
// are made.
func (x *executor) efi(ctx context.Context, bl machine.BootLoader) error {
	esp := x.esp()
	if esp == nil {
		return fail.New(fail.Failed, "no EFI system partition is mounted in the recorded machine")
	}
	base := strings.TrimPrefix(esp.Target, "/")
	loader := x.loader(base, bl)
	if loader == "" && bl.Kind == machine.GRUBEFI {
		program := x.grubInstall()
		if program == "" {
			return fail.New(fail.Failed, "the backup has no boot loader on the EFI system partition, and the restored system has no grub-install")
		}
		if err := x.bind(ctx); err != nil {
			return err
		}
		target, _ := efiNames(x.m.Arch)
		if err := grubinstall.EFI(ctx, x.System, x.TargetRoot, program, target, esp.Target, bl.ID); err != nil {
			return err
		}
		x.grubFiles()
		x.change(base+"/EFI/", "GRUB installed anew on the EFI system partition: the backup had none there")
		loader = x.loader(base, bl)
	}
	if loader == "" {
		return fail.New(fail.Failed, "there is no boot loader on the EFI system partition %s", esp.Target)
	}
	fallback, err := x.fallback(base, loader)
	if err != nil {
		return err
	}
	if x.Images != nil {
		return nil // by the fallback path: an image has no firmware to keep an entry
	}
	if err := x.entry(ctx, esp, bl, loader); err != nil {
		if !fallback {
			return err
		}
		x.warn("%v; the machine starts by the fallback path EFI/BOOT", err)
	}
	return nil
}

// esp is the mount of the EFI system partition.
func (x *executor) esp() *machine.Mount {
	for _, want := range []string{"/boot/efi", "/efi", "/boot"} {
		if m := x.m.MountAt(want); m != nil {
			if fs := x.m.FileSystemOn(m.On); fs != nil && fs.Kind == "vfat" {
				return m
			}
		}
	}
	for i, m := range x.m.Mounts {
		if dev, err := x.m.Resolve(m.On); err == nil && dev.Partition != nil && strings.EqualFold(dev.Partition.Type, machine.TypeESP) {
			return &x.m.Mounts[i]
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

// loader is the path of the boot loader on the ESP, relative to it, or "":
// what a recorded entry names, else what distributions call it.
func (x *executor) loader(base string, bl machine.BootLoader) string {
	_, suffix := efiNames(x.m.Arch)
	var names []string
	for _, e := range x.m.Firmware.Entries {
		l := strings.TrimPrefix(strings.ReplaceAll(e.Loader, `\`, "/"), "/")
		if l != "" && x.isESP(e.PartUUID) && (bl.ID == "" || strings.Contains(strings.ToLower(l), "/"+strings.ToLower(bl.ID)+"/")) {
			names = append(names, l)
		}
	}
	if bl.ID != "" {
		names = append(names, "EFI/"+bl.ID+"/shim"+suffix+".efi", "EFI/"+bl.ID+"/grub"+suffix+".efi")
	}
	names = append(names, "EFI/systemd/systemd-boot"+suffix+".efi", "EFI/BOOT/BOOT"+strings.ToUpper(suffix)+".EFI")
	for _, n := range names {
		if x.exists(path.Join(base, n)) {
			return n
		}
	}
	return ""
}

func (x *executor) isESP(partUUID string) bool {
	for _, d := range x.m.Disks {
		if d.Table == nil {
			continue
		}
		for _, p := range d.Table.Partitions {
			if partUUID != "" && strings.EqualFold(p.UUID, partUUID) {
				return true
			}
		}
	}
	return false
}

// fallback makes EFI/BOOT/BOOTX64.EFI where it is missing: firmware without
// the boot entry starts that. With shim goes the GRUB that shim loads.
func (x *executor) fallback(base, loader string) (bool, error) {
	_, suffix := efiNames(x.m.Arch)
	name := path.Join(base, "EFI/BOOT/BOOT"+strings.ToUpper(suffix)+".EFI")
	if x.exists(name) {
		return true, nil
	}
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
		return false, fail.New(fail.Failed, "cannot make the fallback boot loader: %w", err)
	}
	for to := range copies {
		x.changed[to] = true
	}
	x.changed[path.Join(base, "EFI")], x.changed[path.Join(base, "EFI/BOOT")] = true, true
	x.change("", "%s made, a copy of %s, for firmware without a boot entry", name, loader)
	return true, nil
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

// entry makes the firmware's boot entries, one for each disk that has the
// loader, unless the right ones are there.
func (x *executor) entry(ctx context.Context, esp *machine.Mount, bl machine.BootLoader, loader string) error {
	vars := filepath.Join(x.Root, "/sys/firmware/efi/efivars")
	entries, _, err := efivars.Read(os.DirFS(vars))
	if err != nil && len(entries) == 0 {
		return fail.New(fail.Failed, "the firmware's boot entries cannot be reached here: %w", err)
	}
	places := x.places(esp)
	if len(places) == 0 {
		return fail.New(fail.Failed, "the EFI system partition is not a partition")
	}
	win := `\` + strings.ReplaceAll(loader, "/", `\`)
	// The last that is made is tried first by the firmware.
	for i, dev := range slices.Backward(places) {
		if err := x.entryOn(ctx, dev, x.label(bl, win, dev, i), win, entries); err != nil {
			return err
		}
	}
	return nil
}

// label names the entry of place number i: as recorded, or after the loader.
func (x *executor) label(bl machine.BootLoader, win string, dev machine.Device, i int) string {
	label := bl.ID
	for _, e := range x.m.Firmware.Entries {
		if !strings.EqualFold(e.Loader, win) || e.Label == "" {
			continue
		}
		if strings.EqualFold(e.PartUUID, dev.Partition.UUID) {
			return e.Label
		}
		label = e.Label
	}
	if label == "" {
		label = "Linux"
	}
	if i > 0 {
		label = fmt.Sprintf("%s (disk %d)", label, i+1)
	}
	return label
}

// entryOn makes the boot entry of one partition, unless it is there.
func (x *executor) entryOn(ctx context.Context, dev machine.Device, label, win string, entries []machine.EFIEntry) error {
	for _, e := range entries {
		if !strings.EqualFold(e.Loader, win) || !strings.EqualFold(e.PartUUID, dev.Partition.UUID) {
			continue
		}
		if e.Active {
			return nil
		}
		if err := efibootmgr.Delete(ctx, x.System, e.Number); err != nil {
			return err
		}
	}
	if err := efibootmgr.Create(ctx, x.System, dev.Disk.Path, dev.Partition.Number, label, win); err != nil {
		return err
	}
	x.change("", "firmware boot entry %q made", label)
	return nil
}
