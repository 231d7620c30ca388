package archive

import (
	"errors"
	"testing"

	"github.com/mkcdrec/mkcdrec/internal/fail"
)

// sliceBlocks is a tar stream in memory.
type sliceBlocks struct{ b []byte }

func (s *sliceBlocks) take(n int) ([]byte, error) {
	if n > len(s.b) {
		return nil, errEnd
	}
	b := s.b[:n]
	s.b = s.b[n:]
	return b, nil
}

// Whatever is read is either refused as damage, or an entry that check
// accepts and that is written and read again the same.
func FuzzTarHeader(f *testing.F) {
	for _, s := range samples() {
		if !inTar(&s.Entry) {
			continue
		}
		var m []byte
		if s.Sparse != nil {
			m = appendSparseMap(nil, s.Size, s.Sparse)
		}
		f.Add(append(appendHeader(nil, &s.Entry, int64(len(m))+s.Entry.ContentSize()), m...))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		in := &sliceBlocks{b}
		h, err := readHeader(in)
		if err == nil && h.sparse {
			_, err = h.readSparseMap(in)
		}
		if err != nil {
			if !errors.Is(err, errTar) && !errors.Is(err, errEnd) {
				t.Fatalf("error is neither damage nor end: %v", err)
			}
			return
		}
		if h.end {
			return
		}
		if err := h.check(); err != nil {
			t.Fatalf("accepted %+v: %v", h.Entry, err)
		}
		var m []byte
		if h.sparse {
			m = appendSparseMap(nil, h.Size, h.Sparse)
		}
		again, err := readHeader(&sliceBlocks{append(appendHeader(nil, &h.Entry, int64(len(m))+h.Entry.ContentSize()), m...)})
		if err != nil {
			t.Fatalf("cannot read %+v again: %v", h.Entry, err)
		}
		if what := again.sameAs(&h.Entry); what != "" && what != "link" {
			t.Fatalf("%s differs:\n%+v\n%+v", what, again.Entry, h.Entry)
		}
	})
}

func FuzzRecord(f *testing.F) {
	for _, s := range samples() {
		line, err := appendRecordLine(nil, &s.Entry)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(line)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		e, err := parseRecord(b)
		if err != nil {
			return
		}
		line, err := appendRecordLine(nil, e)
		if err != nil {
			t.Fatal(err)
		}
		again, err := parseRecord(line)
		if err != nil || again.Name != e.Name || again.Link != e.Link || !again.MTime.Equal(e.MTime) || len(again.Xattrs) != len(e.Xattrs) {
			t.Fatalf("%+v\n%+v\n%v", again, e, err)
		}
	})
}

func FuzzManifest(f *testing.F) {
	m := &Manifest{Format: 1, FrameMax: 4096, Counts: Counts{Paths: 1, Kinds: map[Kind]int64{Dir: 1}}}
	b, err := encodeManifest(m)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(b)
	f.Add([]byte("{}"))
	f.Fuzz(func(t *testing.T, b []byte) {
		if _, err := decodeManifest(b); err != nil && fail.KindOf(err) != fail.Damaged && fail.KindOf(err) != fail.Unsupported {
			t.Fatalf("%v is no damage", err)
		}
	})
}
