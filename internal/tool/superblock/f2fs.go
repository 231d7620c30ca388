package superblock

import (
	"encoding/binary"
	"fmt"
	"io"
	"strconv"
	"strings"
	"unicode/utf16"

	"github.com/mkcdrec/mkcdrec/internal/machine"
)

// The names are those of mkfs.f2fs(8), option -O; what it makes by another
// option, or not at all, has the kernel's.
var f2fsFeatures = []bit{
	{0x1, "encrypt"}, {0x2, "blkzoned"}, {0x4, "atomic_write"}, {0x8, "extra_attr"}, {0x10, "project_quota"}, {0x20, "inode_checksum"},
	{0x40, "flexible_inline_xattr"}, {0x80, "quota"}, {0x100, "inode_crtime"}, {0x200, "lost_found"}, {0x400, "verity"},
	{0x800, "sb_checksum"}, {0x1000, "casefold"}, {0x2000, "compression"}, {0x4000, "ro"},
}

// F2FS reads the superblock of a f2fs (Linux include/linux/f2fs_fs.h, struct
// f2fs_super_block). Options: devices where it has several, encoding and
// encoding_flags with the feature casefold.
func F2FS(r io.ReaderAt) (machine.FileSystem, error) {
	const at, size = 1024, 3072
	b, err := readAt(r, at, size)
	if err != nil {
		return machine.FileSystem{}, err
	}
	le := binary.LittleEndian
	shift := le.Uint32(b[16:])
	if le.Uint32(b) != 0xF2F52010 || shift < 12 || shift > 16 {
		return machine.FileSystem{}, fmt.Errorf("f2fs: %w", ErrNot)
	}
	blocks := le.Uint64(b[36:])
	if blocks == 0 || blocks > 1<<62>>shift {
		return machine.FileSystem{}, fmt.Errorf("f2fs: %d blocks: %w", blocks, ErrNot)
	}
	fs := machine.FileSystem{
		Kind: "f2fs", UUID: uuid(b[108:124]), Label: utf16Text(b[124:1148]), Size: machine.Bytes(blocks << shift), BlockSize: 1 << shift,
		Features: names(uint64(le.Uint32(b[2180:])), f2fsFeatures, "FEATURE"), Options: map[string]string{},
	}
	const devices, device = 2201, 68 // eight of a path of 64 bytes and a number of segments
	n := 0
	for i := range 8 {
		if b[devices+i*device] != 0 {
			n++
		}
	}
	if n > 1 {
		fs.Options["devices"] = strconv.Itoa(n)
	}
	if e := le.Uint16(b[2758:]); e != 0 {
		fs.Options["encoding"] = strconv.Itoa(int(e))
		fs.Options["encoding_flags"] = strconv.Itoa(int(le.Uint16(b[2760:])))
	}
	return fs, nil
}

// utf16Text is little-endian UTF-16 up to its end or the first NUL.
func utf16Text(b []byte) string {
	var u []uint16
	for ; len(b) >= 2; b = b[2:] {
		c := binary.LittleEndian.Uint16(b)
		if c == 0 {
			break
		}
		u = append(u, c)
	}
	return strings.ToValidUTF8(string(utf16.Decode(u)), "\uFFFD")
}
