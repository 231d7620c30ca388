package iso9660

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"sort"
	"strings"
	"syscall"

	"github.com/mkcdrec/mkcdrec/internal/fail"
	"github.com/mkcdrec/mkcdrec/internal/store"
)

// Limits that keep a hostile or damaged image from taking memory or time
// without end. Our own media are far below.
const (
	maxDirBytes     = 64 << 20 // of one directory
	maxAllDirBytes  = 256 << 20
	maxEntries      = 1 << 20
	maxDepth        = 64
	maxContinuation = 16 // continuation areas of one record
	maxNameBytes    = 1024
)

// Reader reads an image. It is a store.Source with the Rock Ridge names; where
// an image has none, with the primary names without version, in lower case.
type Reader struct {
	// Label is the volume label.
	Label string

	r       io.ReaderAt
	size    int64 // of the image as the descriptor has it, in bytes
	name    string
	rock    bool
	skip    int // bytes before the system use fields, from SP
	files   map[string]*isoFile
	sorted  []string
	dirs    map[int64]bool // sectors of the directories that were read
	dirRead int64          // bytes of directories read
	// contRead counts the bytes of continuation areas, each as 256 at least.
	contRead int64
	app      []byte // application use field of the descriptor
}

// isoFile is one file with the places of its bytes.
type isoFile struct {
	extents []extent
	size    int64
}

type extent struct{ offset, length int64 } // in bytes

var _ store.Source = (*Reader)(nil)

func damaged(format string, args ...any) error {
	return fail.New(fail.Damaged, "damaged ISO image: "+format, args...)
}

// Open reads the descriptors and all directories of an image of size bytes; a
// device may be larger than the image on it. name is for people.
func Open(r io.ReaderAt, size int64, name string) (*Reader, error) {
	d := &Reader{r: r, name: name, files: map[string]*isoFile{}, dirs: map[int64]bool{}}
	b := make([]byte, SectorSize)
	for n := int64(pvdSector); ; n++ {
		if n > pvdSector+64 {
			return nil, damaged("no primary volume descriptor")
		}
		if err := d.readAt(b, n*SectorSize); err != nil {
			return nil, fmt.Errorf("cannot read volume descriptor %d of %s: %w", n-pvdSector, name, err)
		}
		if string(b[1:6]) != "CD001" {
			return nil, damaged("%s has no ISO 9660 volume descriptor in sector %d", name, n)
		}
		if b[0] == 255 {
			return nil, damaged("%s has no primary volume descriptor", name)
		}
		if b[0] == 1 {
			break
		}
	}
	if block := binary.LittleEndian.Uint16(b[128:]); block != SectorSize {
		return nil, damaged("%s has logical blocks of %d bytes instead of %d", name, block, SectorSize)
	}
	d.size = int64(binary.LittleEndian.Uint32(b[80:])) * SectorSize
	if d.size > size {
		return nil, fail.Hint(damaged("%s is cut off: it has %d of %d bytes", name, size, d.size), "copy it again from where it was made")
	}
	d.Label = strings.TrimRight(string(b[40:72]), " \x00")
	d.app = bytes.Clone(b[883:1395])
	root := b[156:190]
	lba, length := int64(binary.LittleEndian.Uint32(root[2:])), int64(binary.LittleEndian.Uint32(root[10:]))
	if err := d.readDir("", lba, length, 0); err != nil {
		return nil, err
	}
	for n := range d.files {
		d.sorted = append(d.sorted, n)
	}
	sort.Strings(d.sorted)
	return d, nil
}

func (d *Reader) readAt(p []byte, off int64) error {
	n, err := d.r.ReadAt(p, off)
	if n == len(p) {
		return nil
	}
	if err == nil || errors.Is(err, io.EOF) {
		return damaged("the image ends before byte %d", off+int64(len(p)))
	}
	if errors.Is(err, syscall.EIO) {
		return fmt.Errorf("%w: %w", store.ErrUnreadable, err)
	}
	return err
}

// inside says whether a run of bytes is within the image.
func (d *Reader) inside(off, length int64) bool {
	return off >= 0 && length >= 0 && off <= d.size && length <= d.size-off
}

// readDir reads a directory and what is below it.
func (d *Reader) readDir(path string, lba, length int64, depth int) error {
	what := "/" + path
	switch {
	case depth > maxDepth:
		return damaged("directories nested deeper than %d at %q", maxDepth, what)
	case d.dirs[lba]:
		return damaged("directory %q is inside itself or there twice", what)
	case length > maxDirBytes || !d.inside(lba*SectorSize, length):
		return damaged("directory %q has an impossible place or size", what)
	}
	d.dirs[lba] = true
	if d.dirRead += length; d.dirRead > maxAllDirBytes {
		return damaged("more than %d bytes of directories", int64(maxAllDirBytes))
	}
	b := make([]byte, length)
	if err := d.readAt(b, lba*SectorSize); err != nil {
		return fmt.Errorf("cannot read directory %q of %s: %w", what, d.name, err)
	}
	list, err := d.records(b, what, depth == 0)
	if err != nil {
		return err
	}
	for _, e := range list {
		full := e.name
		if path != "" {
			full = path + "/" + e.name
		}
		if len(full) > 4096 {
			return damaged("a path is longer than 4096 bytes")
		}
		if e.dir {
			if err := d.readDir(full, e.lba, e.length, depth+1); err != nil {
				return err
			}
			continue
		}
		if !e.regular {
			continue
		}
		if err := d.addExtent(full, e); err != nil {
			return err
		}
	}
	return nil
}

// addExtent adds a file, or a further extent to the file just added.
func (d *Reader) addExtent(full string, e dirEntry) error {
	if !d.inside(e.lba*SectorSize, e.length) {
		return damaged("file %q reaches beyond the end of the image", full)
	}
	f := d.files[full]
	if f == nil {
		if len(d.files) >= maxEntries {
			return damaged("more than %d files", maxEntries)
		}
		f = &isoFile{}
		d.files[full] = f
	} else if !e.continues {
		return damaged("file %q is there twice", full)
	}
	f.extents = append(f.extents, extent{e.lba * SectorSize, e.length})
	f.size += e.length
	return nil
}

// dirEntry is one record of a directory, . and .. left out.
type dirEntry struct {
	name        string
	dir         bool
	regular     bool // not a symbolic link or device by Rock Ridge
	lba, length int64
	continues   bool // a further extent of the file before it
}

// records decodes the bytes of a directory.
func (d *Reader) records(b []byte, what string, top bool) ([]dirEntry, error) {
	var list []dirEntry
	more := false // the record before was not the last of its file
	var before string
	for pos, index := 0, 0; pos < len(b); index++ {
		n := int(b[pos])
		if n == 0 { // nothing more in this sector
			pos += SectorSize - pos%SectorSize
			continue
		}
		if n < recordHead+1 || pos%SectorSize+n > SectorSize || pos+n > len(b) {
			return nil, damaged("directory %q has a broken record at byte %d", what, pos)
		}
		r := b[pos : pos+n]
		pos += n
		idLen := int(r[32])
		su := recordHead + idLen
		su += su % 2
		if recordHead+idLen > n {
			return nil, damaged("directory %q has a record whose name does not fit", what)
		}
		id := r[recordHead : recordHead+idLen]
		if idLen == 1 && id[0] <= 1 {
			if top && id[0] == 0 && index == 0 && su <= n {
				d.findRockRidge(r[su:])
			}
			continue
		}
		if len(list) >= maxEntries {
			return nil, damaged("directory %q has more than %d records", what, maxEntries)
		}
		e := dirEntry{dir: r[25]&flagDirectory != 0, lba: int64(binary.LittleEndian.Uint32(r[2:])) + int64(r[1]), length: int64(binary.LittleEndian.Uint32(r[10:]))}
		e.regular = !e.dir
		e.name = plainName(string(id))
		if d.rock && su <= n {
			if err := d.rockRidge(r[su:], &e); err != nil {
				return nil, fmt.Errorf("directory %q: %w", what, err)
			}
		}
		if e.name == "" || e.name == "." || e.name == ".." || strings.ContainsAny(e.name, "/\x00") {
			return nil, damaged("directory %q has a file with the impossible name %q", what, e.name)
		}
		e.continues = more
		if more && (e.dir || e.name != before) {
			return nil, damaged("file %q in %q lacks its last part", before, what)
		}
		more = r[25]&flagMultiExtent != 0
		before = e.name
		list = append(list, e)
	}
	if more {
		return nil, damaged("file %q in %q lacks its last part", before, what)
	}
	return list, nil
}

// plainName is a primary name as people write it.
func plainName(id string) string {
	if i := strings.IndexByte(id, ';'); i >= 0 {
		id = id[:i]
	}
	return strings.ToLower(strings.TrimSuffix(id, "."))
}

// findRockRidge looks for SP in the root's own record (SUSP 5.3).
func (d *Reader) findRockRidge(su []byte) {
	if len(su) >= 7 && string(su[:2]) == "SP" && su[4] == 0xBE && su[5] == 0xEF {
		d.rock, d.skip = true, int(su[6])
	}
}

// rockRidge reads name and kind from the system use fields of a record.
func (d *Reader) rockRidge(su []byte, e *dirEntry) error {
	if len(su) < d.skip {
		return nil
	}
	su = su[d.skip:]
	var name []byte
	found := false
	for jumps := 0; ; jumps++ {
		if jumps > maxContinuation {
			return damaged("Rock Ridge fields without an end")
		}
		var next []byte // the CE field of this area
		for len(su) >= 4 {
			n := int(su[2])
			if n < 4 || n > len(su) {
				break // what follows the fields is padding
			}
			f := su[:n]
			su = su[n:]
			switch string(f[:2]) {
			case "NM":
				if n >= 5 && f[4]&6 == 0 {
					found = true
					name = append(name, f[5:]...)
				}
			case "PX":
				if n >= 8 && !e.dir {
					e.regular = binary.LittleEndian.Uint32(f[4:])&0o170000 == 0o100000
				}
			case "CE":
				if n >= ceLen {
					next = f
				}
			case "ST":
				su = nil
			}
		}
		if len(name) > maxNameBytes {
			return damaged("a name of more than %d bytes", maxNameBytes)
		}
		if next == nil {
			break
		}
		off := int64(binary.LittleEndian.Uint32(next[4:]))*SectorSize + int64(binary.LittleEndian.Uint32(next[12:]))
		length := int64(binary.LittleEndian.Uint32(next[20:]))
		if length > 4*SectorSize || !d.inside(off, length) {
			return damaged("Rock Ridge fields at an impossible place")
		}
		if d.contRead += max(length, 256); d.contRead > maxAllDirBytes {
			return damaged("more than %d bytes of Rock Ridge fields", int64(maxAllDirBytes))
		}
		su = make([]byte, length)
		if err := d.readAt(su, off); err != nil {
			return err
		}
	}
	if found {
		e.name = string(name)
	}
	return nil
}

// String says where the image is.
func (d *Reader) String() string { return d.name }

// Size is the size of the image in bytes.
func (d *Reader) Size() int64 { return d.size }

// List lists the files whose names begin with prefix, sorted.
func (d *Reader) List(_ context.Context, prefix string) ([]store.Info, error) {
	var list []store.Info
	for i := sort.SearchStrings(d.sorted, prefix); i < len(d.sorted) && strings.HasPrefix(d.sorted[i], prefix); i++ {
		list = append(list, store.Info{Name: d.sorted[i], Size: d.files[d.sorted[i]].size})
	}
	return list, nil
}

// Open opens a file of the image.
func (d *Reader) Open(_ context.Context, name string) (store.ReadFile, error) {
	f := d.files[name]
	if f == nil {
		return nil, fmt.Errorf("%s in %s: %w", name, d.name, store.ErrNotExist)
	}
	return &openFile{d: d, f: f, name: name}, nil
}

type openFile struct {
	d    *Reader
	f    *isoFile
	name string
}

func (o *openFile) Size() int64  { return o.f.size }
func (o *openFile) Close() error { return nil }

// ReadAt reads across the extents of the file.
func (o *openFile) ReadAt(p []byte, off int64) (int, error) {
	if off < 0 {
		return 0, fmt.Errorf("cannot read %s: negative offset", o.name)
	}
	done := 0
	for _, x := range o.f.extents {
		if off >= x.length {
			off -= x.length
			continue
		}
		k := min(int64(len(p)-done), x.length-off)
		if err := o.d.readAt(p[done:done+int(k)], x.offset+off); err != nil {
			return done, fmt.Errorf("cannot read %s in %s: %w", o.name, o.d.name, err)
		}
		done += int(k)
		off = 0
		if done == len(p) {
			return done, nil
		}
	}
	if done < len(p) {
		return done, io.EOF
	}
	return done, nil
}
