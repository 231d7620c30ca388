package backup

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/mkcdrec/mkcdrec/internal/fail"
	"golang.org/x/sys/unix"
)

// LockFile is where a run keeps others out.
const LockFile = "/run/lock/mkcdrec.lock"

// Lock takes the lock file (flock(2)), which the kernel gives back when the
// process ends, however it ends. A second run is refused by the first one's
// process ID. The file stays: removing it would let two runs hold a lock each.
func Lock(file string) (release func(), err error) {
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
		return nil, fail.New(fail.Failed, "cannot make the lock's directory: %w", err)
	}
	f, err := os.OpenFile(file, os.O_RDWR|os.O_CREATE|unix.O_NOFOLLOW, 0o644)
	if err != nil {
		return nil, fail.New(fail.Failed, "cannot open the lock file: %w", err)
	}
	err = unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB)
	if errors.Is(err, unix.EWOULDBLOCK) {
		buf := make([]byte, 32)
		n, _ := f.ReadAt(buf, 0)
		f.Close()
		who := strings.TrimSpace(string(buf[:n]))
		return nil, fail.Hint(fail.New(fail.Refused, "another mkcdrec is running (process %s)", who),
			"wait until it has ended; its lock is %s", file)
	}
	if err != nil {
		f.Close()
		return nil, fail.New(fail.Failed, "cannot lock %s: %w", file, err)
	}
	if err := f.Truncate(0); err == nil {
		_, err = f.WriteAt(fmt.Appendf(nil, "%d\n", os.Getpid()), 0)
	}
	if err != nil {
		f.Close()
		return nil, fail.New(fail.Failed, "cannot write %s: %w", file, err)
	}
	return func() { f.Close() }, nil
}
