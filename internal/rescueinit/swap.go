package rescueinit

import (
	"unsafe"

	"golang.org/x/sys/unix"
)

// swapoff is swapoff(2), which x/sys does not wrap.
func swapoff(path string) error {
	p, err := unix.BytePtrFromString(path)
	if err != nil {
		return err
	}
	if _, _, errno := unix.Syscall(unix.SYS_SWAPOFF, uintptr(unsafe.Pointer(p)), 0, 0); errno != 0 {
		return errno
	}
	return nil
}
