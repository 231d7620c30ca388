package iso9660

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/mkcdrec/mkcdrec/internal/fail"
	"github.com/mkcdrec/mkcdrec/internal/store"
)

var when = time.Date(2026, 11, 24, 3, 15, 8, 0, time.UTC)

func testOptions() Options {
	return Options{Label: "MKCDREC_0BADCAFE", Time: when, Application: "TEST", Name: "test.iso"}
}

// noise is n bytes that differ for each seed.
func noise(seed uint64, n int) []byte {
	b := make([]byte, n)
	src := rand.NewChaCha8([32]byte{byte(seed), byte(seed >> 8)})
	_, _ = src.Read(b)
	return b
}

// oddFiles have every kind of name and size that matters.
func oddFiles() map[string][]byte {
	files := map[string][]byte{
		"README.txt":                       []byte("hello\n"),
		"empty":                            nil,
		"boot/vmlinuz":                     noise(1, 2048),
		"boot/initrd.img":                  noise(2, 2049),
		"backup/web1-x/data-0001.tar.zst":  noise(3, 3<<20+17),
		"backup/web1-x/manifest.json":      noise(4, 5000),
		"a b/ünïcode – naïve.txt":          noise(5, 10),
		"a b/back\\slash":                  noise(6, 11),
		"a b/UPPER.TXT":                    noise(7, 12),
		"a b/upper.txt":                    noise(8, 13),
		strings.Repeat("n", 255):           noise(9, 14),
		strings.Repeat("n", 254) + "m":     noise(10, 15),
		"long/" + strings.Repeat("w", 140): noise(11, 16),
		"d1/d2/d3/d4/d5/d6/d7/d8/d9/d10/f": noise(12, 17),
		"no.ext.many.dots":                 noise(13, 18),
		"dot.":                             noise(14, 19),
		".hidden":                          noise(15, 20),
	}
	for i := range 300 { // several sectors of directory
		files[fmt.Sprintf("many/file with a rather long name, number %04d.data", i)] = noise(uint64(100+i), i)
	}
	return files
}

func names(files map[string][]byte) []string {
	var l []string
	for n := range files {
		l = append(l, n)
	}
	slices.Sort(l)
	return l
}

// write makes an image of the files and returns its path.
func write(t testing.TB, files map[string][]byte, opt Options) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "test.iso")
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	w, err := NewWriter(f, opt)
	if err != nil {
		t.Fatal(err)
	}
	ctx := context.Background()
	for _, n := range names(files) {
		if err := w.WriteFile(ctx, n, bytes.NewReader(files[n])); err != nil {
			t.Fatal(err)
		}
	}
	size, err := w.Close(ctx)
	if err != nil {
		t.Fatal(err)
	}
	if fi, _ := f.Stat(); fi.Size() != size {
		t.Fatalf("Close says %d bytes, the file has %d", size, fi.Size())
	}
	return path
}

func read(t testing.TB, path string) *Reader {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = f.Close() })
	fi, _ := f.Stat()
	r, err := Open(f, fi.Size(), path)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func TestRoundTrip(t *testing.T) {
	files := oddFiles()
	r := read(t, write(t, files, testOptions()))
	if r.Label != "MKCDREC_0BADCAFE" {
		t.Errorf("label %q", r.Label)
	}
	ctx := context.Background()
	for n, want := range files {
		f, err := r.Open(ctx, n)
		if err != nil {
			t.Error(err)
			continue
		}
		got, err := io.ReadAll(io.NewSectionReader(f, 0, f.Size()))
		if err != nil || !bytes.Equal(got, want) {
			t.Errorf("%q: %d bytes instead of %d, or other ones; %v", n, len(got), len(want), err)
		}
	}
	all, _ := r.List(ctx, "")
	if len(all) != len(files)+1 {
		t.Errorf("%d files listed instead of %d and %s", len(all), len(files), SumsName)
	}
	some, _ := r.List(ctx, "backup/web1")
	if len(some) != 2 || some[0].Name != "backup/web1-x/data-0001.tar.zst" || some[0].Size != 3<<20+17 {
		t.Errorf("List by prefix: %v", some)
	}
	if _, err := r.Open(ctx, "nothing"); !errors.Is(err, store.ErrNotExist) {
		t.Errorf("missing file: %v", err)
	}
	rep, err := r.Verify(ctx, nil)
	if err != nil || !rep.OK() || !rep.Signed || rep.Files != len(files) || rep.Bytes != r.Size() {
		t.Errorf("Verify: %+v, %v; the image has %d bytes", rep, err, r.Size())
	}
}

// TestXorriso has the image read by a tool that is not ours.
func TestXorriso(t *testing.T) {
	if _, err := exec.LookPath("xorriso"); err != nil {
		t.Skip("needs xorriso")
	}
	files := oddFiles()
	path := write(t, files, testOptions())
	dir := filepath.Join(t.TempDir(), "out")
	out, err := exec.Command("xorriso", "-abort_on", "WARNING", "-osirrox", "on", "-indev", path, "-extract", "/", dir).CombinedOutput()
	if err != nil {
		t.Fatalf("xorriso: %v\n%s", err, out)
	}
	for n, want := range files {
		if got, err := os.ReadFile(filepath.Join(dir, n)); err != nil || !bytes.Equal(got, want) {
			t.Errorf("xorriso extracts %q with %d bytes instead of %d, %v", n, len(got), len(want), err)
		}
	}
	joliet := filepath.Join(t.TempDir(), "joliet")
	out, err = exec.Command("xorriso", "-abort_on", "WARNING", "-read_fs", "norock", "-osirrox", "on", "-indev", path, "-extract", "/a b", joliet).CombinedOutput()
	if err != nil {
		t.Fatalf("xorriso: %v\n%s", err, out)
	}
	if got, err := os.ReadFile(filepath.Join(joliet, "ünïcode – naïve.txt")); err != nil || !bytes.Equal(got, files["a b/ünïcode – naïve.txt"]) {
		t.Errorf("xorriso extracts %d bytes by the Joliet name, %v", len(got), err)
	}
	cmd := exec.Command("sha256sum", "-c", "--quiet", SumsName)
	cmd.Dir = dir
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("sha256sum -c: %v\n%s", err, out)
	}
	fi, err := os.Stat(filepath.Join(dir, "boot/vmlinuz"))
	if err != nil || !fi.ModTime().Equal(when) || fi.Mode().Perm() != 0o444 {
		t.Errorf("time or mode of an extracted file: %v %v", fi, err)
	}
	_ = exec.Command("chmod", "-R", "u+w", dir).Run()
}

func TestIsoinfo(t *testing.T) {
	if _, err := exec.LookPath("isoinfo"); err != nil {
		t.Skip("needs isoinfo (Debian: genisoimage)")
	}
	files := oddFiles()
	path := write(t, files, testOptions())
	for _, tree := range []struct{ flag, want string }{
		{"-R", "/a b/ünïcode – naïve.txt"},
		{"-R", "/d1/d2/d3/d4/d5/d6/d7/d8/d9/d10/f"},
		{"-R", "/" + strings.Repeat("n", 254) + "m"},
		{"-J", "/many/file with a rather long name, number 0299.data"},
		{"-J", "/a b/back_slash"},
	} {
		out, err := exec.Command("isoinfo", tree.flag, "-f", "-i", path).CombinedOutput()
		if err != nil {
			t.Fatalf("isoinfo: %v\n%s", err, out)
		}
		lines := strings.Split(strings.ReplaceAll(string(out), ";1\n", "\n"), "\n")
		if !slices.Contains(lines, tree.want) {
			t.Errorf("isoinfo %s does not show %q:\n%.2000s", tree.flag, tree.want, out)
		}
		if tree.flag == "-J" && strings.Count(string(out), "\n") < len(files) {
			t.Errorf("Joliet has too few names:\n%s", out)
		}
	}
	got, err := exec.Command("isoinfo", "-i", path, "-x", "/BOOT/INITRD.IMG;1").Output()
	if err != nil || !bytes.Equal(got, files["boot/initrd.img"]) {
		t.Errorf("isoinfo reads %d bytes by the primary name, %v", len(got), err)
	}
}

func TestReproducible(t *testing.T) {
	files := oddFiles()
	sum := func() [32]byte {
		b, err := os.ReadFile(write(t, files, testOptions()))
		if err != nil {
			t.Fatal(err)
		}
		return sha256.Sum256(b)
	}
	if sum() != sum() {
		t.Error("the same files make another image")
	}
}

func TestAbortGivesPlaceBack(t *testing.T) {
	one := map[string][]byte{"a": noise(1, 5000), "b": noise(2, 100)}
	want, err := os.ReadFile(write(t, one, testOptions()))
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "abort.iso")
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	ctx := context.Background()
	w, err := NewWriter(f, testOptions())
	if err != nil {
		t.Fatal(err)
	}
	if err := w.WriteFile(ctx, "a", bytes.NewReader(one["a"])); err != nil {
		t.Fatal(err)
	}
	x, err := w.Create(ctx, "b")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.Create(ctx, "c"); err == nil {
		t.Error("two files at once were accepted")
	}
	if _, err := w.Close(ctx); err == nil {
		t.Error("Close with an open file was accepted")
	}
	if _, err := x.Write(noise(3, 4<<20)); err != nil {
		t.Fatal(err)
	}
	if err := x.Abort(); err != nil {
		t.Fatal(err)
	}
	if err := w.WriteFile(ctx, "b", bytes.NewReader(one["b"])); err != nil {
		t.Fatal(err)
	}
	if _, err := w.Close(ctx); err != nil {
		t.Fatal(err)
	}
	if got, _ := os.ReadFile(path); !bytes.Equal(got, want) {
		t.Error("an aborted file leaves traces in the image")
	}
}

func TestNamesRefused(t *testing.T) {
	w, err := NewWriter(&memory{}, testOptions())
	if err != nil {
		t.Fatal(err)
	}
	ctx := context.Background()
	if err := w.WriteFile(ctx, "dir/file", strings.NewReader("x")); err != nil {
		t.Fatal(err)
	}
	for _, n := range []string{"", "/abs", "a//b", "../up", "a/./b", "dir", "dir/file", "dir/file/below", strings.Repeat("x", 256), "nul\x00"} {
		if _, err := w.Create(ctx, n); err == nil {
			t.Errorf("%q was accepted", n)
		}
	}
}

// memory is an Output that may be full.
type memory struct {
	b    []byte
	full int64 // 0: never
}

func (m *memory) WriteAt(p []byte, off int64) (int, error) {
	end := off + int64(len(p))
	if m.full > 0 && end > m.full {
		return 0, fmt.Errorf("write: %w", syscall.ENOSPC)
	}
	if end > int64(len(m.b)) {
		m.b = append(m.b, make([]byte, end-int64(len(m.b)))...)
	}
	return copy(m.b[off:], p), nil
}

func (m *memory) Truncate(n int64) error {
	if n < int64(len(m.b)) {
		m.b = m.b[:n]
	}
	return nil
}

func TestFull(t *testing.T) {
	w, err := NewWriter(&memory{full: 3 << 20}, testOptions())
	if err != nil {
		t.Fatal(err)
	}
	ctx := context.Background()
	err = w.WriteFile(ctx, "big", bytes.NewReader(make([]byte, 8<<20)))
	if !errors.Is(err, store.ErrNoSpace) {
		t.Errorf("a full disk gives %v", err)
	}
	if _, err := w.Close(ctx); err == nil {
		t.Error("Close after a failed write gives no error")
	}
}

func TestFlippedBits(t *testing.T) {
	files := map[string][]byte{"a": noise(1, 50000), "dir/b": noise(2, 3000), "dir/c": nil, "d": noise(3, 10)}
	good, err := os.ReadFile(write(t, files, testOptions()))
	if err != nil {
		t.Fatal(err)
	}
	r, err := Open(bytes.NewReader(good), int64(len(good)), "x")
	if err != nil {
		t.Fatal(err)
	}
	ctx := context.Background()
	fileAt := func(off int64) string {
		for n, f := range r.files {
			for _, x := range f.extents {
				if off >= x.offset && off < x.offset+x.length {
					return n
				}
			}
		}
		return ""
	}
	rnd := rand.New(rand.NewPCG(1, 2))
	for range 600 {
		bad := bytes.Clone(good)
		at := rnd.Int64N(int64(len(good)))
		bad[at] ^= 1 << rnd.IntN(8)
		d, err := Open(bytes.NewReader(bad), int64(len(bad)), "x")
		if err != nil {
			if fail.KindOf(err) != fail.Damaged {
				t.Fatalf("bit in byte %d: %v is not of kind damaged", at, err)
			}
			continue
		}
		rep, err := d.Verify(ctx, nil)
		if err != nil {
			t.Fatalf("bit in byte %d: %v", at, err)
		}
		if rep.OK() && rep.Signed {
			t.Fatalf("flipped bit in byte %d (file %q) was not found", at, fileAt(at))
		}
		if n := fileAt(at); n != "" && !slices.Contains(rep.Damaged, n) {
			t.Fatalf("flipped bit in byte %d of file %q: %v names others", at, n, rep.Damaged)
		}
	}
}

func TestTruncated(t *testing.T) {
	b, err := os.ReadFile(write(t, oddFiles(), testOptions()))
	if err != nil {
		t.Fatal(err)
	}
	for _, n := range []int{0, 100, 32768, 32768 + 2047, len(b) / 2, len(b) - 1} {
		_, err := Open(bytes.NewReader(b[:n]), int64(n), "cut.iso")
		if fail.KindOf(err) != fail.Damaged {
			t.Errorf("cut to %d bytes: %v", n, err)
		}
	}
}
