package backup

import (
	"context"
	"io"
	"strings"
	"testing"

	"github.com/mkcdrec/mkcdrec/internal/archive"
	"github.com/mkcdrec/mkcdrec/internal/testtree"
)

// problems is a Sink that keeps the problem of every path.
type problems map[string]string

func (p problems) Warn(path, problem string) { p[path] += problem }
func (p problems) AddBytes(e *archive.Entry, _ []byte) error {
	p[e.Name] += e.Problem
	return nil
}
func (p problems) Add(e *archive.Entry, r io.Reader) error { return p.AddBytes(e, nil) }

// Without mount IDs (before Linux 5.8) a nested subvolume looks like a mount;
// it is left out, but not silently.
func TestSubvolumesWithoutMountIDs(t *testing.T) {
	root := testtree.Mount(t, "120M", "mkfs.btrfs", "-q")
	testtree.Shell(t, `btrfs -q subvolume create "$1/nested"; echo x >"$1/nested/file"; mkdir "$1/mnt"; mount -t tmpfs tmpfs "$1/mnt"; echo x >"$1/mnt/volatile"`, root)
	t.Cleanup(func() { testtree.Shell(t, `umount "$1/mnt"`, root) })
	for _, old := range []bool{false, true} {
		got := problems{}
		if err := Walk(context.Background(), got, WalkOptions{Root: root, noMounts: old, plain: old}); err != nil {
			t.Fatal(err)
		}
		_, inside := got["nested/file"]
		if warned := strings.Contains(got["nested"], "not entered"); inside == old || warned != old {
			t.Errorf("old kernel %v: entered %v, %q", old, inside, got["nested"])
		}
		if _, mounted := got["mnt/volatile"]; mounted || got["mnt"] != "" {
			t.Errorf("old kernel %v: the tmpfs: %q", old, got)
		}
	}
}
