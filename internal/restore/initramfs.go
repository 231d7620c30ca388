package restore

import (
	"bytes"
	"context"
	"crypto/sha256"
	"fmt"
	"io"
	"os"
	"path"
	"slices"
	"strings"

	"github.com/mkcdrec/mkcdrec/internal/fail"
	"github.com/mkcdrec/mkcdrec/internal/machine"
	"github.com/mkcdrec/mkcdrec/internal/tool/bls"
	"github.com/mkcdrec/mkcdrec/internal/tool/efiimage"
	"github.com/mkcdrec/mkcdrec/internal/tool/initramfs"
)

// initramfs rebuilds the initramfs of the recorded kernel when it lacks a
// driver that leads to the target disks, or has a copy of what was changed, and
// says which.
func (x *executor) initramfs(ctx context.Context) error {
	kernel := x.m.Kernel
	images := x.images(kernel)
	if len(images) == 0 {
		if x.m.BootLoader.Kind != machine.NoBootLoader {
			x.warn("no initramfs of kernel %s was found; whether it has the drivers for this machine was not checked", kernel)
		}
		return nil
	}
	need, copied := x.needed(kernel), x.copiedChanges()
	noSwap := x.Plan.Changes != nil && x.Plan.Changes.NoSwap
	reshaped := x.Plan.Changes.Reshaped()
	if len(need) == 0 && len(copied) == 0 && !noSwap && !reshaped {
		return nil
	}
	maker, ok := x.maker()
	if !ok && noSwap {
		x.warn("the restored system has no known tool for its initramfs; it may wait for the swap that was not made")
	}
	if !ok && reshaped {
		if x.Plan.Changes.Mirrored {
			return fail.New(fail.Failed, "the restored system has no known tool for its initramfs, which has to start the mirrors")
		}
		x.warn("the restored system has no known tool for its initramfs; it may wait for arrays that were not made")
	}
	if !ok && len(need) > 0 {
		x.warn("the restored system has no known tool for its initramfs; whether it has %s was not checked", strings.Join(need, ", "))
	}
	if !ok {
		return nil
	}
	if err := x.bind(ctx); err != nil {
		return err
	}
	// Those that are equal are made once and copied.
	var sums []string
	for _, im := range images {
		sums = append(sums, x.sum(im.path))
	}
	done := map[string]string{} // the image that was made, by what it had before
	for i, im := range images {
		if from := done[sums[i]]; from != "" && !im.unified {
			if err := x.copyImage(from, im.path); err != nil {
				return err
			}
			continue
		}
		why, missing := x.reasons(ctx, maker, im, need, copied)
		if noSwap {
			why = append(why, "it may name a swap to resume from, and none was made")
		}
		if reshaped && len(why) == 0 {
			why = append(why, "it is for other arrays and disks than there are now")
		}
		if len(why) == 0 {
			continue
		}
		made, err := x.rebuild(ctx, maker, im, missing)
		if err != nil {
			return err
		}
		if !made {
			x.warn("/%s was not rebuilt: %s; %s cannot make it there", im.path, strings.Join(why, "; "), maker.Name)
			continue
		}
		done[sums[i]] = im.path
		still, err := x.lacking(ctx, maker, im, missing)
		if err != nil {
			return err
		}
		for _, m := range still {
			x.warn("the rebuilt initramfs /%s still lacks the driver %s that this machine's disk needs", im.path, m)
		}
		x.change(im.path, "%s rebuilt by %s: %s", im.path, maker.Name, strings.Join(why, "; "))
	}
	if len(done) > 0 {
		x.changed["boot"], x.changed["var/lib/initramfs-tools/"], x.changed["var/log/"] = true, true, true
	}
	return nil
}

// bootImage is a file with an initramfs of the recorded kernel, by its path
// relative to the root.
type bootImage struct {
	path    string
	unified bool // a unified kernel image
}

// images are the files with an initramfs of a kernel: where its distribution puts
// it, what the entries of the boot loader name, and unified images.
func (x *executor) images(kernel string) (out []bootImage) {
	add := func(name string, unified bool) {
		if x.regular(name) && !slices.Contains(out, bootImage{name, unified}) {
			out = append(out, bootImage{name, unified})
		}
	}
	if kernel == "" {
		return nil
	}
	for _, n := range []string{"boot/initrd.img-" + kernel, "boot/initramfs-" + kernel + ".img", "boot/initrd-" + kernel, "boot/initramfs-linux.img"} {
		if len(out) == 0 {
			add(n, false)
		}
	}
	for _, dir := range x.loaderDirs() {
		on := "/"
		for _, m := range x.m.Mounts {
			if t := strings.TrimPrefix(m.Target, "/"); t != "" && (dir == t || strings.HasPrefix(dir, t+"/")) && len(m.Target) > len(on) {
				on = m.Target
			}
		}
		for _, name := range x.glob(dir + "/loader/entries/*.conf") {
			var b []byte
			_ = x.inRoot(func(r *os.Root) (err error) { b, err = r.ReadFile(name); return err })
			e := bls.Parse(b)
			for _, initrd := range e.Initrds {
				// Microcode lies beside it, and is for every kernel.
				if e.Of(kernel) && !strings.Contains(path.Base(initrd), "ucode") {
					add(strings.TrimPrefix(path.Join(on, initrd), "/"), false)
				}
			}
		}
		for _, name := range x.glob(dir + "/EFI/Linux/*.efi") {
			if x.section(name, efiimage.Uname) == kernel {
				add(name, true)
			}
		}
	}
	if bl := x.m.BootLoader; bl.Kind == machine.UKI && x.esp() != nil {
		if name := strings.TrimPrefix(path.Join(x.esp().Target, bl.Path), "/"); x.section(name, efiimage.Uname) == kernel {
			add(name, true)
		}
	}
	return out
}

// loaderDirs are the directories that may have loader/entries or EFI/Linux.
func (x *executor) loaderDirs() []string {
	dirs := []string{"boot", "efi", "boot/efi"}
	if esp := x.esp(); esp != nil && !slices.Contains(dirs, strings.TrimPrefix(esp.Target, "/")) {
		dirs = append(dirs, strings.TrimPrefix(esp.Target, "/"))
	}
	return dirs
}

// section is a short section of an EFI program, or "".
func (x *executor) section(name, section string) (text string) {
	_ = x.inRoot(func(r *os.Root) error {
		f, err := r.Open(name)
		if err != nil {
			return err
		}
		defer f.Close()
		b, err := efiimage.Section(f, section)
		text = string(bytes.TrimSpace(b))
		return err
	})
	return text
}

// sum is the hash of a file, or what no other file has.
func (x *executor) sum(name string) string {
	h := sha256.New()
	err := x.inRoot(func(r *os.Root) error {
		f, err := r.Open(name)
		if err != nil {
			return err
		}
		defer f.Close()
		_, err = io.Copy(h, f)
		return err
	})
	if err != nil {
		return "unread " + name
	}
	return fmt.Sprintf("%x", h.Sum(nil))
}

// reasons say why an image has to be rebuilt, in words; missing are the drivers
// that it lacks.
func (x *executor) reasons(ctx context.Context, maker initramfs.Maker, im bootImage, need, copied []string) (why, missing []string) {
	has, err := x.list(ctx, maker, im)
	if err != nil {
		if len(need) > 0 {
			x.warn("%v; whether it has %s was not checked", err, strings.Join(need, ", "))
		}
		if len(copied) > 0 {
			why = append(why, "it may have a copy of "+strings.Join(copied, ", ")+", which was changed")
		}
		return why, nil
	}
	missing = slices.DeleteFunc(slices.Clone(need), func(m string) bool { return has.Modules[m] })
	if len(missing) > 0 {
		why = append(why, "it lacked "+strings.Join(missing, ", ")+", which this machine's disk needs")
	}
	// Makers put crypttab in only where the root file system needs it.
	copied = slices.DeleteFunc(slices.Clone(copied), func(c string) bool { return path.Base(c) == "crypttab" && !has.Names["crypttab"] })
	if len(copied) > 0 {
		why = append(why, "it has a copy of "+strings.Join(copied, ", ")+", which was changed")
	}
	return why, missing
}

// list asks what an image has. Of a unified one its initramfs is taken out first.
func (x *executor) list(ctx context.Context, maker initramfs.Maker, im bootImage) (initramfs.Listing, error) {
	if !im.unified {
		return initramfs.List(ctx, x.System, x.TargetRoot, maker, "/"+im.path)
	}
	const taken = "run/mkcdrec-initrd.img" // in memory, not on the target
	defer func() { _ = x.inRoot(func(r *os.Root) error { return r.Remove(taken) }) }()
	err := x.inRoot(func(r *os.Root) error {
		f, err := r.Open(im.path)
		if err != nil {
			return err
		}
		defer f.Close()
		b, err := efiimage.Section(f, efiimage.Initrd)
		if err != nil {
			return err
		}
		return r.WriteFile(taken, b, 0o600)
	})
	if err != nil {
		return initramfs.Listing{}, fmt.Errorf("cannot list /%s: %w", im.path, err)
	}
	return initramfs.List(ctx, x.System, x.TargetRoot, maker, "/"+taken)
}

// rebuild makes one image anew; made is false where the restored system has
// nothing that could.
func (x *executor) rebuild(ctx context.Context, maker initramfs.Maker, im bootImage, drivers []string) (made bool, err error) {
	kernel := x.m.Kernel
	b := initramfs.Build{Kernel: kernel, Image: "/" + im.path, Drivers: drivers}
	own := strings.HasPrefix(im.path, "boot/initr") // where every maker puts its own
	switch {
	case !im.unified && (own || maker.Direct), maker.Name == "mkinitcpio":
		return true, initramfs.Rebuild(ctx, x.System, x.TargetRoot, maker, b)
	case !im.unified:
		return false, nil
	}
	var conf []byte
	_ = x.inRoot(func(r *os.Root) (err error) { conf, err = r.ReadFile("etc/kernel/install.conf"); return err })
	vmlinuz := x.first([]string{"usr/lib/modules/" + kernel + "/vmlinuz", "lib/modules/" + kernel + "/vmlinuz", "boot/vmlinuz-" + kernel})
	if initramfs.UnifiedLayout(conf) && x.program(initramfs.KernelInstall) != "" && vmlinuz != "" {
		initrd := x.first([]string{"boot/initrd.img-" + kernel, "boot/initramfs-" + kernel + ".img"})
		if initrd != "" {
			initrd = "/" + initrd
		}
		return true, initramfs.Install(ctx, x.System, x.TargetRoot, kernel, "/"+vmlinuz, initrd)
	}
	if b.Cmdline = x.section(im.path, efiimage.Cmdline); b.Cmdline == "" || !maker.Direct {
		return false, nil
	}
	return true, initramfs.Rebuild(ctx, x.System, x.TargetRoot, maker, b)
}

// copyImage replaces an image that was equal to one that was rebuilt.
func (x *executor) copyImage(from, to string) error {
	if err := x.inRoot(func(r *os.Root) error { return copyFile(r, from, to) }); err != nil {
		return fail.Hint(fail.New(fail.Failed, "cannot copy the rebuilt initramfs /%s to /%s: %w", from, to, err), "is there room on its file system?")
	}
	x.changed[path.Dir(to)] = true
	x.change(to, "%s replaced by the rebuilt %s", to, from)
	return nil
}

// lacking are those of the modules that an image does not have.
func (x *executor) lacking(ctx context.Context, maker initramfs.Maker, im bootImage, modules []string) ([]string, error) {
	if len(modules) == 0 {
		return nil, nil
	}
	has, err := x.list(ctx, maker, im)
	if err != nil {
		return nil, err
	}
	return slices.DeleteFunc(slices.Clone(modules), func(m string) bool { return has.Modules[m] }), nil
}
