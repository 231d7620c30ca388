package fat

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

var when = time.Date(2026, 11, 24, 3, 15, 8, 0, time.UTC)

func testFiles() []File {
	files := []File{
		{"EFI/BOOT/BOOTX64.EFI", bytes.Repeat([]byte("shim"), 30000)},
		{"EFI/BOOT/grubx64.efi", bytes.Repeat([]byte("grub"), 70001)},
		{"EFI/BOOT/empty", nil},
		{"boot/grub/grub.cfg", []byte("configfile\n")},
		{"A rather long name, with spaces and ünïcode.text", []byte("long")},
		{"A rather long name, with other things.text", []byte("long, too")},
		{"exactly13char", []byte("13")},
		{"README.TXT", []byte("short")},
	}
	for i := range 100 { // a directory of several clusters
		files = append(files, File{fmt.Sprintf("many/number %03d of a hundred.data", i), []byte{byte(i)}})
	}
	return files
}

// TestForeignTools has the file systems judged by fsck.vfat and read by mtools.
func TestForeignTools(t *testing.T) {
	for _, p := range []string{"fsck.vfat", "mcopy", "mlabel"} {
		if _, err := exec.LookPath(p); err != nil {
			t.Skipf("needs %s (Debian: dosfstools, mtools)", p)
		}
	}
	for _, c := range []struct {
		name string
		opt  Options
		kind string
	}{
		{"fat12", Options{Bits: 12}, "12 bit entries"},
		{"fat16 by itself", Options{}, "16 bit entries"},
		{"fat16 of 100 MiB", Options{Bits: 16, MinSize: 100 << 20}, "16 bit entries"},
		{"fat32", Options{Bits: 32}, "32 bit entries"},
	} {
		t.Run(c.name, func(t *testing.T) {
			c.opt.Label, c.opt.Time = "MKCDREC", when
			b, err := Build(testFiles(), c.opt)
			if err != nil {
				t.Fatal(err)
			}
			if int64(len(b)) < c.opt.MinSize {
				t.Errorf("%d bytes, fewer than asked for", len(b))
			}
			path := filepath.Join(t.TempDir(), "image")
			if err := os.WriteFile(path, b, 0o600); err != nil {
				t.Fatal(err)
			}
			out, err := exec.Command("fsck.vfat", "-vn", path).CombinedOutput()
			if err != nil || !strings.Contains(string(out), c.kind) {
				t.Errorf("fsck.vfat: %v\n%s", err, out)
			}
			if n := strings.Count(string(out), "\n"); !strings.Contains(string(out), " files, ") || n > 25 {
				t.Errorf("fsck.vfat has something to say:\n%s", out)
			}
			dir := t.TempDir()
			cmd := exec.Command("mcopy", "-s", "-n", "-m", "-i", path, "::/*", dir)
			cmd.Env = append(os.Environ(), "LC_ALL=C.UTF-8", "TZ=UTC", "MTOOLS_SKIP_CHECK=0")
			if out, err := cmd.CombinedOutput(); err != nil {
				t.Fatalf("mcopy: %v\n%s", err, out)
			}
			for _, f := range testFiles() {
				got, err := os.ReadFile(filepath.Join(dir, f.Name))
				if err != nil || !bytes.Equal(got, f.Data) {
					t.Errorf("%s: mtools reads %d bytes instead of %d, %v", f.Name, len(got), len(f.Data), err)
				}
			}
			if fi, err := os.Stat(filepath.Join(dir, "README.TXT")); err != nil || !fi.ModTime().Equal(when) {
				t.Errorf("time of a file: %v, %v", fi.ModTime(), err)
			}
			if out, err := exec.Command("mlabel", "-s", "-i", path, "::").CombinedOutput(); err != nil || !strings.Contains(string(out), "MKCDREC") {
				t.Errorf("mlabel: %v\n%s", err, out)
			}
		})
	}
}

func TestReproducible(t *testing.T) {
	files := testFiles()
	a, err := Build(files, Options{Label: "X", Time: when})
	if err != nil {
		t.Fatal(err)
	}
	slices.Reverse(files)
	b, err := Build(files, Options{Label: "X", Time: when})
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(a, b) {
		t.Error("the same files in another order make another image")
	}
}

func TestRefused(t *testing.T) {
	for _, c := range []struct {
		name  string
		files []File
		opt   Options
	}{
		{"absolute", []File{{"/a", nil}}, Options{}},
		{"dots", []File{{"a/../b", nil}}, Options{}},
		{"colon", []File{{"a:b", nil}}, Options{}},
		{"ends in a dot", []File{{"a.", nil}}, Options{}},
		{"same but for the case", []File{{"a", nil}, {"A", nil}}, Options{}},
		{"file as directory", []File{{"a", nil}, {"a/b", nil}}, Options{}},
		{"label", nil, Options{Label: "far too long a label"}},
		{"kind", nil, Options{Bits: 8}},
		{"too large for FAT12", []File{{"a", make([]byte, 200<<20)}}, Options{Bits: 12}},
	} {
		if _, err := Build(c.files, c.opt); err == nil {
			t.Errorf("%s: no error", c.name)
		}
	}
}
