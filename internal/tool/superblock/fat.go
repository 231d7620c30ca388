package superblock

import (
	"encoding/binary"
	"fmt"
	"io"
	"strconv"
	"strings"

	"github.com/mkcdrec/mkcdrec/internal/machine"
)

// FAT reads the boot sector and the volume label of FAT12, FAT16 and FAT32
// (Microsoft FAT specification 1.03). UUID is the volume number as blkid
// writes it. Options: fat_bits, sector_size, fats, reserved_sectors,
// root_entries (FAT12 and FAT16).
func FAT(r io.ReaderAt) (machine.FileSystem, error) {
	b, err := readAt(r, 0, 512)
	if err != nil {
		return machine.FileSystem{}, err
	}
	le := binary.LittleEndian
	sector, cluster := int64(le.Uint16(b[11:])), int64(b[13])
	reserved, fats, rootEntries := int64(le.Uint16(b[14:])), int64(b[16]), int64(le.Uint16(b[17:]))
	total, fatSize := int64(le.Uint16(b[19:])), int64(le.Uint16(b[22:]))
	bits := 16
	if total == 0 {
		total = int64(le.Uint32(b[32:]))
	}
	if fatSize == 0 {
		bits, fatSize = 32, int64(le.Uint32(b[36:]))
	}
	pow2 := func(n int64) bool { return n > 0 && n&(n-1) == 0 }
	if b[510] != 0x55 || b[511] != 0xAA || !pow2(sector) || sector < 512 || sector > 4096 || !pow2(cluster) ||
		reserved == 0 || fats == 0 || fats > 4 || fatSize == 0 || total == 0 {
		return machine.FileSystem{}, fmt.Errorf("fat: %w", ErrNot)
	}
	rootStart := reserved + fats*fatSize
	rootSectors := (rootEntries*32 + sector - 1) / sector
	data := total - rootStart - rootSectors
	if data <= 0 {
		return machine.FileSystem{}, fmt.Errorf("fat: tables larger than the volume: %w", ErrNot)
	}
	if bits == 16 && data/cluster < 4085 {
		bits = 12
	}
	fs := machine.FileSystem{
		Kind: "vfat", Size: machine.Bytes(total * sector), BlockSize: machine.Bytes(sector * cluster),
		Options: map[string]string{
			"fat_bits": strconv.Itoa(bits), "sector_size": strconv.FormatInt(sector, 10),
			"fats": strconv.FormatInt(fats, 10), "reserved_sectors": strconv.FormatInt(reserved, 10),
		},
	}
	ext, dir, dirLen := 38, rootStart*sector, rootEntries*32
	if bits == 32 {
		ext = 66
		dir = (rootStart + (int64(le.Uint32(b[44:]))-2)*cluster) * sector
		dirLen = cluster * sector
	} else {
		fs.Options["root_entries"] = strconv.FormatInt(rootEntries, 10)
	}
	if b[ext] == 0x28 || b[ext] == 0x29 {
		v := le.Uint32(b[ext+1:])
		fs.UUID = fmt.Sprintf("%04X-%04X", v>>16, v&0xFFFF)
		if b[ext] == 0x29 {
			fs.Label = fatLabel(b[ext+5 : ext+16])
		}
	}
	// The label that counts is the entry in the root directory; the copy in
	// the boot sector is often out of date.
	if label, ok := fatRootLabel(r, dir, dirLen); ok {
		fs.Label = label
	}
	return fs, nil
}

func fatLabel(b []byte) string {
	s := strings.TrimRight(text(b), " ")
	if s == "NO NAME" {
		return ""
	}
	return s
}

func fatRootLabel(r io.ReaderAt, off, length int64) (string, bool) {
	if off <= 0 || length <= 0 {
		return "", false
	}
	dir, err := readAt(r, off, int(min(length, 64<<10)))
	if err != nil {
		return "", false
	}
	for ; len(dir) >= 32 && dir[0] != 0; dir = dir[32:] {
		const volume, longName = 0x08, 0x0F
		if dir[0] != 0xE5 && dir[11]&0x3F != longName && dir[11]&(volume|0x10) == volume {
			return fatLabel(dir[:11]), true
		}
	}
	return "", false
}
