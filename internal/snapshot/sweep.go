package snapshot

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/moby/sys/mountinfo"
	"golang.org/x/sys/unix"

	"github.com/mkcdrec/mkcdrec/internal/machine"
	"github.com/mkcdrec/mkcdrec/internal/tool/btrfs"
	"github.com/mkcdrec/mkcdrec/internal/tool/fsfreeze"
	"github.com/mkcdrec/mkcdrec/internal/tool/lvm"
	"github.com/mkcdrec/mkcdrec/internal/tool/mount"
)

// Leftover is what a run that was killed has left behind.
type Leftover struct {
	Name string
	Kept error // nil: it was removed
}

// Sweep removes what runs of this machine that were killed have left: frozen
// file systems, mounts, snapshots. The caller holds the lock of the program,
// so that no run lives here; one that lives elsewhere, in a container with
// locks of its own, is known by what it has open, and kept. opt.ID is not used.
func Sweep(ctx context.Context, m *machine.Machine, opt Options) []Leftover {
	out := sweepNotes(ctx, opt)
	if err := sweepMounts(ctx, opt); err != nil {
		out = append(out, Leftover{Name: "mounts below " + opt.dir(), Kept: err})
	}
	// A machine without an ID cannot know its own.
	if _, err := opt.Runner.LookPath("lvm"); err == nil && len(m.VolumeGroups) > 0 && opt.MachineID != "" {
		left, err := sweepVolumes(ctx, opt, func(l lvm.Snapshot) bool {
			return IsVolume(l.Name, l.Origin, l.Tags)
		}, false)
		if err != nil {
			left = append(left, Leftover{Name: "LVM snapshots", Kept: err})
		}
		out = append(out, left...)
	}
	seen := map[machine.Ref]bool{}
	for _, mt := range m.Mounts {
		fs := m.FileSystemOn(mt.On)
		if fs == nil || fs.Kind != "btrfs" || seen[mt.On] {
			continue
		}
		seen[mt.On] = true
		left, err := sweepBtrfs(ctx, m, mt, opt)
		if err != nil {
			left = append(left, Leftover{Name: "btrfs snapshots of " + mt.Target, Kept: err})
		}
		out = append(out, left...)
	}
	return out
}

// sweepBtrfs looks by way of a mount, and mounts the top level only where
// there is something of ours.
func sweepBtrfs(ctx context.Context, m *machine.Machine, mt machine.Mount, opt Options) ([]Leftover, error) {
	dev, err := m.Resolve(mt.On)
	if err != nil {
		return nil, err
	}
	all, err := btrfs.Subvolumes(ctx, opt.Runner, mt.Target)
	if err != nil || !slices.ContainsFunc(all, IsSubvolume) {
		return nil, err
	}
	return sweepSubvolumes(ctx, opt, dev.Path, func(name string) bool {
		return slices.ContainsFunc(all, func(s machine.Subvolume) bool { return IsSubvolume(s) && s.Path == name })
	})
}

// sweepSubvolumes deletes the snapshots at the top level of a btrfs that are
// ours by name, unless a process has them locked: see takeSubvolumes.
func sweepSubvolumes(ctx context.Context, opt Options, device string, ours func(name string) bool) ([]Leftover, error) {
	ctx = context.WithoutCancel(ctx)
	var out []Leftover
	err := mountedIn(ctx, opt, device, "btrfs", "subvolid=5", func(top string) error {
		names, err := os.ReadDir(top)
		if err != nil {
			return fmt.Errorf("cannot read the top level of %s: %w", device, err)
		}
		for _, n := range names {
			if strings.HasPrefix(n.Name(), subvolPrefix) && ours(n.Name()) {
				p := filepath.Join(top, n.Name())
				err := unused(p)
				if err == nil {
					err = btrfs.DeleteSubvolume(ctx, opt.Runner, p)
				}
				out = append(out, Leftover{Name: "btrfs snapshot " + n.Name() + " on " + device, Kept: err})
			}
		}
		return nil
	})
	return out, err
}

// unused says whether nobody reads a snapshot.
func unused(dir string) error {
	f, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer f.Close()
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		return errors.New("a backup reads it")
	}
	return nil
}

// sweepVolumes removes the LVM snapshots that are ours, and not open: own says
// that it was this run which had them open.
func sweepVolumes(ctx context.Context, opt Options, ours func(lvm.Snapshot) bool, own bool) ([]Leftover, error) {
	ctx = context.WithoutCancel(ctx)
	list, err := lvm.Snapshots(ctx, opt.Runner)
	if err != nil {
		return nil, err
	}
	var out []Leftover
	for _, l := range list {
		if !slices.Contains(l.Tags, opt.tag()) || !ours(l) {
			continue
		}
		err := errors.New("a backup reads it")
		if own || !l.Open {
			err = lvm.RemoveVolume(ctx, opt.Runner, l.Group, l.Name)
		}
		out = append(out, Leftover{Name: "LVM snapshot " + l.Group + "/" + l.Name, Kept: err})
	}
	return out, nil
}

// sweepMounts takes away what was mounted when a run was killed between
// mounting and detaching.
func sweepMounts(ctx context.Context, opt Options) error {
	list, err := mountinfo.GetMounts(mountinfo.PrefixFilter(opt.dir()))
	if err != nil {
		return fmt.Errorf("cannot read the mount table: %w", err)
	}
	var errs []error
	for _, mi := range slices.Backward(list) {
		errs = append(errs, mount.Detach(ctx, opt.Runner, mi.Mountpoint))
	}
	empty, _ := filepath.Glob(filepath.Join(opt.dir(), "snapshot-*"))
	for _, d := range empty {
		_ = os.Remove(d) // only a directory that is empty
	}
	return errors.Join(errs...)
}

const notePrefix = "frozen-"

// noteFrozen keeps the name of a file system that will be frozen, for a next
// run: who kills us and the guard of the freezing leaves it frozen.
func noteFrozen(dir, target string) (file string, err error) {
	file = filepath.Join(dir, notePrefix+hex.EncodeToString([]byte(target)))
	if err = os.MkdirAll(dir, 0o700); err == nil {
		err = os.WriteFile(file, nil, 0o600)
	}
	if err != nil {
		return "", fmt.Errorf("cannot note what is frozen: %w", err)
	}
	return file, nil
}

// sweepNotes thaws what such notes name. What is not frozen stays as it is.
func sweepNotes(ctx context.Context, opt Options) []Leftover {
	notes, _ := filepath.Glob(filepath.Join(opt.dir(), notePrefix+"*"))
	var out []Leftover
	for _, n := range notes {
		target, err := hex.DecodeString(strings.TrimPrefix(filepath.Base(n), notePrefix))
		if err == nil && fsfreeze.Thaw(ctx, opt.Runner, string(target)) == nil {
			out = append(out, Leftover{Name: "frozen file system " + string(target)})
		}
		_ = os.Remove(n)
	}
	return out
}

// kept are the errors of what could not be removed.
func kept(list []Leftover) error {
	var errs []error
	for _, l := range list {
		if l.Kept != nil {
			errs = append(errs, fmt.Errorf("%s: %w", l.Name, l.Kept))
		}
	}
	return errors.Join(errs...)
}
