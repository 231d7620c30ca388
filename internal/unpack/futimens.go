package unpack

import (
	"errors"
	"unsafe"

	"golang.org/x/sys/unix"
)

// futimens sets access and modification time of an open file (utimensat(2)
// with a null path, which x/sys has no function for).
func futimens(fd int, ts *[2]unix.Timespec) error {
	for {
		_, _, e := unix.Syscall6(unix.SYS_UTIMENSAT, uintptr(fd), 0, uintptr(unsafe.Pointer(ts)), 0, 0, 0)
		if e == 0 {
			return nil
		}
		if !errors.Is(e, unix.EINTR) {
			return e
		}
	}
}
