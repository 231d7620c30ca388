package restore

import (
	"context"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/mkcdrec/mkcdrec/internal/archive"
	"github.com/mkcdrec/mkcdrec/internal/backup"
	"github.com/mkcdrec/mkcdrec/internal/fail"
	"github.com/mkcdrec/mkcdrec/internal/fit"
	"github.com/mkcdrec/mkcdrec/internal/machine"
	"github.com/mkcdrec/mkcdrec/internal/plan"
	"github.com/mkcdrec/mkcdrec/internal/store/dir"
	"github.com/mkcdrec/mkcdrec/internal/system"
	"github.com/mkcdrec/mkcdrec/internal/testtree"
	"github.com/mkcdrec/mkcdrec/internal/tool/btrfs"
	"github.com/mkcdrec/mkcdrec/internal/tool/superblock"
)

// realMachine is a machine whose disks are image files on loop devices, with
// everything mounted below root, and its backup.
type realMachine struct {
	machine.Machine
	root   string
	images map[string]string // disk -> image file
	backup *archive.Backup
}

// loop makes an image file a disk of the machine; mkfs runs on it if given.
func (r *realMachine) loop(t *testing.T, size string, mkfs ...string) string {
	t.Helper()
	img := filepath.Join(t.TempDir(), "image")
	dev := strings.TrimSpace(testtree.Shell(t, `truncate -s "$1" "$2"; losetup --find --show "$2"`, size, img))
	t.Cleanup(func() { testtree.Shell(t, `losetup --detach "$1"`, dev) })
	if len(mkfs) > 0 {
		testtree.Need(t, mkfs[0])
		testtree.Shell(t, `"$@" >/dev/null`, append(mkfs, dev)...)
	}
	fi, err := os.Stat(img)
	if err != nil {
		t.Fatal(err)
	}
	name := filepath.Base(dev)
	r.images[name] = img
	r.Disks = append(r.Disks, machine.Disk{Name: name, Path: dev, Size: machine.Bytes(fi.Size()), LogicalSector: 512, Serial: "REAL-" + name})
	return name
}

// record reads the superblock on a disk into the machine.
func (r *realMachine) record(t *testing.T, disk string, kind machine.FSKind) *machine.FileSystem {
	t.Helper()
	f, err := os.Open(r.Disk(disk).Path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	fs, err := superblock.Read(kind, f)
	if err != nil {
		t.Fatal(err)
	}
	fs.On = machine.DiskRef(disk)
	r.FileSystems = append(r.FileSystems, fs)
	return &r.FileSystems[len(r.FileSystems)-1]
}

// mount mounts a disk below the root until the test ends or unmounted.
func (r *realMachine) mount(t *testing.T, disk, target, subvolume string) {
	t.Helper()
	m := machine.Mount{On: machine.DiskRef(disk), Target: target, Subvolume: subvolume, Options: "rw"}
	options := "noatime"
	if subvolume != "" {
		options += ",subvol=/" + subvolume
	}
	testtree.Shell(t, `mkdir -p "$3"; mount -o "$1" "$2" "$3"`, options, r.Disk(disk).Path, filepath.Join(r.root, target))
	t.Cleanup(func() {
		testtree.Shell(t, `if mountpoint -q "$1"; then umount "$1"; fi`, filepath.Join(r.root, target))
	})
	r.Mounts = append(r.Mounts, m)
}

func (r *realMachine) unmount(t *testing.T, target string) {
	t.Helper()
	testtree.Shell(t, `umount "$1"`, filepath.Join(r.root, target))
	r.settle(t)
}

// settle waits until nothing holds a disk that is not mounted: a program in a
// mount namespace of its own may have a copy of a mount for a while.
func (r *realMachine) settle(t *testing.T) {
	t.Helper()
	deadline := time.Now().Add(2 * time.Minute)
	for _, d := range r.Disks {
		for testtree.Shell(t, `grep " $1 " /proc/self/mountinfo || true`, d.Path) == "" {
			f, err := os.OpenFile(d.Path, os.O_RDONLY|unix.O_EXCL, 0)
			if err == nil {
				f.Close()
				break
			}
			if time.Now().After(deadline) {
				t.Fatalf("%s is not mounted here, and in use: %v", d.Path, err)
			}
			time.Sleep(50 * time.Millisecond)
		}
	}
}

// newReal has an ext4 as root with some files in it.
func newReal(t *testing.T) *realMachine {
	t.Helper()
	testtree.NeedRoot(t)
	testtree.Need(t, "losetup", "mount", "getfattr", "lsattr", "filefrag")
	r := &realMachine{root: t.TempDir(), images: map[string]string{}}
	r.Version, r.Hostname, r.Arch = machine.Version, "real", "amd64"
	r.Firmware.Kind, r.BootLoader.Kind = machine.BIOS, machine.NoBootLoader
	root := r.loop(t, "64M", "mkfs.ext4", "-q", "-L", "root")
	r.record(t, root, "ext4")
	r.mount(t, root, "/", "")
	testtree.Shell(t, `cd "$1"; mkdir etc var; echo real > etc/hostname; ln etc/hostname var/link; setfattr -n user.a -v b etc`, r.root)
	return r
}

// backUp makes the backup, as the product does.
func (r *realMachine) backUp(t *testing.T) {
	t.Helper()
	if err := r.Validate(); err != nil {
		t.Fatal(err)
	}
	store, err := dir.Open(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	layout, err := r.Layout()
	if err != nil {
		t.Fatal(err)
	}
	res, err := backup.Run(t.Context(), backup.Options{Machine: &r.Machine, Root: r.root, Sink: store, Lock: "-", LeaveOut: backup.LeaveOutSnapshots(&r.Machine, nil),
		Writer: archive.WriterOptions{Layout: layout, WorkDir: t.TempDir(), Tool: "test"}})
	if err != nil {
		t.Fatal(err)
	}
	if r.backup, err = archive.Open(t.Context(), store, res.Prefix); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { r.backup.Close() })
}

// here is the machine as the rescue system sees it.
func (r *realMachine) here(t *testing.T) machine.Machine {
	t.Helper()
	var here machine.Machine
	here.Version, here.Disks = machine.Version, slices.Clone(r.Disks)
	for _, d := range r.Disks {
		kind := strings.TrimSpace(testtree.Shell(t, `blkid -p -o value -s TYPE "$1" || true`, d.Path))
		if superblock.Known(machine.FSKind(kind)) {
			var seen realMachine
			seen.Disks = here.Disks
			here.FileSystems = append(here.FileSystems, *seen.record(t, d.Name, machine.FSKind(kind)))
		}
	}
	return here
}

// options plan the restore of one file system of the backup.
func (r *realMachine) options(t *testing.T, w fit.FSWishes) Options {
	t.Helper()
	here := r.here(t)
	target, scope, choices, err := fit.FileSystem(r.Machine, here, w)
	if err != nil {
		t.Fatal(err)
	}
	p, err := plan.FileSystem(target, scope, choices, here, plan.Info{Backup: r.backup.Manifest.ID, Host: r.Hostname, Entries: 1})
	if err != nil {
		t.Fatal(err)
	}
	base := t.TempDir()
	t.Cleanup(func() { // what a failed run leaves
		testtree.Shell(t, `for m in "$1" "$1".top; do if grep -qF " $m" /proc/self/mountinfo; then umount --recursive --lazy "$m"/* "$m" 2>/dev/null || true; fi; done`,
			filepath.Join(base, "target"))
	})
	return Options{
		Plan: p, Backup: FromArchive(r.backup), System: &system.Host{}, Verify: VerifyFull,
		TargetRoot: filepath.Join(base, "target"), Journal: filepath.Join(base, "journal"),
		Look: func(context.Context) (machine.Machine, error) { return r.here(t), nil },
	}
}

// restore restores one file system; nothing but that may be reported.
func (r *realMachine) restore(t *testing.T, w fit.FSWishes) Report {
	t.Helper()
	others := r.sums(t)
	o := r.options(t, w)
	rep, err := Run(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	unexpected := slices.DeleteFunc(slices.Clone(rep.Warnings), func(w string) bool { return strings.HasPrefix(w, "not made again: 1 snapshot ") })
	if len(unexpected) > 0 || rep.Verified.Paths == 0 {
		t.Errorf("report: %+v", rep)
	}
	r.settle(t)
	is := r.sums(t)
	for disk, sum := range others {
		if same := is[disk] == sum; same != (o.Plan.Erases[0].Device != machine.DiskRef(disk)) {
			t.Errorf("disk %s of %s: the same as before: %v", disk, w.Mount, same)
		}
	}
	if got := testtree.Shell(t, `grep -F " $1" /proc/self/mountinfo || true`, o.TargetRoot); got != "" {
		t.Errorf("left mounted: %s", got)
	}
	return rep
}

// sums are those of the images of all disks. What is still mounted becomes
// read-only, so that its own file system writes no more.
func (r *realMachine) sums(t *testing.T) map[string]string {
	t.Helper()
	out := map[string]string{}
	for _, m := range r.Mounts {
		testtree.Shell(t, `if mountpoint -q "$1"; then mount -o remount,ro "$1"; fi`, filepath.Join(r.root, m.Target))
	}
	for disk, img := range r.images {
		out[disk] = testtree.Shell(t, `sha256sum < "$1"`, img)
	}
	return out
}

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
		o := r.options(t, fit.FSWishes{Mount: "/data", Onto: "/dev/" + free})
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

func (broken) Check(context.Context, *plan.Scope) error {
	return fail.New(fail.Damaged, "a frame is damaged")
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
