package cli

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/mkcdrec/mkcdrec/internal/fail"
	"github.com/mkcdrec/mkcdrec/internal/medium"
)

// Behind damage in the data, not only behind what is missing, the rest can be had.
func TestExtractFromADamagedImage(t *testing.T) {
	image := madeMedium(t)
	b, err := os.ReadFile(image)
	if err != nil {
		t.Fatal(err)
	}
	b[bytes.Index(b, []byte("\x28\xb5\x2f\xfd"))+500_000] ^= 1
	if err := os.WriteFile(image, b, 0o600); err != nil {
		t.Fatal(err)
	}
	const hint = "hint:  see what is left with `mkcdrec verify`; --damaged unpacks what can be read"
	into := filepath.Join(t.TempDir(), "into")
	if out, code := says(t, "extract", image, "--into", into); code != int(fail.Damaged) || !strings.Contains(out, hint) {
		t.Errorf("exit code %d:\n%s", code, out)
	}
	if out, code := says(t, "extract", image, "--into", into, "--damaged"); code != int(fail.Damaged) || strings.Contains(out, hint) {
		t.Errorf("--damaged: exit code %d:\n%s", code, out)
	}
}

// A full file system below the image is said with what to do about it, whether
// it is the rescue system or the backup that does not fit.
func TestFullDiskHasAHint(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("needs root, to mount a small tmpfs")
	}
	dir := t.TempDir()
	if err := unix.Mount("tmpfs", dir, "tmpfs", 0, "size=1m"); err != nil {
		t.Skipf("cannot mount a tmpfs here: %v", err)
	}
	t.Cleanup(func() {
		if err := unix.Unmount(dir, 0); err != nil {
			t.Error(err)
		}
	})
	kernel := filepath.Join(t.TempDir(), "kernel")
	for _, size := range []int{1000, 2 << 20} {
		if err := os.WriteFile(kernel, make([]byte, size), 0o600); err != nil {
			t.Fatal(err)
		}
		w, err := medium.NewWriter(t.Context(), filepath.Join(dir, "web1.iso"), medium.Options{
			ID: "0badcafe", Host: "web1", Made: time.Unix(1_700_000_000, 0).UTC(), Kernel: kernel, Initramfs: kernel,
			Loaders: medium.Loaders{BIOS: bytes.Repeat([]byte{0x90}, 4096), Notes: []string{"a test"}},
		})
		if err == nil {
			t.Cleanup(func() { _ = w.Abort() })
			err = w.WriteFile(t.Context(), "backup/1/data", bytes.NewReader(make([]byte, 2<<20)))
		}
		a := &app{}
		a.settings.WorkDir = "/var/tmp"
		if got := fail.HintOf(a.hinted(err)); !strings.HasPrefix(got, "make room there") || !strings.Contains(got, "--out") {
			t.Errorf("with a kernel of %d bytes: %v, hint %q", size, err, got)
		}
	}
	nearer := fail.Hint(fail.New(fail.Failed, "cannot: %w", syscall.ENOSPC), "nearer")
	if got := (&app{}).hinted(nearer); fail.HintOf(got) != "nearer" {
		t.Errorf("a nearer hint became %q", fail.HintOf(got))
	}
	if err := fmt.Errorf("other"); (&app{}).hinted(err) != err || (&app{}).hinted(nil) != nil {
		t.Error("another error was changed")
	}
}
