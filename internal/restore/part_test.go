package restore

import (
	"bytes"
	"crypto/rand"
	"os"
	"path/filepath"
	"testing"

	"github.com/mkcdrec/mkcdrec/internal/archive"
	"github.com/mkcdrec/mkcdrec/internal/backup"
	"github.com/mkcdrec/mkcdrec/internal/fail"
	"github.com/mkcdrec/mkcdrec/internal/plan"
	"github.com/mkcdrec/mkcdrec/internal/store/dir"
)

// A part of a backup does not suffer from damage in another one, and never
// goes unchecked.
func TestPartOfABackupIsCheckedAlone(t *testing.T) {
	root, at := t.TempDir(), t.TempDir()
	random := make([]byte, 40<<20)
	_, _ = rand.Read(random)
	for name, data := range map[string][]byte{"etc/hostname": []byte("part\n"), "data/large": random} {
		if err := os.MkdirAll(filepath.Join(root, filepath.Dir(name)), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(root, name), data, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	store, err := dir.Open(at)
	if err != nil {
		t.Fatal(err)
	}
	res, err := backup.Run(t.Context(), backup.Options{Root: root, Sink: store, Lock: "-", Writer: archive.WriterOptions{WorkDir: t.TempDir()}})
	if err != nil {
		t.Fatal(err)
	}
	b, err := archive.Open(t.Context(), store, res.Prefix)
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	etc := &plan.Scope{Mounts: []string{"/etc"}, Others: []string{"/"}}
	data := &plan.Scope{Mounts: []string{"/data"}, Others: []string{"/"}}
	none := &plan.Scope{Mounts: []string{"/srv"}, Others: []string{"/"}}
	check := func(s *plan.Scope, damaged bool) {
		t.Helper()
		if err := FromArchive(b).Check(t.Context(), s, func(int64) {}); (err != nil) != damaged || damaged && fail.KindOf(err) != fail.Damaged {
			t.Errorf("%+v: %v", s, err)
		}
	}
	check(nil, false)
	read, compared := int64(0), int64(0)
	if err := FromArchive(b).Check(t.Context(), nil, func(n int64) { read = n }); err != nil || read != b.Manifest.Counts.Content {
		t.Errorf("the progress of the check ended at %d of %d bytes (%v)", read, b.Manifest.Counts.Content, err)
	}
	_, err = FromArchive(b).Compare(t.Context(), root, nil, VerifyFull, func(string) bool { return false }, func(n int64) { compared = n })
	if err != nil || compared != b.Manifest.Counts.Content {
		t.Errorf("the progress of the comparison ended at %d of %d bytes (%v)", compared, b.Manifest.Counts.Content, err)
	}
	check(etc, false)
	check(data, false)
	check(none, true) // nothing to restore is not a success

	volume := filepath.Join(at, res.Prefix, b.Manifest.Volumes[0].Name)
	raw, err := os.ReadFile(volume)
	if err != nil {
		t.Fatal(err)
	}
	raw[len(raw)*3/4] ^= 1
	if err := os.WriteFile(volume, raw, 0o644); err != nil {
		t.Fatal(err)
	}
	check(nil, true)
	check(etc, false)
	check(data, true)
}

func TestContentIsComparedWithItsHash(t *testing.T) {
	e := &archive.Entry{Name: "f", Kind: archive.File, Size: 4}
	h := archive.NewHasher(e)
	_, _ = h.Write([]byte("good"))
	e.Hash = h.Sum()
	for text, damaged := range map[string]bool{"good": false, "evil": true} {
		for _, item := range []*archive.Item{{Entry: e, Data: []byte(text)}, {Entry: e, Content: bytes.NewReader([]byte(text))}} {
			if _, err := content(item); (err != nil) != damaged || damaged && fail.KindOf(err) != fail.Damaged {
				t.Errorf("%q: %v", text, err)
			}
		}
	}
}
