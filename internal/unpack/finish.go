package unpack

import (
	"context"
	"errors"
	"fmt"
	"hash/maphash"
	"sort"
	"strings"

	"github.com/mkcdrec/mkcdrec/internal/archive"
	"github.com/mkcdrec/mkcdrec/internal/inode"
	"golang.org/x/sys/unix"
)

// locked is a file that gets its locking flags at the end, if its name still
// means the same inode then.
type locked struct {
	e        *archive.Entry
	dev, ino uint64
}

// finish makes the hard links, then sets what must be last: locking flags of
// files, and everything of the directories, from the bottom up.
func (u *unpacker) finish(ctx context.Context) error {
	for _, e := range u.links {
		if err := u.hardlink(e); err != nil {
			u.problem(e.Name, err)
		}
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	for _, l := range u.locked {
		if err := u.lock(l); err != nil {
			u.problem(l.e.Name, err)
		}
	}
	// Deepest first; among equals the later one in the archive wins.
	sort.SliceStable(u.dirs, func(i, k int) bool { return depth(u.dirs[i].Name) > depth(u.dirs[k].Name) })
	for _, e := range u.dirs {
		if err := u.finishDir(e); err != nil {
			u.problem(e.Name, err)
		}
	}
	return u.fatal()
}

func depth(name string) int {
	if name == "." {
		return 0
	}
	return 1 + strings.Count(name, "/")
}

func (u *unpacker) hardlink(e *archive.Entry) error {
	if err := inode.CheckName(e.Link); err != nil || e.Link == "." {
		return fmt.Errorf("cannot link to %q: %w", e.Link, inode.ErrName)
	}
	// What was there before is not the file meant, and may be shared with
	// names outside of the target.
	if _, ours := u.seen[maphash.String(u.seed, e.Link)]; !ours {
		return fmt.Errorf("cannot link to %s: it was not unpacked", e.Link)
	}
	from, fromBase, err := u.tree.Parent(e.Link)
	if err != nil {
		return fmt.Errorf("cannot link to %s: %w", e.Link, err)
	}
	defer from.Release()
	to, toBase, err := u.parent(e.Name)
	if err != nil {
		return fmt.Errorf("cannot open its directory: %w", err)
	}
	defer to.Release()
	link := func() error { return unix.Linkat(from.FD, fromBase, to.FD, toBase, 0) }
	err = link()
	if errors.Is(err, unix.EEXIST) {
		var a, b unix.Stat_t
		if unix.Fstatat(from.FD, fromBase, &a, unix.AT_SYMLINK_NOFOLLOW) == nil &&
			unix.Fstatat(to.FD, toBase, &b, unix.AT_SYMLINK_NOFOLLOW) == nil && a.Ino == b.Ino && a.Dev == b.Dev {
			return nil
		}
		if err := remove(to.FD, toBase); err != nil {
			return err
		}
		err = link()
	}
	if err != nil {
		return fmt.Errorf("cannot link to %s: %w", e.Link, err)
	}
	return nil
}

// lock sets the locking flags of a file that this run made. Its name may mean
// another inode by now (a name twice in the archive), even one that has a
// further name outside the target: that one is left alone.
func (u *unpacker) lock(l locked) error {
	e := l.e
	dir, base, err := u.tree.Parent(e.Name)
	if err != nil {
		return err
	}
	defer dir.Release()
	fd, err := unix.Openat(dir.FD, base, unix.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK|unix.O_CLOEXEC|unix.O_NOATIME, 0)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		return named("flags", err)
	}
	if st.Dev != l.dev || st.Ino != l.ino {
		return errors.New("was replaced meanwhile, its flags are not set")
	}
	return inode.SetFlags(fd, e.Flags, e.Flags&inode.Locking)
}

func (u *unpacker) finishDir(e *archive.Entry) error {
	dir, err := u.tree.Dir(e.Name)
	if err != nil {
		return fmt.Errorf("cannot open directory: %w", err)
	}
	defer dir.Release()
	have, err := inode.Xattrs(dir.FD)
	if err != nil {
		return err
	}
	for n := range have { // of an earlier run, or of mkfs
		if _, keep := e.Xattrs[n]; !keep && !strings.HasPrefix(n, "system.") || n == "system.posix_acl_access" && !keep {
			_ = unix.Fremovexattr(dir.FD, n)
		}
	}
	return u.metaFD(dir.FD, e)
}
