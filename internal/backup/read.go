package backup

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"

	"github.com/mkcdrec/mkcdrec/internal/archive"
	"github.com/mkcdrec/mkcdrec/internal/inode"
	"golang.org/x/sys/unix"
)

// openQuiet opens for reading without following a symbolic link, without
// waiting for a fifo's writer, and without touching the access time where
// that is allowed (O_NOATIME: owner or CAP_FOWNER).
func openQuiet(dirfd int, name string, flags int) (int, error) {
	flags |= unix.O_RDONLY | unix.O_NOFOLLOW | unix.O_NONBLOCK | unix.O_CLOEXEC
	for noatime := unix.O_NOATIME; ; {
		fd, err := unix.Openat(dirfd, name, flags|noatime, 0)
		switch {
		case errors.Is(err, unix.EINTR):
			continue
		case errors.Is(err, unix.EPERM) && noatime != 0:
			noatime = 0
			continue
		}
		return fd, err
	}
}

// fill reads everything of a path. With skip, the content of an inode that is
// in the archive already is left out.
func (w *walk) fill(t *task, skip bool) {
	t.skipped = false
	if t.kind == covered || t.kind == barrier {
		return
	}
	if t.self != nil {
		w.fillDir(t)
		return
	}
	var st unix.Stat_t
	// A path can change its type between the calls; a few rounds settle it.
	for range 5 {
		if err := unix.Fstatat(t.parent.FD, t.base, &st, unix.AT_SYMLINK_NOFOLLOW); err != nil {
			t.vanished = errors.Is(err, unix.ENOENT)
			t.err = fmt.Errorf("cannot stat: %w", err)
			return
		}
		if !w.stat(t, &st) {
			return
		}
		if t.entry.Kind == archive.File {
			if again := w.fillFile(t, skip); again {
				continue
			}
			return
		}
		if t.entry.Kind == archive.Symlink {
			target, err := inode.Readlink(t.parent.FD, t.base)
			if errors.Is(err, unix.EINVAL) {
				continue
			}
			if err != nil {
				t.vanished = errors.Is(err, unix.ENOENT)
				t.err = fmt.Errorf("cannot read symbolic link: %w", err)
				return
			}
			t.entry.Link = target
		}
		w.attrsAt(t)
		return
	}
	t.err = errors.New("changes its type all the time")
}

// stat fills in what lstat says; false: the task is finished with an error.
func (w *walk) stat(t *task, st *unix.Stat_t) bool {
	e, err := inode.Stat(t.name, st)
	if err != nil {
		t.err = err
		return false
	}
	e.User, e.Group = w.names.users[e.UID], w.names.groups[e.GID]
	e.Problem = t.listed
	// As it will be found again, also by a backup without snapshots.
	if dev, ok := w.live[e.Dev]; ok {
		e.Dev = dev
	}
	t.entry, t.nlink = e, uint64(st.Nlink)
	return true
}

func (w *walk) attrsAt(t *task) {
	x, err := inode.XattrsAt(t.parent.FD, t.base)
	t.entry.Xattrs = x
	t.problem(err)
}

func (w *walk) attrs(t *task, fd int) {
	x, err := inode.Xattrs(fd)
	t.entry.Xattrs = x
	t.problem(err)
	t.entry.Flags, err = inode.Flags(fd)
	t.problem(err)
	t.entry.Project, err = inode.Project(fd)
	t.problem(err)
}

func (t *task) problem(err error) {
	if err == nil {
		return
	}
	if t.entry.Problem != "" {
		t.entry.Problem += "; "
	}
	t.entry.Problem += err.Error()
}

func (w *walk) fillDir(t *task) {
	var st unix.Stat_t
	if err := unix.Fstat(t.self.FD, &st); err != nil {
		t.err = fmt.Errorf("cannot stat: %w", err)
		return
	}
	if !w.stat(t, &st) {
		return
	}
	if t.kind == archive.Subvolume {
		t.entry.Kind = archive.Subvolume
	}
	w.attrs(t, t.self.FD)
}

// fillFile reads a regular file, or opens it for the consumer when it is
// large. again: it is no regular file any more.
func (w *walk) fillFile(t *task, skip bool) (again bool) {
	if skip && t.nlink > 1 && w.linked(t) {
		t.skipped = true
		w.attrsAt(t)
		return false
	}
	fd, err := openQuiet(t.parent.FD, t.base, 0)
	if err != nil {
		if errors.Is(err, unix.ENOENT) {
			t.vanished = true
			return false
		}
		if errors.Is(err, unix.ELOOP) || errors.Is(err, unix.ENXIO) {
			return true
		}
		w.attrsAt(t)
		t.unreadable(err)
		return false
	}
	keep := false
	defer func() {
		if !keep {
			_ = unix.Close(fd)
		}
	}()
	const rounds = 3
	for round := 1; ; round++ {
		var st unix.Stat_t
		if err := unix.Fstat(fd, &st); err != nil {
			t.unreadable(err)
			return false
		}
		if st.Mode&unix.S_IFMT != unix.S_IFREG {
			return true
		}
		w.stat(t, &st)
		w.attrs(t, fd)
		s := &stream{fd: fd, e: t.entry, before: st}
		if err := s.plan(); err != nil {
			t.unreadable(err)
			return false
		}
		if s.total > w.opt.smallMax || !w.reserve(t, s.total) {
			t.stream, keep = s, true
			return false
		}
		n, err := s.readAll(t.buf)
		if err != nil {
			t.unreadable(err)
			w.unreserve(t)
			return false
		}
		if w.opt.afterRead != nil {
			w.opt.afterRead(t.name)
		}
		clear(t.buf[n:]) // it became shorter: zeros up to the size recorded
		if !s.changed() {
			return false
		}
		if round == rounds {
			// It changes all the time: this is not one moment's content.
			t.problem(errChanged)
			return false
		}
		w.unreserve(t)
	}
}

var errChanged = errors.New("changed while read")

func (t *task) unreadable(err error) {
	t.entry.Unreadable, t.entry.Sparse = true, nil
	t.problem(fmt.Errorf("unreadable: %w", err))
}

// reserve takes a buffer of n bytes if the budget allows.
func (w *walk) reserve(t *task, n int64) bool {
	b := getBuffer(n)
	if w.ahead.Add(int64(cap(b))) > w.opt.budget {
		w.ahead.Add(-int64(cap(b)))
		putBuffer(b)
		return false
	}
	t.buf = b
	return true
}

func (w *walk) unreserve(t *task) {
	w.ahead.Add(-int64(cap(t.buf)))
	putBuffer(t.buf)
	t.buf = nil
}

// stream reads the content of an open file as archive.Content describes it,
// and notices when the file is changed meanwhile.
type stream struct {
	fd      int
	e       *archive.Entry
	before  unix.Stat_t
	extents []archive.Extent
	total   int64 // bytes of all extents
	i       int   // current extent
	at      int64 // bytes of it that were read
	ended   bool
}

// plan finds out what there is to read.
func (s *stream) plan() error {
	s.extents, s.total = []archive.Extent{{Length: s.e.Size}}, s.e.Size
	if s.before.Blocks*512 >= s.e.Size {
		return nil
	}
	ext, err := inode.Extents(s.fd, s.e.Size)
	if err != nil || ext == nil {
		return err
	}
	s.e.Sparse, s.extents, s.total = ext, ext, 0
	for _, x := range ext {
		s.total += x.Length
	}
	return nil
}

// Read implements io.Reader. A file that became shorter ends early; one that
// became longer ends at the size it had. Both leave a Problem in the entry.
func (s *stream) Read(p []byte) (int, error) {
	for s.i < len(s.extents) && s.at == s.extents[s.i].Length {
		s.i, s.at = s.i+1, 0
	}
	if s.i == len(s.extents) {
		s.end()
		return 0, io.EOF
	}
	x := s.extents[s.i]
	p = p[:min(int64(len(p)), x.Length-s.at)]
	n, err := pread(s.fd, p, x.Offset+s.at)
	if err != nil {
		return 0, err
	}
	if n == 0 {
		s.end()
		return 0, io.EOF
	}
	s.at += int64(n)
	if s.i == len(s.extents)-1 && s.at == x.Length {
		s.end()
	}
	return n, nil
}

// end looks once whether the file is still what it was.
func (s *stream) end() {
	if !s.ended && s.changed() {
		s.e.Problem = strings.TrimPrefix(s.e.Problem+"; "+errChanged.Error(), "; ")
	}
	s.ended = true
}

func (s *stream) changed() bool {
	var now unix.Stat_t
	err := unix.Fstat(s.fd, &now)
	return err != nil || now.Size != s.before.Size || now.Mtim != s.before.Mtim || now.Ctim != s.before.Ctim
}

func (s *stream) readAll(buf []byte) (int, error) {
	done := 0
	for _, x := range s.extents {
		for at := int64(0); at < x.Length; {
			n, err := pread(s.fd, buf[done:done+int(x.Length-at)], x.Offset+at)
			if err != nil {
				return done, err
			}
			if n == 0 {
				return done, nil
			}
			at += int64(n)
			done += n
		}
	}
	return done, nil
}

func pread(fd int, p []byte, at int64) (int, error) {
	for {
		n, err := unix.Pread(fd, p, at)
		if !errors.Is(err, unix.EINTR) {
			return n, err
		}
	}
}

// Buffers come in a few sizes, so that small files do not hold large ones.
var bufferSizes = []int64{4 << 10, 16 << 10, 64 << 10, 256 << 10, 1 << 20}
var bufferPools [5]sync.Pool

func getBuffer(n int64) []byte {
	for i, size := range bufferSizes {
		if n <= size {
			if b, ok := bufferPools[i].Get().(*[]byte); ok {
				return (*b)[:n]
			}
			return make([]byte, n, size)
		}
	}
	return make([]byte, n)
}

func putBuffer(b []byte) {
	for i, size := range bufferSizes {
		if int64(cap(b)) == size {
			bufferPools[i].Put(&b)
		}
	}
}

// names are the users and groups of the root that is backed up.
type names struct{ users, groups map[uint32]string }

func readNames(root string) names {
	return names{
		users:  readIDs(filepath.Join(root, "etc/passwd")),
		groups: readIDs(filepath.Join(root, "etc/group")),
	}
}

// readIDs reads passwd(5) or group(5): name first, number third. Without the
// file the numbers alone are recorded, which restoring goes by.
func readIDs(file string) map[uint32]string {
	m := map[uint32]string{}
	f, err := os.Open(file)
	if err != nil {
		return m
	}
	defer f.Close()
	for sc := bufio.NewScanner(f); sc.Scan(); {
		if p := strings.Split(sc.Text(), ":"); len(p) > 2 {
			if id, err := strconv.ParseUint(p[2], 10, 32); err == nil {
				if _, ok := m[uint32(id)]; !ok {
					m[uint32(id)] = p[0]
				}
			}
		}
	}
	return m
}
