package medium

import (
	"context"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/mkcdrec/mkcdrec/internal/fail"
	"github.com/mkcdrec/mkcdrec/internal/medium/iso9660"
)

// Medium is a finished medium opened for reading: a store.Source of all that
// is on it. The files of the backup are below "backup/ID/".
type Medium struct {
	*iso9660.Reader
	f *os.File
}

// Open opens an image or a device (/dev/sr0, /dev/sdb) that holds a medium.
func Open(path string) (*Medium, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("cannot open the medium: %w", err)
	}
	size, err := f.Seek(0, io.SeekEnd) // a device says its size only so
	if err != nil {
		_ = f.Close()
		return nil, fmt.Errorf("cannot find out the size of %s: %w", path, err)
	}
	r, err := iso9660.Open(f, size, path)
	if err != nil {
		_ = f.Close()
		return nil, fmt.Errorf("cannot read the medium: %w", err)
	}
	return &Medium{Reader: r, f: f}, nil
}

// Close closes the image.
func (m *Medium) Close() error { return m.f.Close() }

// ID is the medium's ID, "" if it was not made by mkcdrec.
func (m *Medium) ID() string {
	id, ok := strings.CutPrefix(m.Label, "MKCDREC_")
	if !ok {
		return ""
	}
	return strings.ToLower(id)
}

// Verify reads a medium back, every byte of it, and names what is not as it
// was written. The error is of kind fail.Damaged when something is not; the
// report has the details in any case.
//
// The files in known, with their SHA-256, the caller reads: those of the backup
// are read when the backup is checked. It may be nil.
func Verify(ctx context.Context, path string, known map[string][]byte, progress func(done, total int64)) (iso9660.Report, error) {
	m, err := Open(path)
	if err != nil {
		return iso9660.Report{}, err
	}
	defer func() { _ = m.Close() }()
	if m.ID() == "" {
		return iso9660.Report{}, fail.New(fail.Damaged, "cannot check %s: its label is %q, not that of a recovery medium", path, m.Label)
	}
	r, err := m.Reader.VerifyBut(ctx, known, progress)
	if err != nil {
		return r, fmt.Errorf("cannot check the medium: %w", err)
	}
	if !r.Signed {
		r.Damaged = append(r.Damaged, iso9660.PartHead)
	}
	return r, r.Err()
}
