package restore

import (
	"context"
	"os"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/mkcdrec/mkcdrec/internal/fail"
	"github.com/mkcdrec/mkcdrec/internal/fit"
	"github.com/mkcdrec/mkcdrec/internal/plan"
	"github.com/mkcdrec/mkcdrec/internal/testtree"
)

// Everything here tries to get a device overwritten that must not be; the
// bytes on all devices stay as they are.
func TestRealGuards(t *testing.T) {
	setup := func(t *testing.T) (*realMachine, string) {
		r := newReal(t)
		data := r.loop(t, "64M", "mkfs.ext4", "-q", "-L", "data")
		r.record(t, data, "ext4")
		r.mount(t, data, "/data", "")
		testtree.Shell(t, `echo mine > "$1/data/file"`, r.root)
		r.backUp(t)
		return r, data
	}
	refused := func(t *testing.T, r *realMachine, o Options, want string) {
		t.Helper()
		before := r.sums(t)
		if err := CheckDevices(t.Context(), o); err == nil || fail.KindOf(err) != fail.Refused || !strings.Contains(err.Error(), want) {
			t.Errorf("CheckDevices: got %v, want %q", err, want)
		}
		if _, err := Run(t.Context(), o); err == nil || fail.KindOf(err) != fail.Refused || !strings.Contains(err.Error(), want) {
			t.Errorf("Run: got %v, want %q", err, want)
		}
		for disk, sum := range r.sums(t) {
			if before[disk] != sum {
				t.Errorf("disk %s was written to", disk)
			}
		}
	}
	t.Run("mounted", func(t *testing.T) {
		r, _ := setup(t)
		refused(t, r, r.options(t, fit.FSWishes{Mount: "/data"}), "is mounted on "+r.root+"/data")
	})
	t.Run("mounted by another name of the target", func(t *testing.T) {
		r, _ := setup(t)
		r.unmount(t, "/data")
		o := r.options(t, fit.FSWishes{Mount: "/data"})
		beside := o.TargetRoot + "-beside"
		testtree.Shell(t, `mkdir "$2"; mount "$1" "$2"`, r.Disks[1].Path, beside)
		defer testtree.Shell(t, `umount "$1"`, beside)
		refused(t, r, o, "is mounted on "+beside)
	})
	t.Run("backup on the device", func(t *testing.T) {
		r, data := setup(t)
		r.unmount(t, "/data")
		o := r.options(t, fit.FSWishes{Mount: "/data"})
		o.Protected = []string{data}
		refused(t, r, o, "the medium or the backup")
	})
	t.Run("second device of a mounted btrfs", func(t *testing.T) {
		r, _ := setup(t)
		r.unmount(t, "/data")
		testtree.Need(t, "mkfs.btrfs")
		first := r.loop(t, "128M")
		second := r.loop(t, "128M")
		at := t.TempDir()
		testtree.Shell(t, `mkfs.btrfs -q "/dev/$1" "/dev/$2"; mount -o "device=/dev/$2" "/dev/$1" "$3"`, first, second, at)
		defer testtree.Shell(t, `umount "$1"`, at)
		shown := testtree.Shell(t, `findmnt -n -o SOURCE "$1"`, at)
		free := second
		if strings.TrimSpace(shown) == "/dev/"+second {
			free = first
		}
		_, _, _, err := fit.FileSystem(r.Machine, r.here(t), fit.FSWishes{Mount: "/data", Onto: "/dev/" + free})
		if fail.KindOf(err) != fail.Refused || !strings.Contains(err.Error(), "one of the devices of a btrfs") {
			t.Errorf("got %v", err)
		}
	})
	t.Run("used by something that is listed nowhere", func(t *testing.T) {
		r, _ := setup(t)
		r.unmount(t, "/data")
		free := "/dev/" + r.loop(t, "128M")
		o := r.options(t, fit.FSWishes{Mount: "/data", Onto: free})
		f, err := os.OpenFile(free, os.O_RDONLY|unix.O_EXCL, 0)
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		refused(t, r, o, "is in use")
	})
	t.Run("too small", func(t *testing.T) {
		r, _ := setup(t)
		recorded := r.Machine
		small := r.loop(t, "4M")
		if _, _, _, err := fit.FileSystem(recorded, r.here(t), fit.FSWishes{Mount: "/data", Onto: small}); err == nil || !strings.Contains(err.Error(), "too small") {
			t.Errorf("got %v", err)
		}
	})
	t.Run("encrypted", func(t *testing.T) {
		r, data := setup(t)
		r.unmount(t, "/data")
		o := r.options(t, fit.FSWishes{Mount: "/data"})
		// The first bytes of a LUKS2 header (cryptsetup, docs/on-disk-format-luks2.pdf).
		testtree.Shell(t, `wipefs -q -a "$1"; { printf 'LUKS\272\276\000\002'; head -c 4088 /dev/zero; } | dd of="$1" conv=notrunc,fsync status=none`, r.Disk(data).Path)
		refused(t, r, o, "crypto_LUKS")
	})
	t.Run("damaged backup", func(t *testing.T) {
		r, _ := setup(t)
		r.unmount(t, "/data")
		o := r.options(t, fit.FSWishes{Mount: "/data"})
		before := r.sums(t)
		o.Backup = broken{o.Backup}
		if _, err := Run(t.Context(), o); fail.KindOf(err) != fail.Damaged || err == nil {
			t.Errorf("got %v", err)
		}
		for disk, sum := range r.sums(t) {
			if before[disk] != sum {
				t.Errorf("disk %s was written to", disk)
			}
		}
	})
}

// broken is a backup that turns out to be damaged.
type broken struct{ Backup }

func (broken) Check(context.Context, *plan.Scope, func(int64)) error {
	return fail.New(fail.Damaged, "a frame is damaged")
}
