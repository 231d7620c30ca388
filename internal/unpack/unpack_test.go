package unpack

import (
	"fmt"
	"os"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/mkcdrec/mkcdrec/internal/fail"
)

// A disk that fails, in the words of any file system, ends it: thousands of
// further paths would go no better. What concerns one path does not.
func TestFailingDiskEndsIt(t *testing.T) {
	for errno, ends := range map[unix.Errno]bool{
		unix.EIO: true, unix.EROFS: true, unix.ENOSPC: true, unix.EDQUOT: true, unix.ENODEV: true, unix.ENXIO: true, unix.EUCLEAN: true, unix.ESHUTDOWN: true,
		unix.EPERM: false, unix.EOPNOTSUPP: false, unix.ENAMETOOLONG: false, unix.EINVAL: false,
	} {
		u := &unpacker{}
		u.problem("home/a", fmt.Errorf("cannot write: %w", &os.PathError{Op: "write", Path: "a", Err: errno}))
		if err := u.fatal(); (err != nil) != ends {
			t.Errorf("%v: %v", errno, err)
		} else if ends && (fail.KindOf(err) != fail.Failed || fail.HintOf(err) == "") {
			t.Errorf("%v: kind %v, hint %q", errno, fail.KindOf(err), fail.HintOf(err))
		}
	}
}
