package superblock

import (
	"encoding/binary"
	"fmt"
	"io"

	"github.com/mkcdrec/mkcdrec/internal/machine"
)

// Swap reads the header that mkswap(8) writes, for the page sizes that Linux
// has. Size is that of the area with its header page.
func Swap(r io.ReaderAt) (machine.Swap, error) {
	for _, page := range []int64{4096, 65536, 16384, 8192} {
		b, err := readAt(r, 0, int(page))
		if err != nil {
			return machine.Swap{}, err
		}
		if string(b[page-10:]) != "SWAPSPACE2" {
			continue
		}
		last := int64(binary.LittleEndian.Uint32(b[1028:]))
		return machine.Swap{Size: machine.Bytes((last + 1) * page), UUID: uuid(b[1036:1052]), Label: text(b[1052:1068])}, nil
	}
	return machine.Swap{}, fmt.Errorf("swap: %w", ErrNot)
}
