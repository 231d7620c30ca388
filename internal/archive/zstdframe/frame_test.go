package zstdframe

import (
	"bytes"
	"errors"
	"os/exec"
	"slices"
	"testing"
)

func contents() [][]byte {
	text := bytes.Repeat([]byte("some text that repeats; "), 20_000)
	return [][]byte{{}, {1}, text, bytes.Repeat([]byte{0}, 4<<20)}
}

// Each implementation reads what the other wrote, and the zstd program both.
func TestImplementationsAgree(t *testing.T) {
	lib, err := NewEncoder(3)
	if err != nil {
		t.Fatal(err)
	}
	pure, err := newGoCompressor(3)
	if err != nil {
		t.Fatal(err)
	}
	d1, err := NewDecoder()
	if err != nil {
		t.Fatal(err)
	}
	pd, err := newGoDecompressor()
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range []*Encoder{lib, {c: pure}} {
		var buf []byte
		for _, want := range contents() {
			frame, sum, err := e.Encode(buf, want)
			if err != nil {
				t.Fatal(err)
			}
			for _, d := range []*Decoder{d1, {d: pd}} {
				got := make([]byte, len(want))
				if err := d.Decode(got, frame, sum); err != nil || !bytes.Equal(got, want) {
					t.Errorf("%T to %T, %d bytes: %v", e.c, d.d, len(want), err)
				}
				if err := d.Decode(make([]byte, len(want)+1), frame, sum); !errors.Is(err, ErrFrame) {
					t.Errorf("%T: content shorter than expected: %v", d.d, err)
				}
				if len(want) > 1 {
					if err := d.Decode(make([]byte, len(want)-1), frame, sum); !errors.Is(err, ErrFrame) {
						t.Errorf("%T: content longer than expected: %v", d.d, err)
					}
				}
				if err := d.Decode(got, frame, sum+1); !errors.Is(err, ErrFrame) {
					t.Errorf("%T: wrong checksum: %v", d.d, err)
				}
			}
			cmd := exec.Command("zstd", "-dc")
			cmd.Stdin = bytes.NewReader(frame)
			if out, err := cmd.Output(); err != nil || !bytes.Equal(out, want) {
				t.Errorf("zstd reads %d bytes of %d: %v", len(out), len(want), err)
			}
		}
	}
}

func TestChecksumIsInTheFrame(t *testing.T) {
	e, err := NewEncoder(DefaultLevel)
	if err != nil {
		t.Fatal(err)
	}
	frame, _, err := e.Encode(nil, []byte("content"))
	if err != nil {
		t.Fatal(err)
	}
	frame[len(frame)-1] ^= 1
	cmd := exec.Command("zstd", "-t")
	cmd.Stdin = bytes.NewReader(frame)
	if err := cmd.Run(); err == nil {
		t.Error("zstd did not see the wrong checksum")
	}
}

func TestLevels(t *testing.T) {
	for _, l := range []int{0, 20, -1} {
		if _, err := NewEncoder(l); err == nil {
			t.Errorf("level %d was accepted", l)
		}
	}
	var sizes []int
	for _, l := range []int{1, 19} {
		e, err := NewEncoder(l)
		if err != nil {
			t.Fatal(err)
		}
		frame, _, err := e.Encode(nil, contents()[2])
		if err != nil {
			t.Fatal(err)
		}
		sizes = append(sizes, len(frame))
	}
	if sizes[0] <= sizes[1] {
		t.Errorf("level 1 and 19 give %v bytes", sizes)
	}
}

func TestSeekTable(t *testing.T) {
	want := []Entry{{100, 200, 0xdeadbeef}, {1, 1, 2}}
	b := AppendTable(nil, want)
	if int64(len(b)) != TableLen(len(want)) {
		t.Errorf("%d bytes, TableLen says %d", len(b), TableLen(len(want)))
	}
	if n, err := TableSize(b[len(b)-FooterSize:]); err != nil || n != int64(len(b)) {
		t.Errorf("TableSize = %d, %v", n, err)
	}
	if got, err := ParseTable(b); err != nil || !slices.Equal(got, want) {
		t.Errorf("ParseTable = %v, %v", got, err)
	}
	cmd := exec.Command("zstd", "-dc") // standard tools pass over it
	cmd.Stdin = bytes.NewReader(b)
	if out, err := cmd.Output(); err != nil || len(out) != 0 {
		t.Errorf("zstd: %q, %v", out, err)
	}
}

func FuzzParseTable(f *testing.F) {
	f.Add(AppendTable(nil, nil))
	f.Add(AppendTable(nil, []Entry{{100, 200, 3}}))
	f.Fuzz(func(t *testing.T, b []byte) {
		table, err := ParseTable(b)
		if err != nil {
			if !errors.Is(err, ErrFrame) {
				t.Fatal(err)
			}
			return
		}
		if !bytes.Equal(AppendTable(nil, table), b) {
			t.Fatalf("%v is not written as it was read", table)
		}
	})
}

func FuzzDecode(f *testing.F) {
	e, err := NewEncoder(1)
	if err != nil {
		f.Fatal(err)
	}
	frame, sum, err := e.Encode(nil, []byte("hello hello hello hello"))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(frame, sum, uint16(23))
	d, err := NewDecoder()
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, b []byte, sum uint32, n uint16) {
		content := make([]byte, n)
		if err := d.Decode(content, b, sum); err == nil && Checksum(content) != sum {
			t.Fatal("accepted a content with another checksum")
		} else if err != nil && !errors.Is(err, ErrFrame) {
			t.Fatal(err)
		}
	})
}
