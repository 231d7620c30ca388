package archive

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/mkcdrec/mkcdrec/internal/fail"
	"github.com/mkcdrec/mkcdrec/internal/store"
)

// readAll reads everything that a restore reads and checks contents.
func readAll(b *Backup, opt ReadOptions) (good, lost []string, err error) {
	for it, err := range b.Entries(context.Background(), opt) {
		if err != nil {
			return good, lost, err
		}
		bad := it.Lost
		if it.Content != nil {
			bad = copyVerified(io.Discard, it.Entry, it.Content)
		} else if it.Data != nil {
			bad = copyVerified(io.Discard, it.Entry, bytes.NewReader(it.Data))
		}
		it.Release()
		if bad != nil {
			lost = append(lost, it.Entry.Name)
		} else {
			good = append(good, it.Entry.Name)
		}
	}
	return good, lost, nil
}

// verifyPath opens and verifies as a user does.
func verifyPath(t *testing.T, path string) (*Report, error) {
	t.Helper()
	b, err := Open(t.Context(), open(t, path), "b")
	if err != nil {
		return nil, err
	}
	defer b.Close()
	return b.Verify(t.Context(), nil)
}

func TestEveryFlippedBitIsFound(t *testing.T) {
	path := t.TempDir()
	write(t, path, samples(), WriterOptions{FrameSize: 64 << 10, VolumeSize: 200_000, Layout: []byte("{}")})
	files, _ := filepath.Glob(filepath.Join(path, "b", "*"))
	if len(files) < 5 {
		t.Fatalf("files: %q", files)
	}
	for _, f := range files {
		info, err := os.Stat(f)
		if err != nil {
			t.Fatal(err)
		}
		step := max(info.Size()/40, 1)
		for at := int64(0); at < info.Size(); at += step {
			flip(t, f, at)
			if _, err := verifyPath(t, path); fail.KindOf(err) != fail.Damaged && fail.KindOf(err) != fail.Unsupported || err == nil {
				t.Errorf("bit in byte %d of %s: %v", at, filepath.Base(f), err)
			}
			flip(t, f, at)
		}
	}
	if _, err := verifyPath(t, path); err != nil {
		t.Errorf("after mending: %v", err)
	}
}

func TestDamagedFrameNamesItsFilesAndTheRestIsRead(t *testing.T) {
	path := t.TempDir()
	var in []sample
	for _, n := range []string{"a", "b", "c", "d", "e", "f"} {
		in = append(in, plain(n, noise(uint64(n[0]), 60_000)))
	}
	write(t, path, in, WriterOptions{FrameSize: 64 << 10})
	b := reopen(t, path)
	places, err := b.index(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	p := places[2]
	flip(t, filepath.Join(path, "b", volumeName(1)), p.offset+int64(p.compressed)/2)

	rep, err := b.Verify(t.Context(), nil)
	if fail.KindOf(err) != fail.Damaged || len(rep.Lost) == 0 || len(rep.Lost) > 3 {
		t.Errorf("Verify: %v, lost %q", err, rep.Lost)
	}
	if _, _, err := readAll(b, ReadOptions{}); fail.KindOf(err) != fail.Damaged {
		t.Errorf("strict read: %v", err)
	}
	good, lost, err := readAll(b, ReadOptions{SkipDamaged: true})
	if fail.KindOf(err) != fail.Damaged {
		t.Errorf("tolerant read: %v", err)
	}
	if !slices.Equal(lost, rep.Lost) || len(good)+len(lost) != len(in) {
		t.Errorf("good %q, lost %q, Verify says %q", good, lost, rep.Lost)
	}
}

func TestMissingCutAndMixedVolumes(t *testing.T) {
	opt := WriterOptions{FrameSize: 64 << 10, VolumeSize: 200_000}
	other := t.TempDir()
	in := samples()
	in[5].data = noise(99, len(in[5].data))
	write(t, other, in, opt)
	volume := func(path string) string { return filepath.Join(path, "b", volumeName(2)) }
	for _, c := range []struct {
		name string
		do   func(path string) error
		want string
	}{
		{"missing", func(p string) error { return os.Remove(volume(p)) }, "is missing"},
		{"cut", func(p string) error { return os.Truncate(volume(p), 100_000) }, "instead of"},
		{"empty", func(p string) error { return os.Truncate(volume(p), 0) }, "instead of"},
		{"of another backup", func(p string) error {
			b, err := os.ReadFile(volume(other))
			info, err2 := os.Stat(volume(p))
			if err := errors.Join(err, err2); err != nil {
				return err
			}
			// Of the same size, so that only the content can tell.
			b = append(b[:max(0, len(b)-int(info.Size()))], b...)
			return os.WriteFile(volume(p), b[len(b)-min(len(b), int(info.Size())):], 0o600)
		}, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			path := t.TempDir()
			write(t, path, samples(), opt)
			if err := c.do(path); err != nil {
				t.Fatal(err)
			}
			b := reopen(t, path)
			err := b.CheckPresence(t.Context())
			if fail.KindOf(err) != fail.Damaged || !strings.Contains(err.Error(), c.want) || !strings.Contains(err.Error(), "data.0002") {
				t.Errorf("CheckPresence: %v", err)
			}
			if _, err := verifyPath(t, path); fail.KindOf(err) != fail.Damaged {
				t.Errorf("Verify: %v", err)
			}
			good, lost, err := readAll(b, ReadOptions{SkipDamaged: true})
			if fail.KindOf(err) != fail.Damaged || len(lost) == 0 || len(good) < 5 {
				t.Errorf("tolerant read: %d good, lost %q, %v", len(good), lost, err)
			}
		})
	}
}

func TestNoManifestIsNoBackup(t *testing.T) {
	path := t.TempDir()
	write(t, path, samples(), WriterOptions{})
	if err := os.Remove(filepath.Join(path, "b", ManifestName)); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(t.Context(), open(t, path), "b"); fail.KindOf(err) != fail.Damaged || fail.HintOf(err) == "" {
		t.Errorf("Open: %v", err)
	}
	if l, err := List(t.Context(), open(t, path)); err != nil || len(l) != 0 {
		t.Errorf("List: %v, %v", l, err)
	}
}

// flaky fails as a network does, after some reads.
type flaky struct {
	store.Store
	left atomic.Int64
}

type flakyFile struct {
	store.ReadFile
	s *flaky
}

func (s *flaky) Open(ctx context.Context, name string) (store.ReadFile, error) {
	f, err := s.Store.Open(ctx, name)
	return &flakyFile{f, s}, err
}

func (f *flakyFile) ReadAt(p []byte, off int64) (int, error) {
	if f.s.left.Add(-1) < 0 {
		return 0, store.ErrUnreachable
	}
	return f.ReadFile.ReadAt(p, off)
}

func TestTransportErrorsAreNotDamage(t *testing.T) {
	path := t.TempDir()
	write(t, path, samples(), WriterOptions{FrameSize: 64 << 10})
	ended := false
	for n := 0; n < 60 && !ended; n++ {
		s := &flaky{Store: open(t, path)}
		s.left.Store(int64(n))
		b, err := Open(t.Context(), s, "b")
		if err != nil {
			if fail.KindOf(err) == fail.Damaged {
				t.Errorf("after %d reads: %v is called damage", n, err)
			}
			continue
		}
		_, err = b.Verify(t.Context(), nil)
		if err == nil {
			ended = true
		} else if fail.KindOf(err) == fail.Damaged || !errors.Is(err, store.ErrUnreachable) {
			t.Errorf("after %d reads: %v is called damage", n, err)
		}
		b.Close()
	}
	if !ended {
		t.Error("no run came to its end")
	}
}

// full has no space left after some bytes.
type full struct {
	store.Store
	left int64
}

type fullFile struct {
	store.WriteFile
	s *full
}

func (s *full) Create(ctx context.Context, name string) (store.WriteFile, error) {
	f, err := s.Store.Create(ctx, name)
	return &fullFile{f, s}, err
}

func (f *fullFile) Write(p []byte) (int, error) {
	if f.s.left -= int64(len(p)); f.s.left < 0 {
		return 0, store.ErrNoSpace
	}
	return f.WriteFile.Write(p)
}

func TestFullDestinationLeavesNothing(t *testing.T) {
	for _, left := range []int64{0, 10, 150_000, 450_000} {
		path := t.TempDir()
		w, err := NewWriter(t.Context(), &full{open(t, path), left}, WriterOptions{Prefix: "b", FrameSize: 64 << 10, VolumeSize: 100_000,
			Layout: []byte("{}"), WorkDir: t.TempDir()})
		for i := 0; err == nil && i < 200; i++ {
			s := plain("f"+strings.Repeat("x", i), noise(uint64(i), 50_000))
			err = w.AddBytes(&s.Entry, s.data)
		}
		if w != nil {
			_, closeErr := w.Close()
			if closeErr == nil {
				t.Error("Close said nothing")
			}
			err = errors.Join(err, closeErr)
		}
		if !errors.Is(err, store.ErrNoSpace) || fail.HintOf(err) == "" {
			t.Errorf("%d bytes: %v", left, err)
		}
		if l, err := open(t, path).List(t.Context(), ""); err != nil || len(l) != 0 {
			t.Errorf("%d bytes: left behind: %v, %v", left, l, err)
		}
		if parts, _ := filepath.Glob(filepath.Join(path, "b", ".*")); len(parts) != 0 {
			t.Errorf("unfinished files: %q", parts)
		}
	}
}

func TestCancelledBackup(t *testing.T) {
	path := t.TempDir()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	w, err := NewWriter(ctx, open(t, path), WriterOptions{Prefix: "b", FrameSize: 64 << 10, WorkDir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; err == nil && i < 1000; i++ {
		if i == 5 {
			cancel()
		}
		s := plain("f"+strings.Repeat("x", i), noise(1, 50_000))
		err = w.AddBytes(&s.Entry, s.data)
	}
	if !errors.Is(err, context.Canceled) {
		t.Errorf("Add: %v", err)
	}
	if err := w.Abort(); err != nil {
		t.Errorf("Abort: %v", err)
	}
	if l, err := open(t, path).List(t.Context(), ""); err != nil || len(l) != 0 {
		t.Errorf("left behind: %v, %v", l, err)
	}
}
