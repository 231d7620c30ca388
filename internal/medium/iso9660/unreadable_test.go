package iso9660

import (
	"bytes"
	"errors"
	"io"
	"os"
	"syscall"
	"testing"

	"github.com/mkcdrec/mkcdrec/internal/store"
)

// badSectors answers EIO for a range of an image.
type badSectors struct {
	io.ReaderAt
	from, to int64
}

func (b *badSectors) ReadAt(p []byte, off int64) (int, error) {
	if off < b.to && off+int64(len(p)) > b.from {
		return 0, &os.PathError{Op: "read", Path: "/dev/sr0", Err: syscall.EIO}
	}
	return b.ReaderAt.ReadAt(p, off)
}

// Bad sectors of a disc cost what lies on them, in the words of the store.
func TestBadSectorsOfAnImage(t *testing.T) {
	content := bytes.Repeat([]byte("0123456789abcdef"), 4*SectorSize/16)
	image, err := os.ReadFile(write(t, map[string][]byte{"f": content}, Options{Label: "X"}))
	if err != nil {
		t.Fatal(err)
	}
	bad := &badSectors{ReaderAt: bytes.NewReader(image)}
	d, err := Open(bad, int64(len(image)), "x")
	if err != nil {
		t.Fatal(err)
	}
	f, err := d.Open(t.Context(), "f")
	if err != nil {
		t.Fatal(err)
	}
	at := int64(bytes.Index(image, content))
	bad.from, bad.to = at+SectorSize, at+2*SectorSize
	b := make([]byte, SectorSize)
	for n := range int64(4) {
		got, err := f.ReadAt(b, n*SectorSize)
		if n == 1 && !errors.Is(err, store.ErrUnreadable) {
			t.Errorf("sector %d: %v", n, err)
		}
		if n != 1 && (got != SectorSize || err != nil && !errors.Is(err, io.EOF)) {
			t.Errorf("sector %d: %d bytes, %v", n, got, err)
		}
	}
}
