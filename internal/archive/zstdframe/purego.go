//go:build !cgo

package zstdframe

// Library names the implementation in use.
const Library = "pure Go"

func newCompressor(level int) (compressor, error) { return newGoCompressor(level) }

func newDecompressor() (decompressor, error) { return newGoDecompressor() }
