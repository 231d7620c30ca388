package inode

import (
	"errors"
	"fmt"
	"path"
	"strings"
	"sync"
	"sync/atomic"

	"golang.org/x/sys/unix"
)

// Dir is an open directory that is closed when its last user lets go of it.
type Dir struct {
	FD   int
	refs atomic.Int32
}

// NewDir takes over an open file descriptor with one reference.
func NewDir(fd int) *Dir {
	d := &Dir{FD: fd}
	d.refs.Store(1)
	return d
}

// Hold adds a reference.
func (d *Dir) Hold() *Dir { d.refs.Add(1); return d }

// Release drops a reference and closes the directory with the last one.
func (d *Dir) Release() {
	if d.refs.Add(-1) == 0 {
		_ = unix.Close(d.FD)
	}
}

// OpenDir opens the directory name below d; it never follows a symbolic link.
func OpenDir(dirfd int, name string) (int, error) {
	var fd int
	err := retry(func() (err error) {
		fd, err = unix.Openat(dirfd, name, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_CLOEXEC|unix.O_NONBLOCK, 0)
		return
	})
	return fd, err
}

// ErrName is wrapped for a name that leads out of the tree or is not one.
var ErrName = errors.New("not a name within the tree")

// CheckName says whether a name is one that an Entry may have: relative, no
// empty, "." or ".." component, no zero byte; "." alone is the root.
func CheckName(name string) error {
	if name == "." {
		return nil
	}
	if name == "" || strings.IndexByte(name, 0) >= 0 {
		return fmt.Errorf("%q: %w", name, ErrName)
	}
	for c := range strings.SplitSeq(name, "/") {
		if c == "" || c == "." || c == ".." || len(c) > 255 {
			return fmt.Errorf("%q: %w", name, ErrName)
		}
	}
	return nil
}

// Tree finds directories below a root by names relative to it, one component
// at a time without following symbolic links, and keeps the last ones open.
// It is safe for use by several goroutines.
type Tree struct {
	mu    sync.Mutex
	root  *Dir
	open  map[string]*Dir
	order []string // names in open, oldest first
	limit int
}

// OpenTree opens the root of a tree, following a symbolic link to it.
func OpenTree(root string) (*Tree, error) {
	fd, err := unix.Open(root, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("cannot open directory %s: %w", root, err)
	}
	return &Tree{root: NewDir(fd), open: map[string]*Dir{}, limit: 256}, nil
}

// Close closes the directories that nobody uses any more.
func (t *Tree) Close() {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, d := range t.open {
		d.Release()
	}
	t.open, t.order = map[string]*Dir{}, nil
	t.root.Release()
}

// Dir opens the directory of a checked name. The caller releases it.
func (t *Tree) Dir(name string) (*Dir, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if name == "." {
		return t.root.Hold(), nil
	}
	if d, ok := t.open[name]; ok {
		return d.Hold(), nil
	}
	// The nearest open ancestor, then downwards.
	at, rest := t.root.Hold(), name
	for p := path.Dir(name); p != "."; p = path.Dir(p) {
		if d, ok := t.open[p]; ok {
			at.Release()
			at, rest = d.Hold(), name[len(p)+1:]
			break
		}
	}
	for c := range strings.SplitSeq(rest, "/") {
		fd, err := OpenDir(at.FD, c)
		at.Release()
		if err != nil {
			return nil, err
		}
		at = NewDir(fd)
	}
	t.keep(name, at)
	return at, nil
}

// Parent opens the directory that holds a checked name, and gives the last
// component; for "." both are the root and ".".
func (t *Tree) Parent(name string) (*Dir, string, error) {
	dir, base := path.Split(name)
	dir = strings.TrimSuffix(dir, "/")
	if dir == "" {
		dir = "."
	}
	d, err := t.Dir(dir)
	return d, base, err
}

// Forget closes a directory and those below it: they were replaced.
func (t *Tree) Forget(name string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	kept := t.order[:0]
	for _, n := range t.order {
		if n == name || strings.HasPrefix(n, name+"/") {
			t.open[n].Release()
			delete(t.open, n)
			continue
		}
		kept = append(kept, n)
	}
	t.order = kept
}

func (t *Tree) keep(name string, d *Dir) {
	if len(t.order) >= t.limit {
		half := len(t.order) / 2
		for _, n := range t.order[:half] {
			t.open[n].Release()
			delete(t.open, n)
		}
		t.order = append([]string(nil), t.order[half:]...)
	}
	t.open[name] = d.Hold()
	t.order = append(t.order, name)
}
