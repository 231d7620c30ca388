package zstdframe

import (
	"errors"

	"github.com/klauspost/compress/zstd"
)

// The pure Go implementation is compiled always, so that the tests of a cgo
// build can check each against the other.

type goCompressor struct{ e *zstd.Encoder }

func newGoCompressor(level int) (compressor, error) {
	// Single segments, because small frames have no content size otherwise.
	e, err := zstd.NewWriter(nil, zstd.WithEncoderLevel(zstd.EncoderLevelFromZstd(level)),
		zstd.WithEncoderConcurrency(1), zstd.WithEncoderCRC(false), zstd.WithZeroFrames(true), zstd.WithSingleSegment(true))
	return &goCompressor{e: e}, err
}

func (c *goCompressor) compress(buf, content []byte) ([]byte, error) {
	return c.e.EncodeAll(content, buf[:0]), nil
}

func (c *goCompressor) close() { _ = c.e.Close() }

type goDecompressor struct{ d *zstd.Decoder }

func newGoDecompressor() (decompressor, error) {
	d, err := zstd.NewReader(nil, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxMemory(MaxContent),
		zstd.WithDecodeAllCapLimit(true))
	return &goDecompressor{d: d}, err
}

func (d *goDecompressor) decompress(content, frame []byte) (int, error) {
	out, err := d.d.DecodeAll(frame, content[:0:len(content)])
	if err != nil {
		return 0, err
	}
	if len(out) > 0 && &out[0] != &content[0] {
		return 0, errors.New("content is larger than expected")
	}
	return len(out), nil
}

func (d *goDecompressor) close() { d.d.Close() }
