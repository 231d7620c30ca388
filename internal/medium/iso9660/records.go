package iso9660

import (
	"encoding/binary"
	"errors"
	"sort"
	"time"
)

// hierarchy is one of the two directory trees of an image: the primary one
// with Rock Ridge, or Joliet's. Both point at the same file contents.
type hierarchy struct {
	try       naming
	version   []byte // what a file's identifier ends in
	rockRidge bool
	time      time.Time

	dirs  []*dirLayout // in the order of the path table; the root first
	byDir map[*node]*dirLayout
	area  []byte // continuation areas, whole sectors; starts at areaAt
	// areaAt is the first sector of area, pathL and pathM those of the path tables.
	areaAt, pathL, pathM int64
	pathSize             int64
}

// dirLayout is one directory with its records; their places are filled in later.
type dirLayout struct {
	node    *node
	id      []byte
	parent  *dirLayout
	number  int // in the path table, from 1
	list    []named
	records []record
	lba     int64
	size    int64 // whole sectors
}

// record is one directory record. Its length does not depend on any address.
type record struct {
	id    []byte
	node  *node
	part  int    // which extent of the file
	susp  []byte // system use fields, with the CE entry last where cont is not empty
	cont  []byte // what goes into the continuation area
	where int64  // of cont within the area
}

const (
	recordHead = 33 // bytes of a directory record before the identifier
	ceLen      = 28
	maxRecord  = 254 // the length is a byte and even
)

func (r *record) length() int {
	n := recordHead + len(r.id)
	return n + n%2 + len(r.susp) + len(r.susp)%2
}

// parts is the number of directory records of a file.
func (n *node) parts() int {
	if n.isDir() || n.size <= maxExtent {
		return 1
	}
	return int((n.size + maxExtent - 1) / maxExtent)
}

// newHierarchy lays out the directories below root: which records they have
// and how long they are. Directories of any depth stand where they are, as
// mkisofs -D does it: every reader that matters follows them, and relocated
// ones would move the backup for readers without Rock Ridge.
func newHierarchy(root *node, h hierarchy) (*hierarchy, error) {
	h.byDir = map[*node]*dirLayout{}
	top := &dirLayout{node: root, id: []byte{0}}
	top.parent = top
	level := []*dirLayout{top}
	for len(level) > 0 {
		var below []*dirLayout
		for _, d := range level {
			h.dirs = append(h.dirs, d)
			d.number = len(h.dirs)
			h.byDir[d.node] = d
			d.list = d.node.sorted(h.try)
			h.fill(d)
			for _, c := range d.list {
				if c.node.isDir() {
					below = append(below, &dirLayout{node: c.node, id: c.id, parent: d})
				}
			}
		}
		level = below // already in the order parent's number, identifier
	}
	if len(h.dirs) > 0xFFFF {
		return nil, errors.New("cannot write the path table: more than 65535 directories")
	}
	for len(h.area)%SectorSize != 0 {
		h.area = append(h.area, 0)
	}
	for _, d := range h.dirs {
		n := int64(8 + len(d.id))
		h.pathSize += n + n%2
	}
	return &h, nil
}

// fill makes the records of d and its size.
func (h *hierarchy) fill(d *dirLayout) {
	root := d.parent == d
	d.records = append(d.records,
		h.record([]byte{0}, d.node, h.dots(d.node, root)),
		h.record([]byte{1}, d.parent.node, h.dots(d.parent.node, false)))
	for _, c := range d.list {
		id := c.id
		if !c.node.isDir() {
			id = append(id[:len(id):len(id)], h.version...)
		}
		for part := range c.node.parts() {
			r := h.record(id, c.node, h.rockRidgeOf(c.node))
			r.part = part
			d.records = append(d.records, r)
		}
	}
	at := 0
	for i := range d.records {
		n := d.records[i].length()
		if at%SectorSize+n > SectorSize { // a record does not cross a sector's end
			at += SectorSize - at%SectorSize
		}
		at += n
	}
	d.size = sectors(int64(at)) * SectorSize
}

// record splits system use fields between the record and, where they do not
// fit, the continuation area. The fields are given one by one.
func (h *hierarchy) record(id []byte, n *node, fields [][]byte) record {
	r := record{id: id, node: n}
	room := maxRecord - recordHead - len(id) - (recordHead+len(id))%2
	total := 0
	for _, f := range fields {
		total += len(f)
	}
	if total <= room {
		for _, f := range fields {
			r.susp = append(r.susp, f...)
		}
		return r
	}
	i := 0
	for ; i < len(fields) && len(r.susp)+len(fields[i]) <= room-ceLen; i++ {
		r.susp = append(r.susp, fields[i]...)
	}
	for _, f := range fields[i:] {
		r.cont = append(r.cont, f...)
	}
	r.susp = append(r.susp, make([]byte, ceLen)...)
	if left := SectorSize - len(h.area)%SectorSize; left < len(r.cont) {
		h.area = append(h.area, make([]byte, left)...)
	}
	r.where = int64(len(h.area))
	h.area = append(h.area, r.cont...)
	return r
}

// rockRidgeOf is NM, PX and TF of a file or directory.
func (h *hierarchy) rockRidgeOf(n *node) [][]byte {
	if !h.rockRidge {
		return nil
	}
	fields := [][]byte{px(n), tf(h.time)}
	const most = 250 // bytes of a name in one NM field
	for name := n.name; name != ""; {
		k := min(len(name), most)
		flags := byte(0)
		if k < len(name) {
			flags = 1 // CONTINUE
		}
		fields = append(fields, append([]byte{'N', 'M', byte(5 + k), 1, flags}, name[:k]...))
		name = name[k:]
	}
	return fields
}

// dots are the fields of the . and .. records; root is set for the . of the
// root, which says that Rock Ridge is in use at all.
func (h *hierarchy) dots(n *node, root bool) [][]byte {
	if !h.rockRidge {
		return nil
	}
	if !root {
		return [][]byte{px(n), tf(h.time)}
	}
	return [][]byte{{'S', 'P', 7, 1, 0xBE, 0xEF, 0}, px(n), tf(h.time), er()}
}

// px is the POSIX mode, link count and owner (RRIP 4.1.1, the 1991 form).
func px(n *node) []byte {
	mode, links := uint32(0o100444), uint32(1)
	if n.isDir() {
		mode, links = 0o040555, uint32(2+n.subdirs())
	}
	b := append([]byte{'P', 'X', 36, 1}, make([]byte, 32)...)
	both32(b[4:], mode)
	both32(b[12:], links)
	return b
}

// tf has the times of modification, access and attribute change (RRIP 4.1.6).
func tf(t time.Time) []byte {
	b := []byte{'T', 'F', 26, 1, 0x0E}
	s := shortTime(t)
	for range 3 {
		b = append(b, s[:]...)
	}
	return b
}

// er names the extension (RRIP 4.3).
func er() []byte {
	const (
		id     = "RRIP_1991A"
		descr  = "THE ROCK RIDGE INTERCHANGE PROTOCOL PROVIDES SUPPORT FOR POSIX FILE SYSTEM SEMANTICS"
		source = "PLEASE CONTACT DISC PUBLISHER FOR SPECIFICATION SOURCE.  SEE PUBLISHER IDENTIFIER IN PRIMARY VOLUME DESCRIPTOR FOR CONTACT INFORMATION."
	)
	b := []byte{'E', 'R', byte(8 + len(id) + len(descr) + len(source)), 1, byte(len(id)), byte(len(descr)), byte(len(source)), 1}
	return append(b, id+descr+source...)
}

// place gives everything an address from sector at on and returns the first
// sector behind.
func (h *hierarchy) place(at int64) int64 {
	for _, d := range h.dirs {
		d.lba = at
		at += d.size / SectorSize
	}
	h.areaAt = at
	at += int64(len(h.area)) / SectorSize
	h.pathL = at
	at += sectors(h.pathSize)
	h.pathM = at
	return at + sectors(h.pathSize)
}

// encode writes everything into image, which begins at sector base.
func (h *hierarchy) encode(image []byte, base int64) {
	at := func(lba int64) []byte { return image[(lba-base)*SectorSize:] }
	for _, d := range h.dirs {
		out := at(d.lba)
		pos := 0
		for i := range d.records {
			r := &d.records[i]
			n := r.length()
			if pos%SectorSize+n > SectorSize {
				pos += SectorSize - pos%SectorSize
			}
			h.encodeRecord(out[pos:pos+n], r)
			pos += n
		}
	}
	copy(at(h.areaAt), h.area)
	h.pathTable(at(h.pathL), binary.LittleEndian)
	h.pathTable(at(h.pathM), binary.BigEndian)
}

// encodeRecord writes one directory record (ECMA-119 9.1).
func (h *hierarchy) encodeRecord(b []byte, r *record) {
	var lba, size int64
	flags := byte(0)
	if r.node.isDir() {
		d := h.byDir[r.node]
		lba, size, flags = d.lba, d.size, flagDirectory
	} else {
		lba = r.node.lba + int64(r.part)*(maxExtent/SectorSize)
		size = r.node.size - int64(r.part)*maxExtent
		if size > maxExtent {
			size, flags = maxExtent, flagMultiExtent
		}
	}
	b[0] = byte(len(b))
	both32(b[2:], uint32(lba))
	both32(b[10:], uint32(size))
	t := shortTime(h.time)
	copy(b[18:], t[:])
	b[25] = flags
	both16(b[28:], 1)
	b[32] = byte(len(r.id))
	copy(b[recordHead:], r.id)
	n := recordHead + len(r.id)
	n += n % 2
	copy(b[n:], r.susp)
	if len(r.cont) > 0 {
		ce := b[n+len(r.susp)-ceLen:]
		copy(ce, []byte{'C', 'E', ceLen, 1})
		both32(ce[4:], uint32(h.areaAt+r.where/SectorSize))
		both32(ce[12:], uint32(r.where%SectorSize))
		both32(ce[20:], uint32(len(r.cont)))
	}
}

// pathTable writes a path table (ECMA-119 9.4).
func (h *hierarchy) pathTable(b []byte, order binary.ByteOrder) {
	for _, d := range h.dirs {
		b[0] = byte(len(d.id))
		order.PutUint32(b[2:], uint32(d.lba))
		order.PutUint16(b[6:], uint16(d.parent.number))
		copy(b[8:], d.id)
		n := 8 + len(d.id)
		b = b[n+n%2:]
	}
}

// volume is what the descriptors need to know of the finished layout.
type volume struct {
	primary, joliet *hierarchy
}

// tailPadding follows the directories: drives that read ahead do not run off
// the end of the disc (as mkisofs -pad), and the second GPT has its place in it.
const tailPadding = 150 * SectorSize

// layOut encodes what follows the last file.
func (w *Writer) layOut() ([]byte, volume, error) {
	p, err := newHierarchy(w.root, hierarchy{try: primaryName, version: []byte(";1"), rockRidge: true, time: w.opt.Time})
	if err != nil {
		return nil, volume{}, err
	}
	j, err := newHierarchy(w.root, hierarchy{try: jolietName, version: []byte("\x00;\x001"), time: w.opt.Time})
	if err != nil {
		return nil, volume{}, err
	}
	base := w.next / SectorSize
	end := j.place(p.place(base))
	if end > 1<<32-1 {
		return nil, volume{}, errors.New("cannot finish the image: it is larger than 8 TiB")
	}
	tail := make([]byte, (end-base)*SectorSize+tailPadding)
	p.encode(tail, base)
	j.encode(tail, base)
	sort.Slice(w.spans, func(a, b int) bool { return w.spans[a].offset < w.spans[b].offset })
	return tail, volume{p, j}, nil
}
