package restore

import (
	"context"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/mkcdrec/mkcdrec/internal/fail"
	"github.com/mkcdrec/mkcdrec/internal/fit"
	"github.com/mkcdrec/mkcdrec/internal/machine"
	"github.com/mkcdrec/mkcdrec/internal/plan"
	"github.com/mkcdrec/mkcdrec/internal/system"
	"github.com/mkcdrec/mkcdrec/internal/testtree"
	"github.com/mkcdrec/mkcdrec/internal/tool/btrfs"
)

// foreign are what other tools say about the file system on a disk.
const foreign = `
set -- "$1" "$(blkid -p -o value -s TYPE "$1")"
blkid -p -o export -s TYPE -s UUID -s LABEL "$1"
case "$2" in
ext4) e2fsck -fn "$1" >/dev/null 2>&1 || { echo "e2fsck finds errors"; e2fsck -fn "$1"; }; dumpe2fs -h "$1" 2>/dev/null | grep -E '^(Filesystem features|Inode size|Block size|Inode count|Directory Hash Seed)' | sed 's/ needs_recovery//' ;;
xfs) xfs_repair -n "$1" >/dev/null 2>&1 || { echo "xfs_repair finds errors"; xfs_repair -n "$1" 2>&1; }; xfs_db -r -c version "$1" ;;
btrfs) btrfs check --readonly "$1" >/dev/null 2>&1 || { echo "btrfs check finds errors"; btrfs check --readonly "$1" 2>&1; }; btrfs inspect-internal dump-super "$1" | grep -E '^(csum_type|nodesize|label)' ;;
esac
`

func TestRealFileSystemIsRestored(t *testing.T) {
	for _, tt := range []struct {
		kind machine.FSKind
		size string
		mkfs []string
	}{
		{"ext4", "256M", []string{"mkfs.ext4", "-q", "-L", "data", "-I", "256", "-i", "8192"}},
		{"xfs", "512M", []string{"mkfs.xfs", "-q", "-L", "data", "-m", "rmapbt=1"}},
	} {
		t.Run(string(tt.kind), func(t *testing.T) {
			r := newReal(t)
			data := r.loop(t, tt.size, tt.mkfs...)
			r.record(t, data, tt.kind)
			r.mount(t, data, "/data", "")
			at := filepath.Join(r.root, "data")
			testtree.Everything(t, filepath.Join(at, "tree"))
			r.backUp(t)
			want, holes := testtree.Describe(t, at), testtree.DescribeHoles(t, at)
			testtree.Unlock(at)
			r.unmount(t, "/data")
			judged := testtree.Shell(t, foreign, r.Disk(data).Path)
			compare := func(what string) {
				t.Helper()
				r.settle(t)
				if got := testtree.Shell(t, foreign, r.Disk(data).Path); got != judged {
					t.Errorf("%s: other tools say:\n%s\nand said before:\n%s", what, got, judged)
				}
				testtree.Shell(t, `mount -o noatime "$1" "$2"`, r.Disk(data).Path, at)
				if d := testtree.Diff(want, testtree.Describe(t, at)); d != "" {
					t.Errorf("%s: the tree differs:\n%s", what, d)
				}
				if d := testtree.Diff(holes, testtree.DescribeHoles(t, at)); d != "" {
					t.Errorf("%s: holes differ:\n%s", what, d)
				}
			}
			// The disk holds something else now.
			testtree.Shell(t, `mkfs.ext4 -q -F -L other "$1"`, r.Disk(data).Path)
			rep := r.restore(t, fit.FSWishes{Mount: "/data"})
			if rep.Resumed > 0 || rep.Unpacked.Files == 0 {
				t.Errorf("report: %+v", rep)
			}
			compare("made anew")

			// Unpacked over: what was changed or removed is as it was, what is
			// not in the backup stays.
			testtree.Unlock(at)
			testtree.Shell(t, `cd "$1"; echo mine > not-in-the-backup
				for f in tree/*; do if [ -f "$f" ]; then echo changed > "$f"; fi; done; find tree -maxdepth 1 -type l -delete`, at)
			r.unmount(t, "/data")
			r.restore(t, fit.FSWishes{Mount: "/data", Keep: true})
			testtree.Shell(t, `mount "$1" "$2"; [ "$(cat "$2/not-in-the-backup")" = mine ]; touch -r "$2" "$3"; rm "$2/not-in-the-backup"; touch -r "$3" "$2"; umount "$2"`,
				r.Disk(data).Path, at, filepath.Join(t.TempDir(), "time"))
			compare("unpacked over")
			testtree.Unlock(at)
			r.unmount(t, "/data")
		})
	}
}

func TestRealBtrfsIsRestoredWithAllItsSubvolumes(t *testing.T) {
	r := newReal(t)
	data := r.loop(t, "512M", "mkfs.btrfs", "-q", "-L", "data")
	testtree.Need(t, "btrfs")
	top := t.TempDir()
	// As after a rollback: the subvolume that is in use began as a snapshot.
	testtree.Shell(t, `mount "$1" "$2"; cd "$2"; btrfs -q subvolume create home; btrfs -q subvolume create first; btrfs -q subvolume snapshot first srv
		btrfs -q subvolume delete first; btrfs -q subvolume create srv/inner
		echo inner > srv/inner/file; btrfs subvolume set-default srv; cd /; umount "$2"`, r.Disk(data).Path, top)
	fs := r.record(t, data, "btrfs")
	r.mount(t, data, "/home", "home")
	r.mount(t, data, "/srv", "srv")
	testtree.Shell(t, `mkdir -p "$1/srv/.snapshots/1"; echo 1 > "$1/srv/.snapshots/1/info.xml"`, r.root)
	testtree.Everything(t, filepath.Join(r.root, "home/tree"))
	testtree.Shell(t, `echo srv > "$1/srv/file"`, r.root)
	describe := func() string {
		t.Helper()
		return testtree.Describe(t, filepath.Join(r.root, "home")) + testtree.Describe(t, filepath.Join(r.root, "srv")) +
			testtree.Describe(t, filepath.Join(r.root, "srv/inner"))
	}
	want := describe()
	times := filepath.Join(t.TempDir(), "times")
	testtree.Shell(t, `touch -r "$1" "$2"; btrfs -q subvolume snapshot -r "$1/../.." "$1/snapshot"; touch -r "$2" "$1"`, filepath.Join(r.root, "srv/.snapshots/1"), times)
	subvols, err := btrfs.Subvolumes(t.Context(), &system.Host{}, filepath.Join(r.root, "srv"))
	if err != nil {
		t.Fatal(err)
	}
	fs.Subvolumes = subvols
	r.backUp(t)
	testtree.Shell(t, `btrfs -q subvolume delete "$1"`, filepath.Join(r.root, "srv/.snapshots/1/snapshot")) // it does not come back
	testtree.Unlock(filepath.Join(r.root, "home"))
	r.unmount(t, "/home")
	r.unmount(t, "/srv")
	subvolumes := func() string {
		t.Helper()
		r.settle(t)
		return testtree.Shell(t, foreign, r.Disk(data).Path) + testtree.Shell(t, `mount -o subvolid=5 "$1" "$2"
			btrfs subvolume list "$2" | sed 's/.* path //' | sort; btrfs subvolume get-default "$2" | sed 's/.* path /default /'; umount "$2"`, r.Disk(data).Path, top)
	}
	judged := subvolumes()
	r.settle(t)
	testtree.Shell(t, `mkfs.xfs -q -f "$1"`, r.Disk(data).Path)
	r.restore(t, fit.FSWishes{Mount: "/srv"})
	if got := subvolumes(); got != judged {
		t.Errorf("other tools say:\n%s\nand said before:\n%s", got, judged)
	}
	testtree.Shell(t, `mount -o noatime,subvol=home "$1" "$2/home"; mount -o noatime,subvol=srv "$1" "$2/srv"`, r.Disk(data).Path, r.root)
	if d := testtree.Diff(want, describe()); d != "" {
		t.Errorf("the trees differ:\n%s", d)
	}
	testtree.Unlock(filepath.Join(r.root, "home"))
}

// The root alone: other file systems are mounted in it, and are left alone.
func TestRealRootIsRestoredWithoutWhatIsMountedInIt(t *testing.T) {
	r := newReal(t)
	data := r.loop(t, "32M", "mkfs.ext4", "-q")
	r.record(t, data, "ext4")
	r.mount(t, data, "/data", "")
	r.Swaps = []machine.Swap{{File: "/var/swapfile", Size: 8 << 20, UUID: "12345678-1234-4234-8234-123456789012"}}
	testtree.Shell(t, `fallocate -l 8M "$1/var/swapfile"; chmod 600 "$1/var/swapfile"; echo mine > "$1/data/file"; echo old > "$1/etc/old"`, r.root)
	r.backUp(t)
	r.unmount(t, "/data")
	testtree.Shell(t, `rm -f "$1/var/swapfile"`, r.root)
	want := testtree.Shell(t, `cd "$1"; find . -xdev ! -path ./lost+found -printf '%p %y %m %U %G %s %l\n' | grep -v '^. ' | sort`, r.root)
	r.unmount(t, "/")
	root := r.Disks[0]
	testtree.Shell(t, `mkfs.ext4 -q -F "$1"`, root.Path)
	r.restore(t, fit.FSWishes{Mount: "/"})
	testtree.Shell(t, `mount "$1" "$2"`, root.Path, r.root)
	got := testtree.Shell(t, `cd "$1"; file -b var/swapfile 2>/dev/null | cut -c1-5 >&2; blkid -p -o value -s UUID var/swapfile; rm var/swapfile
		find . -xdev ! -path ./lost+found -printf '%p %y %m %U %G %s %l\n' | grep -v '^. ' | sort`, r.root)
	uuid, got, _ := strings.Cut(got, "\n")
	if uuid != r.Swaps[0].UUID {
		t.Errorf("the swap file has the UUID %q", uuid)
	}
	if d := testtree.Diff(want, got); d != "" {
		t.Errorf("the root differs:\n%s", d)
	}
}

// Beside the original, on a larger device: a UUID of its own, mountable at the
// same time.
func TestRealCopyOntoAnotherDevice(t *testing.T) {
	r := newReal(t)
	data := r.loop(t, "330M", "mkfs.xfs", "-q", "-L", "data")
	r.record(t, data, "xfs")
	r.mount(t, data, "/data", "")
	testtree.Everything(t, filepath.Join(r.root, "data/tree"))
	r.backUp(t)
	recorded := slices.Clone(r.Disks)
	spare := r.loop(t, "600M")
	here := r.Disks
	r.Disks = recorded
	want := testtree.Describe(t, filepath.Join(r.root, "data"))
	r.Disks = here
	r.restore(t, fit.FSWishes{Mount: "/data", Onto: "/dev/" + spare})
	at := t.TempDir()
	testtree.Shell(t, `mount -o noatime "$1" "$2"`, "/dev/"+spare, at) // xfs refuses a UUID that is mounted
	t.Cleanup(func() { testtree.Unlock(at); testtree.Shell(t, `umount "$1"`, at) })
	if d := testtree.Diff(want, testtree.Describe(t, at)); d != "" {
		t.Errorf("the copy differs:\n%s", d)
	}
	size := testtree.Shell(t, `stat -f -c '%b %S' "$1" | awk '{ print ($1 * $2 > 480 * 1048576) }'`, at)
	if strings.TrimSpace(size) != "1" {
		t.Error("the copy does not use the larger device")
	}
	testtree.Unlock(filepath.Join(r.root, "data"))
}

// cutting is a backup whose unpacking ends after the first bytes.
type cutting struct {
	Backup
	cut func()
}

func (c cutting) Unpack(ctx context.Context, root string, scope *plan.Scope, progress func(int64)) (Unpacked, error) {
	return c.Backup.Unpack(ctx, root, scope, func(n int64) {
		if progress(n); n > 0 {
			c.cut()
		}
	})
}

func TestRealInterruptionGoesOnByTheJournalOnTheTarget(t *testing.T) {
	r := newReal(t)
	data := r.loop(t, "128M", "mkfs.ext4", "-q")
	r.record(t, data, "ext4")
	r.mount(t, data, "/data", "")
	at := filepath.Join(r.root, "data")
	testtree.Shell(t, `cd "$1"; for i in $(seq 300); do head -c 50000 /dev/urandom > file$i; done`, at)
	r.backUp(t)
	want := testtree.Describe(t, at)
	r.unmount(t, "/data")
	o := r.options(t, fit.FSWishes{Mount: "/data"})
	ctx, cancel := context.WithCancel(t.Context())
	whole := o.Backup
	o.Backup = cutting{whole, cancel}
	if _, err := Run(ctx, o); fail.KindOf(err) != fail.Interrupted {
		t.Fatalf("got %v", err)
	}
	// The power goes: of the rescue system nothing is left.
	testtree.Shell(t, `umount "$1"; rm "$2"`, filepath.Join(o.TargetRoot, "data"), o.Journal)
	o.Plan = r.options(t, fit.FSWishes{Mount: "/data"}).Plan
	o.Backup = whole
	rep, err := Run(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	if rep.Resumed != 3 || len(rep.Warnings) > 0 { // release, wipe, mkfs
		t.Errorf("report: %+v", rep)
	}
	testtree.Shell(t, `mount -o noatime "$1" "$2"`, r.Disk(data).Path, at)
	if d := testtree.Diff(want, testtree.Describe(t, at)); d != "" {
		t.Errorf("the tree differs:\n%s", d)
	}
}
