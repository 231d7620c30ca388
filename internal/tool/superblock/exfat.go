package superblock

import (
	"encoding/binary"
	"fmt"
	"io"
	"strconv"

	"github.com/mkcdrec/mkcdrec/internal/machine"
)

// ExFAT reads the boot sector and the volume label of an exFAT (exFAT file
// system specification, sections 3.1 and 7.3). UUID is the volume's serial
// number as blkid writes it. Options: sector_size.
func ExFAT(r io.ReaderAt) (machine.FileSystem, error) {
	b, err := readAt(r, 0, 512)
	if err != nil {
		return machine.FileSystem{}, err
	}
	le := binary.LittleEndian
	sector, cluster := b[108], b[109]
	if string(b[3:11]) != "EXFAT   " || b[510] != 0x55 || b[511] != 0xAA || sector < 9 || sector > 12 || cluster > 25-sector {
		return machine.FileSystem{}, fmt.Errorf("exfat: %w", ErrNot)
	}
	sectors := le.Uint64(b[72:])
	if sectors == 0 || sectors > 1<<62>>sector {
		return machine.FileSystem{}, fmt.Errorf("exfat: %d sectors: %w", sectors, ErrNot)
	}
	serial := le.Uint32(b[100:])
	fs := machine.FileSystem{
		Kind: "exfat", UUID: fmt.Sprintf("%04X-%04X", serial>>16, serial&0xFFFF), Size: machine.Bytes(sectors << sector), BlockSize: 1 << (sector + cluster),
		Options: map[string]string{"sector_size": strconv.Itoa(1 << sector)},
	}
	heap, root := int64(le.Uint32(b[88:]))<<sector, int64(le.Uint32(b[96:]))
	if root < 2 {
		return machine.FileSystem{}, fmt.Errorf("exfat: root directory in cluster %d: %w", root, ErrNot)
	}
	fs.Label = exfatLabel(r, heap+(root-2)<<(sector+cluster), int64(fs.BlockSize))
	return fs, nil
}

// exfatLabel looks for the label in the first cluster of the root directory,
// where every program that makes one has it.
func exfatLabel(r io.ReaderAt, off, length int64) string {
	dir, err := readAt(r, off, int(min(length, 64<<10)))
	if err != nil {
		return ""
	}
	const end, label, most = 0x00, 0x83, 11
	for ; len(dir) >= 32 && dir[0] != end; dir = dir[32:] {
		if dir[0] == label && dir[1] <= most {
			return utf16Text(dir[2 : 2+2*int(dir[1])])
		}
	}
	return ""
}
