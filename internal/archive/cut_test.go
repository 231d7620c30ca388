package archive

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/mkcdrec/mkcdrec/internal/archive/zstdframe"
	"github.com/mkcdrec/mkcdrec/internal/fail"
)

// cutSamples are files of many sizes, so that some lie in one frame and some in several.
func cutSamples() []sample {
	in := []sample{{Entry{Name: "d", Kind: Dir, Mode: 0o755, MTime: when}, nil}}
	for i := range 24 {
		size := []int{10, 3_000, 40_000, 150_000}[i%4]
		in = append(in, plain(fmt.Sprintf("d/%02d-%d", i, size), noise(uint64(i), size)))
	}
	return append(in, sample{Entry{Name: "d/sock", Kind: Socket, Mode: 0o755, MTime: when}, nil},
		sample{Entry{Name: "d/link", Kind: Symlink, Mode: 0o777, Link: "00-10", MTime: when}, nil})
}

// split says which paths need none of the frames that are gone, from the
// catalogue and the sizes of the frames alone.
func split(t *testing.T, b *Backup, places []place, gone func(int64) bool) (good, lost []string) {
	t.Helper()
	begin := make([]int64, len(places)+1) // of each frame in the tar stream
	for n, p := range places {
		begin[n+1] = begin[n] + int64(p.content)
	}
	type span struct {
		name     string
		from, to int64
		pad      int64
	}
	var spans []span
	for e, err := range b.Catalogue(t.Context()) {
		if err != nil {
			t.Fatal(err)
		}
		if e.Frame < 0 {
			good = append(good, e.Name)
			continue
		}
		spans = append(spans, span{e.Name, begin[e.Frame] + e.FrameOffset, 0, int64(padding(e.ContentSize()))})
	}
	for i := range spans {
		s := &spans[i]
		s.to = begin[len(places)] - 2*blockSize
		if i+1 < len(spans) {
			s.to = spans[i+1].from
		}
		s.to -= s.pad
		whole := true
		for n := range places {
			if begin[n] < s.to && begin[n+1] > s.from && gone(int64(n)) {
				whole = false
			}
		}
		if whole {
			good = append(good, s.name)
		} else {
			lost = append(lost, s.name)
		}
	}
	return good, lost
}

// cuts are the places of a volume where it is cut: in, at and beside the ends
// of frames, and in the seek table.
func cuts(places []place, volume int, size int64) []int64 {
	list := []int64{0, 1, 4, 5, 100, size - 1, size - 9, size - zstdframe.TableLen(0)}
	for _, p := range places {
		if p.volume == volume {
			end := p.offset + int64(p.compressed)
			list = append(list, p.offset+int64(p.compressed)/2, end-4, end-1, end, end+1)
		}
	}
	slices.Sort(list)
	return slices.Compact(list)
}

func TestCutVolumeGivesWhatLiesBeforeTheCut(t *testing.T) {
	for _, c := range []struct {
		name   string
		limit  int64
		volume int
	}{{"the only volume", 0, 0}, {"first", 150_000, 0}, {"middle", 150_000, 1}} {
		t.Run(c.name, func(t *testing.T) {
			path := t.TempDir()
			m := write(t, path, cutSamples(), WriterOptions{FrameSize: 64 << 10, VolumeSize: c.limit})
			file := filepath.Join(path, "b", volumeName(c.volume+1))
			whole, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			places, err := reopen(t, path).index(t.Context(), nil)
			if err != nil {
				t.Fatal(err)
			}
			some := 0
			for _, at := range cuts(places, c.volume, int64(len(whole))) {
				if err := os.WriteFile(file, whole[:at], 0o600); err != nil {
					t.Fatal(err)
				}
				b := reopen(t, path)
				wantGood, wantLost := split(t, b, places, func(n int64) bool {
					p := places[n]
					return p.volume == c.volume && p.offset+int64(p.compressed) > at
				})
				some += min(len(wantLost), 1)
				good, lost, err := readAll(b, ReadOptions{SkipDamaged: true})
				slices.Sort(good)
				slices.Sort(wantGood)
				if fail.KindOf(err) != fail.Damaged || err == nil || !strings.Contains(err.Error(), volumeName(c.volume+1)) {
					t.Errorf("cut at %d: %v", at, err)
				}
				if !slices.Equal(good, wantGood) || !slices.Equal(lost, wantLost) {
					t.Errorf("cut at %d of %d: read %q,\nlost %q,\nwant %q", at, len(whole), good, lost, wantLost)
				}
				if rep, err := b.Verify(t.Context(), nil); fail.KindOf(err) != fail.Damaged || !slices.Equal(rep.Lost, wantLost) {
					t.Errorf("cut at %d: Verify: %v, lost %q", at, err, rep.Lost)
				}
				// Without being asked to, nothing reads a damaged backup.
				if err := b.CheckPresence(t.Context()); fail.KindOf(err) != fail.Damaged || !strings.Contains(err.Error(), "it was cut") {
					t.Errorf("cut at %d: CheckPresence: %v", at, err)
				}
				if good, _, err := readAll(b, ReadOptions{}); fail.KindOf(err) != fail.Damaged || len(good) > 0 {
					t.Errorf("cut at %d: strict read: %q, %v", at, good, err)
				}
			}
			if some < 5 || int64(len(places)) < 10 {
				t.Errorf("%d frames, %d cuts lost something, of %d volumes", len(places), some, len(m.Volumes))
			}
		})
	}
}

// Without its seek table, a volume of the right size still gives everything.
func TestDamagedSeekTableLosesNothing(t *testing.T) {
	path := t.TempDir()
	in := cutSamples()
	m := write(t, path, in, WriterOptions{FrameSize: 64 << 10})
	flip(t, filepath.Join(path, "b", volumeName(1)), m.Volumes[0].Size-100)
	good, lost, err := readAll(reopen(t, path), ReadOptions{SkipDamaged: true})
	if fail.KindOf(err) != fail.Damaged || len(good) != len(in) || len(lost) > 0 {
		t.Errorf("%d good, lost %q, %v", len(good), lost, err)
	}
}

// The frames of another backup are read without their seek table, but none of
// its files is taken for one of this backup.
func TestCutVolumeOfAnotherBackup(t *testing.T) {
	path, other := t.TempDir(), t.TempDir()
	in := cutSamples()
	write(t, path, in, WriterOptions{FrameSize: 64 << 10})
	for i := range in {
		if in[i].data != nil {
			in[i].data = noise(uint64(i+100), len(in[i].data))
		}
	}
	write(t, other, in, WriterOptions{FrameSize: 64 << 10})
	foreign, err := os.ReadFile(filepath.Join(other, "b", volumeName(1)))
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(path, "b", volumeName(1)), foreign[:len(foreign)/2], 0o600); err != nil {
		t.Fatal(err)
	}
	good, _, err := readAll(reopen(t, path), ReadOptions{SkipDamaged: true})
	if fail.KindOf(err) != fail.Damaged {
		t.Errorf("got %v", err)
	}
	for _, name := range good {
		if strings.HasPrefix(name, "d/") && strings.Contains(name, "-") {
			t.Errorf("%s has the content of another backup", name)
		}
	}
}
