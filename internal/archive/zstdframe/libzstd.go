//go:build cgo

package zstdframe

import "github.com/DataDog/zstd"

// Library names the implementation in use.
const Library = "libzstd"

type lib struct{ ctx zstd.Ctx }

func newCompressor(level int) (compressor, error) {
	return &libCompressor{ctx: zstd.NewCtx(), level: level}, nil
}

type libCompressor struct {
	ctx   zstd.Ctx
	level int
}

func (c *libCompressor) compress(buf, content []byte) ([]byte, error) {
	// Four bytes are left for the checksum that Encode appends.
	if need := zstd.CompressBound(len(content)) + 4; cap(buf) < need {
		buf = make([]byte, need)
	}
	return c.ctx.CompressLevel(buf[:cap(buf)], content, c.level)
}

func (c *libCompressor) close() {} // freed by the finalizer of the context

func newDecompressor() (decompressor, error) { return &lib{ctx: zstd.NewCtx()}, nil }

func (l *lib) decompress(content, frame []byte) (int, error) {
	if len(content) == 0 {
		var one [1]byte // DecompressInto takes the address of the first byte
		return l.ctx.DecompressInto(one[:], frame)
	}
	return l.ctx.DecompressInto(content, frame)
}

func (l *lib) close() {}
