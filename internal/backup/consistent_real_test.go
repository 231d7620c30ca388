package backup_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/mkcdrec/mkcdrec/internal/archive"
	"github.com/mkcdrec/mkcdrec/internal/backup"
	"github.com/mkcdrec/mkcdrec/internal/fail"
	"github.com/mkcdrec/mkcdrec/internal/machine"
	"github.com/mkcdrec/mkcdrec/internal/snapshot"
	"github.com/mkcdrec/mkcdrec/internal/system"
	"github.com/mkcdrec/mkcdrec/internal/testtree"
	"github.com/mkcdrec/mkcdrec/internal/tool/btrfs"
	"github.com/mkcdrec/mkcdrec/internal/tool/lvm"
)

// machineOn is a machine whose file systems are the device dev, mounted at
// these absolute places, each with its subvolume.
func machineOn(t *testing.T, dev, kind string, mounts ...machine.Mount) *machine.Machine {
	t.Helper()
	m := &machine.Machine{MachineID: "0123", Disks: []machine.Disk{{Name: "x", Path: dev}},
		FileSystems: []machine.FileSystem{{On: "disk:x", Kind: machine.FSKind(kind)}}}
	for _, mt := range mounts {
		mt.On, mt.Options = "disk:x", "rw"
		m.Mounts = append(m.Mounts, mt)
	}
	if kind == "btrfs" {
		var err error
		if m.FileSystems[0].Subvolumes, err = btrfs.Subvolumes(t.Context(), &system.Host{}, mounts[0].Target); err != nil {
			t.Fatal(err)
		}
	}
	return m
}

// hook writes an executable DIR/NAME.
func hook(t *testing.T, dir, name, script string) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(dir, name), []byte("#!/bin/sh\n"+script), 0o755); err != nil {
		t.Fatal(err)
	}
}

// btrfsTree is a btrfs with a root, a home and a subvolume nested in the root,
// mounted; sees lists what its top level has that is ours.
func btrfsTree(t *testing.T) (root, dev string, sees func() string) {
	t.Helper()
	testtree.NeedRoot(t)
	testtree.Need(t, "mkfs.btrfs", "btrfs", "losetup", "zstd", "tar")
	base := t.TempDir()
	top, root := filepath.Join(base, "top"), filepath.Join(base, "root")
	dev = strings.TrimSpace(testtree.Shell(t, `cd "$1"; mkdir top root; truncate -s 256M image; mkfs.btrfs -q image >&2; losetup --find --show image`, base))
	t.Cleanup(func() { testtree.Shell(t, `losetup --detach "$1"`, dev) })
	t.Cleanup(func() {
		testtree.Shell(t, `for m in "$2/home" "$2" "$1"; do if mountpoint -q "$m"; then umount "$m"; fi; done`, top, root)
	})
	testtree.Shell(t, `mount "$1" "$2"; cd "$2"; for s in @ @home @/nested; do btrfs -q subvolume create $s; done
		mkdir @/etc @/home; echo old > @/etc/file; ln @/etc/file @/etc/link; setfattr -n user.a -v b @/etc/file; echo home > @home/file; echo in > @/nested/file; chmod 700 @/nested
		mount -o subvol=@ "$1" "$3"; mount -o subvol=@home "$1" "$3/home"`, dev, top, root)
	return root, dev, func() string {
		return testtree.Shell(t, `ls -A "$1" | grep -v '^@' || true`, top)
	}
}

func btrfsPlan(t *testing.T, m *machine.Machine) *snapshot.Plan {
	t.Helper()
	p, err := snapshot.Choose(m, lvm.Report{}, snapshot.Wishes{Mode: snapshot.Require})
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// What was written behind the snapshots is not in the backup; all else is what
// a backup without them has, to the last byte of its catalogue's lines.
func TestBackupFromBtrfsSnapshots(t *testing.T) {
	root, dev, sees := btrfsTree(t)
	m := machineOn(t, dev, "btrfs", machine.Mount{Target: root, Subvolume: "@"}, machine.Mount{Target: root + "/home", Subvolume: "@home"})
	run := func(plan *snapshot.Plan, id, hooks string) (string, *archive.Manifest) {
		t.Helper()
		to := t.TempDir()
		opt := options(t, "/", to, id)
		opt.Machine, opt.Snapshots, opt.Hooks, opt.Runner = m, plan, hooks, &system.Host{}
		res, err := backup.Run(t.Context(), opt)
		if err != nil {
			t.Fatal(err)
		}
		if res.Manifest.Warned > 0 || res.Unremoved != nil || res.PostHook != nil {
			t.Errorf("%s: warnings %v, unremoved %v, hook %v", id, res.Manifest.Warnings, res.Unremoved, res.PostHook)
		}
		var lines []string
		for e, err := range whole(t, to, id).Entries(t.Context(), archive.ReadOptions{}) {
			if err != nil {
				t.Fatal(err)
			}
			e.Entry.Frame, e.Entry.FrameOffset = 0, 0
			lines = append(lines, fmt.Sprintf("%+v", e.Entry))
		}
		return strings.Join(lines, "\n") + "\n", res.Manifest
	}
	live, before := run(nil, "live", "")
	if before.ReadFrom != nil {
		t.Errorf("a backup without a plan says %+v", before.ReadFrom)
	}
	hooks := t.TempDir()
	hook(t, hooks, "post-snapshot", `echo new content > `+root+`/etc/file; echo x > `+root+`/home/later; echo x > `+root+`/nested/later; rm `+root+`/nested/file`)
	got, man := run(btrfsPlan(t, m), "20261124T031500Z-1a2b", hooks)
	if d := testtree.Diff(live, got); d != "" {
		t.Errorf("from snapshots it differs:\n%s", d)
	}
	if len(man.ReadFrom) != 2 || man.ReadFrom[0].By != "btrfs-snapshot" || man.ReadFrom[1].Mount != root+"/home" || man.ReadFrom[1].At == nil {
		t.Errorf("the manifest says %+v", man.ReadFrom)
	}
	if left := sees(); left != "" {
		t.Errorf("left behind: %s", left)
	}
}

// Whatever ends the backup, the snapshots go and the post hook runs.
func TestSnapshotsGoOnEveryWayOut(t *testing.T) {
	root, dev, sees := btrfsTree(t)
	m := machineOn(t, dev, "btrfs", machine.Mount{Target: root, Subvolume: "@"}, machine.Mount{Target: root + "/home", Subvolume: "@home"})
	for _, name := range []string{"pre-hook", "sink"} {
		hooks, to := t.TempDir(), t.TempDir()
		opt := options(t, "/", to, "20261124T031500Z-1a2b")
		opt.Machine, opt.Snapshots, opt.Hooks, opt.Runner = m, btrfsPlan(t, m), hooks, &system.Host{}
		hook(t, hooks, "post-snapshot", "echo $MKCDREC_SNAPSHOTS >"+hooks+"/ran\n")
		if name == "pre-hook" {
			hook(t, hooks, "pre-snapshot", "exit 1\n")
		} else {
			hook(t, hooks, "post-snapshot", "echo $MKCDREC_SNAPSHOTS >"+hooks+"/ran; rm -rf "+to+"; touch "+to+"\n")
		}
		if _, err := backup.Run(t.Context(), opt); err == nil {
			t.Errorf("%s: no error", name)
		}
		if ran, err := os.ReadFile(hooks + "/ran"); err != nil || string(ran) != root+" "+root+"/home\n" {
			t.Errorf("%s: the post hook: %q, %v", name, ran, err)
		}
		if left := sees(); left != "" {
			t.Errorf("%s left behind: %s", name, left)
		}
	}
}

// What a killed run leaves is removed by the next; what a living one reads, or
// somebody else has made, is not.
func TestSweepOfBtrfs(t *testing.T) {
	root, dev, sees := btrfsTree(t)
	m := machineOn(t, dev, "btrfs", machine.Mount{Target: root, Subvolume: "@"})
	o := snapshot.Options{ID: "20261124T031500Z-1a2b", MachineID: "0123", Runner: &system.Host{}, Dir: t.TempDir()}
	set, err := snapshot.Take(t.Context(), btrfsPlan(t, m), o)
	if err != nil || !strings.Contains(sees(), ".mkcdrec-snapshot-") {
		t.Fatalf("%v: %s", err, sees())
	}
	before := sees()
	for _, l := range snapshot.Sweep(t.Context(), m, o) {
		if l.Kept == nil {
			t.Errorf("removed from a living run: %s", l.Name)
		}
	}
	if sees() != before {
		t.Errorf("a living run has %q, had %q", sees(), before)
	}
	for _, f := range set.Dirs { // as kill -9 does
		f.Close()
	}
	testtree.Shell(t, `btrfs -q subvolume create "$1/.mkcdrec-snapshot-mine"`, root)
	left := snapshot.Sweep(t.Context(), m, o)
	if len(left) != 2 || sees() != "" {
		t.Errorf("swept %v, still there: %s", left, sees())
	}
	if _, err := os.Stat(root + "/.mkcdrec-snapshot-mine"); err != nil {
		t.Errorf("a subvolume of somebody else: %v", err)
	}
}

// A frozen file system is read while nobody can write to it, and thawed.
func TestBackupOfAFrozenFileSystem(t *testing.T) {
	for _, mkfs := range [][]string{{"mkfs.ext4", "-q"}, {"mkfs.xfs", "-q"}} {
		root, to := testtree.Mount(t, "400M", mkfs...), t.TempDir()
		noise(t, root, 20, 1000)
		m := machineOn(t, "/dev/x", strings.TrimPrefix(mkfs[0], "mkfs."), machine.Mount{Target: root})
		plan, err := snapshot.Choose(m, lvm.Report{}, snapshot.Wishes{Mode: snapshot.Require, Freeze: []string{root}, FreezeLimit: time.Minute})
		if err != nil {
			t.Fatal(err)
		}
		opt := options(t, "/", to, "one")
		opt.Machine, opt.Snapshots, opt.Runner = m, plan, &system.Host{}
		written := make(chan struct{})
		started := false
		opt.OnProgress = func(backup.Progress) {
			if started {
				return
			}
			started = true
			go func() {
				_ = os.WriteFile(root+"/while-frozen", []byte("x"), 0o600)
				close(written)
			}()
			select {
			case <-written:
				t.Errorf("%s: somebody could write", mkfs[0])
			case <-time.After(200 * time.Millisecond):
			}
		}
		res, err := backup.Run(t.Context(), opt)
		if err != nil || res.Manifest.Warned > 0 || res.Manifest.ReadFrom[0].By != "frozen" {
			t.Fatalf("%s: %v %+v", mkfs[0], err, res.Manifest)
		}
		select {
		case <-written:
		case <-time.After(10 * time.Second):
			testtree.Shell(t, `fsfreeze -u "$1"`, root)
			t.Fatalf("%s: still frozen behind the backup", mkfs[0])
		}
	}
}

// At the limit it is thawed: the backup says so, or fails where it must not be.
func TestFreezingEndsAtTheLimit(t *testing.T) {
	root := testtree.Mount(t, "300M", "mkfs.ext4", "-q")
	noise(t, root, 3, 1000)
	for _, mode := range []snapshot.Mode{snapshot.Auto, snapshot.Require} {
		m := machineOn(t, "/dev/x", "ext4", machine.Mount{Target: root})
		plan, err := snapshot.Choose(m, lvm.Report{}, snapshot.Wishes{Mode: mode, Freeze: []string{root}, FreezeLimit: time.Second})
		if err != nil {
			t.Fatal(err)
		}
		opt := options(t, "/", t.TempDir(), "one")
		opt.Machine, opt.Snapshots, opt.Runner = m, plan, &system.Host{}
		once := false
		opt.OnProgress = func(backup.Progress) {
			if !once { // this returns when the guard has thawed
				once = true
				if err := os.WriteFile(root+"/waits", []byte("x"), 0o600); err != nil {
					t.Error(err)
				}
			}
		}
		res, err := backup.Run(t.Context(), opt)
		if mode == snapshot.Require {
			if err == nil || !strings.Contains(err.Error(), "thawed before it was read") {
				t.Errorf("required: %v", err)
			}
			continue
		}
		if err != nil || res.Manifest.Warned == 0 || res.Manifest.ReadFrom[0].By != "live" {
			t.Errorf("%v %+v", err, res.Manifest)
		}
	}
}

// A snapshot that ran full is the end of the backup, whatever was read.
func TestFullSnapshotFails(t *testing.T) {
	root, to := t.TempDir(), t.TempDir()
	noise(t, root, 3, 10)
	m := lvmMachine(root)
	// The answers are those of a real lvs; here the mount is the recorder's, and so the directory is empty.
	r := &system.Recorder{Answers: map[string]system.Answer{
		"lvm lvs -o lv_name,vg_name,origin*": {Stdout: `{"report":[{"lv":[{"lv_name":"mkcdrec_one_0","vg_name":"vg0","origin":"root","pool_lv":"","lv_tags":"mkcdrec-snapshot-of=0123","lv_device_open":"open","data_percent":"100.00","lv_snapshot_invalid":"snapshot invalid"}]}]}`},
	}}
	plan, err := snapshot.Choose(m, lvm.Report{
		Physical: []lvm.Physical{{Group: "vg0", Free: 1 << 30}}, Segments: []lvm.Segment{{Group: "vg0", Volume: "root", Type: "linear"}},
	}, snapshot.Wishes{Mode: snapshot.Auto})
	if err != nil {
		t.Fatal(err)
	}
	opt := options(t, "/", to, "one")
	opt.Machine, opt.Snapshots, opt.Runner = m, plan, r
	_, err = backup.Run(t.Context(), opt)
	if fail.KindOf(err) != fail.Failed || !strings.Contains(err.Error(), "ran full") || fail.HintOf(err) == "" {
		t.Errorf("got %v", err)
	}
	var removed bool
	for _, c := range r.Commands() {
		removed = removed || c == "lvremove -y --autobackup n vg0/mkcdrec_one_0"
	}
	if _, noManifest := os.Stat(to + "/host/one/manifest.json"); !removed || !errors.Is(noManifest, os.ErrNotExist) {
		t.Errorf("removed %v, manifest %v:\n%s", removed, noManifest, strings.Join(r.Commands(), "\n"))
	}
}

func lvmMachine(target string) *machine.Machine {
	return &machine.Machine{MachineID: "0123",
		VolumeGroups: []machine.VolumeGroup{{Name: "vg0", ExtentSize: 4 << 20, Logical: []machine.LogicalVolume{{Name: "root", Size: 3 << 30, Kind: "linear"}}}},
		FileSystems:  []machine.FileSystem{{On: "lv:vg0/root", Kind: "ext4"}},
		Mounts:       []machine.Mount{{On: "lv:vg0/root", Target: target, Options: "rw"}},
	}
}
