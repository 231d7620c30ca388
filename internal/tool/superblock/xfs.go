package superblock

import (
	"encoding/binary"
	"fmt"
	"io"
	"strconv"

	"github.com/mkcdrec/mkcdrec/internal/machine"
)

// Feature flags under the names that mkfs.xfs(8) and xfs_info(8) use.
var (
	xfsROCompat = []bit{{0x1, "finobt"}, {0x2, "rmapbt"}, {0x4, "reflink"}, {0x8, "inobtcount"}}
	xfsIncompat = []bit{
		{0x1, "ftype"}, {0x2, "sparse"}, {0x4, ""}, {0x8, "bigtime"}, {0x10, ""},
		{0x20, "nrext64"}, {0x40, "exchange"}, {0x80, "parent"}, {0x100, "metadir"},
	}
)

// XFS reads the primary superblock of XFS (XFS Algorithms & Data Structures,
// "Superblocks"). A version 4 file system has no "crc" feature. Options:
// sector_size, agcount, log_blocks, imax_percent, and where they are not the
// default dir_block_size, log=external, realtime=yes, sunit, swidth (blocks).
func XFS(r io.ReaderAt) (machine.FileSystem, error) {
	b, err := readAt(r, 0, 512)
	if err != nil {
		return machine.FileSystem{}, err
	}
	be := binary.BigEndian
	block, blocks := be.Uint32(b[4:]), be.Uint64(b[8:])
	version := be.Uint16(b[100:])
	if string(b[:4]) != "XFSB" || block < 512 || block > 65536 || block&(block-1) != 0 {
		return machine.FileSystem{}, fmt.Errorf("xfs: %w", ErrNot)
	}
	if v := version & 0xF; v != 4 && v != 5 || blocks == 0 || blocks > uint64(1<<62)/uint64(block) {
		return machine.FileSystem{}, fmt.Errorf("xfs: version %d with %d blocks: %w", version&0xF, blocks, ErrNot)
	}
	num := func(n uint64) string { return strconv.FormatUint(n, 10) }
	fs := machine.FileSystem{
		Kind: "xfs", UUID: uuid(b[32:48]), Label: text(b[108:120]),
		Size: machine.Bytes(blocks) * machine.Bytes(block), BlockSize: machine.Bytes(block),
		InodeSize: machine.Bytes(be.Uint16(b[104:])),
		Options: map[string]string{
			"sector_size": num(uint64(be.Uint16(b[102:]))), "agcount": num(uint64(be.Uint32(b[88:]))),
			"log_blocks": num(uint64(be.Uint32(b[96:]))), "imax_percent": num(uint64(b[127])),
		},
	}
	if version&0xF == 5 {
		fs.Features = append([]string{"crc"}, names(uint64(be.Uint32(b[216:])), xfsIncompat, "incompat")...)
		fs.Features = append(fs.Features, names(uint64(be.Uint32(b[212:])), xfsROCompat, "ro_compat")...)
	} else if version&0x8000 != 0 && be.Uint32(b[200:])&0x200 != 0 {
		fs.Features = []string{"ftype"}
	}
	if n := b[192]; n > 0 && n < 16 {
		fs.Options["dir_block_size"] = num(uint64(block) << n)
	}
	if be.Uint64(b[48:]) == 0 {
		fs.Options["log"] = "external"
	}
	if be.Uint64(b[16:]) != 0 {
		fs.Options["realtime"] = "yes"
	}
	if n := be.Uint32(b[184:]); n > 0 {
		fs.Options["sunit"] = num(uint64(n))
		fs.Options["swidth"] = num(uint64(be.Uint32(b[188:])))
	}
	return fs, nil
}
