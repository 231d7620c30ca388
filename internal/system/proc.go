package system

import (
	"os/exec"
	"path/filepath"
	"runtime"

	"golang.org/x/sys/unix"
)

// launch runs a command to its end. One that wants /proc in its chroot runs
// from a thread with mounts of its own: they end with the thread, whatever
// happens to this process. Where that is not allowed it runs without.
func launch(cmd *exec.Cmd, c Command) (err error) {
	if c.Chroot == "" || !c.Proc {
		return cmd.Run()
	}
	onThread(func() {
		if unix.Unshare(unix.CLONE_NEWNS) == nil && unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, "") == nil {
			// A work directory mounted noexec or nodev is one without them in here.
			if unix.Mount(c.Chroot, c.Chroot, "", unix.MS_BIND, "") == nil {
				_ = unix.Mount("", c.Chroot, "", unix.MS_REMOUNT|unix.MS_BIND, "")
			}
			_ = unix.Mount("proc", filepath.Join(c.Chroot, "proc"), "proc", unix.MS_NOSUID|unix.MS_NODEV|unix.MS_NOEXEC|unix.MS_RDONLY, "")
		}
		err = cmd.Run()
	})
	return err
}

// onThread runs f on a thread that ends with it. It is never the main thread:
// that one does not end, and /proc/self speaks of it.
func onThread(f func()) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		runtime.LockOSThread() // and not unlocked: so the thread ends here
		if unix.Gettid() != unix.Getpid() {
			f()
			return
		}
		onThread(f) // elsewhere, for this one is taken
		runtime.UnlockOSThread()
	}()
	<-done
}
