package system

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"syscall"

	"golang.org/x/sys/unix"
)

// Mounter mounts and unmounts; *Host does it, a test may record it.
type Mounter interface {
	// Mount is mount(2); the target is created when it is missing.
	Mount(source, target, fsType string, flags uintptr, data string) error
	// Unmount is umount2(2) without force; something that is not mounted is no error.
	Unmount(target string) error
}

// Mount mounts by mount(2).
func (h *Host) Mount(source, target, fsType string, flags uintptr, data string) error {
	if err := os.MkdirAll(target, 0o755); err != nil {
		return fmt.Errorf("cannot make mount point: %w", err)
	}
	err := unix.Mount(source, target, fsType, flags, data)
	if h.Log != nil {
		h.Log.Info("mount", "source", source, "target", target, "type", fsType, "flags", flags, "data", data, "error", err)
	}
	if err != nil {
		return fmt.Errorf("cannot mount %s (%s) on %s: %w", source, fsType, target, err)
	}
	return nil
}

// Unmount unmounts by umount2(2).
func (h *Host) Unmount(target string) error {
	err := unix.Unmount(target, unix.UMOUNT_NOFOLLOW)
	if h.Log != nil {
		h.Log.Info("unmount", "target", target, "error", err)
	}
	if errors.Is(err, syscall.EINVAL) || errors.Is(err, syscall.ENOENT) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("cannot unmount %s: %w", target, err)
	}
	return nil
}

// WriteFile writes a file whole or not at all: a temporary file beside it,
// fsync, rename.
func WriteFile(path string, data []byte, perm os.FileMode) error {
	f, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+".*")
	if err != nil {
		return err
	}
	defer os.Remove(f.Name()) // gone after the rename
	_, err = f.Write(data)
	for _, step := range []func() error{func() error { return f.Chmod(perm) }, f.Sync} {
		if err == nil {
			err = step()
		}
	}
	if cerr := f.Close(); err == nil {
		err = cerr
	}
	if err != nil {
		return fmt.Errorf("cannot write %s: %w", path, err)
	}
	return os.Rename(f.Name(), path)
}
