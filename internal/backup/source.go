package backup

import (
	"context"
	"fmt"
	"path/filepath"

	"golang.org/x/sys/unix"

	"github.com/mkcdrec/mkcdrec/internal/archive"
	"github.com/mkcdrec/mkcdrec/internal/inode"
)

// barrier marks a task that is no path: all before it were added when the
// consumer meets it.
const barrier archive.Kind = "barrier"

// addSources takes over the directories that are read instead of others.
func (w *walk) addSources() error {
	for p, f := range w.opt.Sources {
		name := relative(p)
		w.sources[name] = f
		dev, _, err := w.identify(int(f.Fd()))
		if err != nil {
			return fmt.Errorf("cannot stat the snapshot of %s: %w", p, err)
		}
		var st unix.Stat_t
		if unix.Lstat(filepath.Join(w.opt.Root, name), &st) == nil {
			w.live[dev] = st.Dev
		}
	}
	return nil
}

// held lists a mount, between the calls of its Hold where it has one: when
// all before it was read, and when all of it was.
func (w *walk) held(ctx context.Context, r root, list func() error) (err error) {
	hold := w.opt.Hold["/"+r.name]
	if hold == nil {
		return list()
	}
	if err := w.wait(ctx); err != nil {
		return err
	}
	release, err := hold(ctx)
	if err != nil {
		return err
	}
	defer func() {
		if relErr := release(); err == nil {
			err = relErr
		}
	}()
	if err := list(); err != nil {
		return err
	}
	return w.wait(ctx)
}

// wait waits until all that was emitted was added.
func (w *walk) wait(ctx context.Context) error {
	t := &task{kind: barrier, passed: make(chan struct{}), done: make(chan struct{})}
	if err := w.emit(ctx, t); err != nil {
		return err
	}
	select {
	case <-t.passed:
		return nil
	case <-ctx.Done():
		return errStopped
	}
}

// emptySubvolume is the inode number of the empty directory that a btrfs
// snapshot has where a subvolume was nested
// (BTRFS_EMPTY_SUBVOL_DIR_OBJECTID, linux/btrfs_tree.h).
const emptySubvolume = 2

// nested gives, in place of the empty directory that stands for a subvolume
// in the snapshot of what is around it, the subvolume's own snapshot. It owns
// fd, and gives one back; problem: the subvolume has no snapshot.
func (w *walk) nested(fd int, r root, name string) (own int, problem string, err error) {
	if w.sources[r.name] == nil || w.mounts[name] {
		return fd, "", nil
	}
	var st unix.Stat_t
	if unix.Fstat(fd, &st) != nil || st.Ino != emptySubvolume {
		return fd, "", nil
	}
	src := w.sources[name]
	if src == nil {
		return fd, "a btrfs subvolume that was made while the snapshots were taken: its content is not in the backup", nil
	}
	_ = unix.Close(fd)
	if own, err = inode.OpenDir(int(src.Fd()), "."); err != nil {
		return -1, "", fmt.Errorf("cannot open the snapshot of /%s: %w", name, err)
	}
	return own, "", nil
}
