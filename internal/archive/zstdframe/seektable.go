package zstdframe

import (
	"encoding/binary"
	"fmt"
)

// Seekable format: a skippable frame with one entry for each frame before it
// and a footer of nine bytes.
const (
	skippableMagic = 0x184D2A5E
	seekableMagic  = 0x8F92EAB1
	footerSize     = 9
	entrySize      = 12
	skipHeader     = 8
)

// FooterSize is how many bytes at the end of a file TableSize wants.
const FooterSize = footerSize

// Entry is one frame in a seek table. Sizes are bytes.
type Entry struct {
	Compressed uint32
	Content    uint32
	Checksum   uint32 // of the content
}

// TableLen is the length in bytes of a seek table with n frames.
func TableLen(n int) int64 { return skipHeader + int64(n)*entrySize + footerSize }

// AppendTable appends the seek table as a skippable frame.
func AppendTable(dst []byte, table []Entry) []byte {
	le := binary.LittleEndian
	dst = le.AppendUint32(dst, skippableMagic)
	dst = le.AppendUint32(dst, uint32(len(table)*entrySize+footerSize))
	for _, e := range table {
		dst = le.AppendUint32(dst, e.Compressed)
		dst = le.AppendUint32(dst, e.Content)
		dst = le.AppendUint32(dst, e.Checksum)
	}
	dst = le.AppendUint32(dst, uint32(len(table)))
	dst = append(dst, 1<<7) // checksums are there
	return le.AppendUint32(dst, seekableMagic)
}

// TableSize reads the last FooterSize bytes of a file and says how many bytes
// at its end are the seek table.
func TableSize(footer []byte) (int64, error) {
	if len(footer) != footerSize {
		return 0, fmt.Errorf("%w: seek table footer has %d bytes", ErrFrame, len(footer))
	}
	if binary.LittleEndian.Uint32(footer[5:]) != seekableMagic {
		return 0, fmt.Errorf("%w: no seek table at the end of the file", ErrFrame)
	}
	if footer[4] != 1<<7 {
		return 0, fmt.Errorf("%w: seek table descriptor %#02x is not known", ErrFrame, footer[4])
	}
	n := binary.LittleEndian.Uint32(footer)
	if n > 1<<27 { // limit of the seekable format
		return 0, fmt.Errorf("%w: seek table claims %d frames", ErrFrame, n)
	}
	return TableLen(int(n)), nil
}

// ParseTable reads a whole seek table, as AppendTable makes it.
func ParseTable(b []byte) ([]Entry, error) {
	le := binary.LittleEndian
	if len(b) < skipHeader+footerSize {
		return nil, fmt.Errorf("%w: seek table has %d bytes", ErrFrame, len(b))
	}
	size, err := TableSize(b[len(b)-footerSize:])
	if err != nil {
		return nil, err
	}
	if size != int64(len(b)) || le.Uint32(b) != skippableMagic || int64(le.Uint32(b[4:])) != size-skipHeader {
		return nil, fmt.Errorf("%w: seek table does not begin where it should", ErrFrame)
	}
	table := make([]Entry, (len(b)-skipHeader-footerSize)/entrySize)
	for i := range table {
		p := b[skipHeader+i*entrySize:]
		table[i] = Entry{Compressed: le.Uint32(p), Content: le.Uint32(p[4:]), Checksum: le.Uint32(p[8:])}
		if table[i].Content > MaxContent || table[i].Compressed > MaxContent+MaxContent/128+1024 {
			return nil, fmt.Errorf("%w: frame %d claims %d bytes", ErrFrame, i, table[i].Content)
		}
	}
	return table, nil
}
