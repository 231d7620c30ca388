package restore

import (
	"context"
	"path"
	"path/filepath"
	"strings"

	"github.com/mkcdrec/mkcdrec/internal/fail"
	"github.com/mkcdrec/mkcdrec/internal/machine"
	"github.com/mkcdrec/mkcdrec/internal/tool/extlinux"
)

// extlinux installs EXTLINUX anew: its file ldlinux.sys and the boot sector know
// on which sectors the file lies. Its configuration came back with the files.
func (x *executor) extlinux(ctx context.Context, bl machine.BootLoader) error {
	program := x.first(extlinux.Programs)
	if program == "" {
		return fail.New(fail.Failed, "the restored system has no extlinux")
	}
	if err := x.bind(ctx); err != nil {
		return err
	}
	if err := extlinux.Install(ctx, x.System, x.TargetRoot, "/"+program, bl.Path); err != nil {
		return err
	}
	dir := strings.TrimPrefix(bl.Path, "/")
	x.changed[path.Join(dir, ".")] = true
	for _, f := range extlinux.Files {
		x.changed[path.Join(dir, f)] = true
	}
	for _, r := range bl.Disks {
		dev, err := x.m.Resolve(r)
		if err != nil {
			return err
		}
		if dev.Disk == nil || dev.Disk.Table == nil {
			continue // its boot sector is the disk's first
		}
		code := x.first(extlinux.Code(dev.Disk.Table.Kind == machine.GPT))
		if code == "" {
			return fail.New(fail.Failed, "the restored system has no boot code of SYSLINUX for a %s disk", dev.Disk.Table.Kind)
		}
		disk, err := x.device(r)
		if err != nil {
			return err
		}
		if err := extlinux.WriteCode(ctx, x.System, filepath.Join(x.TargetRoot, code), disk); err != nil {
			return err
		}
	}
	x.change("", "EXTLINUX installed anew in %s", bl.Path)
	return nil
}

// first is the first of the paths that the restored root has, or "".
func (x *executor) first(names []string) string {
	for _, n := range names {
		if x.exists(n) {
			return n
		}
	}
	return ""
}
