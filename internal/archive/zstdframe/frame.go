// Package zstdframe makes and reads independent zstd frames, each with its
// content size and checksum, and the seek table of the zstd seekable format.
// It compresses with libzstd where cgo is on and with a pure Go
// implementation elsewhere; either reads what the other wrote. It knows
// nothing of files or of tar.
//
// Sources: RFC 8878, and contrib/seekable_format/zstd_seekable_compression_format.md of zstd.
package zstdframe

import (
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/cespare/xxhash/v2"
)

// Levels that an Encoder accepts.
const (
	MinLevel     = 1
	DefaultLevel = 3
	MaxLevel     = 19
)

// MaxContent is the largest content of one frame, in bytes.
const MaxContent = 64 << 20

const (
	magic        = 0xFD2FB528
	checksumFlag = 1 << 2 // in the frame header descriptor, byte 4 of a frame
)

// ErrFrame is wrapped when bytes are not the frame that was expected.
var ErrFrame = errors.New("zstd frame is damaged")

// Checksum is the checksum of a frame's content: the low 32 bits of XXH64.
func Checksum(content []byte) uint32 { return uint32(xxhash.Sum64(content)) }

// Encoder compresses frames. It is for one goroutine; Close frees its memory.
type Encoder struct{ c compressor }

// NewEncoder makes an Encoder for a level from MinLevel to MaxLevel.
func NewEncoder(level int) (*Encoder, error) {
	if level < MinLevel || level > MaxLevel {
		return nil, fmt.Errorf("zstd level %d is not one of %d to %d", level, MinLevel, MaxLevel)
	}
	c, err := newCompressor(level)
	if err != nil {
		return nil, fmt.Errorf("cannot make a zstd encoder: %w", err)
	}
	return &Encoder{c: c}, nil
}

// Encode makes one frame of content in buf's memory, where that is large
// enough, and returns the frame and the checksum of its content.
func (e *Encoder) Encode(buf, content []byte) (frame []byte, sum uint32, err error) {
	if len(content) > MaxContent {
		return nil, 0, fmt.Errorf("content of a zstd frame is too large: %d bytes", len(content))
	}
	frame, err = e.c.compress(buf, content)
	if err != nil {
		return nil, 0, fmt.Errorf("cannot compress: %w", err)
	}
	if len(frame) < 6 || binary.LittleEndian.Uint32(frame) != magic || frame[4]&checksumFlag != 0 {
		return nil, 0, errors.New("cannot compress: unexpected frame header")
	}
	// Neither library's one-shot call can be relied on to add the checksum,
	// and the seek table needs its value anyway: set the flag, append the sum
	// (RFC 8878, 3.1.1).
	sum = Checksum(content)
	frame[4] |= checksumFlag
	return binary.LittleEndian.AppendUint32(frame, sum), sum, nil
}

// Close frees the encoder's memory.
func (e *Encoder) Close() { e.c.close() }

// Decoder decompresses frames. It is for one goroutine.
type Decoder struct{ d decompressor }

// NewDecoder makes a Decoder.
func NewDecoder() (*Decoder, error) {
	d, err := newDecompressor()
	if err != nil {
		return nil, fmt.Errorf("cannot make a zstd decoder: %w", err)
	}
	return &Decoder{d: d}, nil
}

// Decode decompresses frame into content, whose length is the length that is
// expected. It verifies the frame's own checksum and sum, and never writes
// beyond content. While it runs, a byte of frame is changed. All its errors
// wrap ErrFrame.
func (d *Decoder) Decode(content, frame []byte, sum uint32) error {
	if len(frame) < 6 || binary.LittleEndian.Uint32(frame) != magic {
		return fmt.Errorf("%w: no zstd magic number", ErrFrame)
	}
	bare := frame
	if frame[4]&checksumFlag != 0 && len(frame) >= 10 {
		// The content is hashed once, here, for both checksums: the library
		// is given the frame as if it had none.
		bare = frame[:len(frame)-4]
		if own := binary.LittleEndian.Uint32(frame[len(bare):]); own != sum {
			return fmt.Errorf("%w: checksum %08x instead of %08x", ErrFrame, own, sum)
		}
		frame[4] &^= checksumFlag
		defer func() { frame[4] |= checksumFlag }()
	}
	n, err := d.d.decompress(content, bare)
	if err != nil {
		return fmt.Errorf("%w: %v", ErrFrame, err)
	}
	if n != len(content) {
		return fmt.Errorf("%w: %d bytes of content instead of %d", ErrFrame, n, len(content))
	}
	if got := Checksum(content); got != sum {
		return fmt.Errorf("%w: checksum %08x instead of %08x", ErrFrame, got, sum)
	}
	return nil
}

// Close frees the decoder's memory.
func (d *Decoder) Close() { d.d.close() }

type compressor interface {
	compress(buf, content []byte) ([]byte, error)
	close()
}

type decompressor interface {
	decompress(content, frame []byte) (int, error)
	close()
}
