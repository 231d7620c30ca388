package zstdframe

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
)

// At reads the headers of the frame that begins at byte off of a file of size
// bytes and says how long it is: for files whose seek table is gone. It goes
// from block to block without decompressing anything. A frame that is not
// whole, or lacks content size or checksum, is an error that wraps ErrFrame;
// other errors are the reader's.
//
// Source: RFC 8878, 3.1.1.
func At(r io.ReaderAt, off, size int64) (Entry, error) {
	s := scan{r: r, at: off, size: size}
	var e Entry
	head := s.take(5)
	if s.err != nil {
		return e, s.err
	}
	if binary.LittleEndian.Uint32(head) != magic {
		return e, fmt.Errorf("%w: no zstd magic number at byte %d", ErrFrame, off)
	}
	content, sum := s.header(head[4])
	for last := false; s.err == nil && !last; {
		last = s.block()
	}
	check := s.take(4)
	if s.err != nil {
		return e, s.err
	}
	if !sum || content > MaxContent || s.at-off > MaxContent+MaxContent/128+1024 {
		return e, fmt.Errorf("%w: frame at byte %d is not one of a backup", ErrFrame, off)
	}
	return Entry{Compressed: uint32(s.at - off), Content: uint32(content), Checksum: binary.LittleEndian.Uint32(check)}, nil
}

type scan struct {
	r        io.ReaderAt
	at, size int64
	buf      [16]byte
	err      error
}

// take reads the next n bytes, at most 16.
func (s *scan) take(n int) []byte {
	b := s.buf[:n]
	s.skip(int64(n))
	if s.err != nil {
		return b
	}
	if got, err := s.r.ReadAt(b, s.at-int64(n)); got < n {
		s.err = err
		if err == nil || errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
			s.err = fmt.Errorf("%w: it is cut at byte %d", ErrFrame, s.at-int64(n)+int64(got))
		}
	}
	return b
}

func (s *scan) skip(n int64) {
	if s.err == nil && n > s.size-s.at {
		s.err = fmt.Errorf("%w: it is cut at byte %d", ErrFrame, s.size)
	}
	s.at += n
}

// header reads what follows the descriptor: content is the content size, sum
// whether a checksum ends the frame.
func (s *scan) header(descriptor byte) (content uint64, sum bool) {
	single := descriptor&(1<<5) != 0
	if !single {
		s.skip(1) // window
	}
	s.skip([4]int64{0, 1, 2, 4}[descriptor&3]) // dictionary
	le := binary.LittleEndian
	switch descriptor >> 6 {
	case 0:
		if !single {
			s.err = errors.Join(s.err, fmt.Errorf("%w: no content size", ErrFrame))
			return 0, false
		}
		content = uint64(s.take(1)[0])
	case 1:
		content = uint64(le.Uint16(s.take(2))) + 256
	case 2:
		content = uint64(le.Uint32(s.take(4)))
	case 3:
		content = le.Uint64(s.take(8))
	}
	return content, descriptor&checksumFlag != 0
}

// block passes over one block and says whether it is the last.
func (s *scan) block() (last bool) {
	b := s.take(3)
	h := uint32(b[0]) | uint32(b[1])<<8 | uint32(b[2])<<16
	switch kind := h >> 1 & 3; kind {
	case 0, 2: // raw, compressed
		s.skip(int64(h >> 3))
	case 1: // one byte, repeated
		s.skip(1)
	default:
		s.err = errors.Join(s.err, fmt.Errorf("%w: reserved block type", ErrFrame))
	}
	return h&1 != 0
}
