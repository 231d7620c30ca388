package inode

import (
	"fmt"
	"runtime"
	"unsafe"

	"golang.org/x/sys/unix"
)

// FS_IOC_FSGETXATTR and FS_IOC_FSSETXATTR (linux/fs.h).
const (
	fsGetXattr = 0x801c581f
	fsSetXattr = 0x401c5820
)

// fsxattr is struct fsxattr (linux/fs.h, ioctl_fsgetxattr(2)).
type fsxattr struct {
	xflags, extsize, nextents, project, cowextsize uint32
	_                                              [8]byte
}

func fsxattrCall(fd int, call uintptr, x *fsxattr) error {
	return retry(func() error {
		_, _, errno := unix.Syscall(unix.SYS_IOCTL, uintptr(fd), call, uintptr(unsafe.Pointer(x)))
		runtime.KeepAlive(x)
		if errno != 0 {
			return errno
		}
		return nil
	})
}

// Project reads the project of an open file or directory, by which ext4, xfs
// and f2fs count quotas; 0 where the file system has none.
func Project(fd int) (uint32, error) {
	var x fsxattr
	err := fsxattrCall(fd, fsGetXattr, &x)
	if unsupported(err) {
		return 0, nil
	}
	if err != nil {
		return 0, fmt.Errorf("cannot read the project: %w", err)
	}
	return x.project, nil
}

// SetProject gives an open file or directory a project and leaves all else
// that goes by the same call as it is. Whether files made in a directory get
// its project is a flag of chattr(1), FlagProjinherit.
func SetProject(fd int, project uint32) error {
	var x fsxattr
	err := fsxattrCall(fd, fsGetXattr, &x)
	if unsupported(err) && project == 0 {
		return nil
	}
	if err == nil && x.project == project {
		return nil
	}
	if err == nil {
		x.project = project
		err = fsxattrCall(fd, fsSetXattr, &x)
	}
	if err != nil {
		return fmt.Errorf("cannot set the project %d: %w", project, err)
	}
	return nil
}
