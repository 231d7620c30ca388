package rescueinit

import (
	"errors"
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// kernelMount is one of the file systems that the kernel itself offers.
type kernelMount struct {
	source, target, kind string
	flags                uintptr
	data                 string
	optional             bool // an older kernel or a BIOS machine has none
}

var kernelMounts = []kernelMount{
	{"proc", "/proc", "proc", unix.MS_NOSUID | unix.MS_NODEV | unix.MS_NOEXEC, "", false},
	{"sysfs", "/sys", "sysfs", unix.MS_NOSUID | unix.MS_NODEV | unix.MS_NOEXEC, "", false},
	{"devtmpfs", "/dev", "devtmpfs", unix.MS_NOSUID, "mode=0755", false},
	{"devpts", "/dev/pts", "devpts", unix.MS_NOSUID | unix.MS_NOEXEC, "gid=5,mode=0620,ptmxmode=0666", false},
	{"tmpfs", "/dev/shm", "tmpfs", unix.MS_NOSUID | unix.MS_NODEV, "mode=1777", true},
	{"tmpfs", "/run", "tmpfs", unix.MS_NOSUID | unix.MS_NODEV, "mode=0755", false},
	{"tmpfs", "/tmp", "tmpfs", unix.MS_NOSUID | unix.MS_NODEV, "mode=1777", false},
	{"efivarfs", "/sys/firmware/efi/efivars", "efivarfs", unix.MS_NOSUID | unix.MS_NODEV | unix.MS_NOEXEC, "", true},
}

// mountKernel mounts them; the error names every one that failed.
func mountKernel() error {
	var failed []error
	for _, m := range kernelMounts {
		if m.optional {
			if _, err := os.Stat(m.target); err != nil && m.kind == "efivarfs" {
				continue
			}
		}
		_ = os.MkdirAll(m.target, 0o755)
		err := unix.Mount(m.source, m.target, m.kind, m.flags, m.data)
		if err == nil || m.optional || errors.Is(err, unix.EBUSY) {
			continue
		}
		failed = append(failed, fmt.Errorf("cannot mount %s on %s: %w", m.kind, m.target, err))
	}
	for _, l := range [][2]string{{"/proc/self/fd", "/dev/fd"}, {"fd/0", "/dev/stdin"}, {"fd/1", "/dev/stdout"}, {"fd/2", "/dev/stderr"}} {
		_ = os.Symlink(l[0], l[1])
	}
	_ = os.Remove("/etc/mtab")
	_ = os.Symlink("/proc/self/mounts", "/etc/mtab")
	return errors.Join(failed...)
}
