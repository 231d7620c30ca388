package backup

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/mkcdrec/mkcdrec/internal/archive"
	"github.com/mkcdrec/mkcdrec/internal/fail"
	"github.com/mkcdrec/mkcdrec/internal/inode"
	"github.com/mkcdrec/mkcdrec/internal/selection"
	"golang.org/x/sys/unix"
)

// Sink takes what is walked, in order, from one goroutine: *archive.Writer.
type Sink interface {
	Add(e *archive.Entry, r io.Reader) error
	AddBytes(e *archive.Entry, data []byte) error
	Warn(path, problem string)
}

// WalkOptions say what is walked.
type WalkOptions struct {
	Root    string   // the live root: "/"
	Mounts  []string // absolute mount points as seen within Root, "/" first, parents before children; nil: "/"
	Exclude []string // see selection.Compile
	Literal []string // absolute paths to leave out, whatever characters they hold
	Only    []string // absolute paths; nil: everything
	Readers int      // goroutines that read ahead; 0: two for each CPU
	OnAdd   func(e *archive.Entry, done int64)
	// Sources are directories to read instead of those at these absolute paths:
	// the roots of snapshots. They stay the caller's.
	Sources map[string]*os.File
	// Hold is called before anything of one of these mounts is read, when all
	// before it was; what it returns is called when all of that mount was read.
	Hold map[string]func(context.Context) (release func() error, err error)

	smallMax  int64             // content up to this many bytes is read ahead; 0: 1 MiB
	budget    int64             // bytes read ahead at most; 0: 64 MiB
	plain     bool              // do not look beneath mounts (tests)
	afterRead func(name string) // a small file was read, and is looked at again next (tests)
	noMounts  bool              // as on a kernel without mount IDs (tests)
}

// walk is one run of Walk.
type walk struct {
	opt     WalkOptions
	exclude *selection.Patterns
	only    selection.Only
	names   names
	mounts  map[string]bool // names of recorded mounts
	devs    map[uint64]bool // st_dev of the roots of recorded mounts
	sources map[string]*os.File
	live    map[uint64]uint64 // st_dev of a snapshot -> of what it was taken of
	ahead   atomic.Int64      // bytes read ahead
	ordered chan *task
	work    chan *task

	mu    sync.Mutex
	links map[linkKey]*link
}

// task is one path on its way: the lister makes it, a reader fills it in, the
// consumer adds it.
type task struct {
	parent *inode.Dir
	base   string
	name   string
	self   *inode.Dir // a directory that the lister has open
	kind   archive.Kind
	listed string // problem of the lister with this path

	passed   chan struct{} // of a barrier
	done     chan struct{}
	entry    *archive.Entry
	nlink    uint64
	skipped  bool   // content not read: the inode is in the archive already
	buf      []byte // content read ahead
	stream   *stream
	vanished bool
	err      error
}

// Walk walks the mounts and adds every path to the sink in a fixed order:
// mount by mount, directories before their content, names sorted by bytes.
// Unreadable, vanished and changed files are named there and do not end it.
func Walk(ctx context.Context, sink Sink, opt WalkOptions) error {
	w, err := newWalk(opt)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	roots, err := w.openRoots()
	if err != nil {
		return err
	}
	var listErr error
	var group sync.WaitGroup
	group.Go(func() {
		defer close(w.ordered)
		defer close(w.work)
		for _, r := range roots {
			if listErr == nil {
				listErr = w.listRoot(ctx, r)
			}
			r.dir.Release()
		}
	})
	for range w.opt.Readers {
		group.Go(func() {
			for t := range w.work {
				w.fill(t, true)
				close(t.done)
			}
		})
	}
	err = w.consume(ctx, sink)
	cancel()
	for t := range w.ordered { // after an error: give back what was opened
		<-t.done
		w.drop(t)
	}
	group.Wait()
	if err == nil {
		err = listErr
	}
	return err
}

func newWalk(opt WalkOptions) (*walk, error) {
	if opt.Root == "" {
		opt.Root = "/"
	}
	if len(opt.Mounts) == 0 {
		opt.Mounts = []string{"/"}
	}
	if opt.Readers == 0 {
		opt.Readers = 2 * runtime.GOMAXPROCS(0)
	}
	if opt.smallMax == 0 {
		opt.smallMax = 1 << 20
	}
	if opt.budget == 0 {
		opt.budget = 64 << 20
	}
	pat, err := opt.patterns()
	if err != nil {
		return nil, err
	}
	w := &walk{
		opt: opt, exclude: pat, only: selection.NewOnly(opt.Only), names: readNames(opt.Root),
		mounts: map[string]bool{}, devs: map[uint64]bool{}, links: map[linkKey]*link{},
		sources: map[string]*os.File{}, live: map[uint64]uint64{},
		ordered: make(chan *task, 512), work: make(chan *task, 512),
	}
	for _, m := range opt.Mounts {
		w.mounts[relative(m)] = true
	}
	return w, w.addSources()
}

// patterns are all that is left out.
func (opt WalkOptions) patterns() (*selection.Patterns, error) {
	exclude := append([]string(nil), opt.Exclude...)
	for _, m := range opt.Mounts {
		exclude = append(exclude, path.Join(m, "lost+found")+"/*")
	}
	pat, err := selection.Compile(exclude)
	if err != nil {
		return nil, err
	}
	for _, l := range opt.Literal {
		pat.Add(l)
	}
	return pat, nil
}

func relative(target string) string {
	if r := strings.TrimPrefix(path.Clean("/"+target), "/"); r != "" {
		return r
	}
	return "."
}

// root is one mount to walk.
type root struct {
	name  string
	dir   *inode.Dir
	dev   uint64
	mount uint64 // mount ID; 0: the kernel does not say (before 5.8)
}

func (w *walk) openRoots() ([]root, error) {
	var roots []root
	for _, m := range w.opt.Mounts {
		name := relative(m)
		if w.exclude.ExcludedWithin(name) || !w.only.Wants(name) {
			continue
		}
		var fd int
		var err error
		if src := w.sources[name]; src != nil {
			fd, err = inode.OpenDir(int(src.Fd()), ".")
		} else {
			fd, err = openMount(filepath.Join(w.opt.Root, name), w.opt.plain)
		}
		if err != nil {
			for _, r := range roots {
				r.dir.Release()
			}
			return nil, fail.Hint(fail.New(fail.Failed, "cannot open mount point %s: %w", m, err),
				"is it still mounted, and are you root?")
		}
		r := root{name: name, dir: inode.NewDir(fd)}
		r.dev, r.mount, _ = w.identify(fd)
		w.devs[r.dev] = true
		if live, ok := w.live[r.dev]; ok {
			w.devs[live] = true
		}
		roots = append(roots, r)
	}
	return roots, nil
}

// openMount opens a mounted file system's root such that what lies beneath
// further mounts is seen: through a private copy of the mount, without the
// mounts in it, that nobody else sees and that ends with the descriptor
// (open_tree(2), Linux 5.2, CAP_SYS_ADMIN). Otherwise the directory itself.
func openMount(dir string, plain bool) (int, error) {
	if !plain {
		tree, err := unix.OpenTree(unix.AT_FDCWD, dir, unix.OPEN_TREE_CLONE|unix.OPEN_TREE_CLOEXEC)
		if err == nil {
			defer unix.Close(tree)
			if fd, err := inode.OpenDir(tree, "."); err == nil {
				return fd, nil
			}
		}
	}
	return unix.Open(dir, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
}

// identify gives st_dev and the mount ID of an open directory.
func (w *walk) identify(fd int) (dev, mount uint64, err error) {
	var sx unix.Statx_t
	if err := unix.Statx(fd, "", unix.AT_EMPTY_PATH, unix.STATX_INO|unix.STATX_MNT_ID, &sx); err == nil {
		if sx.Mask&unix.STATX_MNT_ID != 0 && !w.opt.noMounts {
			mount = sx.Mnt_id
		}
		return unix.Mkdev(sx.Dev_major, sx.Dev_minor), mount, nil
	}
	var st unix.Stat_t
	err = unix.Fstat(fd, &st)
	return st.Dev, 0, err
}

var errStopped = errors.New("stopped")

func (w *walk) listRoot(ctx context.Context, r root) error {
	err := w.held(ctx, r, func() error { return w.list(ctx, r, nil, r.dir, "", r.name, archive.Dir) })
	if errors.Is(err, errStopped) {
		return nil
	}
	return err
}

// list emits a directory and what is below it. It owns one reference of dir
// only for the time of the call; the caller keeps its own.
func (w *walk) list(ctx context.Context, r root, parent, dir *inode.Dir, base, name string, kind archive.Kind) error {
	t := &task{base: base, name: name, self: dir.Hold(), kind: kind, done: make(chan struct{})}
	if parent != nil {
		t.parent = parent.Hold()
	}
	names, err := inode.ReadNames(dir.FD)
	if err != nil {
		t.listed = fmt.Sprintf("cannot read directory: %v", err)
	}
	if err := w.emit(ctx, t); err != nil {
		return err
	}
	for _, n := range names {
		child := n.Name
		if name != "." {
			child = name + "/" + n.Name
		}
		if w.exclude.Excluded(child) || !w.only.Wants(child) {
			continue
		}
		if err := w.listChild(ctx, r, dir, n, child); err != nil {
			return err
		}
	}
	return nil
}

func (w *walk) listChild(ctx context.Context, r root, dir *inode.Dir, n inode.Name, name string) error {
	t := &task{parent: dir, base: n.Name, name: name, done: make(chan struct{})}
	if n.Type != unix.DT_DIR && n.Type != unix.DT_UNKNOWN {
		dir.Hold()
		return w.emit(ctx, t)
	}
	fd, err := openQuiet(dir.FD, n.Name, unix.O_DIRECTORY)
	if err != nil {
		if !errors.Is(err, unix.ENOTDIR) && !errors.Is(err, unix.ELOOP) && !errors.Is(err, unix.ENOENT) {
			t.listed = fmt.Sprintf("cannot read directory: %v", err)
		}
		dir.Hold()
		return w.emit(ctx, t)
	}
	fd, nested, err := w.nested(fd, r, name)
	if err != nil {
		return err
	}
	t.listed = nested
	sub := inode.NewDir(fd)
	defer sub.Release()
	dev, mount, err := w.identify(fd)
	if err != nil {
		return fmt.Errorf("cannot stat /%s: %w", name, err)
	}
	foreign := mount != r.mount || r.mount == 0 && dev != r.dev && w.sources[name] == nil
	switch {
	case nested != "":
		t.self = sub.Hold()
		dir.Hold()
		return w.emit(ctx, t)
	case w.mounts[name]:
		// Its entry is the root of the file system mounted there, which comes later.
		if !foreign && hides(fd, 4) {
			t.listed = "files hidden beneath this mount point are not in the backup"
			t.kind = covered
			t.self = sub.Hold()
			dir.Hold()
			return w.emit(ctx, t)
		}
		return nil
	case foreign:
		if r.mount == 0 && isSubvolume(fd) {
			t.listed = "a btrfs subvolume that was not entered: this kernel does not say whether something is mounted there; name it as a mount or update the kernel"
		}
		t.self = sub.Hold()
		dir.Hold()
		return w.emit(ctx, t)
	case dev == r.dev:
		return w.list(ctx, r, dir, sub, n.Name, name, archive.Dir)
	case w.devs[dev]:
		// A subvolume that is walked where it is mounted.
		t.kind, t.self = archive.Subvolume, sub.Hold()
		dir.Hold()
		return w.emit(ctx, t)
	}
	inner := r
	inner.dev = dev
	return w.list(ctx, inner, dir, sub, n.Name, name, archive.Subvolume)
}

// isSubvolume says whether an open directory is the root of a btrfs subvolume:
// its inode number is BTRFS_FIRST_FREE_OBJECTID (linux/btrfs_tree.h).
func isSubvolume(fd int) bool {
	var st unix.Stat_t
	var fs unix.Statfs_t
	return unix.Fstat(fd, &st) == nil && st.Ino == 256 && unix.Fstatfs(fd, &fs) == nil && fs.Type == unix.BTRFS_SUPER_MAGIC
}

// covered marks a task that is only a warning, not an entry.
const covered archive.Kind = "covered"

// hides says whether anything but empty directories lies below a directory.
func hides(fd, depth int) bool {
	names, err := inode.ReadNames(fd)
	if err != nil || depth == 0 {
		return len(names) > 0
	}
	for _, n := range names {
		sub, err := inode.OpenDir(fd, n.Name)
		if err != nil {
			return true
		}
		found := hides(sub, depth-1)
		_ = unix.Close(sub)
		if found {
			return true
		}
	}
	return false
}
