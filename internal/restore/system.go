package restore

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/mkcdrec/mkcdrec/internal/fail"
	"github.com/mkcdrec/mkcdrec/internal/machine"
	"github.com/mkcdrec/mkcdrec/internal/plan"
	"github.com/mkcdrec/mkcdrec/internal/system"
	"github.com/mkcdrec/mkcdrec/internal/tool/initramfs"
	"github.com/mkcdrec/mkcdrec/internal/tool/mkswap"
	"github.com/mkcdrec/mkcdrec/internal/tool/mount"
	"github.com/mkcdrec/mkcdrec/internal/wording"
)

// inRoot works below the target root; no path leaves it, symbolic links included.
func (x *executor) inRoot(do func(*os.Root) error) error {
	r, err := os.OpenRoot(x.TargetRoot)
	if err != nil {
		return err
	}
	defer r.Close()
	return do(r)
}

// exists says whether a path, relative to the target root, is there.
func (x *executor) exists(name string) bool {
	return x.inRoot(func(r *os.Root) error { _, err := r.Stat(name); return err }) == nil
}

func (x *executor) unpack(ctx context.Context, i int, s plan.Step) error {
	u, err := x.Backup.Unpack(ctx, x.TargetRoot, x.Plan.Paths(), x.progress(i, s))
	x.report.Unpacked = u
	if err != nil {
		return err
	}
	if u.Paths == 0 {
		return fail.New(fail.Damaged, "the backup has no files")
	}
	x.report.Warnings = append(x.report.Warnings, u.Problems...)
	return nil
}

// swapFile makes a swap file anew: without holes, and on btrfs without copy on
// write (btrfs(5), "Swapfile support").
func (x *executor) swapFile(ctx context.Context, s plan.Step) error {
	name := strings.TrimPrefix(path.Clean("/"+s.Swap.File), "/")
	err := x.inRoot(func(r *os.Root) error { return r.MkdirAll(path.Dir(name), 0o755) })
	if err != nil {
		return fmt.Errorf("cannot make swap file %s: %w", s.Swap.File, err)
	}
	return x.keepTimes(path.Dir(name), func() error { return x.makeSwapFile(ctx, s, name) })
}

func (x *executor) makeSwapFile(ctx context.Context, s plan.Step, name string) error {
	err := x.inRoot(func(r *os.Root) error {
		if err := r.Remove(name); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		f, err := r.OpenFile(name, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
		if err != nil {
			return err
		}
		return f.Close()
	})
	if err != nil {
		return fmt.Errorf("cannot make swap file %s: %w", s.Swap.File, err)
	}
	x.changed[name] = true
	file := path.Join(x.TargetRoot, name)
	if f := x.fsOf(s.Swap.File); f != nil && f.Kind == "btrfs" {
		if _, err := x.System.Run(ctx, system.Command{Name: "chattr", Args: []string{"+C", file}}); err != nil {
			return fmt.Errorf("cannot make swap file %s: %w", s.Swap.File, err)
		}
	}
	if _, err := x.System.Run(ctx, system.Command{Name: "fallocate", Args: []string{"-l", strconv.FormatInt(int64(s.Swap.Size), 10), file}}); err != nil {
		return fmt.Errorf("cannot make swap file %s: %w", s.Swap.File, err)
	}
	return mkswap.Make(ctx, x.System, file, *s.Swap)
}

// keepTimes gives a directory its modification time back after a change in it.
func (x *executor) keepTimes(dir string, change func() error) error {
	return x.inRoot(func(r *os.Root) error {
		fi, err := r.Stat(dir)
		if err != nil {
			return err
		}
		if err := change(); err != nil {
			return err
		}
		return r.Chtimes(dir, time.Time{}, fi.ModTime())
	})
}

// fsOf is the file system that holds a path of the restored machine.
func (x *executor) fsOf(file string) *machine.FileSystem {
	var best *machine.Mount
	for i := range x.m.Mounts {
		m := &x.m.Mounts[i]
		inside := m.Target == "/" || file == m.Target || strings.HasPrefix(file, m.Target+"/")
		if inside && (best == nil || len(m.Target) > len(best.Target)) {
			best = m
		}
	}
	if best == nil {
		return nil
	}
	return x.m.FileSystemOn(best.On)
}

// bind shows the rescue system's devices inside the restored root, for
// programs that run there. Run undoes it.
func (x *executor) bind(ctx context.Context) error {
	if len(x.binds) > 0 {
		return nil
	}
	for _, dir := range []string{"dev", "proc", "sys", "run"} {
		if err := x.inRoot(func(r *os.Root) error { return r.MkdirAll(dir, 0o755) }); err != nil {
			return fmt.Errorf("cannot prepare /%s in the restored system: %w", dir, err)
		}
		target := path.Join(x.TargetRoot, dir)
		if err := mount.Bind(ctx, x.System, "/"+dir, target); err != nil {
			return err
		}
		x.binds = append(x.binds, target)
	}
	if err := x.hideFirmware(ctx); err != nil {
		return err
	}
	// Programs that run there leave their traces in the directories' times.
	x.changed["tmp"], x.changed["var/tmp"] = true, true
	return nil
}

func (x *executor) unbind(ctx context.Context) error {
	var first error
	for _, t := range slices.Backward(x.binds) {
		if err := mount.UnmountAll(ctx, x.System, t); err != nil && first == nil {
			first = err
		}
	}
	x.binds = nil
	return first
}

// copiedChanges are the changed files of which an initramfs has a copy, and
// without which the root file system may not be found.
func (x *executor) copiedChanges() []string {
	var out []string
	for _, name := range slices.Concat(arrayFiles, lvmFilters, []string{devicesFile, "etc/crypttab", "etc/initramfs-tools/conf.d/resume"}) {
		if x.changed[name] {
			out = append(out, "/"+name)
		}
	}
	return out
}

func (x *executor) maker() (initramfs.Maker, bool) {
	for _, m := range initramfs.Makers {
		if x.program(m.List) != "" && x.program(m.Program) != "" {
			return m, true
		}
	}
	return initramfs.Maker{}, false
}

// program is the path of a program inside the restored root, or "".
func (x *executor) program(name string) string {
	for _, dir := range programDirs {
		if x.exists(dir + "/" + name) {
			return "/" + dir + "/" + name
		}
	}
	return ""
}

// needed are the modules behind the target disks that the kernel does not have
// built in.
func (x *executor) needed(kernel string) []string {
	var builtin []byte
	for _, dir := range []string{"usr/lib", "lib"} {
		if len(builtin) == 0 {
			_ = x.inRoot(func(r *os.Root) error {
				var err error
				builtin, err = r.ReadFile(dir + "/modules/" + kernel + "/modules.builtin")
				return err
			})
		}
	}
	in := map[string]bool{}
	for line := range strings.SplitSeq(string(builtin), "\n") {
		in[strings.ReplaceAll(strings.TrimSuffix(path.Base(line), ".ko"), "-", "_")] = true
	}
	var out []string
	for _, d := range x.m.Disks {
		names := []string{d.Name}
		if d.Multipath() {
			names = d.Paths
		}
		var drivers []string
		for _, name := range names {
			drivers = append(drivers, x.drivers(name)...)
		}
		if x.Images != nil {
			drivers = virtualDrivers
		}
		for _, m := range drivers {
			if !in[m] && !slices.Contains(out, m) {
				out = append(out, m)
			}
		}
	}
	return out
}

// verify compares the result with the catalogue, except what was changed on purpose.
func (x *executor) verify(ctx context.Context, i int, s plan.Step) error {
	// /dev and the like must be seen as they were restored.
	if err := x.unbind(ctx); err != nil {
		return err
	}
	v, err := x.Backup.Compare(ctx, x.TargetRoot, x.Plan.Paths(), x.Verify, x.ignored, x.progress(i, s))
	x.report.Verified = v
	if err != nil {
		return err
	}
	if v.Paths == 0 {
		return fail.New(fail.Failed, "nothing was verified")
	}
	if n := len(v.Differences); n > 0 {
		shown := v.Differences[:min(n, 5)]
		return fail.New(fail.Failed, "not as in the backup: %d of %s: %s", n, wording.Count(v.Paths, "path"), strings.Join(shown, "; "))
	}
	return nil
}

// ignored says whether a path, relative to the root, may differ: this restore
// changed it, or the boot loader's installation rewrites it.
func (x *executor) ignored(name string) bool {
	name = strings.TrimPrefix(name, "/")
	if x.changed[name] {
		return true
	}
	for p := name; p != "." && p != "/"; p = path.Dir(p) {
		if x.changed[p+"/"] {
			return true
		}
	}
	return false
}

// unmountAll ends the work on the target: everything is written out.
func (x *executor) unmountAll(ctx context.Context) error {
	if err := x.unbind(ctx); err != nil {
		return err
	}
	tops := x.tops()
	if len(tops) == 0 {
		return nil
	}
	if err := x.keepTimes(inRootName(tops[0].Target), x.journal.dropCopies); err != nil {
		return err
	}
	if err := x.settle(); err != nil {
		return err
	}
	for _, m := range slices.Backward(tops) {
		if err := mount.UnmountAll(ctx, x.System, path.Join(x.TargetRoot, m.Target)); err != nil {
			return err
		}
	}
	x.checkMembers()
	return nil
}
