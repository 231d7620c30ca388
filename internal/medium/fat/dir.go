package fat

import (
	"encoding/binary"
	"errors"
	"fmt"
	"strings"
	"time"
	"unicode/utf16"
	"unicode/utf8"
)

const (
	attrVolume  = 0x08
	attrDir     = 0x10
	attrArchive = 0x20
	attrLong    = 0x0F
	longChars   = 13 // of a name in one long-name entry
)

// dir is a directory to be written; entries are in the order of names.
type dir struct {
	entries []*entry
}

type entry struct {
	name  string
	short [11]byte
	long  bool // needs long-name entries
	sub   *dir // nil: a file
	data  []byte
}

// add adds a file and the directories on its way.
func (d *dir) add(f File) error {
	parts := strings.Split(f.Name, "/")
	for i, p := range parts {
		if err := checkName(p); err != nil {
			return err
		}
		e := d.find(p)
		last := i == len(parts)-1
		switch {
		case e != nil && (last || e.sub == nil):
			return fmt.Errorf("%s is there already", strings.Join(parts[:i+1], "/"))
		case e == nil:
			e = &entry{name: p}
			if last {
				e.data = f.Data
			} else {
				e.sub = &dir{}
			}
			if err := d.giveShort(e); err != nil {
				return err
			}
			d.entries = append(d.entries, e)
		}
		d = e.sub
	}
	return nil
}

func (d *dir) find(name string) *entry {
	for _, e := range d.entries {
		if strings.EqualFold(e.name, name) { // FAT does not tell cases apart
			return e
		}
	}
	return nil
}

func checkName(p string) error {
	switch {
	case p == "" || p == "." || p == "..":
		return errors.New("a name is relative, without empty, . and .. parts")
	case !utf8.ValidString(p) || strings.ContainsAny(p, "\"*:<>?\\|\x7f") || strings.IndexFunc(p, func(r rune) bool { return r < 0x20 }) >= 0:
		return fmt.Errorf("FAT cannot have the name %q", p)
	case strings.HasSuffix(p, ".") || strings.HasSuffix(p, " "):
		return fmt.Errorf("FAT cannot have the name %q: it ends in a dot or space", p)
	case len(utf16.Encode([]rune(p))) > 255:
		return errors.New("a part of the name has more than 255 characters")
	}
	return nil
}

// giveShort finds the 8.3 name of e, with ~N where the name does not fit.
func (d *dir) giveShort(e *entry) error {
	base, ext := strings.ToUpper(e.name), ""
	if i := strings.LastIndexByte(base, '.'); i > 0 {
		base, ext = base[:i], base[i+1:]
	}
	clean := func(s string) string {
		return strings.Map(func(r rune) rune {
			switch {
			case r >= 'A' && r <= 'Z', r >= '0' && r <= '9', strings.ContainsRune("!#$%&'()-@^_`{}~", r):
				return r
			case r == ' ' || r == '.':
				return -1
			}
			return '_'
		}, s)
	}
	cb, ce := clean(base), clean(ext)
	e.long = cb != base || ce != ext || len(cb) > 8 || len(ce) > 3 || e.name != strings.ToUpper(e.name)
	exact := cb == base && ce == ext && len(cb) <= 8 && len(ce) <= 3
	ce = ce[:min(len(ce), 3)]
	for n := range 100000 {
		tail := ""
		if n > 0 || !exact {
			tail = fmt.Sprintf("~%d", n+1)
		}
		b := cb[:min(len(cb), 8-len(tail))] + tail
		copy(e.short[:], fmt.Sprintf("%-8s%-3s", b, ce))
		taken := false
		for _, o := range d.entries {
			taken = taken || o.short == e.short
		}
		if !taken {
			return nil
		}
	}
	return errors.New("too many files with similar names")
}

// size is the directory's size in bytes, for a subdirectory with . and ..
func (d *dir) size(top bool) int {
	n := 2
	if top {
		n = 1 // the label
	}
	for _, e := range d.entries {
		n++
		if e.long {
			n += (len(utf16.Encode([]rune(e.name))) + longChars - 1) / longChars
		}
	}
	return n * entrySize
}

// clusters is what everything below d takes; a fixed root directory takes none.
func (d *dir) clusters(size int, rootInData bool) int {
	n := 0
	if rootInData {
		n = max((d.size(true)+size-1)/size, 1)
	}
	for _, e := range d.entries {
		if e.sub != nil {
			n += (e.sub.size(false)+size-1)/size + e.sub.clusters(size, false)
		} else {
			n += (len(e.data) + size - 1) / size
		}
	}
	return n
}

// files writes root and everything below.
func (im *image) files(root *dir) {
	if im.bits == 32 {
		first := im.take(root.size(true))
		im.fill(first, im.encodeDir(root, first, 0, true))
		return
	}
	copy(im.b[(im.dataStart()-im.rootLen)*sectorSize:], im.encodeDir(root, 0, 0, true))
}

// encodeDir writes what d holds and returns d's own bytes.
func (im *image) encodeDir(d *dir, self, parent uint32, top bool) []byte {
	var b []byte
	if top {
		if im.opt.Label != "" {
			var name [11]byte
			copy(name[:], fmt.Sprintf("%-11s", im.opt.Label))
			b = append(b, im.shortEntry(name, attrVolume, 0, 0)...)
		}
	} else {
		b = append(b, im.shortEntry([11]byte([]byte(".          ")), attrDir, self, 0)...)
		b = append(b, im.shortEntry([11]byte([]byte("..         ")), attrDir, parent, 0)...)
	}
	for _, e := range d.entries {
		var first uint32
		attr, size := byte(attrArchive), len(e.data)
		if e.sub != nil {
			attr, size = attrDir, 0
			first = im.take(e.sub.size(false))
			up := self
			if top {
				up = 0 // the root is 0 in .., also on FAT32
			}
			im.fill(first, im.encodeDir(e.sub, first, up, false))
		} else {
			first = im.put(e.data)
		}
		if e.long {
			b = append(b, longEntries(e)...)
		}
		b = append(b, im.shortEntry(e.short, attr, first, uint32(size))...)
	}
	return b
}

func (im *image) shortEntry(name [11]byte, attr byte, first, size uint32) []byte {
	b := make([]byte, entrySize)
	copy(b, name[:])
	b[11] = attr
	t := im.opt.Time.UTC()
	if t.Year() < 1980 {
		t = time.Date(1980, 1, 1, 0, 0, 0, 0, time.UTC)
	}
	date := uint16(min(t.Year()-1980, 127)<<9 | int(t.Month())<<5 | t.Day())
	clock := uint16(t.Hour()<<11 | t.Minute()<<5 | t.Second()/2)
	binary.LittleEndian.PutUint16(b[14:], clock)
	binary.LittleEndian.PutUint16(b[16:], date)
	binary.LittleEndian.PutUint16(b[18:], date)
	binary.LittleEndian.PutUint16(b[20:], uint16(first>>16))
	binary.LittleEndian.PutUint16(b[22:], clock)
	binary.LittleEndian.PutUint16(b[24:], date)
	binary.LittleEndian.PutUint16(b[26:], uint16(first))
	binary.LittleEndian.PutUint32(b[28:], size)
	return b
}

// longEntries are the entries before the short one, the last part first.
func longEntries(e *entry) []byte {
	var sum byte
	for _, c := range e.short {
		sum = sum>>1 | sum<<7
		sum += c
	}
	name := utf16.Encode([]rune(e.name))
	if len(name)%longChars != 0 {
		name = append(name, 0)
		for len(name)%longChars != 0 {
			name = append(name, 0xFFFF)
		}
	}
	var b []byte
	places := [longChars]int{1, 3, 5, 7, 9, 14, 16, 18, 20, 22, 24, 28, 30}
	count := len(name) / longChars
	for i := count - 1; i >= 0; i-- {
		x := make([]byte, entrySize)
		x[0] = byte(i + 1)
		if i == count-1 {
			x[0] |= 0x40
		}
		x[11], x[13] = attrLong, sum
		for k, at := range places {
			binary.LittleEndian.PutUint16(x[at:], name[i*longChars+k])
		}
		b = append(b, x...)
	}
	return b
}
