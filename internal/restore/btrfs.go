package restore

import (
	"bytes"
	"context"
	"os"
	"path"
	"path/filepath"
	"strings"

	"github.com/mkcdrec/mkcdrec/internal/fail"
	"github.com/mkcdrec/mkcdrec/internal/identity"
	"github.com/mkcdrec/mkcdrec/internal/machine"
	"github.com/mkcdrec/mkcdrec/internal/plan"
	"github.com/mkcdrec/mkcdrec/internal/tool/btrfs"
)

// makeBtrfs makes a btrfs on all of its devices.
func (x *executor) makeBtrfs(ctx context.Context, s plan.Step) error {
	devices, err := x.devicesOf(*s.FS)
	if err != nil {
		return err
	}
	if len(s.FS.Devices) > 0 {
		x.loadBtrfs(ctx)
		// The kernel remembers what it has seen of a file system with this UUID.
		// An old one cannot be told to forget; then it finds out by itself.
		_ = btrfs.Forget(ctx, x.System)
	}
	if err := btrfs.Make(ctx, x.System, devices, *s.FS); err != nil {
		return err
	}
	return x.known(ctx, *s.FS)
}

// devicesOf are the nodes of a file system's devices now.
func (x *executor) devicesOf(fs machine.FileSystem) ([]string, error) {
	var out []string
	for _, r := range fs.Refs() {
		dev, err := x.device(r)
		if err != nil {
			return nil, err
		}
		out = append(out, dev)
	}
	return out, nil
}

// known tells the kernel which devices a file system over several has. Also
// after a start in the middle of a restore it has to be told.
func (x *executor) known(ctx context.Context, fs machine.FileSystem) error {
	if len(fs.Devices) == 0 {
		return nil
	}
	devices, err := x.devicesOf(fs)
	if err != nil {
		return err
	}
	x.loadBtrfs(ctx)
	return btrfs.Scan(ctx, x.System, devices)
}

// loadBtrfs loads the kernel's module where a mount has not done so yet: there
// is nobody to tell of devices before. What fails with it shows then.
func (x *executor) loadBtrfs(ctx context.Context) {
	if _, err := os.Stat(filepath.Join(x.Root, "/dev/btrfs-control")); err != nil {
		_ = btrfs.Load(ctx, x.System)
	}
}

// together are the kernel names of all devices of those btrfs file systems that
// are in use and have one of the given devices: a mount names only one of them.
func (x *executor) together(names []string) []string {
	has := map[string]bool{}
	for _, n := range names {
		has[n] = true
	}
	var out []string
	found, _ := filepath.Glob(filepath.Join(x.Root, "/sys/fs/btrfs/*/devices"))
	for _, dir := range found {
		list, _ := os.ReadDir(dir)
		ours := false
		for _, e := range list {
			ours = ours || has[e.Name()]
		}
		for _, e := range list {
			if ours && !has[e.Name()] {
				out = append(out, e.Name())
			}
		}
	}
	return out
}

// otherBtrfs refuses a btrfs of a planned UUID on other disks: the kernel takes
// devices of one UUID for parts of one file system.
func (x *executor) otherBtrfs(here *machine.Machine, target map[string]bool) error {
	for _, s := range x.Plan.Steps {
		if s.Kind != plan.MakeFS || s.FS.Kind != "btrfs" || s.FS.UUID == "" {
			continue
		}
		for _, there := range here.FileSystems {
			if !strings.EqualFold(there.UUID, s.FS.UUID) {
				continue
			}
			for _, d := range here.DisksUnder(there.On) {
				if !target[d.Name] {
					return fail.Hint(fail.New(fail.Refused, "the btrfs that is to be made has the UUID of one on disk %s, which is not to be overwritten; there cannot be two of it", d.Name),
						"detach that disk")
				}
			}
		}
	}
	return nil
}

// subvolumeNumbers adapts what names a subvolume by its number: those of the new
// subvolumes are others. What goes by the path needs no change.
func (x *executor) subvolumeNumbers(ctx context.Context) error {
	var fstab []byte
	named := false
	files := append([]string{"etc/fstab"}, commandLines...)
	for _, pattern := range files {
		for _, name := range x.glob(pattern) {
			_ = x.inRoot(func(r *os.Root) error {
				b, err := r.ReadFile(name)
				named = named || bytes.Contains(b, []byte("subvolid="))
				if name == "etc/fstab" {
					fstab = b
				}
				return err
			})
		}
	}
	if !named {
		return nil
	}
	ids := map[machine.Ref]map[uint64]uint64{}
	for _, fs := range x.m.FileSystems {
		mounts := x.m.MountsOn(fs.On)
		if fs.Kind != "btrfs" || len(mounts) == 0 || len(fs.Subvolumes) == 0 {
			continue
		}
		now, err := btrfs.Subvolumes(ctx, x.System, path.Join(x.TargetRoot, mounts[0].Target))
		if err != nil {
			return err
		}
		ids[fs.On] = map[uint64]uint64{}
		for _, was := range fs.Subvolumes {
			for _, is := range now {
				if is.Path == was.Path {
					ids[fs.On][was.ID] = is.ID
				}
			}
		}
	}
	of := func(source, target string) map[uint64]uint64 {
		if mt := x.m.MountAt(path.Clean(target)); mt != nil {
			return ids[mt.On]
		}
		// Not mounted when it was recorded.
		for _, fs := range x.m.FileSystems {
			if strings.Contains(strings.ToLower(source), strings.ToLower(fs.UUID)) && fs.UUID != "" || fs.Label != "" && source == "LABEL="+fs.Label {
				return ids[fs.On]
			}
		}
		return nil
	}
	if len(fstab) > 0 {
		err := x.rewrite("etc/fstab", func(b []byte) ([]byte, string) {
			out, what := identity.SubvolIDs(b, of)
			return out, strings.Join(what, "; ")
		})
		if err != nil {
			return err
		}
	}
	root := x.m.MountAt("/")
	if root == nil || len(ids[root.On]) == 0 {
		return nil
	}
	for _, pattern := range commandLines {
		for _, name := range x.glob(pattern) {
			err := x.rewrite(name, func(b []byte) ([]byte, string) {
				return identity.RootSubvolID(b, ids[root.On]), "rootflags=subvolid= is the number of the new subvolume"
			})
			if err != nil {
				return err
			}
		}
	}
	return nil
}
