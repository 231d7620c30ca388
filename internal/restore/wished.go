package restore

import (
	"bytes"
	"os"
	"path"
	"slices"
	"strings"

	"github.com/mkcdrec/mkcdrec/internal/identity"
)

// asRecorded is behind the name of a file's copy as the backup had it, beside
// one that was changed by wish.
const asRecorded = ".before-mkcdrec"

// commandLines are the files that may tell the kernel where to resume from.
var commandLines = []string{
	"etc/default/grub", "etc/kernel/cmdline", "boot/grub/grub.cfg", "boot/grub2/grub.cfg",
	"boot/loader/entries/*.conf", "boot/efi/loader/entries/*.conf", "efi/loader/entries/*.conf",
}

// wished adapts the configuration to what was wished otherwise than recorded:
// a line for something that is not there stops the start of the system.
func (x *executor) wished() error {
	c := x.Plan.Changes
	if c == nil {
		return nil
	}
	w := identity.Wished{Tool: "mkcdrec", LeftOut: c.LeftOut, Crypts: c.Crypts, NoSwap: c.NoSwap}
	for _, k := range c.Kinds {
		w.Kinds = append(w.Kinds, identity.Kind{Mount: k.Mount, From: string(k.From), To: string(k.To), Label: k.LostLabel, UUID: k.UUID})
	}
	x.unlisted(w)
	for _, f := range []struct {
		name   string
		change func([]byte) ([]byte, []string)
	}{{"etc/fstab", w.Fstab}, {"etc/crypttab", w.Crypttab}} {
		err := x.rewrite(f.name, func(b []byte) ([]byte, string) {
			out, what := f.change(b)
			return out, strings.Join(what, "; ")
		})
		if err != nil {
			return err
		}
	}
	x.unreadable(w)
	if err := x.reshaped(c); err != nil {
		return err
	}
	if !c.NoSwap {
		return nil
	}
	return x.noResume()
}

// noResume takes the device to resume from out of all settings: the initramfs
// would wait for it.
func (x *executor) noResume() error {
	err := x.rewrite("etc/initramfs-tools/conf.d/resume", func(b []byte) ([]byte, string) {
		return identity.InitramfsResume(b), "resumes from nothing: the restore made no swap"
	})
	if err != nil {
		return err
	}
	what := "resume= taken out: the restore made no swap"
	for _, pattern := range commandLines {
		for _, name := range x.glob(pattern) {
			if err := x.rewrite(name, func(b []byte) ([]byte, string) { return identity.NoResume(b), what }); err != nil {
				return err
			}
		}
	}
	for _, name := range []string{"boot/grub/grubenv", "boot/grub2/grubenv"} {
		err := x.rewrite(name, func(b []byte) ([]byte, string) {
			out := identity.NoResume(b)
			// The size of an environment block is fixed; it is filled with "#"
			// (grub-editenv, "GRUB Environment Block").
			return append(out, bytes.Repeat([]byte("#"), max(len(b)-len(out), 0))...), what
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// rewrite is edit, and keeps the file as it was beside it.
func (x *executor) rewrite(name string, change func([]byte) (out []byte, what string)) error {
	if !x.regular(name) {
		if x.exists(name) {
			x.warn("/%s is a link, and was not adapted to what was wished otherwise than recorded", name)
		}
		return nil
	}
	var was []byte
	err := x.inRoot(func(r *os.Root) (err error) {
		was, err = r.ReadFile(name)
		return err
	})
	if err != nil {
		return err
	}
	out, what := change(was)
	if bytes.Equal(out, was) {
		return nil
	}
	if old := name + asRecorded; !x.exists(old) {
		if err := x.create(old); err != nil {
			return err
		}
		if err := x.inRoot(func(r *os.Root) error { return r.WriteFile(old, was, 0o644) }); err != nil {
			return err
		}
		what += " (as it was: /" + old + ")"
	}
	return x.edit(name, func([]byte) ([]byte, string) { return out, what })
}

// unlisted warns of mount points that fstab does not name: something else
// mounts them, and is not changed.
func (x *executor) unlisted(w identity.Wished) {
	var fstab []byte
	_ = x.inRoot(func(r *os.Root) (err error) {
		fstab, err = r.ReadFile("etc/fstab")
		return err
	})
	targets := slices.Clone(w.LeftOut)
	for _, k := range w.Kinds {
		targets = append(targets, k.Mount)
	}
	for _, t := range targets {
		if !identity.HasMount(fstab, t) {
			x.warn("/etc/fstab has no line for %s: whatever mounts it must be told that it is not as recorded", t)
		}
	}
}

// unreadable warns of file systems that the restored kernel does not know.
func (x *executor) unreadable(w identity.Wished) {
	for _, k := range w.Kinds {
		var known []byte
		for _, dir := range []string{"usr/lib", "lib"} {
			for _, file := range []string{"modules.builtin", "modules.dep"} {
				_ = x.inRoot(func(r *os.Root) error {
					b, err := r.ReadFile(path.Join(dir, "modules", x.m.Kernel, file))
					known = append(known, b...)
					return err
				})
			}
		}
		if len(known) > 0 && !bytes.Contains(known, []byte("/"+k.To+".ko")) {
			x.warn("the restored kernel %s has no module for %s, and cannot mount %s", x.m.Kernel, k.To, k.Mount)
		}
	}
}
