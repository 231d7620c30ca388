package testtree

import (
	"errors"
	"os"
	"os/exec"
	"runtime"
	"syscall"
	"testing"
)

// ownMounts marks the process that has a mount namespace of its own.
const ownMounts = "MKCDREC_OWN_MOUNTS"

// OwnMounts is the TestMain of a package whose tests mount devices: root runs
// it again in a mount namespace of its own. Other packages are tested at the
// same time, and a program that is started there in a namespace of its own
// would otherwise take a copy of such a mount with it, and hold the device.
func OwnMounts(m *testing.M) {
	if os.Geteuid() != 0 || os.Getenv(ownMounts) != "" {
		os.Exit(m.Run())
	}
	cmd := exec.Command("/proc/self/exe", os.Args[1:]...)
	cmd.Env = append(os.Environ(), ownMounts+"=1")
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	// All mounts become private in it (syscall.SysProcAttr). It dies with us:
	// when the thread ends that starts it (prctl(2)).
	runtime.LockOSThread()
	cmd.SysProcAttr = &syscall.SysProcAttr{Unshareflags: syscall.CLONE_NEWNS, Pdeathsig: syscall.SIGKILL}
	var ended *exec.ExitError
	switch err := cmd.Run(); {
	case err == nil:
		os.Exit(0)
	case errors.As(err, &ended) && ended.ExitCode() > 0:
		os.Exit(ended.ExitCode())
	default:
		os.Stderr.WriteString("cannot run the tests in a mount namespace of their own: " + err.Error() + "\n")
		os.Exit(1)
	}
}
