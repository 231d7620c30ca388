package medium

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/mkcdrec/mkcdrec/internal/system"
)

var made = time.Date(2026, 11, 24, 3, 15, 0, 0, time.UTC)

// hostKernel is the newest kernel of this machine.
func hostKernel(t *testing.T) string {
	t.Helper()
	list, _ := filepath.Glob("/boot/vmlinuz-*")
	if len(list) == 0 {
		t.Skip("needs a kernel in /boot (Debian: linux-image-amd64)")
	}
	return list[len(list)-1]
}

// hostLoaders are this machine's boot loaders; the test needs all of them.
func hostLoaders(t *testing.T) Loaders {
	t.Helper()
	l, err := FindLoaders(context.Background(), &system.Host{}, "/", Label("0badcafe"))
	if err != nil {
		t.Fatal(err)
	}
	if len(l.Notes) > 0 {
		t.Skip("needs all boot loaders (Debian: grub-pc-bin grub-efi-amd64-bin grub-efi-amd64-signed shim-signed): ", l.Notes)
	}
	return l
}

// build makes a medium with a small backup and returns its path.
func build(t *testing.T, o Options) (string, Summary) {
	t.Helper()
	ctx := context.Background()
	path := filepath.Join(t.TempDir(), "recovery.iso")
	if o.Initramfs == "" {
		o.Initramfs = filepath.Join(t.TempDir(), "initrd")
		if err := os.WriteFile(o.Initramfs, bytes.Repeat([]byte("initramfs"), 1000), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if o.Kernel == "" {
		o.Kernel = o.Initramfs
	}
	w, err := NewWriter(ctx, path, o)
	if err != nil {
		t.Fatal(err)
	}
	sink := w.BackupSink()
	for _, name := range []string{"20261124T031500Z-0bad/data-0001.tar.zst", "20261124T031500Z-0bad/manifest.json"} {
		f, err := sink.Create(ctx, name)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := f.Write(bytes.Repeat([]byte(name), 5000)); err != nil {
			t.Fatal(err)
		}
		if err := f.Commit(); err != nil {
			t.Fatal(err)
		}
	}
	s, err := w.Close(ctx)
	if err != nil {
		t.Fatal(err)
	}
	return path, s
}

func options(l Loaders) Options {
	return Options{ID: "0badcafe", Host: "web1", Made: made, BackupID: "20261124T031500Z-0bad", Loaders: l}
}

func TestBuild(t *testing.T) {
	path, s := build(t, options(hostLoaders(t)))
	t.Logf("%+v", s)
	if d := os.Getenv("KEEP"); d != "" {
		b, _ := os.ReadFile(path)
		_ = os.WriteFile(d, b, 0o600)
	}
}
