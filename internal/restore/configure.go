package restore

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"slices"
	"strings"

	"github.com/mkcdrec/mkcdrec/internal/identity"
	"github.com/mkcdrec/mkcdrec/internal/plan"
	"github.com/mkcdrec/mkcdrec/internal/tool/efiimage"
)

// deviceFiles are the configuration files that may name disks.
var deviceFiles = []string{
	"etc/fstab", "etc/crypttab", "etc/mdadm/mdadm.conf", "etc/mdadm.conf", "etc/initramfs-tools/conf.d/resume", "etc/default/grub",
	"boot/grub/device.map", "boot/grub/grub.cfg", "boot/grub2/device.map", "boot/grub2/grub.cfg",
}

// startFiles are those of other boot loaders, beside commandLines.
var startFiles = []string{
	"boot/grub/grubenv", "boot/grub2/grubenv", "boot/extlinux/*.conf", "boot/syslinux/*.cfg", "extlinux.conf", "boot/extlinux.conf", "etc/default/extlinux",
}

// namingDevices are the files of the restored system that may name disks.
func (x *executor) namingDevices() []string {
	names := slices.Clone(deviceFiles)
	for _, pattern := range slices.Concat(commandLines, startFiles) {
		for _, name := range x.glob(pattern) {
			if !slices.Contains(names, name) && x.regular(name) {
				names = append(names, name)
			}
		}
	}
	return names
}

// fixedSize gives a changed environment block of GRUB the size that it had, which
// is fixed; it is filled with "#" (grub-editenv, "GRUB Environment Block"). All
// other files are as long as they are.
func fixedSize(name string, was, out []byte) []byte {
	if path.Base(name) != "grubenv" {
		return out
	}
	out = bytes.TrimRight(out, "#")
	if len(out) > len(was) {
		return was
	}
	return append(out, bytes.Repeat([]byte("#"), len(was)-len(out))...)
}

// identity adapts the configuration: what was wished otherwise than recorded,
// names of disks that changed, and for a clone everything that must not be
// there twice. Carried out again it changes nothing more, except that it
// reports the same changes.
func (x *executor) identity(ctx context.Context, s plan.Step) error {
	if err := x.wished(); err != nil {
		return err
	}
	renames, links := x.Plan.Renames(), x.volumeLinks()
	files := x.namingDevices()
	for _, name := range files {
		err := x.edit(name, func(b []byte) ([]byte, string) {
			b = identity.VolumeLinks(b, links)
			if x.Images != nil && !strings.HasSuffix(name, "/device.map") {
				if disk := x.namesDisk(b); disk != "" {
					x.warn("/%s names %s, which a virtual machine may call otherwise: give its disk the bus that it had", name, disk)
				}
			}
			for _, p := range identity.Pinned(b) {
				if strings.HasSuffix(name, "/device.map") {
					break // grub-install makes it anew
				}
				x.warn("/%s names %s, which belongs to the recorded hardware", name, p)
			}
			return fixedSize(name, b, identity.Devices(b, renames)), "names of disks"
		})
		if err != nil {
			return err
		}
	}
	if err := x.lvmFiles(renames); err != nil {
		return err
	}
	if err := x.newHardware(files); err != nil {
		return err
	}
	if err := x.replacedCards(); err != nil {
		return err
	}
	if err := x.subvolumeNumbers(ctx); err != nil {
		return err
	}
	if err := x.keyFilesBack(ctx); err != nil {
		return err
	}
	if s.Clone == nil {
		return nil
	}
	return x.clone(ctx, *s.Clone)
}

// newHardware adapts what names a partition by an ID that could not be kept,
// and adds mounts that the recorded machine did not need.
func (x *executor) newHardware(files []string) error {
	ids := map[string]string{}
	for _, d := range x.m.Disks {
		if d.Table == nil {
			continue
		}
		for _, p := range d.Table.Partitions {
			if p.Formerly != "" {
				ids[p.Formerly] = p.UUID
			}
		}
	}
	for _, name := range files {
		if err := x.edit(name, func(b []byte) ([]byte, string) { return fixedSize(name, b, identity.PartUUIDs(b, ids)), "PARTUUIDs" }); err != nil {
			return err
		}
	}
	x.namedInside(ids)
	for _, m := range x.m.Mounts {
		fs := x.m.FileSystemOn(m.On)
		if !m.Added || fs == nil {
			continue
		}
		entry := identity.FstabEntry{Source: "UUID=" + fs.UUID, Target: m.Target, Kind: string(fs.Kind), Options: m.Options, Pass: 1}
		err := x.edit("etc/fstab", func(b []byte) ([]byte, string) { return identity.AddFstab(b, entry), m.Target + " added" })
		if err != nil {
			return err
		}
	}
	return nil
}

// namedInside warns of unified kernel images whose command line, which lies inside
// them, names a disk or a partition that is called otherwise now.
func (x *executor) namedInside(ids map[string]string) {
	renames := x.Plan.Renames()
	for _, im := range x.images(x.m.Kernel) {
		if !im.unified {
			continue
		}
		line := []byte(x.section(im.path, efiimage.Cmdline))
		if now := identity.PartUUIDs(identity.Devices(line, renames), ids); !bytes.Equal(now, line) {
			x.warn("the command line inside /%s names a disk that is called otherwise here (%s): make that image anew with %s", im.path, line, now)
		}
	}
}

// edit rewrites a file of the restored system in place, which keeps its owner,
// mode and attributes. A file that is not there is left out.
func (x *executor) edit(name string, change func([]byte) (out []byte, what string)) error {
	err := x.inRoot(func(r *os.Root) error {
		b, err := r.ReadFile(name)
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if err != nil {
			return err
		}
		out, what := change(b)
		if string(out) == string(b) {
			return nil
		}
		if err := r.WriteFile(name, out, 0o644); err != nil {
			return err
		}
		x.change(name, "/%s: %s", name, what)
		return nil
	})
	if err != nil {
		return fmt.Errorf("cannot adapt /%s: %w", name, err)
	}
	return nil
}
