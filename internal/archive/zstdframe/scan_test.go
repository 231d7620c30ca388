package zstdframe

import (
	"bytes"
	"errors"
	"io"
	"testing"
)

// frames are some frames one after the other, as either implementation makes
// them, with what a seek table says of them.
func frames(t testing.TB) (all []byte, table []Entry) {
	t.Helper()
	pure, err := newGoCompressor(3)
	if err != nil {
		t.Fatal(err)
	}
	lib, err := NewEncoder(19)
	if err != nil {
		t.Fatal(err)
	}
	noise := make([]byte, 300_000)
	x := uint32(1)
	for i := range noise {
		x = x*1664525 + 1013904223
		noise[i] = byte(x >> 24)
	}
	for _, e := range []*Encoder{lib, {c: pure}} {
		for _, c := range append(contents()[1:], noise, noise[:255], noise[:256], noise[:70_000]) {
			frame, sum, err := e.Encode(nil, c)
			if err != nil {
				t.Fatal(err)
			}
			all = append(all, frame...)
			table = append(table, Entry{uint32(len(frame)), uint32(len(c)), sum})
		}
	}
	return all, table
}

func TestFramesAreFoundWithoutSeekTable(t *testing.T) {
	all, table := frames(t)
	at := int64(0)
	for i, want := range table {
		if got, err := At(bytes.NewReader(all), at, int64(len(all))); err != nil || got != want {
			t.Errorf("frame %d at %d: %+v, %v, want %+v", i, at, got, err, want)
		}
		at += int64(want.Compressed)
	}
	// Behind them comes the seek table, which is no frame.
	all = AppendTable(all, table)
	if e, err := At(bytes.NewReader(all), at, int64(len(all))); !errors.Is(err, ErrFrame) {
		t.Errorf("the seek table is called a frame: %+v, %v", e, err)
	}
}

// A frame that was cut is never taken for one, wherever the cut is; whether
// the size is known or only met does not matter.
func TestCutFramesAreNotFound(t *testing.T) {
	all, table := frames(t)
	at := int64(0)
	for _, e := range table {
		for _, n := range []int64{0, 1, 4, 5, 6, 8, 9, int64(e.Compressed) / 2, int64(e.Compressed) - 4, int64(e.Compressed) - 1} {
			for _, size := range []int64{at + n, int64(len(all))} {
				if got, err := At(bytes.NewReader(all[:at+n]), at, size); !errors.Is(err, ErrFrame) {
					t.Errorf("%d bytes of %d: %+v, %v", n, e.Compressed, got, err)
				}
			}
		}
		at += int64(e.Compressed)
	}
}

type brokenReader struct{}

var errWire = errors.New("the wire is cut")

func (brokenReader) ReadAt([]byte, int64) (int, error) { return 0, errWire }

func TestReadErrorsAreNotDamage(t *testing.T) {
	if _, err := At(brokenReader{}, 0, 1000); !errors.Is(err, errWire) || errors.Is(err, ErrFrame) {
		t.Errorf("got %v", err)
	}
}

func FuzzAt(f *testing.F) {
	all, table := frames(f)
	f.Add(all[:table[0].Compressed])
	f.Fuzz(func(t *testing.T, b []byte) {
		e, err := At(bytes.NewReader(b), 0, int64(len(b)))
		if err != nil {
			if !errors.Is(err, ErrFrame) || errors.Is(err, io.EOF) {
				t.Fatal(err)
			}
			return
		}
		if e.Compressed < 12 || int64(e.Compressed) > int64(len(b)) || e.Content > MaxContent {
			t.Fatalf("%+v of %d bytes", e, len(b))
		}
	})
}
