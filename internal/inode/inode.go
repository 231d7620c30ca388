// Package inode reads and sets what a path has besides its name and content:
// stat, extended attributes, chattr flags, data extents; and opens directories
// without ever following a symbolic link. A path is always a directory's file
// descriptor and one component, so that paths may be longer than PATH_MAX and
// nobody can swap a parent for a symbolic link meanwhile. It decides nothing
// about backups (see backup, unpack, compare).
package inode

import (
	"errors"
	"fmt"
	"sort"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/mkcdrec/mkcdrec/internal/archive"
	"golang.org/x/sys/unix"
)

// The FS_IOC_GETFLAGS bits that chattr(1) can set, from linux/fs.h.
const (
	FlagSecrm       uint32 = 0x00000001
	FlagUnrm        uint32 = 0x00000002
	FlagCompr       uint32 = 0x00000004
	FlagSync        uint32 = 0x00000008
	FlagImmutable   uint32 = 0x00000010
	FlagAppend      uint32 = 0x00000020
	FlagNodump      uint32 = 0x00000040
	FlagNoatime     uint32 = 0x00000080
	FlagNocomp      uint32 = 0x00000400
	FlagJournalData uint32 = 0x00004000
	FlagNotail      uint32 = 0x00008000
	FlagDirsync     uint32 = 0x00010000
	FlagTopdir      uint32 = 0x00020000
	FlagNocow       uint32 = 0x00800000
	FlagDAX         uint32 = 0x02000000
	FlagProjinherit uint32 = 0x20000000
	FlagCasefold    uint32 = 0x40000000
)

// Settable are all of them. The other bits describe how a file system stores
// the file and are not copied.
const Settable = FlagSecrm | FlagUnrm | FlagCompr | FlagSync | FlagImmutable | FlagAppend |
	FlagNodump | FlagNoatime | FlagNocomp | FlagJournalData | FlagNotail | FlagDirsync |
	FlagTopdir | FlagNocow | FlagDAX | FlagProjinherit | FlagCasefold

// Locking are the flags after which a file can no longer be changed or linked.
const Locking = FlagImmutable | FlagAppend

// Early are the flags that act on content written later, or that only an
// empty file or directory accepts.
const Early = FlagNocow | FlagCompr | FlagNocomp | FlagCasefold

// ProcPath names a component below an open directory for the calls that take
// a path only (the xattr calls); a final symbolic link is not followed by the
// l-variants of those calls. It needs /proc.
func ProcPath(dirfd int, name string) string {
	return "/proc/self/fd/" + strconv.Itoa(dirfd) + "/" + name
}

var listBuffers = sync.Pool{New: func() any { b := make([]byte, 64<<10); return &b }}

// retry repeats a call that a signal interrupted.
func retry(f func() error) error {
	for {
		if err := f(); !errors.Is(err, unix.EINTR) {
			return err
		}
	}
}

// unsupported says that the file system has no such thing at all.
func unsupported(err error) bool {
	return errors.Is(err, unix.ENOTSUP) || errors.Is(err, unix.ENOTTY) || errors.Is(err, unix.ENOSYS)
}

// Xattrs reads every extended attribute of an open file.
func Xattrs(fd int) (map[string]string, error) {
	return xattrs(
		func(b []byte) (int, error) { return unix.Flistxattr(fd, b) },
		func(n string, b []byte) (int, error) { return unix.Fgetxattr(fd, n, b) })
}

// XattrsAt reads every extended attribute of a path without opening it; it
// reads those of a symbolic link itself.
func XattrsAt(dirfd int, name string) (map[string]string, error) {
	p := ProcPath(dirfd, name)
	return xattrs(
		func(b []byte) (int, error) { return unix.Llistxattr(p, b) },
		func(n string, b []byte) (int, error) { return unix.Lgetxattr(p, n, b) })
}

func xattrs(list func([]byte) (int, error), get func(string, []byte) (int, error)) (map[string]string, error) {
	buf := listBuffers.Get().(*[]byte)
	defer listBuffers.Put(buf)
	var n int
	err := retry(func() (err error) { n, err = list(*buf); return })
	if unsupported(err) || err == nil && n == 0 {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("cannot list extended attributes: %w", err)
	}
	m := map[string]string{}
	// The kernel limits names and values to 64 KiB each (xattr(7)).
	for _, name := range strings.Split(strings.TrimSuffix(string((*buf)[:n]), "\x00"), "\x00") {
		if name == "trusted.SGI_ACL_FILE" || name == "trusted.SGI_ACL_DEFAULT" {
			continue // how XFS stores the ACLs that system.posix_acl_* gives as well
		}
		err := retry(func() (err error) { n, err = get(name, *buf); return })
		if errors.Is(err, unix.ENODATA) {
			continue // removed between the two calls
		}
		if err != nil {
			return m, fmt.Errorf("cannot read extended attribute %s: %w", name, err)
		}
		m[name] = string((*buf)[:n])
	}
	return m, nil
}

// Flags reads the chattr flags of an open file or directory, masked to
// Settable; 0 where the file system has none.
func Flags(fd int) (uint32, error) {
	v, err := unix.IoctlGetUint32(fd, unix.FS_IOC_GETFLAGS)
	if unsupported(err) {
		return 0, nil
	}
	if err != nil {
		return 0, fmt.Errorf("cannot read file flags: %w", err)
	}
	return v & Settable, nil
}

// SetFlags replaces those chattr flags of an open file that are in mask, and
// leaves every other bit as it is.
func SetFlags(fd int, flags, mask uint32) error {
	cur, err := unix.IoctlGetUint32(fd, unix.FS_IOC_GETFLAGS)
	if unsupported(err) && flags == 0 {
		return nil
	}
	if err != nil {
		return fmt.Errorf("cannot read file flags: %w", err)
	}
	want := cur&^(mask&Settable) | flags&mask&Settable
	if want == cur {
		return nil
	}
	if err := unix.IoctlSetPointerInt(fd, unix.FS_IOC_SETFLAGS, int(int32(want))); err != nil {
		return fmt.Errorf("cannot set file flags %#x: %w", flags&mask, err)
	}
	return nil
}

// Extents finds the data of an open file of a size. It returns nil when the
// file has no holes, and an empty list when it is one hole.
func Extents(fd int, size int64) ([]archive.Extent, error) {
	list := []archive.Extent{}
	for at := int64(0); at < size; {
		data, err := unix.Seek(fd, at, unix.SEEK_DATA)
		if errors.Is(err, unix.ENXIO) {
			break // a hole up to the end
		}
		if errors.Is(err, unix.EINVAL) {
			return nil, nil // the file system cannot tell: no holes then
		}
		if err != nil {
			return nil, fmt.Errorf("cannot find holes: %w", err)
		}
		if data >= size {
			break
		}
		hole, err := unix.Seek(fd, data, unix.SEEK_HOLE)
		if err != nil {
			return nil, fmt.Errorf("cannot find holes: %w", err)
		}
		hole = min(hole, size)
		if n := len(list); n > 0 && list[n-1].Offset+list[n-1].Length == data {
			list[n-1].Length += hole - data
		} else {
			list = append(list, archive.Extent{Offset: data, Length: hole - data})
		}
		at = hole
	}
	if len(list) == 1 && list[0].Offset == 0 && list[0].Length == size {
		return nil, nil
	}
	return list, nil
}

// Time turns a stat time into a UTC time.
func Time(t unix.Timespec) time.Time { return time.Unix(int64(t.Sec), int64(t.Nsec)).UTC() }

// Timespec is the reverse of Time; a zero time gives UTIME_OMIT.
func Timespec(t time.Time) unix.Timespec {
	if t.IsZero() {
		return unix.Timespec{Nsec: unix.UTIME_OMIT}
	}
	return unix.Timespec{Sec: t.Unix(), Nsec: int64(t.Nanosecond())}
}

// Stat makes an Entry of what lstat said; the kind of a path that is neither
// of the seven is an error. Xattrs, flags, links and holes are not filled in.
func Stat(name string, st *unix.Stat_t) (*archive.Entry, error) {
	e := &archive.Entry{
		Name: name, Mode: st.Mode & 0o7777, UID: st.Uid, GID: st.Gid,
		MTime: Time(st.Mtim), ATime: Time(st.Atim), CTime: Time(st.Ctim),
		Inode: st.Ino, Dev: st.Dev,
	}
	switch st.Mode & unix.S_IFMT {
	case unix.S_IFREG:
		e.Kind, e.Size = archive.File, st.Size
	case unix.S_IFDIR:
		e.Kind = archive.Dir
	case unix.S_IFLNK:
		e.Kind = archive.Symlink
	case unix.S_IFIFO:
		e.Kind = archive.FIFO
	case unix.S_IFSOCK:
		e.Kind = archive.Socket
	case unix.S_IFCHR, unix.S_IFBLK:
		e.Kind = archive.CharDev
		if st.Mode&unix.S_IFMT == unix.S_IFBLK {
			e.Kind = archive.BlockDev
		}
		e.DevMajor, e.DevMinor = unix.Major(st.Rdev), unix.Minor(st.Rdev)
	default:
		return nil, fmt.Errorf("unknown file type %#o", st.Mode&unix.S_IFMT)
	}
	return e, nil
}

// Readlink reads a symbolic link below an open directory.
func Readlink(dirfd int, name string) (string, error) {
	for size := 256; ; size *= 4 {
		buf := make([]byte, size)
		n, err := unix.Readlinkat(dirfd, name, buf)
		if err != nil {
			return "", err
		}
		if n < size {
			return string(buf[:n]), nil
		}
	}
}

// ReadNames reads the names in an open directory, sorted by bytes, without
// "." and "..". isDir holds what the file system said of them: DT_DIR,
// DT_REG ...; DT_UNKNOWN where it does not say.
func ReadNames(fd int) ([]Name, error) {
	buf := make([]byte, 32<<10)
	var names []Name
	for {
		n, err := unix.Getdents(fd, buf)
		if errors.Is(err, unix.EINTR) {
			continue
		}
		if err != nil {
			return names, err
		}
		if n <= 0 {
			break
		}
		// struct linux_dirent64 (getdents64(2)): u64 ino, s64 off, u16 reclen, u8 type, name.
		for b := buf[:n]; len(b) > 19; {
			rec := int(b[16]) | int(b[17])<<8
			s := string(b[19:rec])
			if i := strings.IndexByte(s, 0); i >= 0 {
				s = s[:i]
			}
			if s != "." && s != ".." {
				names = append(names, Name{Name: s, Type: b[18]})
			}
			b = b[rec:]
		}
	}
	sort.Slice(names, func(i, j int) bool { return names[i].Name < names[j].Name })
	return names, nil
}

// Name is one name in a directory with its type (DT_DIR, DT_UNKNOWN ...).
type Name struct {
	Name string
	Type uint8
}
