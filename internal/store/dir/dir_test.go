package dir

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/mkcdrec/mkcdrec/internal/fail"
	"github.com/mkcdrec/mkcdrec/internal/store"
	"github.com/mkcdrec/mkcdrec/internal/store/storetest"
)

func open(t *testing.T, path string) *Dir {
	t.Helper()
	d, err := Open(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { d.Close() })
	return d
}

func TestContract(t *testing.T) {
	storetest.Run(t, func(t *testing.T) store.Store { return open(t, t.TempDir()) })
}

func TestBaseIsNotCreated(t *testing.T) {
	path := filepath.Join(t.TempDir(), "mnt")
	_, err := Open(path)
	if !errors.Is(err, store.ErrNotExist) || fail.HintOf(err) == "" {
		t.Errorf("Open of a missing directory: %v (hint %q)", err, fail.HintOf(err))
	}
	if _, err := os.Stat(path); !os.IsNotExist(err) {
		t.Errorf("the directory was created: %v", err)
	}
}

// A destination that is unmounted midway looks like another directory under
// the same path.
func TestVanishedMount(t *testing.T) {
	base := t.TempDir()
	path := filepath.Join(base, "mnt")
	if err := os.Mkdir(path, 0o755); err != nil {
		t.Fatal(err)
	}
	d := open(t, path)
	w, err := d.Create(t.Context(), "begun")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(path, path+".gone"); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(path, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := w.Commit(); !errors.Is(err, store.ErrUnreachable) {
		t.Errorf("Commit: %v", err)
	}
	if _, err := d.Create(t.Context(), "a/b"); !errors.Is(err, store.ErrUnreachable) {
		t.Errorf("Create: %v", err)
	}
	if left, _ := os.ReadDir(path); len(left) != 0 {
		t.Errorf("something was written below the mount point: %v", left)
	}
}

// EIO is bad sectors while the directory is there, and a share that has gone
// when it is not: only the first is ever damage.
func TestBadSectorsAreNotAShareThatHasGone(t *testing.T) {
	path := filepath.Join(t.TempDir(), "store")
	if err := os.Mkdir(path, 0o755); err != nil {
		t.Fatal(err)
	}
	d := open(t, path)
	eio := &os.PathError{Op: "read", Path: "x", Err: syscall.EIO}
	if err := d.readError(eio); !errors.Is(err, store.ErrUnreadable) || errors.Is(err, store.ErrUnreachable) {
		t.Errorf("bad sectors: %v", err)
	}
	if err := d.readError(&os.PathError{Op: "read", Path: "x", Err: syscall.ESTALE}); !errors.Is(err, store.ErrUnreachable) {
		t.Errorf("a stale handle: %v", err)
	}
	if err := os.Rename(path, path+".gone"); err != nil {
		t.Fatal(err)
	}
	if err := d.readError(eio); errors.Is(err, store.ErrUnreadable) || !errors.Is(err, store.ErrUnreachable) {
		t.Errorf("gone: %v", err)
	}
	if err := d.readError(nil); err != nil {
		t.Error(err)
	}
}

func TestSymlinksDoNotLeadOut(t *testing.T) {
	outside, inside := t.TempDir(), t.TempDir()
	if err := os.WriteFile(filepath.Join(outside, "secret"), []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(outside, filepath.Join(inside, "link")); err != nil {
		t.Fatal(err)
	}
	d := open(t, inside)
	if _, err := d.Open(t.Context(), "link/secret"); err == nil {
		t.Error("read outside")
	}
	if w, err := d.Create(t.Context(), "link/new"); err == nil {
		_ = w.Abort()
		t.Error("wrote outside")
	}
	if err := d.Remove(t.Context(), "link/secret"); err == nil {
		t.Error("removed outside")
	}
	if _, err := os.Stat(filepath.Join(outside, "secret")); err != nil {
		t.Error(err)
	}
}

func TestFullFileSystem(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("needs root: mounts a small tmpfs")
	}
	path := t.TempDir()
	if err := syscall.Mount("tmpfs", path, "tmpfs", 0, "size=1m"); err != nil {
		t.Skipf("cannot mount a tmpfs here: %v", err)
	}
	t.Cleanup(func() { _ = syscall.Unmount(path, syscall.MNT_DETACH) })
	d := open(t, path)
	w, err := d.Create(t.Context(), "big")
	if err != nil {
		t.Fatal(err)
	}
	_, err = w.Write(bytes.Repeat([]byte("x"), 2<<20))
	if !errors.Is(err, store.ErrNoSpace) {
		t.Errorf("Write = %v, want ErrNoSpace", err)
	}
	if err := w.Abort(); err != nil {
		t.Error(err)
	}
	if n, err := d.Free(t.Context()); err != nil || n < 900<<10 {
		t.Errorf("Free after Abort = %d, %v: the part was not removed", n, err)
	}
}
