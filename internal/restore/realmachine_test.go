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
	"github.com/mkcdrec/mkcdrec/internal/fit"
	"github.com/mkcdrec/mkcdrec/internal/machine"
	"github.com/mkcdrec/mkcdrec/internal/plan"
	"github.com/mkcdrec/mkcdrec/internal/store/dir"
	"github.com/mkcdrec/mkcdrec/internal/system"
	"github.com/mkcdrec/mkcdrec/internal/testtree"
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
