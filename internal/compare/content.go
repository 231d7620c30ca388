package compare

import (
	"context"
	"errors"
	"io"

	"github.com/mkcdrec/mkcdrec/internal/archive"
	"github.com/mkcdrec/mkcdrec/internal/inode"
	"golang.org/x/sys/unix"
)

// contentHash hashes an open file of the recorded size as Entry.Hash has it.
// Of a file with holes only the recorded extents are read; holed says that
// all else of it is zeros. So a file of a terabyte that is nearly all hole
// takes no time.
// read gets the size of each piece.
func contentHash(ctx context.Context, fd int, e *archive.Entry, read func(n int)) (sum [32]byte, holed bool, err error) {
	buf := make([]byte, 256<<10)
	extents := e.Sparse
	if extents == nil {
		extents = []archive.Extent{{Length: e.Size}}
	}
	h := archive.NewHasher(e)
	for _, x := range extents {
		if _, err := io.CopyBuffer(h, &section{ctx, fd, x, read}, buf); err != nil {
			return sum, false, err
		}
	}
	if holed, err = zeroOutside(ctx, fd, e, buf); err != nil {
		return sum, false, err
	}
	return h.Sum(), holed, nil
}

// zeroOutside says whether a file has only zeros outside of the recorded extents.
func zeroOutside(ctx context.Context, fd int, e *archive.Entry, buf []byte) (bool, error) {
	if e.Sparse == nil {
		return true, nil
	}
	live, err := inode.Extents(fd, e.Size)
	if err != nil {
		return false, err
	}
	if live == nil {
		live = []archive.Extent{{Length: e.Size}}
	}
	for _, x := range without(live, e.Sparse) {
		for s := (section{ctx, fd, x, func(int) {}}); ; {
			n, err := s.Read(buf)
			for _, b := range buf[:n] {
				if b != 0 {
					return false, nil
				}
			}
			if errors.Is(err, io.EOF) {
				break
			}
			if err != nil {
				return false, err
			}
		}
	}
	return true, nil
}

// without gives the parts of a that are not in b; both are in order.
func without(a, b []archive.Extent) []archive.Extent {
	var out []archive.Extent
	i := 0
	for _, x := range a {
		at, end := x.Offset, x.Offset+x.Length
		for ; i < len(b) && b[i].Offset+b[i].Length <= at; i++ {
		}
		for k := i; at < end; k++ {
			if k == len(b) || b[k].Offset >= end {
				out = append(out, archive.Extent{Offset: at, Length: end - at})
				break
			}
			if b[k].Offset > at {
				out = append(out, archive.Extent{Offset: at, Length: b[k].Offset - at})
			}
			at = max(at, b[k].Offset+b[k].Length)
		}
	}
	return out
}

// section reads a part of a file until ctx ends. The end of the file within
// it is io.EOF.
type section struct {
	ctx  context.Context
	fd   int
	x    archive.Extent // what is left
	more func(n int)    // told of what was read
}

func (s *section) Read(p []byte) (int, error) {
	if err := s.ctx.Err(); err != nil {
		return 0, err
	}
	p = p[:min(int64(len(p)), s.x.Length)]
	for {
		n, err := unix.Pread(s.fd, p, s.x.Offset)
		switch {
		case errors.Is(err, unix.EINTR):
			continue
		case err != nil:
			return 0, err
		case n == 0:
			return 0, io.EOF
		}
		s.x.Offset, s.x.Length = s.x.Offset+int64(n), s.x.Length-int64(n)
		s.more(n)
		return n, nil
	}
}
