// Package archive is the backup format: PAX tar in independent zstd frames,
// cut into volumes, with a catalogue and a manifest beside it. It writes,
// reads and verifies. It neither walks a live tree (backup) nor puts files
// onto a disk (unpack). The format is specified in docs/format.md.
package archive

import (
	"io"
	"time"
)

// Kind is the type of a path.
type Kind string

// The kinds of paths.
const (
	File      Kind = "file"
	Dir       Kind = "dir"
	Symlink   Kind = "symlink"
	Hardlink  Kind = "hardlink" // a further name of an earlier File (or fifo, device, symlink)
	FIFO      Kind = "fifo"
	CharDev   Kind = "char"
	BlockDev  Kind = "block"
	Socket    Kind = "socket" // in the catalogue only; sockets are made anew by their owners
	Subvolume Kind = "subvol" // a directory that is the root of a btrfs subvolume
)

// Extent is a run of data within a sparse file, in bytes.
type Extent struct {
	Offset int64 `json:"o"`
	Length int64 `json:"l"`
}

// Entry is one path of a backup with everything a file has. Names are bytes:
// they need not be UTF-8. The catalogue has one record for each Entry.
type Entry struct {
	// Name is relative to the root of the backup, without a leading slash;
	// "." is the root itself.
	Name  string
	Kind  Kind
	Mode  uint32 // permission bits with setuid, setgid, sticky: 0..07777
	UID   uint32
	GID   uint32
	User  string // may be empty; restoring goes by the numbers
	Group string
	Size  int64 // bytes, File only; with the holes
	MTime time.Time
	ATime time.Time
	CTime time.Time // recorded, cannot be restored
	Link  string    // target of a Symlink; Name of the first path of a Hardlink

	DevMajor, DevMinor uint32 // CharDev, BlockDev

	// Xattrs has every extended attribute by its full name, among them
	// system.posix_acl_access, system.posix_acl_default,
	// security.capability and security.selinux; values are raw bytes.
	Xattrs map[string]string
	// Flags are the FS_IOC_GETFLAGS bits that chattr can set; 0: none.
	Flags uint32
	// Project is the number by which quotas of directory trees are counted, of
	// a File, Dir or Subvolume; 0: none.
	Project uint32
	// Sparse has the data extents of a file with holes, in order; nil: the
	// file has none. An empty, non-nil list is a file that is one hole.
	Sparse []Extent

	// Inode and Dev identify the file on the source, to find it unchanged
	// in the next backup. Not restored.
	Inode, Dev uint64

	// Hash is the SHA-256 of a File's Size bytes, holes read as zeros.
	// Filled in by the Writer.
	Hash [32]byte
	// Frame and FrameOffset say where the entry's tar header begins: number
	// of the zstd frame, counted over all volumes from 0, and the offset in
	// its decompressed bytes. Filled in by the Writer.
	Frame       int64
	FrameOffset int64

	// Problem is a warning that belongs to this path: "changed while read",
	// "unreadable: permission denied" ... An unreadable file has an Entry
	// with its Problem, Unreadable set, and no content in the archive.
	Problem    string
	Unreadable bool
}

// Content gives the bytes of a File from the start: all Size bytes, or for a
// sparse file the bytes of its extents one after the other.
type Content interface {
	io.Reader
}
