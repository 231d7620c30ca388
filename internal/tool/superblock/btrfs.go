package superblock

import (
	"encoding/binary"
	"fmt"
	"io"
	"strconv"

	"github.com/mkcdrec/mkcdrec/internal/machine"
)

// Flags as `btrfs inspect-internal dump-super` names them.
var (
	btrfsIncompat = []bit{
		{0x1, "MIXED_BACKREF"}, {0x2, "DEFAULT_SUBVOL"}, {0x4, "MIXED_GROUPS"}, {0x8, "COMPRESS_LZO"}, {0x10, "COMPRESS_ZSTD"},
		{0x20, "BIG_METADATA"}, {0x40, "EXTENDED_IREF"}, {0x80, "RAID56"}, {0x100, "SKINNY_METADATA"}, {0x200, "NO_HOLES"},
		{0x400, "METADATA_UUID"}, {0x800, "RAID1C34"}, {0x1000, "ZONED"}, {0x2000, "EXTENT_TREE_V2"}, {0x4000, "RAID_STRIPE_TREE"},
		{0x10000, "SIMPLE_QUOTA"},
	}
	btrfsROCompat = []bit{
		{0x1, "FREE_SPACE_TREE"}, {0x2, "FREE_SPACE_TREE_VALID"}, {0x4, "VERITY"}, {0x8, "BLOCK_GROUP_TREE"},
	}
)

// Btrfs reads the first superblock of btrfs (on-disk format documentation).
// Options: csum, node_size (bytes), system (the profile of its system chunks),
// and devices when there is more than one. Then Devices has the one that was
// read, by its number. Size is that of all devices together.
func Btrfs(r io.ReaderAt) (machine.FileSystem, error) {
	b, err := readAt(r, 0x10000, 4096)
	if err != nil {
		return machine.FileSystem{}, err
	}
	le := binary.LittleEndian
	total, sector := le.Uint64(b[112:]), le.Uint32(b[144:])
	if string(b[64:72]) != "_BHRfS_M" || total > 1<<62 || sector < 512 || sector > 65536 {
		return machine.FileSystem{}, fmt.Errorf("btrfs: %w", ErrNot)
	}
	fs := machine.FileSystem{
		Kind: "btrfs", UUID: uuid(b[32:48]), Label: text(b[299:555]),
		Size: machine.Bytes(total), BlockSize: machine.Bytes(sector),
		Options: map[string]string{"node_size": strconv.FormatUint(uint64(le.Uint32(b[148:])), 10)},
	}
	fs.Features = append(names(le.Uint64(b[188:]), btrfsIncompat, "INCOMPAT"), names(le.Uint64(b[180:]), btrfsROCompat, "COMPAT_RO")...)
	csum := le.Uint16(b[196:])
	fs.Options["csum"] = map[uint16]string{0: "crc32c", 1: "xxhash64", 2: "sha256", 3: "blake2b"}[csum]
	if fs.Options["csum"] == "" {
		fs.Options["csum"] = fmt.Sprintf("unknown_%d", csum)
	}
	if n := le.Uint64(b[136:]); n != 1 {
		fs.Options["devices"] = strconv.FormatUint(n, 10)
		if own := le.Uint64(b[209:]); own <= 1<<62 { // the device's own item, from byte 201
			fs.Devices = []machine.FSDevice{{ID: le.Uint64(b[201:]), Size: machine.Bytes(own)}}
		}
	}
	if p := systemProfile(b); p != "" {
		fs.Options[machine.SystemProfile] = p
	}
	return fs, nil
}

// systemProfile is that of the first chunk in the superblock's own array: what
// is needed to find all others.
func systemProfile(b []byte) string {
	const (
		array = 811
		key   = 17 // object, type, offset
		flags = 24 // within a chunk
	)
	le := binary.LittleEndian
	if le.Uint32(b[160:]) < key+flags+8 {
		return ""
	}
	set := le.Uint64(b[array+key+flags:])
	for _, p := range []bit{
		{0x8, "raid0"}, {0x10, "raid1"}, {0x20, "dup"}, {0x40, "raid10"}, {0x80, "raid5"}, {0x100, "raid6"}, {0x200, "raid1c3"}, {0x400, "raid1c4"},
	} {
		if set&p.mask != 0 {
			return p.name
		}
	}
	return "single"
}
