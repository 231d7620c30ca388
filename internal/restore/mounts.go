package restore

import (
	"context"
	"fmt"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"github.com/moby/sys/mountinfo"

	"github.com/mkcdrec/mkcdrec/internal/fail"
	"github.com/mkcdrec/mkcdrec/internal/machine"
	"github.com/mkcdrec/mkcdrec/internal/plan"
	"github.com/mkcdrec/mkcdrec/internal/tool/mount"
)

// mountOptions are those that matter while the files are written: the
// subvolume and compression of btrfs, the owner and mode of the files of a FAT.
// Whatever would hinder writing (ro, nodev, nosuid, quota) is left out.
func mountOptions(fs machine.FileSystem, m machine.Mount) string {
	out := []string{"noatime"}
	if fs.Kind == "btrfs" && m.Subvolume != "" {
		out = append(out, "subvol=/"+strings.TrimPrefix(m.Subvolume, "/"))
	}
	for o := range strings.SplitSeq(m.Options, ",") {
		key, _, _ := strings.Cut(o, "=")
		switch {
		case fs.Kind == "btrfs" && (key == "compress" || key == "compress-force"),
			(fs.Kind == "vfat" || fs.Kind == "exfat") && slices.Contains([]string{"umask", "fmask", "dmask", "uid", "gid", "shortname"}, key):
			out = append(out, o)
		}
	}
	return strings.Join(out, ",")
}

func (x *executor) mount(ctx context.Context, s plan.Step) error {
	dev, err := x.device(s.Device)
	if err != nil {
		return err
	}
	if !filepath.IsAbs(s.Mount.Target) || path.Clean(s.Mount.Target) != s.Mount.Target {
		return fail.New(fail.Damaged, "the recorded mount point %q is not a clean path", s.Mount.Target)
	}
	target := path.Join(x.TargetRoot, s.Mount.Target)
	err = os.MkdirAll(x.TargetRoot, 0o755)
	if err == nil {
		// A symbolic link in the restored tree must not lead out of it.
		err = x.inRoot(func(r *os.Root) error { return r.MkdirAll(inRootName(s.Mount.Target), 0o755) })
	}
	if err != nil {
		return fmt.Errorf("cannot make mount point %s: %w", target, err)
	}
	if there, err := x.isMounted(target); err != nil || there {
		return err // left by an earlier start in this rescue system
	}
	if err := x.known(ctx, *x.m.FileSystemOn(s.Device)); err != nil {
		return err
	}
	kind, options := x.m.FileSystemOn(s.Device).Kind, mountOptions(*x.m.FileSystemOn(s.Device), *s.Mount)
	if x.Images != nil && kind == "xfs" {
		options += ",nouuid" // the recorded one may be mounted on this machine
	}
	return mount.Mount(ctx, x.System, dev, target, string(kind), options)
}

// inRootName is an absolute path as os.Root takes it.
func inRootName(target string) string {
	if rel := strings.TrimPrefix(target, "/"); rel != "" {
		return rel
	}
	return "."
}

// tops are the mounts of the plan that are not below another one: "/" for a
// whole machine.
func (x *executor) tops() []machine.Mount {
	var out []machine.Mount
	for _, s := range x.Plan.Steps {
		if s.Kind != plan.MountFS {
			continue
		}
		below := slices.ContainsFunc(out, func(m machine.Mount) bool {
			return m.Target == "/" || strings.HasPrefix(s.Mount.Target, m.Target+"/")
		})
		if !below {
			out = append(out, *s.Mount)
		}
	}
	return out
}

// mountPoints makes the directories that other file systems are mounted on:
// the backup has the roots of those file systems under their names.
func (x *executor) mountPoints(s plan.Step) error {
	for _, p := range s.Paths {
		if err := x.inRoot(func(r *os.Root) error { return r.MkdirAll(inRootName(path.Clean(p)), 0o755) }); err != nil {
			return fmt.Errorf("cannot make mount point %s: %w", p, err)
		}
	}
	return nil
}

// isMounted says whether something is mounted on a directory.
func (x *executor) isMounted(target string) (bool, error) {
	all, err := x.mountinfo()
	return slices.ContainsFunc(all, func(m *mountinfo.Info) bool { return m.Mountpoint == target }), err
}
