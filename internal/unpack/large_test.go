package unpack

import (
	"bytes"
	"context"
	"fmt"
	"strings"
	"testing"

	"github.com/mkcdrec/mkcdrec/internal/archive"
	"github.com/mkcdrec/mkcdrec/internal/testtree"
)

// On btrfs with compression what is unpacked is compressed, also large files.
func TestLargeFilesAreCompressedOnBtrfs(t *testing.T) {
	testtree.Need(t, "filefrag")
	to := testtree.Mount(t, "400M", "mkfs.btrfs", "-q")
	testtree.Shell(t, `mount -o remount,compress-force=zstd "$1"`, to)
	text := strings.Repeat("what repeats can be compressed; ", 20<<20/32)
	unpacked(t, &memory{t: t, items: []kept{file("large", text)}}, to)
	if got := testtree.Shell(t, `sync -f "$1"; filefrag -v "$1/large"`, to); !strings.Contains(got, "encoded") {
		t.Errorf("not compressed:\n%s", got)
	}
}

// Large content is hashed on its way, by another goroutine than writes it;
// what differs is named all the same, whether it comes at once or in pieces.
func TestContentThatDiffersIsNamed(t *testing.T) {
	for _, size := range []int{100, 3 << 20} {
		data := bytes.Repeat([]byte("x"), size)
		m := &memory{t: t}
		for _, name := range []string{"good", "bad"} {
			e := archive.Entry{Name: name, Kind: archive.File, Mode: 0o600, Size: int64(size)}
			if err := m.AddBytes(&e, data); err != nil {
				t.Fatal(err)
			}
		}
		m.items[1].data[size/2] = 'y'
		r, err := Run(context.Background(), m.all(), t.TempDir(), Options{NoOwner: true})
		if err != nil {
			t.Fatal(err)
		}
		if r.Checked != 2 || len(r.Problems) != 1 || r.Problems[0].Path != "bad" || !strings.Contains(r.Problems[0].Err.Error(), "SHA-256") {
			t.Errorf("%d bytes: %d checked, problems %v", size, r.Checked, r.Problems)
		}
	}
}

// The archive is read on only while few of its frames are held, and small
// files are handed over many at once: however they lie in the frames, neither
// may wait for the other.
func TestSmallFilesInManyFramesDoNotStop(t *testing.T) {
	var items []kept
	text := strings.Repeat("n", 200)
	for i := range 36 {
		name := fmt.Sprintf("f%03d", i)
		items = append(items, file(name, text))
		if i%3 == 0 { // frames full of headers without content
			for k := range 100 {
				items = append(items, of(archive.Hardlink, fmt.Sprintf("l%03d-%d", i, k), "f000"))
			}
		}
	}
	b, err := archived(t, items, t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	for _, workers := range []int{1, 2, 8} {
		r, err := Run(context.Background(), b.Entries(context.Background(), archive.ReadOptions{Workers: 1}), t.TempDir(), Options{NoOwner: true, Workers: workers})
		if err != nil || r.Files != 36 || len(r.Problems) > 0 {
			t.Errorf("%d workers: %d files, %v, %v", workers, r.Files, err, r.Problems)
		}
	}
}
