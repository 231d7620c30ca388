package backup_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/mkcdrec/mkcdrec/internal/backup"
	"github.com/mkcdrec/mkcdrec/internal/machine"
	"github.com/mkcdrec/mkcdrec/internal/system"
	"github.com/mkcdrec/mkcdrec/internal/testtree"
	"github.com/mkcdrec/mkcdrec/internal/tool/btrfs"
)

// A real btrfs as snapper keeps it: read-only snapshots below /.snapshots, one
// of them mounted, and a writable one that somebody works in.
func TestRealSnapshotsAreLeftOut(t *testing.T) {
	testtree.NeedRoot(t)
	testtree.Need(t, "mkfs.btrfs", "btrfs", "losetup", "zstd", "tar")
	base := t.TempDir()
	top, root := filepath.Join(base, "top"), filepath.Join(base, "root")
	dev := strings.TrimSpace(testtree.Shell(t, `cd "$1"; mkdir top root; truncate -s 256M image; mkfs.btrfs -q image >&2; losetup --find --show image`, base))
	t.Cleanup(func() { testtree.Shell(t, `losetup --detach "$1"`, dev) })
	t.Cleanup(func() {
		testtree.Shell(t, `for m in "$2/mnt" "$2/home" "$2" "$1"; do if mountpoint -q "$m"; then umount "$m"; fi; done`, top, root)
	})
	testtree.Shell(t, `mount "$1" "$2"; cd "$2"
		for s in @ @home @/.snapshots; do btrfs -q subvolume create $s; done
		mkdir @/etc @/mnt @/home; echo one > @/etc/file; echo home > @home/file
		for n in 1 2 3; do mkdir @/.snapshots/$n; echo info > @/.snapshots/$n/info.xml; btrfs -q subvolume snapshot -r @ @/.snapshots/$n/snapshot; done
		btrfs -q subvolume snapshot @home @/work; echo mine > @/work/mine
		mkdir @home/.snapshots; btrfs -q subvolume snapshot -r @home "@home/.snapshots/odd * name"
		mount -o subvol=@ "$1" "$3"; mount -o subvol=@home "$1" "$3/home"; mount -o subvol=@/.snapshots/2/snapshot "$1" "$3/mnt"`, dev, top, root)
	subvols, err := btrfs.Subvolumes(t.Context(), &system.Host{}, root)
	if err != nil {
		t.Fatal(err)
	}
	mount := func(target, sub string) machine.Mount {
		return machine.Mount{On: "disk:x", Target: target, Subvolume: sub}
	}
	record := func() *machine.Machine {
		return &machine.Machine{
			FileSystems: []machine.FileSystem{{On: "disk:x", Kind: "btrfs", Subvolumes: subvols}},
			Mounts:      []machine.Mount{mount("/", "@"), mount("/home", "@home"), mount("/mnt", "@/.snapshots/2/snapshot")},
		}
	}
	// listed are the paths of the backup, by tar.
	listed := func(opt backup.Options, to string) string {
		t.Helper()
		res, err := backup.Run(t.Context(), opt)
		if err != nil {
			t.Fatal(err)
		}
		if n := res.Manifest.Warned; n > 0 {
			t.Errorf("%d warnings: %+v", n, res.Manifest.Warnings)
		}
		return testtree.Shell(t, `cat "$1"/host/*/data.*.tar.zst | zstd -dc | tar --quoting-style=literal -tf - | sed 's:^\./::; s:/$::; /^$/d' | sort`, to)
	}
	take := func(keep bool) string {
		to := t.TempDir()
		opt := options(t, root, to, "")
		opt.Machine = record()
		if !keep {
			opt.LeaveOut = backup.LeaveOutSnapshots(opt.Machine, nil)
			var said []string
			for _, s := range opt.LeaveOut {
				said = append(said, s.String())
			}
			want := "the snapshot mounted on /mnt; 3 snapshots below /.snapshots; the snapshot /home/.snapshots/odd * name"
			if got := strings.Join(said, "; "); got != want {
				t.Errorf("left out %q, want %q", got, want)
			}
		}
		return listed(opt, to)
	}
	want := strings.Join([]string{".snapshots", ".snapshots/1", ".snapshots/1/info.xml", ".snapshots/2", ".snapshots/2/info.xml",
		".snapshots/3", ".snapshots/3/info.xml", "etc", "etc/file", "home", "home/.snapshots", "home/file", "mnt", "work", "work/file", "work/mine"}, "\n") + "\n"
	if got := take(false); got != want {
		t.Errorf("the backup has:\n%s\nwant:\n%s", got, want)
	}
	kept := take(true)
	for _, p := range []string{".snapshots/1/snapshot/etc/file", ".snapshots/3/snapshot/etc/file", "home/.snapshots/odd * name/file", "mnt/etc/file", "work/mine"} {
		if !strings.Contains(kept, "\n"+p+"\n") {
			t.Errorf("with the setting, %s is not in the backup:\n%s", p, kept)
		}
	}
	if _, err := os.Stat(filepath.Join(root, "mnt/etc/file")); err != nil {
		t.Errorf("the fixture's snapshot is not mounted: %v", err)
	}
}
