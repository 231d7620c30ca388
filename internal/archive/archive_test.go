package archive

import (
	"bytes"
	"crypto/sha256"
	"io"
	"maps"
	"slices"
	"strings"
	"testing"
)

func TestRoundTrip(t *testing.T) {
	for _, c := range []struct {
		name string
		opt  WriterOptions
	}{
		{"one volume", WriterOptions{Layout: []byte(`{"version":1}`)}},
		{"small frames", WriterOptions{FrameSize: 64 << 10, Workers: 3}},
		{"many volumes", WriterOptions{FrameSize: 64 << 10, VolumeSize: 100_000, Workers: 2}},
	} {
		t.Run(c.name, func(t *testing.T) {
			path, in := t.TempDir(), samples()
			m := write(t, path, in, c.opt)
			if c.opt.VolumeSize > 0 && len(m.Volumes) < 3 {
				t.Errorf("%d volumes", len(m.Volumes))
			}
			b := reopen(t, path)
			if err := b.CheckPresence(t.Context()); err != nil {
				t.Error(err)
			}
			if l, err := b.Layout(t.Context()); err != nil || !bytes.Equal(l, c.opt.Layout) {
				t.Errorf("Layout = %q, %v", l, err)
			}
			i := 0
			for it, err := range b.Entries(t.Context(), ReadOptions{}) {
				if err != nil {
					t.Fatal(err)
				}
				same(t, in[i], it.Entry, content(t, it))
				it.Release()
				i++
			}
			if i != len(in) {
				t.Errorf("%d entries of %d", i, len(in))
			}
			rep, err := b.Verify(t.Context(), nil)
			if err != nil || rep.Paths != int64(len(in)) || rep.Files != m.Counts.Kinds[File]-1 || rep.Volumes != int64(len(m.Volumes)) {
				t.Errorf("Verify = %+v, %v", rep, err)
			}
		})
	}
}

func same(t *testing.T, want sample, got *Entry, data []byte) {
	t.Helper()
	w := want.Entry
	if got.Name != w.Name || got.Kind != w.Kind || got.Mode != w.Mode || got.UID != w.UID || got.GID != w.GID ||
		got.User != w.User || got.Group != w.Group || got.Size != w.Size || got.Link != w.Link || got.Flags != w.Flags || got.Project != w.Project ||
		got.DevMajor != w.DevMajor || got.DevMinor != w.DevMinor || got.Problem != w.Problem || got.Unreadable != w.Unreadable ||
		!got.MTime.Equal(w.MTime) || !got.ATime.Equal(w.ATime) || !got.CTime.Equal(w.CTime) ||
		!maps.Equal(got.Xattrs, w.Xattrs) || !slices.Equal(got.Sparse, w.Sparse) || (got.Sparse == nil) != (w.Sparse == nil) {
		t.Errorf("got  %+v\nwant %+v", *got, w)
	}
	if !bytes.Equal(data, want.data) {
		t.Errorf("%s: content of %d bytes differs", Show(w.Name), len(data))
	}
	if w.Kind == File && !w.Unreadable {
		full := make([]byte, w.Size)
		if w.Sparse == nil {
			full = want.data
		}
		at := 0
		for _, x := range w.Sparse {
			at += copy(full[x.Offset:x.Offset+x.Length], want.data[at:])
		}
		if sha256.Sum256(full) != got.Hash {
			t.Errorf("%s: hash is not that of the file", Show(w.Name))
		}
	}
}

func TestOpenEntryAndSelect(t *testing.T) {
	path, in := t.TempDir(), samples()
	write(t, path, in, WriterOptions{FrameSize: 64 << 10, VolumeSize: 150_000})
	b := reopen(t, path)
	i := 0
	for e, err := range b.Catalogue(t.Context()) {
		if err != nil {
			t.Fatal(err)
		}
		if e.Kind == File && !e.Unreadable {
			r, err := b.OpenEntry(t.Context(), e)
			if err != nil {
				t.Fatal(err)
			}
			var got bytes.Buffer
			if err := copyVerified(&got, e, r); err != nil || !bytes.Equal(got.Bytes(), in[i].data) {
				t.Errorf("%s: %v", Show(e.Name), err)
			}
			r.Close()
		}
		i++
	}
	var names []string
	wanted := func(e *Entry) bool {
		return strings.HasSuffix(e.Name, "file") || e.Name == "d/large" || e.Name == "d/sock"
	}
	for it, err := range b.Entries(t.Context(), ReadOptions{Select: wanted}) {
		if err != nil {
			t.Fatal(err)
		}
		names = append(names, it.Entry.Name)
		if it.Entry.Name == "d/large" {
			h := NewHasher(it.Entry)
			if _, err := io.Copy(h, it.Content); err != nil || h.Check() != nil {
				t.Errorf("d/large: %v, %v", err, h.Check())
			}
		}
		it.Release()
	}
	if len(names) != 3 || names[0] != "d/large" || names[1] != "d/sock" {
		t.Errorf("selected %q", names)
	}
}

func TestFilesThatChange(t *testing.T) {
	path := t.TempDir()
	short, long := plain("short", []byte("abc")), plain("long", []byte("0123456789"))
	short.Size, long.Size = 200_000, 4
	m := write(t, path, []sample{short, long, plain("good", []byte("good"))}, WriterOptions{FrameSize: 64 << 10})
	if m.Warned != 2 || len(m.Warnings) != 2 || !strings.HasPrefix(m.Warnings[0].Problem, "changed while read") {
		t.Errorf("warnings: %+v", m.Warnings)
	}
	b := reopen(t, path)
	want := map[string]string{"short": "abc" + strings.Repeat("\x00", 199_997), "long": "0123", "good": "good"}
	for it, err := range b.Entries(t.Context(), ReadOptions{}) {
		if err != nil {
			t.Fatal(err)
		}
		if got := content(t, it); string(got) != want[it.Entry.Name] {
			t.Errorf("%s: %d bytes", it.Entry.Name, len(got))
		}
		if (it.Entry.Problem == "") != (it.Entry.Name == "good") {
			t.Errorf("%s: problem %q", it.Entry.Name, it.Entry.Problem)
		}
		it.Release()
	}
	if _, err := b.Verify(t.Context(), nil); err != nil {
		t.Error(err)
	}
}

func TestNormaliseSparse(t *testing.T) {
	for _, c := range []struct {
		size     int64
		in, want []Extent
	}{
		{4096, []Extent{}, []Extent{}},
		{4096, []Extent{{100, 10}}, []Extent{{0, 512}}},
		{5000, []Extent{{0, 1}, {512, 1}, {4900, 100}}, []Extent{{0, 1024}, {4608, 392}}},
		{700, []Extent{{600, 50}}, []Extent{{512, 188}}},
		{2048, []Extent{{0, 0}, {1024, 512}}, []Extent{{1024, 512}}},
	} {
		got, err := normaliseSparse(c.size, c.in)
		if err != nil || !slices.Equal(got, c.want) {
			t.Errorf("normaliseSparse(%d, %v) = %v, %v; want %v", c.size, c.in, got, err, c.want)
		}
	}
	many := make([]Extent, 3*maxExtents)
	for i := range many {
		many[i] = Extent{int64(i) * 1024, 512}
	}
	if got, err := normaliseSparse(int64(len(many))*1024, many); err != nil || len(got) > maxExtents {
		t.Errorf("%d extents, %v", len(got), err)
	}
}

// What the walker gives are extents as the file system reports them; their
// ends need not be at blocks.
func TestUnalignedExtents(t *testing.T) {
	path := t.TempDir()
	s := sample{Entry{Name: "f", Kind: File, Mode: 0o600, Size: 300_000, MTime: when, Sparse: []Extent{{100, 50}, {1000, 100}, {299_990, 10}}},
		[]byte(strings.Repeat("a", 50) + strings.Repeat("b", 100) + strings.Repeat("c", 10))}
	write(t, path, []sample{s}, WriterOptions{})
	full := make([]byte, s.Size)
	copy(full[100:], strings.Repeat("a", 50))
	copy(full[1000:], strings.Repeat("b", 100))
	copy(full[299_990:], strings.Repeat("c", 10))
	for e, err := range reopen(t, path).Catalogue(t.Context()) {
		if err != nil || e.Hash != sha256.Sum256(full) {
			t.Errorf("hash of %+v: %v", e, err)
		}
	}
}
