//go:build !cgo

package rescue

import (
	"io"
	"runtime"

	"github.com/klauspost/compress/zstd"
)

// newCompressor is a zstd writer for a build without cgo; same format, other bytes.
func newCompressor(w io.Writer, level int) (io.WriteCloser, error) {
	return zstd.NewWriter(w, zstd.WithEncoderLevel(zstd.EncoderLevelFromZstd(level)),
		zstd.WithEncoderConcurrency(runtime.NumCPU()), zstd.WithWindowSize(8<<20))
}
