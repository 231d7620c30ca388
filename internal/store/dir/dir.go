// Package dir is a store in a directory: a local disk, a mounted NFS share.
// It does not mount anything, and never creates the directory it is given: a
// mount that is gone must not fill the disk below it.
package dir

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"sort"
	"strings"
	"syscall"

	"github.com/mkcdrec/mkcdrec/internal/fail"
	"github.com/mkcdrec/mkcdrec/internal/store"
	"golang.org/x/sys/unix"
)

// ownPrefix begins the names of files that are the store's own, which List
// leaves out; tempPrefix those of files that are not committed.
const (
	ownPrefix  = ".mkcdrec-"
	tempPrefix = ownPrefix + "part-"
)

// Dir is a store in a directory.
type Dir struct {
	path string
	root *os.Root // refuses paths that lead out, also by symbolic links
	dev  uint64   // of the directory when it was opened
	ino  uint64
}

// Open opens the directory path as a store. It must exist.
func Open(path string) (*Dir, error) {
	root, err := os.OpenRoot(path)
	if err != nil {
		err = fmt.Errorf("cannot use %s as a destination: %w", path, classify(err))
		if errors.Is(err, fs.ErrNotExist) {
			return nil, fail.Hint(err, "mount the destination, or create the directory yourself; it is not created, so that a missing mount does not fill the disk below it")
		}
		return nil, err
	}
	d := &Dir{path: path, root: root}
	if d.dev, d.ino, err = identity(root.Stat(".")); err != nil {
		root.Close()
		return nil, fmt.Errorf("cannot use %s as a destination: %w", path, err)
	}
	return d, nil
}

// identity is what tells one directory from another.
func identity(info fs.FileInfo, err error) (dev, ino uint64, _ error) {
	if err != nil {
		return 0, 0, err
	}
	st, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return 0, 0, errors.New("no inode number")
	}
	return st.Dev, st.Ino, nil
}

// Close closes the directory.
func (d *Dir) Close() error { return d.root.Close() }

func (d *Dir) String() string { return d.path }

// present makes sure that the path still leads to the directory that was
// opened: not unmounted, and nothing mounted over it.
func (d *Dir) present() error {
	dev, ino, err := identity(os.Stat(d.path))
	if err == nil && (dev != d.dev || ino != d.ino) {
		err = errors.New("another directory is there now")
	}
	if err != nil {
		return fail.Hint(fmt.Errorf("%s has gone: %w: %w", d.path, store.ErrUnreachable, err), "was it unmounted?")
	}
	return nil
}

// check accepts relative names whose parts are not "", "." or "..", and do
// not look like uncommitted files.
func check(name string) error {
	if !fs.ValidPath(name) || name == "." || strings.Contains(name, "\\") || strings.ContainsRune(name, 0) {
		return fmt.Errorf("name %q is not allowed in a store", name)
	}
	if strings.HasPrefix(path.Base(name), ownPrefix) {
		return fmt.Errorf("name %q is not allowed in a store: it is kept for unfinished files", name)
	}
	return nil
}

// classify wraps the errors of the system in those of the store contract.
func classify(err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, fs.ErrNotExist):
		return fmt.Errorf("%w: %w", store.ErrNotExist, err)
	case errors.Is(err, syscall.ENOSPC), errors.Is(err, syscall.EDQUOT):
		return fmt.Errorf("%w: %w", store.ErrNoSpace, err)
	case errors.Is(err, syscall.EIO), errors.Is(err, syscall.ESTALE), errors.Is(err, syscall.ENOTCONN),
		errors.Is(err, syscall.ETIMEDOUT), errors.Is(err, syscall.EHOSTDOWN), errors.Is(err, syscall.ENODEV):
		return fmt.Errorf("%w: %w", store.ErrUnreachable, err)
	}
	return err
}

// Open opens a file for reading.
func (d *Dir) Open(ctx context.Context, name string) (store.ReadFile, error) {
	if err := errors.Join(ctx.Err(), check(name)); err != nil {
		return nil, err
	}
	f, err := d.root.Open(name)
	if err != nil {
		return nil, fmt.Errorf("cannot open %s in %s: %w", name, d, classify(err))
	}
	info, err := f.Stat()
	if err == nil && !info.Mode().IsRegular() {
		err = fmt.Errorf("%w: it is no regular file", store.ErrNotExist)
	}
	if err != nil {
		f.Close()
		return nil, fmt.Errorf("cannot open %s in %s: %w", name, d, classify(err))
	}
	return &readFile{d: d, f: f, size: info.Size()}, nil
}

type readFile struct {
	d    *Dir
	f    *os.File
	size int64
}

func (r *readFile) Size() int64  { return r.size }
func (r *readFile) Close() error { return r.f.Close() }

func (r *readFile) ReadAt(p []byte, off int64) (int, error) {
	n, err := r.f.ReadAt(p, off)
	return n, r.d.readError(err)
}

// readError tells bad sectors from a share that has gone: both are EIO.
func (d *Dir) readError(err error) error {
	if !errors.Is(err, syscall.EIO) {
		return classify(err)
	}
	if gone := d.present(); gone != nil {
		return fmt.Errorf("%w: %w", gone, err)
	}
	return fmt.Errorf("%w: %w", store.ErrUnreadable, err)
}

// List lists the committed files below the directory whose names begin with prefix.
func (d *Dir) List(ctx context.Context, prefix string) ([]store.Info, error) {
	if err := d.present(); err != nil {
		return nil, err
	}
	start := "."
	if i := strings.LastIndexByte(prefix, '/'); i >= 0 {
		start = prefix[:i]
		if !fs.ValidPath(start) {
			return nil, fmt.Errorf("name %q is not allowed in a store", prefix)
		}
	}
	var list []store.Info
	err := fs.WalkDir(d.root.FS(), start, func(name string, e fs.DirEntry, err error) error {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if errors.Is(err, fs.ErrNotExist) {
			return nil // removed meanwhile, or nothing with this prefix
		}
		if err != nil {
			return err
		}
		if e.IsDir() && name != "." && !strings.HasPrefix(name+"/", prefix) && !strings.HasPrefix(prefix, name+"/") {
			return fs.SkipDir
		}
		if !e.Type().IsRegular() || !strings.HasPrefix(name, prefix) || strings.HasPrefix(e.Name(), ownPrefix) {
			return nil
		}
		info, err := e.Info()
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if err != nil {
			return err
		}
		list = append(list, store.Info{Name: name, Size: info.Size()})
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("cannot list %s: %w", d, classify(err))
	}
	sort.Slice(list, func(i, j int) bool { return list[i].Name < list[j].Name })
	return list, nil
}

// Free is the space that this process may still use, in bytes.
func (d *Dir) Free(context.Context) (int64, error) {
	var st unix.Statfs_t
	if err := unix.Statfs(d.path, &st); err != nil {
		return 0, fmt.Errorf("cannot ask %s for its free space: %w", d, classify(err))
	}
	return int64(st.Bavail) * st.Bsize, nil
}

// Remove removes one file, never a directory.
func (d *Dir) Remove(ctx context.Context, name string) error {
	if err := errors.Join(ctx.Err(), check(name)); err != nil {
		return err
	}
	info, err := d.root.Lstat(name)
	if err == nil && info.IsDir() {
		err = errors.New("it is a directory")
	}
	if err == nil {
		err = d.root.Remove(name)
	}
	if err != nil {
		return fmt.Errorf("cannot remove %s in %s: %w", name, d, classify(err))
	}
	return nil
}
