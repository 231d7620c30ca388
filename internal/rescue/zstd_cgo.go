//go:build cgo

package rescue

import (
	"io"
	"runtime"

	"github.com/DataDog/zstd"
)

// newCompressor is a zstd writer with several workers. The number of workers
// does not change the bytes that come out.
func newCompressor(w io.Writer, level int) (io.WriteCloser, error) {
	z := zstd.NewWriterLevel(w, level)
	if err := z.SetNbWorkers(max(1, runtime.NumCPU())); err != nil {
		return nil, err
	}
	return z, nil
}
