package archive

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"
)

// errTar is wrapped by everything that is wrong with a tar header.
var errTar = errors.New("tar header is damaged")

// tarHeader is what the tar stream itself says about a path.
type tarHeader struct {
	Entry
	stored int64 // bytes in the stream, sparse map included, without padding
	sparse bool  // a GNU.sparse 1.0 map comes first
	end    bool  // end of the archive: a block of zeros
}

// blocks gives the next n bytes of a tar stream, n a multiple of 512. They
// are valid until the next call.
type blocks interface {
	take(n int) ([]byte, error)
}

// readHeader reads one path's header blocks, as appendHeader writes them.
func readHeader(in blocks) (*tarHeader, error) {
	b, err := in.take(blockSize)
	if err != nil {
		return nil, err
	}
	if bytes.Equal(b, zeros[:blockSize]) {
		return &tarHeader{end: true}, nil
	}
	h := &tarHeader{}
	var recs map[string]string
	if err := checkBlock(b); err != nil {
		return nil, err
	}
	if b[156] == 'x' {
		n, err := number(b[124:136])
		if err != nil {
			return nil, err
		}
		if n < 1 || n > maxRecords {
			return nil, fmt.Errorf("%w: extended header of %d bytes", errTar, n)
		}
		body, err := in.take(int(n) + padding(n))
		if err != nil {
			return nil, err
		}
		if recs, err = parseRecords(body[:n]); err != nil {
			return nil, err
		}
		if b, err = in.take(blockSize); err != nil {
			return nil, err
		}
		if err := checkBlock(b); err != nil {
			return nil, err
		}
	}
	if err := h.fromBlock(b); err != nil {
		return nil, err
	}
	for k, v := range recs {
		if err := h.fromRecord(k, v); err != nil {
			return nil, err
		}
	}
	return h, h.complete()
}

// checkBlock checks magic and checksum of a header block.
func checkBlock(b []byte) error {
	if string(b[257:265]) != "ustar\x0000" {
		return fmt.Errorf("%w: no ustar magic", errTar)
	}
	want, err := number(b[148:156])
	if err != nil {
		return err
	}
	sum := byteSum(b) + 8*' ' // the field itself counts as blanks
	for _, c := range b[148:156] {
		sum -= int64(c)
	}
	if sum != want {
		return fmt.Errorf("%w: checksum %d instead of %d", errTar, sum, want)
	}
	return nil
}

// byteSum adds up the bytes of a block, eight at a time: four sums of 16 bits
// for the even ones and four for the odd ones, which 64 words cannot overflow.
func byteSum(b []byte) int64 {
	const low = 0x00ff00ff00ff00ff
	var even, odd uint64
	for i := 0; i < blockSize; i += 8 {
		w := binary.LittleEndian.Uint64(b[i:])
		even += w & low
		odd += w >> 8 & low
	}
	var sum int64
	for shift := 0; shift < 64; shift += 16 {
		sum += int64(even>>shift&0xffff) + int64(odd>>shift&0xffff)
	}
	return sum
}

// number reads an octal field of at most 12 digits.
func number(field []byte) (int64, error) {
	digits := bytes.TrimRight(field, " \x00")
	var v int64
	for _, c := range digits {
		if c < '0' || c > '7' {
			return 0, fmt.Errorf("%w: number %q", errTar, digits)
		}
		v = v<<3 | int64(c-'0')
	}
	if len(digits) == 0 {
		return 0, fmt.Errorf("%w: number %q", errTar, digits)
	}
	return v, nil
}

func text(field []byte) string {
	if i := bytes.IndexByte(field, 0); i >= 0 {
		field = field[:i]
	}
	return string(field)
}

func (h *tarHeader) fromBlock(b []byte) error {
	var nums [7]int64
	for i, at := range [7][2]int{{100, 108}, {108, 116}, {116, 124}, {124, 136}, {136, 148}, {329, 337}, {337, 345}} {
		var err error
		if nums[i], err = number(b[at[0]:at[1]]); err != nil {
			return err
		}
	}
	h.Name, h.Link = text(b[0:100]), text(b[157:257])
	h.Mode, h.UID, h.GID = uint32(nums[0]), uint32(nums[1]), uint32(nums[2])
	h.stored, h.MTime = nums[3], time.Unix(nums[4], 0)
	h.User, h.Group = text(b[265:297]), text(b[297:329])
	h.DevMajor, h.DevMinor = uint32(nums[5]), uint32(nums[6])
	for _, k := range []Kind{File, Hardlink, Symlink, CharDev, BlockDev, Dir, FIFO} {
		if typeFlag[k] == b[156] {
			h.Kind = k
			return nil
		}
	}
	return fmt.Errorf("%w: type %q", errTar, b[156])
}

// parseRecords splits "LENGTH KEY=VALUE\n" records. A key that comes twice is
// an error: no Writer writes that.
func parseRecords(b []byte) (map[string]string, error) {
	recs := map[string]string{}
	for len(b) > 0 {
		i := bytes.IndexByte(b, ' ')
		if i < 1 || i > 10 {
			return nil, fmt.Errorf("%w: extended record without length", errTar)
		}
		n, err := strconv.ParseUint(string(b[:i]), 10, 32)
		if err != nil || n > uint64(len(b)) || int(n) < i+3 || b[n-1] != '\n' {
			return nil, fmt.Errorf("%w: extended record with length %q", errTar, b[:i])
		}
		key, value, ok := strings.Cut(string(b[i+1:n-1]), "=")
		if _, twice := recs[key]; !ok || key == "" || twice {
			return nil, fmt.Errorf("%w: extended record %q", errTar, key)
		}
		recs[key] = value
		b = b[n:]
	}
	return recs, nil
}

func (h *tarHeader) fromRecord(key, value string) error {
	var err error
	switch key {
	case "path", "GNU.sparse.name":
		h.Name = value
	case "linkpath":
		h.Link = value
	case "uname":
		h.User = value
	case "gname":
		h.Group = value
	case "size":
		h.stored, err = strconv.ParseInt(value, 10, 64)
	case "uid":
		h.UID, err = parseUint32(value, 10)
	case "gid":
		h.GID, err = parseUint32(value, 10)
	case "mtime":
		h.MTime, err = parseSeconds(value)
	case "atime":
		h.ATime, err = parseSeconds(value)
	case "ctime":
		h.CTime, err = parseSeconds(value)
	case flagsKey:
		h.Flags, err = parseUint32(value, 16)
	case projectKey:
		h.Project, err = parseUint32(value, 10)
	case subvolKey:
		if h.Kind != Dir {
			return fmt.Errorf("%w: subvolume that is no directory", errTar)
		}
		h.Kind = Subvolume
	case "GNU.sparse.major":
		h.sparse = true
		if value != "1" {
			return fmt.Errorf("%w: sparse format %q", errTar, value)
		}
	case "GNU.sparse.minor":
	case "GNU.sparse.realsize":
		h.Size, err = strconv.ParseInt(value, 10, 64)
	default:
		if name, ok := strings.CutPrefix(key, xattrPrefix); ok {
			if h.Xattrs == nil {
				h.Xattrs = map[string]string{}
			}
			h.Xattrs[xattrUnescape.Replace(name)] = value
		}
	}
	if err != nil {
		return fmt.Errorf("%w: extended record %s=%q", errTar, key, value)
	}
	return nil
}

func parseUint32(s string, base int) (uint32, error) {
	v, err := strconv.ParseUint(s, base, 32)
	return uint32(v), err
}

// complete makes the Entry whole once all parts are read, and checks it.
func (h *tarHeader) complete() error {
	if h.Kind == Dir || h.Kind == Subvolume {
		h.Name = strings.TrimSuffix(h.Name, "/")
	}
	if h.Kind != CharDev && h.Kind != BlockDev {
		h.DevMajor, h.DevMinor = 0, 0
	}
	if h.stored < 0 || h.sparse && h.Kind != File || h.stored != 0 && h.Kind != File {
		return fmt.Errorf("%w: %d bytes of a %s", errTar, h.stored, h.Kind)
	}
	if !h.sparse {
		h.Size = h.stored
	} else {
		h.Sparse = []Extent{} // the map follows the header
	}
	if err := h.check(); err != nil {
		return fmt.Errorf("%w: %w", errTar, err)
	}
	return nil
}

// readSparseMap reads the map at the begin of a sparse file's content and
// fills in h.Sparse. used is its length in the stream.
func (h *tarHeader) readSparseMap(in blocks) (used int64, err error) {
	var have []byte
	next := func() (int64, error) {
		for {
			if i := bytes.IndexByte(have, '\n'); i >= 0 {
				v, err := strconv.ParseInt(string(have[:i]), 10, 64)
				have = have[i+1:]
				if err != nil || v < 0 {
					return 0, fmt.Errorf("%w: sparse map of %s", errTar, Show(h.Name))
				}
				return v, nil
			}
			if len(have) > 20 || used+blockSize > h.stored {
				return 0, fmt.Errorf("%w: sparse map of %s", errTar, Show(h.Name))
			}
			b, err := in.take(blockSize)
			if err != nil {
				return 0, err
			}
			used += blockSize
			have = append(append([]byte(nil), have...), b...)
		}
	}
	count, err := next()
	if err != nil {
		return used, err
	}
	if count > maxExtents+1 {
		return used, fmt.Errorf("%w: sparse map with %d extents", errTar, count)
	}
	for range count {
		var x Extent
		if x.Offset, err = next(); err != nil {
			return used, err
		}
		if x.Length, err = next(); err != nil {
			return used, err
		}
		if x.Length > 0 { // an empty one only marks the end of the file
			h.Sparse = append(h.Sparse, x)
		}
	}
	if err := checkExtents(h.Size, h.Sparse); err != nil {
		return used, fmt.Errorf("%w: %s: %w", errTar, Show(h.Name), err)
	}
	if h.stored-used != dataSize(h.Sparse) {
		return used, fmt.Errorf("%w: %s: extents have %d bytes of %d", errTar, Show(h.Name), dataSize(h.Sparse), h.stored-used)
	}
	return used, nil
}

// sameAs names the first thing in which the tar header differs from the
// catalogue's record; "": none.
func (h *tarHeader) sameAs(e *Entry) string {
	switch {
	case h.Name != e.Name:
		return "name"
	case h.Kind != e.Kind:
		return "type"
	case h.Mode != e.Mode || h.UID != e.UID || h.GID != e.GID:
		return "owner or mode"
	case h.Size != e.Size || h.sparse != (e.Sparse != nil):
		return "size"
	case !h.MTime.Equal(e.MTime) && !e.MTime.IsZero():
		return "time"
	case e.Kind == Symlink && h.Link != e.Link, e.Kind == Hardlink && h.Link != e.Link:
		return "link"
	case h.DevMajor != e.DevMajor || h.DevMinor != e.DevMinor:
		return "device number"
	case h.Flags != e.Flags:
		return "flags"
	case h.Project != e.Project:
		return "project"
	case len(h.Xattrs) != len(e.Xattrs):
		return "extended attributes"
	}
	for k, v := range e.Xattrs {
		if w, ok := h.Xattrs[k]; !ok || v != w {
			return "extended attributes"
		}
	}
	return ""
}
