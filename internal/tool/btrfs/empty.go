package btrfs

import (
	"encoding/binary"
	"fmt"
	"os"
	"runtime"
	"unsafe"

	"golang.org/x/sys/unix"
)

// treeSearch is BTRFS_IOC_TREE_SEARCH, with its argument of 4096 bytes
// (linux/btrfs.h): a key of 104 bytes, then what was found.
const treeSearch = 0xd0009411

// The smallest and largest number of a file, and the type of an inode's item
// (btrfs on-disk format).
const (
	firstInode = 256
	lastInode  = 1<<64 - 256
	inodeItem  = 1
)

// OnlyDirectories says whether a subvolume of the file system mounted at
// target holds nothing but directories, though it is not mounted itself. It
// reads its tree up to the first thing that is none. Needs root.
func OnlyDirectories(target string, id uint64) (bool, error) {
	f, err := os.Open(target)
	if err != nil {
		return false, fmt.Errorf("cannot look into subvolume %d: %w", id, err)
	}
	defer f.Close()
	le := binary.LittleEndian
	at := [3]uint64{firstInode, 0, 0} // object, type, offset
	for {
		var arg [4096]byte
		for i, v := range []uint64{id, at[0], lastInode, at[2], 1<<64 - 1, 0, 1<<64 - 1} {
			le.PutUint64(arg[8*i:], v)
		}
		for i, v := range []uint32{uint32(at[1]), 1<<32 - 1, 4096} {
			le.PutUint32(arg[56+4*i:], v)
		}
		_, _, errno := unix.Syscall(unix.SYS_IOCTL, f.Fd(), treeSearch, uintptr(unsafe.Pointer(&arg)))
		runtime.KeepAlive(f)
		if errno != 0 {
			return false, fmt.Errorf("cannot look into subvolume %d: %w", id, errno)
		}
		dirs, last, n := directories(arg[104:], int(le.Uint32(arg[64:])))
		switch {
		case !dirs:
			return false, nil
		case n == 0:
			return true, nil
		}
		// The next key; a carry goes from the offset through the type.
		at = last
		if at[2]++; at[2] == 0 {
			if at[1]++; at[1] > 255 {
				at[1] = 0
				at[0]++
			}
		}
	}
}

// directories says of n found items whether all inodes among them are
// directories, and which key was the last one. Items that are cut off end it.
func directories(b []byte, n int) (dirs bool, last [3]uint64, seen int) {
	const (
		header = 32 // transaction, object, offset: 8 bytes each; type, length: 4 bytes each
		mode   = 52 // within an inode's item
	)
	le := binary.LittleEndian
	for seen < n && len(b) >= header {
		last = [3]uint64{le.Uint64(b[8:]), uint64(le.Uint32(b[24:])), le.Uint64(b[16:])}
		size := int(le.Uint32(b[28:]))
		if b = b[header:]; size > len(b) || size < 0 {
			return false, last, seen
		}
		if last[1] == inodeItem && (size < mode+4 || le.Uint32(b[mode:])&unix.S_IFMT != unix.S_IFDIR) {
			return false, last, seen
		}
		b = b[size:]
		seen++
	}
	return true, last, seen
}
