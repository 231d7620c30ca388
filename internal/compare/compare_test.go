package compare

import (
	"context"
	"crypto/sha256"
	"io"
	"iter"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/mkcdrec/mkcdrec/internal/archive"
	"github.com/mkcdrec/mkcdrec/internal/backup"
	"github.com/mkcdrec/mkcdrec/internal/fail"
	"github.com/mkcdrec/mkcdrec/internal/testtree"
)

// catalogue is a Sink that keeps the entries with their hashes.
type catalogue []*archive.Entry

func (c *catalogue) Warn(string, string) {}
func (c *catalogue) AddBytes(e *archive.Entry, data []byte) error {
	if e.Sparse == nil {
		e.Hash = sha256.Sum256(data)
	}
	*c = append(*c, e)
	return nil
}
func (c *catalogue) Add(e *archive.Entry, r io.Reader) error {
	var data []byte
	if r != nil {
		data, _ = io.ReadAll(r)
	}
	return c.AddBytes(e, data)
}
func (c catalogue) all() iter.Seq2[*archive.Entry, error] {
	return func(yield func(*archive.Entry, error) bool) {
		for _, e := range c {
			if !yield(e, nil) {
				return
			}
		}
	}
}

func TestDifferencesAreNamed(t *testing.T) {
	testtree.NeedRoot(t)
	testtree.Need(t, "setfattr", "chattr")
	root := t.TempDir()
	t.Cleanup(func() { testtree.Unlock(root) })
	for _, n := range []string{"same", "mode", "owner", "grown", "content", "time", "attr", "attr-new", "flags", "gone", "becomes-dir", "first", "hidden"} {
		if err := os.WriteFile(filepath.Join(root, n), []byte("content of "+n), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	testtree.Shell(t, `cd "$1"; ln first second; ln -s same link; setfattr -n user.a -v 1 attr; mknod dev c 1 3`, root)
	var cat catalogue
	if err := backup.Walk(context.Background(), &cat, backup.WalkOptions{Root: root}); err != nil {
		t.Fatal(err)
	}
	res, err := Run(context.Background(), cat.all(), root, Options{Mode: Full})
	if err != nil || len(res.Differences) != 0 || res.Hashed != 13 {
		t.Fatalf("unchanged: %v, %d hashed, %v", err, res.Hashed, res.Differences)
	}
	testtree.Shell(t, `cd "$1"
ref=$(mktemp); touch -r . "$ref"; touch -r content "$ref.c"
chmod 600 mode; chown 12:34 owner; echo more >>grown; printf 'CONTENT of content' >content; touch -r "$ref.c" content
touch -d '2001-01-01 UTC' time; setfattr -n user.a -v 2 attr; setfattr -n user.b -v 2 attr-new; chattr +d flags
rm gone becomes-dir; mkdir becomes-dir; rm second; cp -p first second; ln -sfn mode link; rm dev; mknod dev c 1 5
touch -r "$ref" .; rm "$ref" "$ref.c"`, root)
	for _, tt := range []struct {
		mode Mode
		want []string
	}{
		{Meta, []string{"attr-new: attribute user.b", "attr: attribute user.a", "becomes-dir: kind", "dev: device number", "dev: modification time",
			"flags: flags", "gone: missing", "grown: modification time", "grown: size", "link: modification time", "link: target", "mode: mode",
			"owner: owner", "second: hard link", "time: modification time"}},
		{Full, []string{"content: content"}},
	} {
		res, err := Run(context.Background(), cat.all(), root, Options{Mode: tt.mode})
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, d := range res.Differences {
			got = append(got, d.Path+": "+d.What)
		}
		slices.Sort(got)
		if tt.mode == Full {
			got = slices.DeleteFunc(got, func(s string) bool { return !strings.HasSuffix(s, ": content") })
		}
		if !slices.Equal(got, tt.want) {
			t.Errorf("%s:\n got %q\nwant %q", tt.mode, got, tt.want)
		}
	}
}

func TestNothingComparedIsAnError(t *testing.T) {
	_, err := Run(context.Background(), catalogue{}.all(), t.TempDir(), Options{})
	if fail.KindOf(err) != fail.Failed || err == nil {
		t.Errorf("got %v", err)
	}
}

// A nearly empty file of a terabyte is compared in no time, and data where
// the archive has a hole is found.
func TestHolesAreCompared(t *testing.T) {
	root := t.TempDir()
	for _, n := range []string{"same", "filled", "changed"} {
		testtree.Shell(t, `truncate -s 1T "$1/$2"; printf data | dd of="$1/$2" bs=4096 seek=1000000 conv=notrunc status=none`, root, n)
	}
	var entries catalogue
	if err := backup.Walk(context.Background(), hashed{&entries}, backup.WalkOptions{Root: root}); err != nil {
		t.Fatal(err)
	}
	testtree.Shell(t, `cd "$1"; for f in filled changed; do touch -r $f ref; seek=5; [ $f = filled ] || seek=1000000
printf DATA | dd of=$f bs=4096 seek=$seek conv=notrunc status=none; touch -r ref $f; rm ref; done`, root)
	res, err := Run(context.Background(), entries.all(), root, Options{Mode: Full})
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, d := range res.Differences {
		if d.Path != "." {
			got = append(got, d.Path+": "+d.What)
		}
	}
	slices.Sort(got)
	if !slices.Equal(got, []string{"changed: content", "filled: content"}) {
		t.Errorf("got %q", got)
	}
}

// hashed is a catalogue whose hashes are the archive's.
type hashed struct{ *catalogue }

func (h hashed) AddBytes(e *archive.Entry, data []byte) error {
	if err := h.catalogue.AddBytes(e, data); err != nil {
		return err
	}
	sum := archive.NewHasher(e)
	_, _ = sum.Write(data)
	e.Hash = sum.Sum()
	return nil
}
