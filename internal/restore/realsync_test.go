package restore

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/mkcdrec/mkcdrec/internal/system"
	"github.com/mkcdrec/mkcdrec/internal/testtree"
)

// A disk that fails on what the kernel has taken already: a loop device on a
// file that has no room. Writing and closing say nothing; SyncFS does.
func TestRealFailingDiskIsNoticed(t *testing.T) {
	testtree.NeedRoot(t)
	testtree.Need(t, "mkfs.ext4", "mkfs.btrfs", "losetup")
	for kind, mkfs := range map[string]string{"ext4": "mkfs.ext4 -q -E lazy_itable_init=0,lazy_journal_init=0 -J size=4", "btrfs": "mkfs.btrfs -q"} {
		for _, fails := range []bool{false, true} {
			size := "200M"
			if fails {
				size = "24M"
			}
			dir := t.TempDir()
			t.Cleanup(func() {
				testtree.Shell(t, `umount -R "$1/fs" 2>/dev/null; umount "$1/room" 2>/dev/null; true`, dir)
			})
			testtree.Shell(t, `mkdir "$1/room" "$1/fs" && mount -t tmpfs -o size="$2" room "$1/room" && truncate -s 150M "$1/room/disk" && `+mkfs+` "$1/room/disk" && mount -o loop "$1/room/disk" "$1/fs"`, dir, size)
			if err := os.WriteFile(filepath.Join(dir, "fs/file"), make([]byte, 40<<20), 0o644); err != nil {
				t.Fatalf("%s: the write itself: %v", kind, err)
			}
			if err := system.SyncFS(filepath.Join(dir, "fs")); (err != nil) != fails {
				t.Errorf("%s, fails %v: %v", kind, fails, err)
			} else if fails {
				t.Logf("%s: %v", kind, err)
			}
		}
	}
}
