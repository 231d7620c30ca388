package restore

import (
	"maps"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/mkcdrec/mkcdrec/internal/fail"
	"github.com/mkcdrec/mkcdrec/internal/fit"
	"github.com/mkcdrec/mkcdrec/internal/machine"
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

// A disk that fails while a file system is restored onto it: what the kernel
// has taken is not on it, and the restore says so, though every path has its
// size. No other disk is touched, and a second start does not go on from there.
func TestRealDiskFailsDuringTheRestore(t *testing.T) {
	r := newReal(t)
	data := r.loop(t, "128M", "mkfs.ext4", "-q")
	r.record(t, data, "ext4")
	r.mount(t, data, "/data", "")
	testtree.Shell(t, `cd "$1"; for i in $(seq 40); do head -c 500000 /dev/urandom > file$i; done`, filepath.Join(r.root, "data"))
	r.backUp(t)
	r.unmount(t, "/data")
	room := t.TempDir()
	dev := strings.TrimSpace(testtree.Shell(t, `mount -t tmpfs -o size=12M room "$1"; truncate -s 128M "$1/disk"; losetup --find --show "$1/disk"`, room))
	t.Cleanup(func() { testtree.Shell(t, `losetup --detach "$1"; umount "$2" || umount --lazy "$2"`, dev, room) })
	name := filepath.Base(dev)
	others := r.sums(t)
	r.Disks = append(r.Disks, machine.Disk{Name: name, Path: dev, Size: 128 << 20, LogicalSector: 512, Serial: "FAILS"})
	o := r.options(t, fit.FSWishes{Mount: "/data", Onto: dev})
	o.Verify = VerifyMetadata // which does not read the content
	_, err := Run(t.Context(), o)
	if err == nil || fail.KindOf(err) != fail.Failed || !strings.Contains(err.Error(), "unpack") || fail.HintOf(err) == "" {
		t.Fatalf("got %v (hint: %s)", err, fail.HintOf(err))
	}
	t.Logf("error: %v\nhint: %s", err, fail.HintOf(err))
	j, err := os.ReadFile(o.Journal)
	if err != nil || strings.Contains(string(j), `unpack","state":"done"`) || !strings.Contains(string(j), `unpack","state":"begun"`) {
		t.Errorf("the journal (%v):\n%s", err, j)
	}
	r.Disks = r.Disks[:len(r.Disks)-1]
	if is := r.sums(t); !maps.Equal(is, others) {
		t.Errorf("another disk was written to: %v, was %v", is, others)
	}
}
