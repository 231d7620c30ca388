package system

import (
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// SyncFS waits until everything that was written to the file system of a
// directory is on its disk (syncfs(2)). Its error is the only way to learn that
// a disk has failed on a write that the kernel had taken before: write(2) and
// close(2) have said nothing by then, and umount(8) says nothing.
func SyncFS(dir string) error {
	f, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer f.Close()
	if err := unix.Syncfs(int(f.Fd())); err != nil {
		return fmt.Errorf("cannot write everything to the disk of %s: %w", dir, err)
	}
	return nil
}
