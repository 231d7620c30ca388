package snapshot

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/mkcdrec/mkcdrec/internal/fail"
	"github.com/mkcdrec/mkcdrec/internal/machine"
	"github.com/mkcdrec/mkcdrec/internal/system"
	"github.com/mkcdrec/mkcdrec/internal/tool/btrfs"
	"github.com/mkcdrec/mkcdrec/internal/tool/fsfreeze"
	"github.com/mkcdrec/mkcdrec/internal/tool/lvm"
	"github.com/mkcdrec/mkcdrec/internal/tool/mount"
)

// RunDir is where snapshots are mounted for as long as it takes to open them.
// It is on no disk, and empty after a restart of the machine.
const RunDir = "/run/mkcdrec"

// Options say for whom snapshots are taken.
type Options struct {
	ID        string // of the backup, a part of each snapshot's name
	MachineID string // whose they are
	Runner    system.Runner
	Dir       string           // "": RunDir
	Now       func() time.Time // nil: time.Now
}

func (o Options) dir() string {
	if o.Dir == "" {
		return RunDir
	}
	return o.Dir
}

func (o Options) tag() string { return tagPrefix + o.MachineID }

// Set is the snapshots of one run.
type Set struct {
	opt  Options
	plan Plan
	// Choices are the plan's, as far as they could be met.
	Choices []Choice
	// Failed are the mounts whose snapshot was planned and could not be taken.
	Failed []string
	// At is the moment that each mount is read as of: what was written before
	// is there. Mounts that are read live have none.
	At map[string]time.Time
	// Dirs are the roots of the snapshots, open, by the absolute path that each
	// stands for. The mounts themselves are detached already, so that they end
	// with the process.
	Dirs map[string]*os.File

	volumes []volume
	devices []string // of the btrfs file systems with snapshots
}

// volume is an LVM snapshot that was taken.
type volume struct{ group, name, pool, mount string }

// Take takes the snapshots of a plan. Whatever it returns, Remove must be
// called on the Set.
func Take(ctx context.Context, p *Plan, opt Options) (*Set, error) {
	if opt.Now == nil {
		opt.Now = time.Now
	}
	s := &Set{opt: opt, plan: *p, Choices: slices.Clone(p.Choices), At: map[string]time.Time{}, Dirs: map[string]*os.File{}}
	byDevice := map[string][]*Choice{}
	for i := range s.Choices {
		c := &s.Choices[i]
		switch c.Method {
		case LVM, Thin:
			if err := s.failed(ctx, s.takeVolume(ctx, c), c); err != nil {
				return s, err
			}
		case Btrfs:
			if byDevice[c.device] == nil {
				s.devices = append(s.devices, c.device)
			}
			byDevice[c.device] = append(byDevice[c.device], c)
		}
	}
	for _, dev := range s.devices {
		if err := s.failed(ctx, s.takeSubvolumes(ctx, dev, byDevice[dev]), byDevice[dev]...); err != nil {
			return s, err
		}
	}
	return s, nil
}

// Required says that every choice must be met.
func (s *Set) Required() bool { return s.plan.Require }

// failed makes choices that could not be met live ones, or ends the run.
func (s *Set) failed(ctx context.Context, err error, choices ...*Choice) error {
	if err == nil {
		return nil
	}
	if ctx.Err() != nil || s.plan.Require {
		return fail.Hint(fail.New(fail.Failed, "no backup without snapshots: %w", err), "read the file systems as they are with --snapshots auto or off")
	}
	for _, c := range choices {
		c.Method, c.Why, c.Size = Live, fmt.Sprintf("its snapshot could not be taken: %v", err), 0
		s.Failed = append(s.Failed, c.Mount)
		delete(s.At, c.Mount)
		for _, n := range append([]nested{{at: c.Mount}}, c.nested...) {
			if f := s.Dirs[n.at]; f != nil {
				f.Close()
				delete(s.Dirs, n.at)
			}
		}
	}
	return nil
}

// takeVolume takes and opens the snapshot of a logical volume.
func (s *Set) takeVolume(ctx context.Context, c *Choice) error {
	v := volume{group: c.group, name: fmt.Sprintf("%s%s_%d", volumePrefix, s.opt.ID, len(s.volumes)), mount: c.Mount}
	s.volumes = append(s.volumes, v) // also one that may be half made is removed
	at := s.opt.Now()
	if err := lvm.TakeSnapshot(ctx, s.opt.Runner, c.group, c.origin, v.name, s.opt.tag(), c.Size); err != nil {
		return err
	}
	// ext4 was clean at that moment. XFS replays its log onto the snapshot even
	// when mounted read-only, which is why that is writable; its UUID is in use.
	options := "ro,noatime,nodev,nosuid,noexec"
	if c.kind == "xfs" {
		options += ",nouuid"
	}
	err := s.mounted(ctx, machine.MapperPath(c.group, v.name), string(c.kind), options, func(dir string) (err error) {
		s.Dirs[c.Mount], err = os.Open(dir)
		return err
	})
	if err == nil {
		s.At[c.Mount] = at
	}
	return err
}

// takeSubvolumes takes and opens snapshots of all subvolumes of a btrfs that
// the mounts show. The top level comes first: the names of the other
// snapshots appear in it.
func (s *Set) takeSubvolumes(ctx context.Context, device string, choices []*Choice) error {
	places := map[string][]string{} // subvolume -> where it is seen
	needed := map[string]bool{}     // mounted ones; others may have been deleted meanwhile
	var order []string
	add := func(subvolume, at string) {
		if places[subvolume] == nil {
			order = append(order, subvolume)
		}
		places[subvolume] = append(places[subvolume], at)
	}
	for _, c := range choices {
		add(c.subvolume, c.Mount)
		needed[c.subvolume] = true
		for _, n := range c.nested {
			add(n.subvolume, n.at)
		}
	}
	slices.Sort(order)
	return s.mounted(ctx, device, "btrfs", "subvolid=5", func(top string) error {
		for i, sub := range order {
			from, to := filepath.Join(top, sub), filepath.Join(top, fmt.Sprintf("%s%s-%d", subvolPrefix, s.opt.ID, i))
			at := s.opt.Now()
			if err := btrfs.TakeSnapshot(ctx, s.opt.Runner, from, to); err != nil {
				if _, gone := os.Lstat(from); !needed[sub] && errors.Is(gone, os.ErrNotExist) {
					continue
				}
				return err
			}
			for _, place := range places[sub] {
				f, err := os.Open(to)
				if err != nil {
					return fmt.Errorf("cannot open the snapshot of %s: %w", place, err)
				}
				s.Dirs[place] = f
				// Says that we live to whoever finds the snapshot; it is released by our end.
				if err := unix.Flock(int(f.Fd()), unix.LOCK_SH); err != nil {
					return fmt.Errorf("cannot lock the snapshot of %s: %w", place, err)
				}
			}
			for _, c := range choices {
				if c.subvolume == sub {
					s.At[c.Mount] = at
				}
			}
		}
		return nil
	})
}

// mounted calls do with a place where a device is mounted, and detaches it
// whatever comes of it: what do has opened stays readable.
func (s *Set) mounted(ctx context.Context, device, kind, options string, do func(dir string) error) (err error) {
	return mountedIn(ctx, s.opt, device, kind, options, do)
}

func mountedIn(ctx context.Context, opt Options, device, kind, options string, do func(dir string) error) (err error) {
	if err := os.MkdirAll(opt.dir(), 0o700); err != nil {
		return fmt.Errorf("cannot make a mount point: %w", err)
	}
	dir, err := os.MkdirTemp(opt.dir(), "snapshot-")
	if err != nil {
		return fmt.Errorf("cannot make a mount point: %w", err)
	}
	defer func() {
		if rmErr := os.Remove(dir); rmErr != nil && err == nil {
			err = fmt.Errorf("cannot remove the mount point: %w", rmErr)
		}
	}()
	if err := mount.Mount(ctx, opt.Runner, device, dir, kind, options); err != nil {
		return err
	}
	defer func() {
		if detErr := mount.Detach(context.WithoutCancel(ctx), opt.Runner, dir); detErr != nil && err == nil {
			err = detErr
		}
	}()
	return do(dir)
}

// Check says whether a snapshot ran full: nothing that was read from it since
// counts. The error is of kind fail.Failed.
func (s *Set) Check(ctx context.Context) error {
	if len(s.volumes) == 0 {
		return nil
	}
	list, err := lvm.Snapshots(ctx, s.opt.Runner)
	if err != nil {
		return err
	}
	find := func(group, name string) *lvm.Snapshot {
		i := slices.IndexFunc(list, func(l lvm.Snapshot) bool { return l.Group == group && l.Name == name })
		if i < 0 {
			return nil
		}
		return &list[i]
	}
	for _, v := range s.volumes {
		if s.At[v.mount].IsZero() {
			continue // it was not taken
		}
		l := find(v.group, v.name)
		switch {
		case l == nil:
			return fail.New(fail.Failed, "the snapshot of %s is gone: somebody has removed logical volume %s/%s", v.mount, v.group, v.name)
		case l.Pool != "":
			if pool := find(v.group, l.Pool); pool != nil && max(pool.Fill, pool.MetadataFill) >= 100 {
				return fail.Hint(fail.New(fail.Failed, "the thin pool %s/%s is full: what is read from the snapshot of %s cannot be trusted", v.group, l.Pool, v.mount),
					"extend the pool: lvextend -L +SIZE %s/%s", v.group, l.Pool)
			}
		case l.Invalid || l.Fill >= 100:
			return fail.Hint(fail.New(fail.Failed, "the snapshot of %s ran full: more was written to it during the backup than volume group %s had free", v.mount, v.group),
				"free some space in volume group %s, back up at a quieter time, or read it live with --snapshots off", v.group)
		}
	}
	return nil
}

// Watch checks every so often until ctx ends, and calls full with the first
// bad news. Failing to ask is none: Check at the end asks again.
func (s *Set) Watch(ctx context.Context, tick <-chan time.Time, full func(error)) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick:
		}
		if err := s.Check(ctx); err != nil && ctx.Err() == nil && fail.HintOf(err) != "" {
			full(err)
			return
		}
	}
}

// Hold freezes a mount for as long as it is read.
func (s *Set) Hold(ctx context.Context, target string) (thaw func() error, err error) {
	note, err := noteFrozen(s.opt.dir(), target)
	if err != nil {
		return nil, err
	}
	at := s.opt.Now()
	end, err := fsfreeze.Hold(ctx, s.opt.Runner, target, s.plan.FreezeLimit)
	if err != nil {
		_ = os.Remove(note)
		return nil, err
	}
	return func() error {
		err := end()
		if err == nil || errors.Is(err, fsfreeze.ErrLimit) {
			_ = os.Remove(note)
		}
		if err == nil {
			s.At[target] = at
		}
		return err
	}, nil
}

// Remove removes all snapshots of this run. Nothing may be read any more.
func (s *Set) Remove(ctx context.Context) error {
	for _, f := range s.Dirs {
		f.Close()
	}
	clear(s.Dirs)
	var errs []error
	if len(s.volumes) > 0 {
		left, err := sweepVolumes(ctx, s.opt, func(l lvm.Snapshot) bool {
			return slices.ContainsFunc(s.volumes, func(v volume) bool { return v.group == l.Group && v.name == l.Name })
		}, true)
		errs = append(errs, err, kept(left))
	}
	for _, dev := range s.devices {
		left, err := sweepSubvolumes(ctx, s.opt, dev, func(name string) bool { return strings.HasPrefix(name, subvolPrefix+s.opt.ID+"-") })
		errs = append(errs, err, kept(left))
	}
	if err := errors.Join(errs...); err != nil {
		return fail.Hint(fail.New(fail.Failed, "cannot remove a snapshot: %w", err), "the next backup tries again")
	}
	return nil
}
