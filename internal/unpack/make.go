package unpack

import (
	"errors"
	"fmt"
	"sort"
	"strconv"
	"strings"

	"github.com/mkcdrec/mkcdrec/internal/archive"
	"github.com/mkcdrec/mkcdrec/internal/inode"
	"golang.org/x/sys/unix"
)

// make makes one path that is not a directory, replacing what is there.
func (u *unpacker) make(j *job) error {
	err := u.create(j)
	if errors.Is(err, unix.EEXIST) {
		if err := remove(j.dir.FD, j.base); err != nil {
			return err
		}
		err = u.create(j)
	}
	return err
}

func (u *unpacker) create(j *job) error {
	e := j.e
	var err error
	switch e.Kind {
	case archive.File:
		return u.file(j)
	case archive.Symlink:
		err = unix.Symlinkat(e.Link, j.dir.FD, j.base)
	case archive.FIFO:
		err = unix.Mknodat(j.dir.FD, j.base, unix.S_IFIFO|0o600, 0)
	case archive.CharDev, archive.BlockDev:
		if u.opt.NoOwner {
			return errors.New("is a device, which only root may make")
		}
		kind := uint32(unix.S_IFCHR)
		if e.Kind == archive.BlockDev {
			kind = unix.S_IFBLK
		}
		err = unix.Mknodat(j.dir.FD, j.base, kind|0o600, int(unix.Mkdev(e.DevMajor, e.DevMinor)))
	}
	if err != nil {
		return fmt.Errorf("cannot make %s: %w", e.Kind, err)
	}
	return u.metaAt(j.dir.FD, j.base, e)
}

func (u *unpacker) file(j *job) error {
	e := j.e
	fd, err := unix.Openat(j.dir.FD, j.base, unix.O_WRONLY|unix.O_CREAT|unix.O_EXCL|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0o600)
	if err != nil {
		return fmt.Errorf("cannot make file: %w", err)
	}
	defer unix.Close(fd)
	var problems []error
	if e.Flags&inode.Early != 0 {
		problems = append(problems, inode.SetFlags(fd, e.Flags, inode.Early))
	}
	// It acts on what is written from then on; all attributes follow.
	if v, ok := e.Xattrs["btrfs.compression"]; ok && u.wanted("btrfs.compression") {
		_ = unix.Fsetxattr(fd, "btrfs.compression", []byte(v), 0)
	}
	if err := u.content(j, fd); err != nil {
		if errors.Is(err, errContent) {
			problems = append(problems, err) // keep what there is, and say so
		} else {
			return err
		}
	}
	u.files.Add(1)
	problems = append(problems, u.metaFD(fd, e))
	return errors.Join(problems...)
}

// errContent is wrapped when the content is not what the catalogue says.
var errContent = errors.New("content is damaged")

// content writes the content with its holes, and checks its hash.
func (u *unpacker) content(j *job, fd int) error {
	e := j.e
	if e.Size < 0 {
		return fmt.Errorf("%w: its size is %d", errContent, e.Size)
	}
	w := &writer{fd: fd, size: e.Size, extents: []archive.Extent{{Length: e.Size}}}
	if e.Sparse != nil {
		if err := checkExtents(e); err != nil {
			return err
		}
		w.extents = e.Sparse
	}
	hash := j.hash
	if e.Hash != [32]byte{} && hash == nil {
		w.hash = archive.NewHasher(e)
		hash = w.hash
	}
	if e.Sparse == nil && u.opt.Preallocate > 0 && e.Size >= u.opt.Preallocate && preallocates(fd) {
		if err := unix.Fallocate(fd, unix.FALLOC_FL_KEEP_SIZE, 0, e.Size); errors.Is(err, unix.ENOSPC) {
			return fmt.Errorf("cannot reserve %d bytes: %w", e.Size, err)
		}
	}
	if e.Sparse != nil {
		if err := unix.Ftruncate(fd, e.Size); err != nil {
			return fmt.Errorf("cannot set size: %w", err)
		}
	}
	if j.item.Data != nil {
		if err := w.write(j.item.Data); err != nil {
			return err
		}
	}
	for b := range j.rest() {
		err := w.write(b)
		giveBack(b)
		if err != nil {
			return err
		}
	}
	u.bytes.Add(w.done)
	if p := j.failed.Load(); p != nil {
		return fmt.Errorf("%w: %w", errContent, *p)
	}
	return u.check(w, hash, e)
}

// preallocates says whether reserving space helps. btrfs does not compress
// what is written into reserved space, and tmpfs clears it.
func preallocates(fd int) bool {
	var st unix.Statfs_t
	err := unix.Fstatfs(fd, &st)
	return err == nil && st.Type != unix.BTRFS_SUPER_MAGIC && st.Type != unix.TMPFS_MAGIC
}

func (u *unpacker) check(w *writer, hash *archive.Hasher, e *archive.Entry) error {
	if w.more || w.i < len(w.extents) && !(w.i == len(w.extents)-1 && w.at == w.extents[w.i].Length) {
		return fmt.Errorf("%w: the archive has %d bytes of it, not the size recorded", errContent, w.done)
	}
	if hash == nil {
		return nil
	}
	u.checked.Add(1)
	if hash.Sum() != e.Hash {
		return fmt.Errorf("%w: SHA-256 differs from the catalogue", errContent)
	}
	return nil
}

func checkExtents(e *archive.Entry) error {
	at := int64(0)
	for _, x := range e.Sparse {
		if x.Offset < at || x.Length < 0 || x.Offset > e.Size || x.Length > e.Size-x.Offset {
			return fmt.Errorf("%w: its list of extents is not in order", errContent)
		}
		at = x.Offset + x.Length
	}
	return nil
}

// writer puts a run of bytes into the extents of a file.
type writer struct {
	fd      int
	size    int64
	extents []archive.Extent
	i       int   // current extent
	at      int64 // bytes of it that were written
	done    int64
	more    bool            // there was more than the extents hold
	hash    *archive.Hasher // nil: somebody else does
}

func (w *writer) write(b []byte) error {
	for len(b) > 0 {
		for w.i < len(w.extents) && w.at == w.extents[w.i].Length {
			w.i, w.at = w.i+1, 0
		}
		if w.i == len(w.extents) {
			w.more = true
			return nil
		}
		x := w.extents[w.i]
		p := b[:min(int64(len(b)), x.Length-w.at)]
		pos := x.Offset + w.at
		for off := 0; off < len(p); {
			n, err := unix.Pwrite(w.fd, p[off:], pos+int64(off))
			if err != nil && !errors.Is(err, unix.EINTR) {
				return fmt.Errorf("cannot write: %w", err)
			}
			off += max(n, 0)
		}
		if w.hash != nil {
			_, _ = w.hash.Write(p)
		}
		w.at += int64(len(p))
		w.done += int64(len(p))
		b = b[len(p):]
	}
	return nil
}

// metaFD sets everything of an open file or directory: owner, then mode
// (chown clears setuid), then attributes (chown clears capabilities, chmod
// changes an ACL's mask), then times, then flags.
func (u *unpacker) metaFD(fd int, e *archive.Entry) error {
	var errs []error
	if !u.opt.NoOwner {
		errs = append(errs, named("owner", unix.Fchown(fd, int(e.UID), int(e.GID))))
	}
	errs = append(errs, named("mode", unix.Fchmod(fd, u.mode(e))))
	// A directory may be an old one; a new file has none of its own.
	if dir := e.Kind == archive.Dir || e.Kind == archive.Subvolume; e.Project != 0 && u.opt.NoOwner {
		u.dropped("projects")
	} else if e.Project != 0 || dir && !u.opt.NoOwner {
		errs = append(errs, inode.SetProject(fd, e.Project))
	}
	for _, n := range sorted(e.Xattrs) {
		if u.wanted(n) {
			errs = append(errs, named("attribute "+n, unix.Fsetxattr(fd, n, []byte(e.Xattrs[n]), 0)))
		}
	}
	return u.timesAndFlags(fd, e, errs)
}

func (u *unpacker) timesAndFlags(fd int, e *archive.Entry, errs []error) error {
	ts := [2]unix.Timespec{inode.Timespec(e.ATime), inode.Timespec(e.MTime)}
	errs = append(errs, named("times", futimens(fd, &ts)))
	flags := e.Flags &^ inode.Early
	if no := flags & (inode.Locking | inode.FlagJournalData); u.opt.NoOwner && no != 0 {
		u.dropped("flags that only root may set")
		flags &^= no
	}
	if dir := e.Kind == archive.Dir || e.Kind == archive.Subvolume; dir {
		flags |= e.Flags & (inode.Early &^ inode.FlagCasefold)
	} else if flags&inode.Locking != 0 {
		// Its further names are made first.
		flags &^= inode.Locking
		var st unix.Stat_t
		if err := unix.Fstat(fd, &st); err != nil {
			errs = append(errs, named("flags", err))
		} else {
			u.mu.Lock()
			u.locked = append(u.locked, locked{e, st.Dev, st.Ino})
			u.mu.Unlock()
		}
	}
	if flags != 0 {
		errs = append(errs, inode.SetFlags(fd, flags, flags))
	}
	return errors.Join(errs...)
}

// metaAt is metaFD for what cannot or must not be opened.
func (u *unpacker) metaAt(dirfd int, base string, e *archive.Entry) error {
	var errs []error
	if !u.opt.NoOwner {
		errs = append(errs, named("owner", unix.Fchownat(dirfd, base, int(e.UID), int(e.GID), unix.AT_SYMLINK_NOFOLLOW)))
	}
	if e.Kind != archive.Symlink {
		errs = append(errs, named("mode", chmodAt(dirfd, base, u.mode(e))))
	}
	for _, n := range sorted(e.Xattrs) {
		if u.wanted(n) {
			errs = append(errs, named("attribute "+n, unix.Lsetxattr(inode.ProcPath(dirfd, base), n, []byte(e.Xattrs[n]), 0)))
		}
	}
	ts := []unix.Timespec{inode.Timespec(e.ATime), inode.Timespec(e.MTime)}
	errs = append(errs, named("times", unix.UtimesNanoAt(dirfd, base, ts, unix.AT_SYMLINK_NOFOLLOW)))
	return errors.Join(errs...)
}

// chmodAt is fchmodat(2) that never follows a symbolic link, also before
// Linux 6.6: where names differ in case only, another worker may put one
// there meanwhile.
func chmodAt(dirfd int, base string, mode uint32) error {
	fd, err := unix.Openat(dirfd, base, unix.O_PATH|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		return err
	}
	if st.Mode&unix.S_IFMT == unix.S_IFLNK {
		return unix.ELOOP
	}
	return unix.Chmod("/proc/self/fd/"+strconv.Itoa(fd), mode)
}

func (u *unpacker) mode(e *archive.Entry) uint32 {
	if u.opt.NoOwner {
		if e.Mode&0o6000 != 0 {
			u.dropped("setuid and setgid bits")
		}
		return e.Mode &^ 0o6000 // another owner's setuid is not ours to give
	}
	return e.Mode
}

// wanted says whether an attribute is set. Without owners only user.* is:
// ACLs name users and groups, all others are root's to give.
func (u *unpacker) wanted(name string) bool {
	if !u.opt.NoOwner || strings.HasPrefix(name, "user.") {
		return true
	}
	u.dropped("attribute " + name)
	return false
}

func named(what string, err error) error {
	if err != nil {
		return fmt.Errorf("cannot set %s: %w", what, err)
	}
	return nil
}

func sorted(m map[string]string) []string {
	if len(m) == 0 {
		return nil
	}
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	sort.Strings(keys)
	return keys
}
