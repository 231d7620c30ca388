package iso9660

import (
	"bufio"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"sort"
	"strings"

	"github.com/mkcdrec/mkcdrec/internal/fail"
)

// Names that a Report gives to what belongs to no file.
const (
	PartHead = "boot sectors and volume descriptors"
	PartGaps = "unused space between files"
	PartTail = "directories and path tables"
)

// Report is what a check of an image found.
type Report struct {
	Files int   `json:"files"` // whose SHA-256 was compared
	Bytes int64 `json:"bytes"` // read
	// Damaged names the files and parts that are not as they were written;
	// Missing those that SHA256SUMS lists and that are not there; Unlisted
	// those that are there and that it does not list.
	Damaged  []string `json:"damaged,omitempty"`
	Missing  []string `json:"missing,omitempty"`
	Unlisted []string `json:"unlisted,omitempty"`
	// Signed says that the parts outside of files were compared, too: images
	// that this package wrote have digests of them.
	Signed bool `json:"signed"`
}

// OK says that something was compared and nothing was wrong.
func (r Report) OK() bool {
	return r.Files > 0 && len(r.Damaged)+len(r.Missing)+len(r.Unlisted) == 0
}

// Err is nil for a report that is OK, else an error of kind fail.Damaged that
// names what is wrong.
func (r Report) Err() error {
	if r.OK() {
		return nil
	}
	var parts []string
	for _, l := range []struct {
		what  string
		names []string
	}{{"damaged", r.Damaged}, {"missing", r.Missing}, {"not in " + SumsName, r.Unlisted}} {
		if n := len(l.names); n > 10 {
			parts = append(parts, fmt.Sprintf("%s: %s and %d more", l.what, strings.Join(l.names[:10], ", "), n-10))
		} else if n > 0 {
			parts = append(parts, l.what+": "+strings.Join(l.names, ", "))
		}
	}
	if len(parts) == 0 {
		parts = []string{"there was no file to compare"}
	}
	return fail.New(fail.Damaged, "the medium is not as it was written: %s", strings.Join(parts, "; "))
}

// Verify reads the whole image once, from front to back, and compares every
// file with SHA256SUMS and every byte outside of files with the digests in the
// descriptor. progress, if not nil, is called with the bytes read so far. The
// error is about reading; what was found is in the report.
func (d *Reader) Verify(ctx context.Context, progress func(done, total int64)) (Report, error) {
	return d.VerifyBut(ctx, nil, progress)
}

// VerifyBut is Verify without reading the files in known, which the caller
// reads and compares with the SHA-256 given there: SHA256SUMS must have the same.
func (d *Reader) VerifyBut(ctx context.Context, known map[string][]byte, progress func(done, total int64)) (Report, error) {
	want, err := d.sums(ctx)
	if err != nil {
		return Report{}, err
	}
	v := &verifier{d: d, ctx: ctx, known: known, total: d.size, progress: progress, gaps: sha256.New(), got: map[string]hash.Hash{}}
	if total := v.layOut(); total > 2*d.size {
		return Report{}, damaged("its files have %d bytes in all, the image %d", total, d.size)
	}
	sign := d.signature(v.pieces)
	if err := v.run(sign); err != nil {
		return v.report, err
	}
	r := &v.report
	bad := map[string]bool{}
	for _, n := range v.unreadable {
		bad[n] = true
	}
	for name := range want {
		h := v.got[name]
		switch {
		case d.files[name] == nil:
			r.Missing = append(r.Missing, name)
			continue
		case known[name] != nil:
			if !bytes.Equal(known[name], want[name]) {
				bad[SumsName] = true
			}
			continue
		case h == nil: // an empty file has no piece
			h = sha256.New()
		}
		r.Files++
		if !bytes.Equal(h.Sum(nil), want[name]) {
			bad[name] = true
		}
	}
	for _, name := range d.sorted {
		if want[name] == nil && name != SumsName {
			r.Unlisted = append(r.Unlisted, name)
		}
	}
	if sign != nil {
		r.Signed = true
		v.compareParts(sign, bad)
	}
	for n := range bad {
		r.Damaged = append(r.Damaged, n)
	}
	sort.Strings(r.Damaged)
	sort.Strings(r.Missing)
	return v.report, nil
}

// sums reads SHA256SUMS.
func (d *Reader) sums(ctx context.Context) (map[string][]byte, error) {
	f, err := d.Open(ctx, SumsName)
	if err != nil {
		return nil, fail.New(fail.Damaged, "cannot check %s: it has no %s", d.name, SumsName)
	}
	if f.Size() > maxAllDirBytes {
		return nil, damaged("%s is impossibly large", SumsName)
	}
	want := map[string][]byte{}
	sc := bufio.NewScanner(io.NewSectionReader(f, 0, f.Size()))
	for sc.Scan() {
		line := sc.Text()
		escaped := strings.HasPrefix(line, `\`)
		line = strings.TrimPrefix(line, `\`)
		sum, name, ok := strings.Cut(line, "  ")
		b, err := hex.DecodeString(sum)
		if !ok || err != nil || len(b) != sha256.Size {
			// One damaged line must not hide the state of the other files.
			continue
		}
		if escaped {
			name = strings.NewReplacer(`\\`, `\`, `\n`, "\n", `\r`, "\r").Replace(name)
		}
		want[name] = b
	}
	if err := sc.Err(); err != nil {
		return nil, fmt.Errorf("cannot read %s of %s: %w", SumsName, d.name, err)
	}
	return want, nil
}

// piece is a run of the image: part of a file, or of what is between files.
type piece struct {
	offset, length int64
	file           string // "" for a gap
}

type verifier struct {
	d          *Reader
	ctx        context.Context
	known      map[string][]byte
	total      int64 // bytes to read
	progress   func(done, total int64)
	pieces     []piece
	gaps       hash.Hash
	got        map[string]hash.Hash
	unreadable []string
	parts      map[string][]byte
	report     Report
}

// layOut lists the files' extents in the order of the image and returns their
// length in all.
func (v *verifier) layOut() int64 {
	total := int64(0)
	for _, n := range v.d.sorted {
		for _, x := range v.d.files[n].extents {
			if x.length > 0 {
				v.pieces = append(v.pieces, piece{x.offset, x.length, n})
				total += x.length
				if v.known[n] != nil {
					v.total -= x.length
				}
			}
		}
	}
	sort.SliceStable(v.pieces, func(i, j int) bool { return v.pieces[i].offset < v.pieces[j].offset })
	return total
}

// signature are the digests of an image that this package wrote.
type signature struct {
	sums, gaps, tail, head []byte
	tailAt                 int64 // in bytes
}

// signature reads the digests from the descriptor, nil where there are none
// or the image does not have our layout.
func (d *Reader) signature(pieces []piece) *signature {
	b := d.app
	if len(b) < signLen || string(b[:len(signMark)]) != signMark {
		return nil
	}
	b = b[len(signMark):]
	s := &signature{tailAt: int64(binary.LittleEndian.Uint64(b)), sums: b[8:40], gaps: b[40:72], tail: b[72:104], head: b[104:136]}
	end := int64(firstDataSector * SectorSize)
	for _, p := range pieces {
		if p.offset < end { // files overlap, or lie in the head
			return nil
		}
		end = p.offset + p.length
	}
	if s.tailAt < end || s.tailAt > d.size {
		return nil
	}
	return s
}

// run reads everything. A file that cannot be read is damaged; the reading
// goes on behind it.
func (v *verifier) run(s *signature) error {
	v.parts = map[string][]byte{}
	if s == nil { // a foreign image: the files alone
		for _, p := range v.pieces {
			if err := v.read(p, v.hashOf(p.file)); err != nil {
				return err
			}
		}
		return nil
	}
	head := make([]byte, firstDataSector*SectorSize)
	if err := v.d.readAt(head, 0); err != nil {
		return err
	}
	v.report.Bytes += int64(len(head))
	sum := head[signAt+signLen-sha256.Size : signAt+signLen]
	clear(sum)
	h := sha256.Sum256(head)
	v.parts[PartHead] = h[:]
	at := int64(len(head))
	for _, p := range v.pieces {
		if err := errors.Join(v.read(piece{offset: at, length: p.offset - at}, v.gaps), v.read(p, v.hashOf(p.file))); err != nil {
			return err
		}
		at = p.offset + p.length
	}
	if err := v.read(piece{offset: at, length: s.tailAt - at}, v.gaps); err != nil {
		return err
	}
	tail := sha256.New()
	if err := v.read(piece{offset: s.tailAt, length: v.d.size - s.tailAt}, tail); err != nil {
		return err
	}
	v.parts[PartGaps], v.parts[PartTail] = v.gaps.Sum(nil), tail.Sum(nil)
	return nil
}

func (v *verifier) hashOf(name string) hash.Hash {
	if v.got[name] == nil {
		v.got[name] = sha256.New()
	}
	return v.got[name]
}

// read feeds one piece to h.
func (v *verifier) read(p piece, h hash.Hash) error {
	if v.known[p.file] != nil {
		return nil
	}
	buf := make([]byte, min(p.length, chunk))
	for off := int64(0); off < p.length; {
		if err := v.ctx.Err(); err != nil {
			return err
		}
		b := buf[:min(int64(len(buf)), p.length-off)]
		if err := v.d.readAt(b, p.offset+off); err != nil {
			name := p.file
			if name == "" {
				name = PartGaps
			}
			v.unreadable = append(v.unreadable, name)
			return nil
		}
		h.Write(b)
		off += int64(len(b))
		v.report.Bytes += int64(len(b))
		if v.progress != nil {
			v.progress(v.report.Bytes, v.total)
		}
	}
	return nil
}

// compareParts adds the parts whose digests differ. Damage to the digests
// themselves shows as damage of the head, which holds them.
func (v *verifier) compareParts(s *signature, bad map[string]bool) {
	if !bytes.Equal(v.parts[PartHead], s.head) {
		bad[PartHead] = true
	}
	if !bytes.Equal(v.hashOf(SumsName).Sum(nil), s.sums) {
		bad[SumsName] = true
	}
	if !bytes.Equal(v.parts[PartGaps], s.gaps) {
		bad[PartGaps] = true
	}
	if !bytes.Equal(v.parts[PartTail], s.tail) {
		bad[PartTail] = true
	}
}
