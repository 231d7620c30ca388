package archive

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/mkcdrec/mkcdrec/internal/fail"
	"github.com/mkcdrec/mkcdrec/internal/store"
)

// scratched is a store with bad sectors: a range of one file cannot be read.
type scratched struct {
	store.Store
	file     string
	from, to int64
}

type scratchedFile struct {
	store.ReadFile
	s *scratched
}

func (s *scratched) Open(ctx context.Context, name string) (store.ReadFile, error) {
	f, err := s.Store.Open(ctx, name)
	if err != nil || path.Base(name) != s.file {
		return f, err
	}
	return &scratchedFile{f, s}, nil
}

func (f *scratchedFile) ReadAt(p []byte, off int64) (int, error) {
	if off+int64(len(p)) <= f.s.from || off >= f.s.to {
		return f.ReadFile.ReadAt(p, off)
	}
	n, err := f.ReadFile.ReadAt(p[:max(f.s.from-off, 0)], off)
	if err == nil {
		err = fmt.Errorf("%w: input/output error", store.ErrUnreadable)
	}
	return n, err
}

func openScratched(t *testing.T, path, file string, from, to int64) *Backup {
	t.Helper()
	b, err := Open(t.Context(), &scratched{open(t, path), file, from, to}, "b")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { b.Close() })
	return b
}

// Bad sectors cost the files that lie on them, and those are named; of the
// seek table they cost nothing.
func TestBadSectorsOfAVolume(t *testing.T) {
	path := t.TempDir()
	in := cutSamples()
	m := write(t, path, in, WriterOptions{FrameSize: 64 << 10})
	places, err := reopen(t, path).index(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	size := m.Volumes[0].Size
	some := 0
	for from := int64(0); from < size; from += 37 << 10 {
		to := min(from+2048, size)
		b := openScratched(t, path, volumeName(1), from, to)
		wantGood, wantLost := split(t, b, places, func(n int64) bool {
			return places[n].offset < to && places[n].offset+int64(places[n].compressed) > from
		})
		some += min(len(wantLost), 1)
		rep, err := b.Verify(t.Context(), nil)
		if fail.KindOf(err) != fail.Damaged || !slices.Equal(rep.Lost, wantLost) {
			t.Errorf("bytes %d to %d: Verify: %v, lost %q, want %q", from, to, err, rep.Lost, wantLost)
		}
		good, lost, err := readAll(b, ReadOptions{SkipDamaged: true})
		slices.Sort(good)
		slices.Sort(wantGood)
		if fail.KindOf(err) != fail.Damaged || err == nil || !strings.Contains(err.Error(), "cannot read "+volumeName(1)) {
			t.Errorf("bytes %d to %d: %v", from, to, err)
		}
		if !slices.Equal(good, wantGood) || !slices.Equal(lost, wantLost) {
			t.Errorf("bytes %d to %d of %d: read %q,\nlost %q,\nwant %q", from, to, size, good, lost, wantLost)
		}
		if _, _, err := readAll(b, ReadOptions{}); fail.KindOf(err) != fail.Damaged || err == nil {
			t.Errorf("bytes %d to %d: strict read: %v", from, to, err)
		}
	}
	if some < 10 {
		t.Errorf("only %d places lost something", some)
	}
	good, lost, err := readAll(openScratched(t, path, volumeName(1), size-50, size), ReadOptions{SkipDamaged: true})
	if fail.KindOf(err) != fail.Damaged || len(good) != len(in) || len(lost) > 0 {
		t.Errorf("without the seek table: %d good, lost %q, %v", len(good), lost, err)
	}
}

// Of a catalogue that was cut, or has bad sectors, what is left is used; that
// the rest is not known is said, with its number, and nothing calls it good.
func TestCutCatalogue(t *testing.T) {
	root := t.TempDir()
	var in []sample
	for i := range 9000 { // of more records than one block of zstd holds
		in = append(in, plain(fmt.Sprintf("d/%04d-%x", i, noise(uint64(i), 12)), noise(uint64(i), 20)))
	}
	write(t, root, in, WriterOptions{FrameSize: 64 << 10})
	file := filepath.Join(root, "b", CatalogueName)
	whole, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	check := func(what string, b *Backup, least, most int) {
		t.Helper()
		good, lost, err := readAll(b, ReadOptions{SkipDamaged: true})
		if len(lost) > 0 || len(good) < least || len(good) > most {
			t.Errorf("%s: %d good, lost %q", what, len(good), lost)
		}
		for i, name := range good {
			if name != in[i].Name {
				t.Fatalf("%s: %s is in the place of %s", what, name, in[i].Name)
			}
		}
		rest := fmt.Sprintf("%d of all 9000 paths not known", len(in)-len(good))
		if fail.KindOf(err) != fail.Damaged || err == nil || len(good) < len(in) && !strings.Contains(err.Error(), rest) {
			t.Errorf("%s: %v; it should say: %s", what, err, rest)
		}
		left := 0
		for _, err := range b.CatalogueLeft(t.Context()) {
			if err != nil {
				t.Errorf("%s: what is left ends with %v", what, err)
			}
			left++
		}
		if left != len(good) {
			t.Errorf("%s: %d records are left, %d paths were read", what, left, len(good))
		}
		picked, _, err := readAll(b, ReadOptions{SkipDamaged: true, Select: func(e *Entry) bool { return e.Name == in[3].Name }})
		if fail.KindOf(err) != fail.Damaged || err == nil || len(picked) != min(len(good)/4, 1) {
			t.Errorf("%s: picked %q, %v", what, picked, err)
		}
		if _, err := b.Verify(t.Context(), nil); fail.KindOf(err) != fail.Damaged || err == nil {
			t.Errorf("%s: Verify: %v", what, err)
		}
		if strict, _, err := readAll(b, ReadOptions{}); err == nil || fail.KindOf(err) != fail.Damaged || len(strict) > len(good) {
			t.Errorf("%s: strict read: %d, %v", what, len(strict), err)
		}
	}
	half := int64(len(whole) / 2)
	check("bad sectors", openScratched(t, root, CatalogueName, half, half+2048), 1000, 8000)
	for _, c := range []struct{ at, least, most int }{{0, 0, 0}, {10, 0, 0}, {len(whole) / 2, 1000, 8000}, {len(whole) - 1, 8000, 9000}} {
		if err := os.WriteFile(file, whole[:c.at], 0o600); err != nil {
			t.Fatal(err)
		}
		check(fmt.Sprintf("cut at %d", c.at), reopen(t, root), c.least, c.most)
	}
	if err := os.WriteFile(file, append(bytes.Clone(whole), 1), 0o600); err != nil {
		t.Fatal(err)
	}
	check("with a byte too much", reopen(t, root), 9000, 9000)
	if err := os.Remove(file); err != nil {
		t.Fatal(err)
	}
	check("missing", reopen(t, root), 0, 0)
}

// A store that goes while the catalogue is read is told apart, also where
// damage is passed over.
func TestCatalogueOfAStoreThatHasGone(t *testing.T) {
	path := t.TempDir()
	write(t, path, samples(), WriterOptions{})
	for n := range int64(12) {
		s := &flaky{Store: open(t, path)}
		s.left.Store(n)
		b, err := Open(t.Context(), s, "b")
		if err != nil {
			continue
		}
		if _, _, err := readAll(b, ReadOptions{SkipDamaged: true}); err != nil && fail.KindOf(err) == fail.Damaged {
			t.Errorf("after %d reads: %v is called damage", n, err)
		}
		for _, err := range b.CatalogueLeft(t.Context()) {
			if err != nil && fail.KindOf(err) == fail.Damaged {
				t.Errorf("after %d reads: %v is called damage", n, err)
			}
		}
		b.Close()
	}
}
