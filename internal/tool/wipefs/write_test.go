package wipefs

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"testing"

	"github.com/mkcdrec/mkcdrec/internal/system"
)

// The real dd zeroes exactly the given bytes, at an end that is no multiple of
// its block size too.
func TestZeroByDD(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "disk")
	const size = 3<<20 + 512
	if err := os.WriteFile(file, bytes.Repeat([]byte{1}, size), 0o600); err != nil {
		t.Fatal(err)
	}
	ctx, host := context.Background(), &system.Host{}
	if err := Zero(ctx, host, file, size-1<<20, 1<<20); err != nil {
		t.Fatal(err)
	}
	if err := Zero(ctx, host, file, 0, 512); err != nil {
		t.Fatal(err)
	}
	want := bytes.Repeat([]byte{1}, size)
	clear(want[:512])
	clear(want[size-1<<20:])
	if got, err := os.ReadFile(file); err != nil || !bytes.Equal(got, want) {
		t.Errorf("the file has %d bytes and is not as it should be (%v)", len(got), err)
	}
	missing := filepath.Join(t.TempDir(), "missing")
	if err := Zero(ctx, host, missing, 0, 512); err == nil {
		t.Error("a device that is not there was zeroed")
	}
	if _, err := os.Stat(missing); err == nil {
		t.Error("a file was made in the place of a device")
	}
}
