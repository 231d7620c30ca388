package archive

import (
	"errors"
	"io"
)

// CopyVerified copies the content of e from r to w and checks size and hash
// on the way. A difference is an error of kind fail.Damaged.
func CopyVerified(w io.Writer, e *Entry, r io.Reader) error {
	return errors.New("archive: not built yet")
}

// CheckData checks size and hash of a content that is in memory.
func CheckData(e *Entry, data []byte) error { return errors.New("archive: not built yet") }
