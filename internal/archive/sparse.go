package archive

import (
	"fmt"
	"strconv"
)

// maxExtents is how many extents one file may have in an archive. With more,
// small holes are filled with zeros, so that one path cannot need unlimited memory.
const maxExtents = 100_000

// normaliseSparse widens extents to multiples of 512 bytes and joins those
// that then touch. GNU tar begins each extent at a block of the archive while
// bsdtar and archive/tar read them one after the other: only extents of whole
// blocks mean the same to all. No file system has smaller blocks.
func normaliseSparse(size int64, in []Extent) ([]Extent, error) {
	var end int64
	for _, x := range in {
		if x.Offset < end || x.Length < 0 || x.Length > size-x.Offset {
			return nil, fmt.Errorf("extents are not in order or not within %d bytes", size)
		}
		end = x.Offset + x.Length
	}
	for align := int64(blockSize); ; align *= 8 {
		out := make([]Extent, 0, min(len(in), maxExtents))
		for _, x := range in {
			if x.Length == 0 {
				continue
			}
			from := x.Offset - x.Offset%align
			to := size
			if rest := (x.Offset + x.Length) % align; rest == 0 {
				to = x.Offset + x.Length
			} else if t := x.Offset + x.Length - rest; size-t > align {
				to = t + align
			}
			if n := len(out); n > 0 && from <= out[n-1].Offset+out[n-1].Length {
				out[n-1].Length = to - out[n-1].Offset
				continue
			}
			out = append(out, Extent{from, to - from})
		}
		if len(out) <= maxExtents {
			return out, nil
		}
	}
}

// dataSize is the number of bytes in extents.
func dataSize(extents []Extent) int64 {
	var n int64
	for _, x := range extents {
		n += x.Length
	}
	return n
}

// appendSparseMap writes the map that precedes the data in GNU.sparse 1.0:
// count, then offset and length of each, one number a line, padded to a block.
// Like GNU tar it ends with an empty extent at the end of the file.
func appendSparseMap(b []byte, size int64, extents []Extent) []byte {
	n := len(b)
	line := func(v int64) { b = append(strconv.AppendInt(b, v, 10), '\n') }
	final := len(extents) == 0 || extents[len(extents)-1].Offset+extents[len(extents)-1].Length < size
	count := int64(len(extents))
	if final {
		count++
	}
	line(count)
	for _, x := range extents {
		line(x.Offset)
		line(x.Length)
	}
	if final {
		line(size)
		line(0)
	}
	return appendZeros(b, padding(int64(len(b)-n)))
}
