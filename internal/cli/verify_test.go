package cli

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/mkcdrec/mkcdrec/internal/archive"
	"github.com/mkcdrec/mkcdrec/internal/fail"
	"github.com/mkcdrec/mkcdrec/internal/medium"
	"github.com/mkcdrec/mkcdrec/internal/store"
)

// madeMedium makes a medium with a backup of ten files of 400 000 bytes on it.
func madeMedium(t *testing.T) (image string) {
	t.Helper()
	dir := t.TempDir()
	image = filepath.Join(dir, "web1.iso")
	kernel := filepath.Join(dir, "kernel")
	if err := os.WriteFile(kernel, bytes.Repeat([]byte("kernel and initramfs "), 3000), 0o600); err != nil {
		t.Fatal(err)
	}
	w, err := medium.NewWriter(t.Context(), image, medium.Options{
		ID: "0badcafe", Host: "web1", Made: time.Unix(1_700_000_000, 0).UTC(), BackupID: "20261124T031500Z-0bad", Kernel: kernel, Initramfs: kernel,
		Loaders: medium.Loaders{BIOS: bytes.Repeat([]byte{0x90}, 4096), Notes: []string{"a test"}},
	})
	if err != nil {
		t.Fatal(err)
	}
	fill(t, w.BackupSink(), "20261124T031500Z-0bad", 10, 400_000)
	if _, err := w.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	return image
}

// fill makes a backup of n files, "f00" and so on, that hardly compress.
func fill(t *testing.T, sink store.Sink, prefix string, n, size int) {
	t.Helper()
	w, err := archive.NewWriter(context.Background(), sink, archive.WriterOptions{Prefix: prefix, BackupID: filepath.Base(prefix), Host: "web1", FrameSize: 64 << 10,
		Layout: []byte("{}"), WorkDir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	x := uint32(1)
	for i := range n {
		data := make([]byte, size)
		for k := range data {
			x = x*1664525 + 1013904223
			data[k] = byte(x >> 24)
		}
		e := archive.Entry{Name: fmt.Sprintf("f%02d", i), Kind: archive.File, Mode: 0o644, UID: uint32(os.Getuid()), GID: uint32(os.Getgid()),
			Size: int64(size), MTime: time.Unix(1_700_000_000, 0)}
		if err := w.AddBytes(&e, data); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := w.Close(); err != nil {
		t.Fatal(err)
	}
}

// readSoFar is how many bytes this process has read, by the kernel's count.
func readSoFar(t *testing.T) (n int64) {
	t.Helper()
	b, err := os.ReadFile("/proc/self/io")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := fmt.Sscanf(string(b), "rchar: %d", &n); err != nil {
		t.Fatal(err)
	}
	return n
}

func TestVerifyReadsEachByteOnce(t *testing.T) {
	image := madeMedium(t)
	fi, err := os.Stat(image)
	if err != nil {
		t.Fatal(err)
	}
	before := readSoFar(t)
	out, code := says(t, "verify", image)
	read := readSoFar(t) - before
	if code != 0 || !strings.Contains(out, "whole: "+image) || !strings.Contains(out, "content of 10 files compared") {
		t.Errorf("exit code %d:\n%s", code, out)
	}
	if size := fi.Size(); read < size || read > size+size/3 {
		t.Errorf("read %d bytes of an image of %d", read, size)
	}
}

// Whatever is damaged is named: a file of the backup by its own name, and what
// is whole besides is said as well.
func TestVerifyNamesWhatIsDamaged(t *testing.T) {
	for _, c := range []struct {
		name string
		at   func(image []byte) int
		says []string
		not  string
	}{
		{"a file of the backup", func(b []byte) int { // frames begin with the magic number; some way behind is content
			return bytes.Index(b, []byte("\x28\xb5\x2f\xfd")) + 500_000
		}, []string{"files, ", "all checksums hold", "damaged files: f01", "error: backup 20261124T031500Z-0bad is damaged"}, "f09"},
		{"the kernel", func(b []byte) int { return bytes.Index(b, []byte("kernel and initramfs ")) + 1000 },
			[]string{"content of 10 files compared", "error: the medium is not as it was written: damaged: boot/"}, "data.0001"},
		{"the checksum of a volume", func(b []byte) int {
			return bytes.Index(b, []byte("  backup/20261124T031500Z-0bad/data.0001.tar.zst")) - 7
		},
			[]string{"content of 10 files compared", "damaged: SHA256SUMS"}, "f00"},
		{"the manifest", func(b []byte) int { return bytes.Index(b, []byte(`"format": 1`)) },
			[]string{"manifest does not match its own digest", "manifest.json"}, "content of"},
	} {
		t.Run(c.name, func(t *testing.T) {
			image := madeMedium(t)
			b, err := os.ReadFile(image)
			if err != nil {
				t.Fatal(err)
			}
			at := c.at(b)
			b[at] ^= 1
			if err := os.WriteFile(image, b, 0o600); err != nil {
				t.Fatal(err)
			}
			out, code := says(t, "verify", image)
			if code != int(fail.Damaged) || strings.Contains(out, "whole:") || strings.Contains(out, c.not) {
				t.Errorf("exit code %d:\n%s", code, out)
			}
			for _, want := range c.says {
				if !strings.Contains(out, want) {
					t.Errorf("no %q in\n%s", want, out)
				}
			}
		})
	}
}
