// Package unpack puts the paths of an archive onto mounted file systems, with
// everything a path has. Nothing outside the target directory is touched,
// whatever the archive says: every path is reached one component at a time
// without following symbolic links. It neither reads archives (archive), nor
// makes or mounts file systems (restore).
package unpack

import (
	"context"
	"errors"
	"fmt"
	"hash/maphash"
	"iter"
	"path"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/mkcdrec/mkcdrec/internal/archive"
	"github.com/mkcdrec/mkcdrec/internal/fail"
	"github.com/mkcdrec/mkcdrec/internal/inode"
	"golang.org/x/sys/unix"
)

// Options say how to unpack. The zero value unpacks everything as root.
type Options struct {
	// Select picks entries; nil: all. Directories that lead to a selected
	// path are made if they are missing.
	Select  func(e *archive.Entry) bool
	NoOwner bool // do not set owners, nor what only root may set (for extract by a user)
	Workers int  // writers; 0: two for each CPU
	// MakeSubvolume makes a btrfs subvolume called name in the open directory
	// dirfd; nil: an ordinary directory is made.
	MakeSubvolume func(dirfd int, name string) error
	// OnPath is called for each path from one goroutine; done is the content
	// in bytes so far.
	OnPath func(e *archive.Entry, done int64)
	// Preallocate files from this size on; 0: 8 MiB; negative: never.
	Preallocate int64
}

// Problem is what went wrong with one path.
type Problem struct {
	Path string
	Err  error
}

// Report says what was done. Every path that is not exactly as the archive
// has it is among the Problems.
type Report struct {
	Paths   int64
	Files   int64
	Bytes   int64 // content written
	Sockets int64 // left out, their owners make them anew
	Checked int64 // files whose content hash was compared
	// Dropped counts by kind what NoOwner left out: "setuid and
	// setgid bits", "attribute security.capability" ...; owners are not counted.
	Dropped  map[string]int64
	Problems []Problem
}

// Run unpacks the items into the directory target, which may hold mounted
// file systems and the remains of an interrupted run. The error is for what
// ended it: a damaged archive, no space, ctx. Problems of single paths are in
// the report, which is valid in every case. Behind damage (fail.Damaged) what
// was unpacked is finished as far as it goes: links, and directories' metadata.
func Run(ctx context.Context, items iter.Seq2[*archive.Item, error], target string, opt Options) (Report, error) {
	if opt.Workers <= 0 {
		opt.Workers = 2 * runtime.GOMAXPROCS(0)
	}
	if opt.Preallocate == 0 {
		opt.Preallocate = 8 << 20
	}
	tree, err := inode.OpenTree(target)
	if err != nil {
		return Report{}, fail.New(fail.Failed, "cannot unpack: %w", err)
	}
	defer tree.Close()
	u := &unpacker{opt: opt, tree: tree, jobs: make(chan []*job, opt.Workers), seed: maphash.MakeSeed(), seen: map[uint64]struct{}{}}
	var workers sync.WaitGroup
	for range opt.Workers {
		workers.Go(u.worker)
	}
	err = u.read(ctx, items)
	u.flush()
	close(u.jobs)
	workers.Wait()
	if err == nil {
		err = u.fatal()
	}
	if err == nil || fail.KindOf(err) == fail.Damaged && u.fatal() == nil {
		if ferr := u.finish(ctx); err == nil {
			err = ferr
		}
	}
	u.report.Files, u.report.Bytes, u.report.Checked = u.files.Load(), u.bytes.Load(), u.checked.Load()
	return u.report, err
}

type unpacker struct {
	opt  Options
	tree *inode.Tree
	jobs chan []*job
	busy sync.WaitGroup // jobs that are not finished

	batch []*job // not handed over yet
	size  int64  // bytes of content in it

	seed maphash.Seed
	seen map[uint64]struct{} // names met so far

	dirs  []*archive.Entry // in the order of the archive
	links []*archive.Entry

	files, bytes, checked atomic.Int64

	mu     sync.Mutex
	locked []locked // get FS_IMMUTABLE_FL, FS_APPEND_FL at the end
	report Report
	ended  error
}

func (u *unpacker) problem(name string, err error) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.report.Problems = append(u.report.Problems, Problem{name, err})
	is := func(e error) bool { return errors.Is(err, e) }
	hint := ""
	switch {
	case u.ended != nil:
	case slices.ContainsFunc([]error{unix.ENOSPC, unix.EDQUOT}, is):
		hint = "the target file system is too small; make room and start again, what is there is kept"
	// A file system whose disk has failed answers any of these, each in its way;
	// the next path would go no better.
	case slices.ContainsFunc([]error{unix.EROFS, unix.EIO, unix.ENXIO, unix.ENODEV, unix.EUCLEAN, unix.ESHUTDOWN}, is):
		hint = "the target file system cannot be written, or a disk fails: see mount and dmesg; start again when it can, what is there is kept"
	}
	if hint != "" {
		u.ended = fail.Hint(fail.New(fail.Failed, "cannot unpack %s: %w", name, err), "%s", hint)
	}
}

func (u *unpacker) dropped(what string) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.report.Dropped == nil {
		u.report.Dropped = map[string]int64{}
	}
	u.report.Dropped[what]++
}

func (u *unpacker) fatal() error {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.ended
}

// read takes the items in the order of the archive: directories are made
// here, all else goes to the workers.
func (u *unpacker) read(ctx context.Context, items iter.Seq2[*archive.Item, error]) error {
	for item, err := range items {
		if err != nil {
			return err
		}
		if err := ctx.Err(); err != nil {
			item.Release()
			return err
		}
		if err := u.fatal(); err != nil {
			item.Release()
			return err
		}
		e := item.Entry
		if item.Lost != nil {
			u.problem(e.Name, item.Lost)
			item.Release()
			continue
		}
		if u.opt.Select != nil && !u.opt.Select(e) {
			item.Release()
			continue
		}
		u.take(item)
		if u.opt.OnPath != nil {
			u.opt.OnPath(e, u.bytes.Load())
		}
	}
	return ctx.Err()
}

// take handles one item. Content that breaks off is the worker's to name, and
// the archive's to decide on: with SkipDamaged it goes on, else the loop ends.
func (u *unpacker) take(item *archive.Item) {
	e := item.Entry
	if err := inode.CheckName(e.Name); err != nil {
		u.problem(e.Name, err)
		item.Release()
		return
	}
	u.report.Paths++
	h := maphash.String(u.seed, e.Name)
	if _, twice := u.seen[h]; twice {
		u.problem(e.Name, errors.New("is in the archive twice; the later one counts"))
		u.settle() // so that the later one wins
		defer func() {
			u.settle() // before anything goes below it
			u.tree.Forget(e.Name)
		}()
	}
	u.seen[h] = struct{}{}
	switch e.Kind {
	case archive.Dir, archive.Subvolume:
		item.Release()
		u.makeDir(e)
	case archive.Socket:
		item.Release()
		u.report.Sockets++
	case archive.Hardlink:
		item.Release()
		u.links = append(u.links, e)
	case archive.File:
		if e.Unreadable {
			item.Release()
			u.problem(e.Name, errors.New("has no content in the backup: "+e.Problem))
			return
		}
		u.send(item)
	case archive.Symlink, archive.FIFO, archive.CharDev, archive.BlockDev:
		u.send(item)
	default:
		item.Release()
		u.problem(e.Name, fmt.Errorf("unknown kind %q", e.Kind))
	}
}

// parent opens the directory of a name, and makes directories that are
// missing in the archive or were not selected.
func (u *unpacker) parent(name string) (*inode.Dir, string, error) {
	d, base, err := u.tree.Parent(name)
	if errors.Is(err, unix.ENOENT) {
		u.settle() // a worker may be about to make something else of that name
		d, base, err = u.tree.Parent(name)
	}
	if err == nil || !errors.Is(err, unix.ENOENT) {
		return d, base, err
	}
	up := path.Dir(name)
	above, upBase, err := u.parent(up)
	if err != nil {
		return nil, "", err
	}
	err = unix.Mkdirat(above.FD, upBase, 0o755)
	above.Release()
	if err != nil && !errors.Is(err, unix.EEXIST) {
		return nil, "", err
	}
	return u.tree.Parent(name)
}

// makeDir makes a directory or takes over one that is there; its owner, mode,
// attributes and times follow at the end, when nothing is made in it any more.
func (u *unpacker) makeDir(e *archive.Entry) {
	u.dirs = append(u.dirs, e)
	if e.Name == "." {
		return
	}
	dir, base, err := u.parent(e.Name)
	if err != nil {
		u.problem(e.Name, fmt.Errorf("cannot open its directory: %w", err))
		return
	}
	defer dir.Release()
	create := func() error {
		if e.Kind == archive.Subvolume && u.opt.MakeSubvolume != nil {
			return u.opt.MakeSubvolume(dir.FD, base)
		}
		return unix.Mkdirat(dir.FD, base, 0o700)
	}
	err = create()
	if !errors.Is(err, unix.EEXIST) {
		if err != nil {
			u.problem(e.Name, fmt.Errorf("cannot make directory: %w", err))
		}
		u.early(dir, base, e)
		return
	}
	fd, err := inode.OpenDir(dir.FD, base)
	if err == nil {
		err = takeOver(fd)
		_ = unix.Close(fd)
	} else if errors.Is(err, unix.ENOTDIR) || errors.Is(err, unix.ELOOP) {
		u.tree.Forget(e.Name)
		if err = remove(dir.FD, base); err == nil {
			err = create()
		}
	}
	if err != nil {
		u.problem(e.Name, fmt.Errorf("cannot make directory: %w", err))
	}
}

// early sets the flags that a directory takes only while it is empty.
func (u *unpacker) early(dir *inode.Dir, base string, e *archive.Entry) {
	if e.Flags&inode.FlagCasefold == 0 {
		return
	}
	if fd, err := inode.OpenDir(dir.FD, base); err == nil {
		if err := inode.SetFlags(fd, e.Flags, inode.FlagCasefold); err != nil {
			u.problem(e.Name, err)
		}
		_ = unix.Close(fd)
	}
}

// takeOver makes an existing directory writable, and takes from it what new
// files in it would inherit.
func takeOver(fd int) error {
	inherit := inode.FlagNocow | inode.FlagCompr | inode.FlagNocomp | inode.FlagProjinherit | inode.FlagSync | inode.FlagNodump | inode.FlagNoatime
	if err := inode.SetFlags(fd, 0, inode.Locking|inherit); err != nil && !errors.Is(err, unix.EPERM) {
		return err
	}
	x, err := inode.Xattrs(fd)
	if err != nil {
		return err
	}
	for name := range x {
		if name == "system.posix_acl_default" || strings.HasPrefix(name, "btrfs.") {
			if err := unix.Fremovexattr(fd, name); err != nil && !errors.Is(err, unix.ENODATA) {
				return fmt.Errorf("cannot remove %s: %w", name, err)
			}
		}
	}
	return nil
}

// remove removes what is in the way of a path: a non-directory even if it is
// immutable, or an empty directory. Only regular files are opened for that:
// opening a device can have effects.
func remove(dirfd int, base string) error {
	err := unix.Unlinkat(dirfd, base, 0)
	var st unix.Stat_t
	if errors.Is(err, unix.EPERM) && unix.Fstatat(dirfd, base, &st, unix.AT_SYMLINK_NOFOLLOW) == nil && st.Mode&unix.S_IFMT == unix.S_IFREG {
		if fd, oerr := unix.Openat(dirfd, base, unix.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK|unix.O_CLOEXEC, 0); oerr == nil {
			_ = inode.SetFlags(fd, 0, inode.Locking)
			_ = unix.Close(fd)
			err = unix.Unlinkat(dirfd, base, 0)
		}
	}
	if errors.Is(err, unix.EISDIR) || errors.Is(err, unix.EPERM) {
		if rerr := unix.Unlinkat(dirfd, base, unix.AT_REMOVEDIR); rerr == nil || errors.Is(err, unix.EISDIR) {
			err = rerr
		}
	}
	if err != nil && !errors.Is(err, unix.ENOENT) {
		return fmt.Errorf("cannot replace what is there: %w", err)
	}
	return nil
}
