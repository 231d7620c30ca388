// Package superblock reads what file systems say about themselves in their
// superblocks: ext2/3/4, xfs, btrfs, f2fs, FAT, exFAT and swap. It reads a few KiB from a
// device or image and starts no program, so the facts that mkfs needs are
// exact and there is no text to scrape. It neither checks nor changes a file
// system, and it does not guess which kind a device holds (see blkid).
package superblock

import (
	"bytes"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/mkcdrec/mkcdrec/internal/machine"
)

// ErrNot says that the bytes are not a superblock of the kind asked for.
var ErrNot = errors.New("no superblock of this kind")

var readers = map[machine.FSKind]func(io.ReaderAt) (machine.FileSystem, error){
	"ext2": Ext, "ext3": Ext, "ext4": Ext, "xfs": XFS, "btrfs": Btrfs, "vfat": FAT, "f2fs": F2FS, "exfat": ExFAT,
}

// Known says that a kind of file system can be read here.
func Known(kind machine.FSKind) bool { return readers[kind] != nil }

// Read reads the superblock of a file system of the kind given. On, Used and
// Subvolumes are left to the caller. The error wraps ErrNot where the device
// holds something else.
func Read(kind machine.FSKind, r io.ReaderAt) (machine.FileSystem, error) {
	f := readers[kind]
	if f == nil {
		return machine.FileSystem{}, fmt.Errorf("cannot read a superblock of %s: unknown kind", kind)
	}
	return f(r)
}

// readAt reads exactly n bytes; an image that ends before is no superblock.
func readAt(r io.ReaderAt, off int64, n int) ([]byte, error) {
	b := make([]byte, n)
	got, err := r.ReadAt(b, off)
	if got == n {
		return b, nil
	}
	if errors.Is(err, io.EOF) {
		return nil, fmt.Errorf("cannot read %d bytes at %d: %w", n, off, ErrNot)
	}
	return nil, fmt.Errorf("cannot read %d bytes at %d: %w", n, off, err)
}

// uuid writes 16 bytes as 8-4-4-4-12 hex digits; all zero is none.
func uuid(b []byte) string {
	if len(bytes.Trim(b, "\x00")) == 0 {
		return ""
	}
	h := hex.EncodeToString(b)
	return h[:8] + "-" + h[8:12] + "-" + h[12:16] + "-" + h[16:20] + "-" + h[20:32]
}

// text is a field padded with NULs, as valid UTF-8 (JSON can hold no other).
func text(b []byte) string {
	if i := bytes.IndexByte(b, 0); i >= 0 {
		b = b[:i]
	}
	return strings.ToValidUTF8(string(b), "\uFFFD")
}

// bit is one flag and its name.
type bit struct {
	mask uint64
	name string
}

// names lists the flags that are set, those without a name as PREFIX_0x....
func names(flags uint64, table []bit, prefix string) []string {
	var out []string
	for _, b := range table {
		if flags&b.mask != 0 {
			if b.name != "" {
				out = append(out, b.name)
			}
			flags &^= b.mask
		}
	}
	for i := range 64 {
		if flags&(1<<i) != 0 {
			out = append(out, fmt.Sprintf("%s_0x%x", prefix, uint64(1)<<i))
		}
	}
	return out
}
