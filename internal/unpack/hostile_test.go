package unpack

import (
	"bytes"
	"context"
	"errors"
	"io"
	"iter"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/mkcdrec/mkcdrec/internal/archive"
	"github.com/mkcdrec/mkcdrec/internal/fail"
	"github.com/mkcdrec/mkcdrec/internal/inode"
	"github.com/mkcdrec/mkcdrec/internal/store/dir"
	"github.com/mkcdrec/mkcdrec/internal/testtree"
)

// The hostile paths. OUT is replaced by the absolute path of a directory
// outside of the target; UP leads there from the target's root.
func file(name, data string) kept {
	return kept{archive.Entry{Name: name, Kind: archive.File, Mode: 0o4777, UID: 7, Size: int64(len(data))}, []byte(data)}
}

func of(kind archive.Kind, name, link string) kept {
	e := archive.Entry{Name: name, Kind: kind, Mode: 0o777, UID: 7, GID: 7, Link: link, MTime: time.Unix(1, 0)}
	if kind == archive.CharDev || kind == archive.BlockDev {
		e.DevMajor, e.DevMinor = 1, 3
	}
	return kept{e, nil}
}

// with changes the entry of one item.
func with(k kept, change func(*archive.Entry)) kept { change(&k.e); return k }

type hostile struct {
	name  string
	items []kept
	bad   []string // paths that must be among the problems
	made  []string // paths that must be in the target: the rest is unpacked
	// unchecked archives only: archive.Writer itself refuses the name.
	refused bool
}

func hostiles() []hostile {
	link := func(name, to string) kept { return of(archive.Symlink, name, to) }
	immutable := func(k kept) kept {
		return with(k, func(e *archive.Entry) { e.Flags = inode.FlagImmutable })
	}
	return []hostile{
		{name: "absolute name", items: []kept{file("OUT/victim", "x"), file("ok", "x")}, bad: []string{"OUT/victim"}, made: []string{"ok"}, refused: true},
		{name: "parent", items: []kept{file("UP/victim", "x"), file("a/../../UP/victim", "x"), of(archive.Dir, "..", ""), file("ok", "x")},
			bad: []string{"UP/victim", "a/../../UP/victim", ".."}, made: []string{"ok"}, refused: true},
		{name: "odd names", items: []kept{file("a\x00b", "x"), file("", "x"), file("a//b", "x"), file("a/", "x"), file("./a", "x"), file("a/.", "x"),
			file(strings.Repeat("n", 256), "x"), file("ok", "x")},
			bad: []string{"a\x00b", "", "a//b", "a/", "./a", "a/.", strings.Repeat("n", 256)}, made: []string{"ok"}, refused: true},
		{name: "through an absolute symlink", items: []kept{link("l", "OUT"), file("l/victim", "x"), of(archive.Dir, "l/dir", ""), of(archive.FIFO, "l/fifo", ""), link("l/link", "x"), file("ok", "x")},
			bad: []string{"l/victim", "l/dir", "l/fifo", "l/link"}, made: []string{"l", "ok"}},
		{name: "through a relative symlink", items: []kept{of(archive.Dir, "d", ""), link("d/l", "../UP"), file("d/l/victim", "x"), of(archive.Hardlink, "d/l/new", "ok"), file("ok", "x")},
			bad: []string{"d/l/victim", "d/l/new"}, made: []string{"d/l", "ok"}},
		{name: "through a chain of symlinks", items: []kept{link("a", "OUT"), link("b", "a"), file("b/victim", "x"), file("b/new/deep/er", "x")},
			bad: []string{"b/victim", "b/new/deep/er"}},
		{name: "metadata through a symlink", items: []kept{link("l", "OUT"), with(of(archive.Dir, "l", ""), func(e *archive.Entry) { e.Flags = inode.FlagAppend })},
			bad: []string{"l"}},
		{name: "file onto a symlink", items: []kept{link("l", "OUT/victim"), file("l", "x")}, bad: []string{"l"}, made: []string{"l"}},
		{name: "fifo onto a symlink", items: []kept{link("l", "OUT/victim"), of(archive.FIFO, "l", "")}, bad: []string{"l"}, made: []string{"l"}},
		{name: "hard links to outside", items: []kept{of(archive.Hardlink, "h1", "OUT/victim"), of(archive.Hardlink, "h2", "UP/victim"), of(archive.Hardlink, "h3", "."),
			of(archive.Hardlink, "h4", ""), file("ok", "x")}, bad: []string{"h1", "h2", "h3", "h4"}, made: []string{"ok"}, refused: true},
		{name: "hard link through a symlink", items: []kept{link("l", "OUT"), of(archive.Hardlink, "h", "l/victim"), file("ok", "x")}, bad: []string{"h"}, made: []string{"ok"}},
		{name: "write through a hard link to a symlink", items: []kept{link("l", "OUT/victim"), of(archive.Hardlink, "h", "l"), file("h", "x"), immutable(file("h", "y"))}, bad: []string{"h"}},
		{name: "hard link to a directory", items: []kept{of(archive.Dir, "d", ""), of(archive.Hardlink, "h", "d")}, bad: []string{"h"}, made: []string{"d"}},
		{name: "directory replaced by a symlink", items: []kept{of(archive.Dir, "d", ""), link("d", "OUT"), file("d/victim", "x")}, bad: []string{"d", "d/victim"}},
		{name: "directory in use replaced by a symlink", items: []kept{of(archive.Dir, "d", ""), file("d/x", "x"), link("d", "OUT"), file("d/victim", "x")},
			bad: []string{"d"}, made: []string{"d/x"}},
		{name: "the root replaced", items: []kept{link(".", "OUT"), of(archive.FIFO, ".", ""), file(".", "x"), file("ok", "x")}, bad: []string{"."}, made: []string{"ok"}},
		{name: "hard link over a locked file", items: []kept{immutable(file("a", "x")), of(archive.Hardlink, "a", "there")}, bad: []string{"a"}, made: []string{"there"}},
		{name: "twice", items: []kept{file("f", "first"), file("f", "second")}, bad: []string{"f"}, made: []string{"f"}},
		{name: "impossible sizes", items: []kept{
			with(file("negative", "x"), func(e *archive.Entry) { e.Size = -5 }),
			with(file("longer", "xyz"), func(e *archive.Entry) { e.Size = 2 }),
			with(file("shorter", "xyz"), func(e *archive.Entry) { e.Size = 4 }),
			with(file("overlap", "xyz"), func(e *archive.Entry) { e.Sparse = []archive.Extent{{Offset: 1, Length: 1}, {Offset: 0, Length: 2}} }),
			with(file("beyond", "xyz"), func(e *archive.Entry) { e.Sparse = []archive.Extent{{Offset: 1 << 62, Length: 3}} }),
			with(file("minus", "xyz"), func(e *archive.Entry) { e.Sparse = []archive.Extent{{Offset: 0, Length: -1}} }),
			file("ok", "x")},
			bad: []string{"negative", "longer", "shorter", "overlap", "beyond", "minus"}, made: []string{"ok"}, refused: true},
		{name: "unknown kind", items: []kept{of("door", "d", ""), file("ok", "x")}, bad: []string{"d"}, made: []string{"ok"}, refused: true},
	}
}

// canary makes a directory beside an empty target. "there" in the target is a
// further name of a file outside, as on a system that is used.
func canary(t *testing.T) (out, target string) {
	t.Helper()
	base := t.TempDir()
	out, target = filepath.Join(base, "out"), filepath.Join(base, "target")
	testtree.Shell(t, `mkdir -p "$1/sub" "$2"; chmod 750 "$1"; echo precious >"$1/victim"; chmod 600 "$1/victim"; echo s >"$1/sub/file"
ln "$1/victim" "$2/there"; touch -d '2020-02-02 UTC' "$1/victim" "$1/sub/file" "$1/sub" "$1"`, out, target)
	t.Cleanup(func() { testtree.Unlock(base) })
	return out, target
}

func (h hostile) in(out string) []kept {
	items := slices.Clone(h.items)
	up := strings.NewReplacer("OUT", out, "UP", "../out")
	for i := range items {
		items[i].e.Name, items[i].e.Link = up.Replace(items[i].e.Name), up.Replace(items[i].e.Link)
	}
	return items
}

func (h hostile) judge(t *testing.T, out, target, before string, r Report) {
	t.Helper()
	if d := testtree.Diff(before, testtree.Describe(t, out)); d != "" {
		t.Errorf("touched outside of the target:\n%s", d)
	}
	named := map[string]bool{}
	for _, p := range r.Problems {
		named[p.Path] = true
	}
	up := strings.NewReplacer("OUT", out, "UP", "../out")
	for _, b := range h.bad {
		if !named[up.Replace(b)] {
			t.Errorf("%q is not named as a problem: %v", b, r.Problems)
		}
	}
	for _, m := range h.made {
		if _, err := os.Lstat(filepath.Join(target, m)); err != nil {
			t.Errorf("was not unpacked: %v; problems %v", err, r.Problems)
		}
	}
}

func TestNothingOutsideOfTheTargetIsTouched(t *testing.T) {
	testtree.NeedRoot(t)
	testtree.Need(t, "getfattr", "lsattr", "chattr")
	for _, h := range hostiles() {
		t.Run(h.name, func(t *testing.T) {
			for _, workers := range []int{1, 8} {
				out, target := canary(t)
				before := testtree.Describe(t, out)
				m := &memory{t: t, items: h.in(out)}
				r, err := Run(context.Background(), m.all(), target, Options{Workers: workers})
				if err != nil {
					t.Errorf("ended: %v", err)
				}
				h.judge(t, out, target, before, r)
			}
		})
	}
}

// The same through a real archive: what the writer does not refuse, the
// reader or Run must stop.
func TestHostileArchives(t *testing.T) {
	testtree.NeedRoot(t)
	testtree.Need(t, "getfattr", "lsattr", "chattr")
	through := 0
	for _, h := range hostiles() {
		t.Run(h.name, func(t *testing.T) {
			out, target := canary(t)
			before := testtree.Describe(t, out)
			b, err := archived(t, h.in(out), t.TempDir())
			if h.refused {
				if err == nil {
					t.Error("the writer took it")
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			through++
			r, err := Run(context.Background(), b.Entries(context.Background(), archive.ReadOptions{}), target, Options{})
			if err != nil {
				t.Errorf("ended: %v", err)
			}
			h.judge(t, out, target, before, r)
		})
	}
	if through == 0 {
		t.Error("no hostile archive could be written at all")
	}
}

// archived writes items by archive.Writer into a directory and opens that.
func archived(t testing.TB, items []kept, to string) (*archive.Backup, error) {
	t.Helper()
	ctx := context.Background()
	d, err := dir.Open(to)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { d.Close() })
	w, err := archive.NewWriter(ctx, d, archive.WriterOptions{Prefix: "h/1", BackupID: "1", Host: "h", FrameSize: 64 << 10})
	if err != nil {
		t.Fatal(err)
	}
	for i := range items {
		e := items[i].e
		var r io.Reader
		if e.Kind == archive.File {
			r = bytes.NewReader(items[i].data)
		}
		if err := w.Add(&e, r); err != nil {
			_ = w.Abort()
			return nil, err
		}
	}
	if _, err := w.Close(); err != nil {
		return nil, err
	}
	b, err := archive.Open(ctx, d, "h/1")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { b.Close() })
	return b, nil
}

// Who extracts as a user gets no device, no foreign setuid bit, and is told
// what was left out.
func TestWithoutOwners(t *testing.T) {
	testtree.NeedRoot(t)
	target := t.TempDir()
	setuid := with(file("setuid", "x"), func(e *archive.Entry) {
		e.Xattrs = map[string]string{"trusted.x": "1", "user.x": "1"}
		e.Flags = inode.FlagImmutable
	})
	m := &memory{t: t, items: []kept{of(archive.CharDev, "null", ""), of(archive.BlockDev, "disk", ""), setuid, file("b", "x")}}
	r, err := Run(context.Background(), m.all(), target, Options{NoOwner: true})
	if err != nil {
		t.Fatal(err)
	}
	var bad []string
	for _, p := range r.Problems {
		bad = append(bad, p.Path)
	}
	slices.Sort(bad)
	if !slices.Equal(bad, []string{"disk", "null"}) {
		t.Errorf("problems %v", r.Problems)
	}
	if got := testtree.Shell(t, `cd "$1"; find . -printf '%p %y %m %U\n' | sort; getfattr -m - -d setuid; lsattr -l setuid`, target); strings.Contains(got, "trusted") ||
		strings.Contains(got, "Immutable") || !strings.Contains(got, "./setuid f 777 0\n") || !strings.Contains(got, `user.x="1"`) {
		t.Errorf("got %s", got)
	}
	if d := r.Dropped; d["setuid and setgid bits"] != 2 || d["attribute trusted.x"] != 1 || d["flags that only root may set"] != 1 || len(d) != 3 {
		t.Errorf("dropped %v", d)
	}
}

// A damaged archive brings what can be read, finished: links, and the
// directories' metadata; what is lost is named.
func TestDamagedArchiveIsFinished(t *testing.T) {
	testtree.NeedRoot(t)
	noise := func(seed byte, n int) string {
		b := make([]byte, n)
		x := uint32(seed) + 1
		for i := range b {
			x = x*1664525 + 1013904223
			b[i] = byte(x >> 24)
		}
		return string(b)
	}
	store := t.TempDir()
	b, err := archived(t, []kept{
		of(archive.Dir, "d", ""), file("d/a", noise(1, 50_000)), file("d/large", noise(2, 400_000)), file("d/z", noise(3, 50_000)),
		of(archive.Hardlink, "d/link", "d/z"),
	}, store)
	if err != nil {
		t.Fatal(err)
	}
	volumes, _ := filepath.Glob(store + "/h/1/data*")
	v, err := os.OpenFile(volumes[0], os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := v.WriteAt([]byte("damaged"), 250_000); err != nil {
		t.Fatal(err)
	}
	v.Close()
	target := t.TempDir()
	r, err := Run(context.Background(), b.Entries(context.Background(), archive.ReadOptions{SkipDamaged: true}), target, Options{})
	if fail.KindOf(err) != fail.Damaged {
		t.Errorf("got %v", err)
	}
	if len(r.Problems) == 0 || r.Problems[0].Path != "d/large" {
		t.Errorf("problems %v", r.Problems)
	}
	got := testtree.Shell(t, `cd "$1"; stat -c '%n %a %u %s %h %Y' d; stat -c '%n %a %s %h' d/a d/z d/link; cat d/z | wc -c`, target)
	for _, want := range []string{"d 777 7 ", " 1\n", "d/a 4777 50000 1\n", "d/z 4777 50000 2\n", "d/link 4777 50000 2\n", "\n50000\n"} {
		if !strings.Contains(got, want) {
			t.Errorf("no %q in\n%s", want, got)
		}
	}
	// Without SkipDamaged the damage ends it.
	_, err = Run(context.Background(), b.Entries(context.Background(), archive.ReadOptions{}), t.TempDir(), Options{})
	if fail.KindOf(err) != fail.Damaged {
		t.Errorf("got %v", err)
	}
}

// An archive that ends by an error that is no damage is not finished as if it
// had been whole.
func TestReadErrorEndsIt(t *testing.T) {
	boom := errors.New("the wire is cut")
	var items iter.Seq2[*archive.Item, error] = func(yield func(*archive.Item, error) bool) {
		_ = yield(&archive.Item{Entry: &archive.Entry{Name: "d", Kind: archive.Dir, Mode: 0o755}}, nil) && yield(nil, boom)
	}
	if _, err := Run(context.Background(), items, t.TempDir(), Options{NoOwner: true}); !errors.Is(err, boom) {
		t.Errorf("got %v", err)
	}
}
