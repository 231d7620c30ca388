package dir

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"strings"

	"github.com/mkcdrec/mkcdrec/internal/store"
	"golang.org/x/sys/unix"
)

// claimName is the mark in a directory that is being written. While the run
// lives it holds a lock on it (flock(2)), which ends with the run, and on
// network file systems with its machine.
const claimName = ownPrefix + "unfinished"

// maxNote is the largest note that is read, in bytes.
const maxNote = 4096

var _ store.Claimer = (*Dir)(nil)

type claim struct {
	d    *Dir
	name string
	f    *os.File
}

// Claim makes a directory and marks it as being written by this process.
func (d *Dir) Claim(ctx context.Context, name string, note []byte) (store.Claim, error) {
	if err := errors.Join(ctx.Err(), check(name)); err != nil {
		return nil, err
	}
	if err := d.present(); err != nil {
		return nil, err
	}
	c := &claim{d: d, name: name}
	if err := c.begin(note); err != nil {
		return nil, fmt.Errorf("cannot begin %s in %s: %w", name, d, classify(err))
	}
	return c, nil
}

func (c *claim) begin(note []byte) error {
	if len(note) > maxNote {
		return fmt.Errorf("a note of %d bytes", len(note))
	}
	err := c.d.root.MkdirAll(path.Dir(c.name), 0o700)
	if err == nil {
		err = c.d.root.Mkdir(c.name, 0o700)
	}
	if err != nil {
		return err
	}
	if c.f, err = c.d.root.OpenFile(path.Join(c.name, claimName), os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600); err != nil {
		return errors.Join(err, c.d.root.Remove(c.name))
	}
	// Where locks are not to be had Sweep gets none either, and removes nothing.
	_ = unix.Flock(int(c.f.Fd()), unix.LOCK_EX|unix.LOCK_NB)
	_, err = c.f.Write(note)
	if err == nil {
		err = errors.Join(c.f.Sync(), c.d.sync(c.name))
	}
	if err != nil {
		return errors.Join(err, c.Drop())
	}
	return nil
}

// Finish takes the mark away.
func (c *claim) Finish() error {
	err := c.d.root.Remove(path.Join(c.name, claimName))
	if err == nil {
		err = c.d.sync(c.name)
	}
	if err = errors.Join(err, c.f.Close()); err != nil {
		return fmt.Errorf("cannot finish %s in %s: %w", c.name, c.d, classify(err))
	}
	return nil
}

// Drop takes the mark away, and the directory if it is empty then.
func (c *claim) Drop() error {
	err := c.d.root.Remove(path.Join(c.name, claimName))
	err = errors.Join(err, c.f.Close())
	if info, statErr := c.d.root.Lstat(c.name); err == nil && statErr == nil && info.IsDir() {
		if rerr := c.d.root.Remove(c.name); rerr != nil && !errors.Is(rerr, unix.ENOTEMPTY) && !errors.Is(rerr, unix.EEXIST) {
			err = rerr
		}
	}
	if err != nil {
		return fmt.Errorf("cannot give up %s in %s: %w", c.name, c.d, classify(err))
	}
	return nil
}

// Sweep removes what unfinished runs have left directly below parent. It goes
// by open directories, never through a symbolic link or onto another file
// system, and removes regular files by their names, then the empty directory.
func (d *Dir) Sweep(ctx context.Context, parent string, s store.Sweep) ([]store.Leftover, error) {
	if err := errors.Join(ctx.Err(), check(parent)); err != nil {
		return nil, err
	}
	if err := d.present(); err != nil {
		return nil, err
	}
	top, err := d.openAll(parent)
	if errors.Is(err, unix.ENOENT) || errors.Is(err, unix.ENOTDIR) || errors.Is(err, unix.ELOOP) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("cannot look into %s in %s: %w", parent, d, classify(err))
	}
	defer top.Close()
	list, err := top.ReadDir(-1)
	if err != nil {
		return nil, fmt.Errorf("cannot look into %s in %s: %w", parent, d, classify(err))
	}
	var found []store.Leftover
	for _, e := range list {
		if ctx.Err() != nil {
			return found, ctx.Err()
		}
		if l, ok := d.sweepOne(top, e.Name(), s); ok {
			l.Name = path.Join(parent, e.Name())
			found = append(found, l)
		}
	}
	return found, nil
}

// openAll opens a directory of the store, one component at a time.
func (d *Dir) openAll(name string) (*os.File, error) {
	at, err := d.root.Open(".")
	if err != nil {
		return nil, err
	}
	for part := range strings.SplitSeq(name, "/") {
		next, err := d.openDir(at, part)
		at.Close()
		if err != nil {
			return nil, err
		}
		at = next
	}
	return at, nil
}

// openDir opens a directory in another. What is mounted there is none of ours.
func (d *Dir) openDir(at *os.File, name string) (*os.File, error) {
	fd, err := unix.Openat(int(at.Fd()), name, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, err
	}
	f := os.NewFile(uintptr(fd), name)
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil || st.Dev != d.dev {
		f.Close()
		return nil, errors.Join(err, unix.ENOTDIR)
	}
	return f, nil
}

// sweepOne looks at one directory; ok: it is a leftover, removed or not.
func (d *Dir) sweepOne(top *os.File, base string, s store.Sweep) (l store.Leftover, ok bool) {
	in, err := d.openDir(top, base)
	if err != nil {
		return l, false
	}
	defer in.Close()
	fd, err := unix.Openat(int(in.Fd()), claimName, unix.O_RDWR|unix.O_NOFOLLOW|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
	if err != nil {
		return l, false
	}
	mark := os.NewFile(uintptr(fd), claimName)
	defer mark.Close()
	var st unix.Stat_t
	if unix.Fstat(fd, &st) != nil || st.Mode&unix.S_IFMT != unix.S_IFREG || st.Size > maxNote {
		return l, false
	}
	note, err := io.ReadAll(io.LimitReader(mark, maxNote))
	if err != nil || !s.Ours(base, note) {
		return l, false
	}
	if err := unix.Flock(fd, unix.LOCK_EX|unix.LOCK_NB); err != nil {
		if errors.Is(err, unix.EWOULDBLOCK) {
			err = errors.New("it is being written")
		}
		l.Kept = err
		return l, true
	}
	var now unix.Stat_t // finished, or swept by another, before the lock was had?
	if unix.Fstatat(int(in.Fd()), claimName, &now, unix.AT_SYMLINK_NOFOLLOW) != nil || now.Ino != st.Ino || now.Dev != st.Dev {
		return l, false
	}
	files, bytes, err := d.leftFiles(in, s)
	if errors.Is(err, errFinished) {
		return l, false
	}
	if l.Bytes, l.Kept = bytes, err; err == nil {
		l.Kept = removeAll(top, in, base, files)
	}
	return l, true
}

var errFinished = errors.New("it is complete")

// leftFiles lists what is in a directory besides the mark, and fails if
// anything of it is not a file of a run.
func (d *Dir) leftFiles(in *os.File, s store.Sweep) (files []string, bytes int64, err error) {
	list, err := in.ReadDir(-1)
	if err != nil {
		return nil, 0, err
	}
	for _, e := range list {
		if e.Name() == s.Finished {
			return nil, 0, errFinished
		}
	}
	for _, e := range list {
		name := e.Name()
		var st unix.Stat_t
		if err := unix.Fstatat(int(in.Fd()), name, &st, unix.AT_SYMLINK_NOFOLLOW); err != nil {
			return nil, 0, fmt.Errorf("cannot look at %s: %w", name, err)
		}
		if st.Mode&unix.S_IFMT != unix.S_IFREG || st.Dev != d.dev || name != claimName && !isTemp(name) && !s.Made(name) {
			return nil, 0, fmt.Errorf("it holds %q, which no backup has put there", name)
		}
		bytes += st.Size
		if name != claimName {
			files = append(files, name)
		}
	}
	return files, bytes, nil
}

// isTemp says whether a name is one that Create gives to an uncommitted file.
func isTemp(name string) bool {
	random, ok := strings.CutPrefix(name, tempPrefix)
	b, err := hex.DecodeString(random)
	return ok && err == nil && len(b) == 8
}

// removeAll removes the files, then the mark, so that what is interrupted is
// found again, then the directory.
func removeAll(top, in *os.File, base string, files []string) error {
	for _, name := range append(files, claimName) {
		if err := unix.Unlinkat(int(in.Fd()), name, 0); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("cannot remove %s: %w", name, err)
		}
	}
	if err := unix.Unlinkat(int(top.Fd()), base, unix.AT_REMOVEDIR); err != nil {
		return fmt.Errorf("cannot remove the directory: %w", err)
	}
	return nil
}
