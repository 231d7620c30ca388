package restore

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/mkcdrec/mkcdrec/internal/fail"
	"github.com/mkcdrec/mkcdrec/internal/fit"
	"github.com/mkcdrec/mkcdrec/internal/machine"
	"github.com/mkcdrec/mkcdrec/internal/machine/machinetest"
	"github.com/mkcdrec/mkcdrec/internal/plan"
	"github.com/mkcdrec/mkcdrec/internal/system"
)

// put writes a file of a fake /sys, /proc or /dev.
func put(t *testing.T, root, name, text string) {
	t.Helper()
	f := filepath.Join(root, name)
	if err := os.MkdirAll(filepath.Dir(f), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(f, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

// scoped is a fakeBackup that remembers what it was asked for.
type scoped struct {
	fakeBackup
	scopes []*plan.Scope
}

func (b *scoped) Check(ctx context.Context, s *plan.Scope, p func(int64)) error {
	b.scopes = append(b.scopes, s)
	return b.fakeBackup.Check(ctx, s, p)
}

func (b *scoped) Unpack(ctx context.Context, root string, s *plan.Scope, p func(int64)) (Unpacked, error) {
	b.scopes = append(b.scopes, s)
	return b.fakeBackup.Unpack(ctx, root, s, p)
}

func (b *scoped) Compare(ctx context.Context, root string, s *plan.Scope, m VerifyMode, ignore func(string) bool, p func(int64)) (Verified, error) {
	b.scopes = append(b.scopes, s)
	return b.fakeBackup.Compare(ctx, root, s, m, ignore, p)
}

// fsBench is bench for the restore of one file system of m onto a machine
// with the same disks, in which nothing is mounted.
func fsBench(t *testing.T, m machine.Machine, w fit.FSWishes) (Options, *probing, *scoped) {
	t.Helper()
	dir := t.TempDir()
	here := m
	here.Mounts = nil
	target, scope, choices, err := fit.FileSystem(m, here, w)
	if err != nil {
		t.Fatal(err)
	}
	p, err := plan.FileSystem(target, scope, choices, here, plan.Info{Backup: "B1", Host: m.Hostname, Entries: 3})
	if err != nil {
		t.Fatal(err)
	}
	put(t, dir, "proc/self/mountinfo", "20 1 0:5 / /proc rw - proc proc rw\n")
	for n, d := range m.Disks {
		block := "sys/block/" + d.Name
		put(t, dir, block+"/size", fmt.Sprint(int64(d.Size/512), "\n"))
		put(t, dir, block+"/dev", fmt.Sprintf("8:%d\n", 16*n))
		put(t, dir, d.Path, "")
		if d.Table == nil {
			continue
		}
		for _, q := range d.Table.Partitions {
			part := block + "/" + filepath.Base(q.Path)
			put(t, dir, part+"/partition", fmt.Sprint(q.Number, "\n"))
			put(t, dir, part+"/size", fmt.Sprint(int64(d.Bytes(q.Size)/512), "\n"))
			put(t, dir, part+"/dev", fmt.Sprintf("8:%d\n", 16*n+q.Number))
			put(t, dir, q.Path, "")
		}
	}
	dm := 0
	for _, g := range m.VolumeGroups {
		for _, lv := range g.Logical {
			block := fmt.Sprintf("sys/block/dm-%d", dm)
			put(t, dir, block+"/dm/name", filepath.Base(machine.MapperPath(g.Name, lv.Name))+"\n")
			put(t, dir, block+"/size", fmt.Sprint(int64(lv.Size/512), "\n"))
			put(t, dir, block+"/dev", fmt.Sprintf("253:%d\n", dm))
			put(t, dir, machine.MapperPath(g.Name, lv.Name), "")
			dm++
		}
	}
	run := &probing{Recorder: &system.Recorder{}, uuids: map[string]string{}}
	b := &scoped{fakeBackup: fakeBackup{files: map[string]string{}}}
	for _, mt := range p.Scope.Mounts {
		b.files[strings.TrimPrefix(mt+"/file", "/")] = "text"
	}
	return Options{
		Plan: p, Backup: b, System: run, Root: dir, TargetRoot: filepath.Join(dir, "target"), Journal: filepath.Join(dir, "run/journal"),
		Look: func(context.Context) (machine.Machine, error) { return here, nil },
	}, run, b
}

// twoSubvolumes has an ext4 root, and a btrfs whose two subvolumes are mounted
// beside each other.
func twoSubvolumes() machine.Machine {
	m := machinetest.UEFIPlain()
	d := machine.Disk{Name: "vdb", Path: "/dev/vdb", Size: 4 << 30, LogicalSector: 512, Serial: "DATA"}
	m.Disks = append(m.Disks, d)
	on := machine.DiskRef("vdb")
	m.FileSystems = append(m.FileSystems, machine.FileSystem{
		On: on, Kind: "btrfs", UUID: "99999999-aaaa-4aaa-8aaa-999999999999", Size: d.Size, Used: 1 << 30,
		Subvolumes: []machine.Subvolume{{ID: 256, Path: "home"}, {ID: 257, Path: "srv"}, {ID: 258, Path: "srv/inner"}},
	})
	m.Mounts = append(m.Mounts,
		machine.Mount{On: on, Target: "/home", Subvolume: "home", Options: "rw,compress=zstd:3"},
		machine.Mount{On: on, Target: "/srv", Subvolume: "srv", Options: "rw"})
	return m
}

func TestCommandsOfFileSystems(t *testing.T) {
	for _, tt := range []struct {
		golden  string
		machine machine.Machine
		wishes  fit.FSWishes
	}{
		{"fs-lvm-home", machinetest.UEFILVM(), fit.FSWishes{Mount: "/home"}},
		{"fs-lvm-root", machinetest.UEFILVM(), fit.FSWishes{Mount: "/"}},
		{"fs-esp", machinetest.UEFILVM(), fit.FSWishes{Mount: "/boot/efi"}},
		{"fs-mbr-root-swapfile", machinetest.BIOSMBRLogical(), fit.FSWishes{Mount: "/"}},
		{"fs-whole-disk", machinetest.WholeDiskExt4(), fit.FSWishes{Mount: "/"}},
		{"fs-btrfs-two", twoSubvolumes(), fit.FSWishes{Mount: "/srv"}},
		{"fs-btrfs-keep", twoSubvolumes(), fit.FSWishes{Mount: "/srv", Keep: true}},
	} {
		t.Run(tt.golden, func(t *testing.T) {
			o, run, b := fsBench(t, tt.machine, tt.wishes)
			rep, err := Run(t.Context(), o)
			if err != nil {
				t.Fatal(err)
			}
			if rep.Steps != len(o.Plan.Steps) || rep.Verified.Paths == 0 {
				t.Errorf("report: %+v", rep)
			}
			if len(b.scopes) != 3 || b.scopes[0] != o.Plan.Scope || b.scopes[1] != o.Plan.Scope || b.scopes[2] != o.Plan.Scope {
				t.Errorf("the backup was checked, unpacked and compared within %v", b.scopes)
			}
			got := commands(o, run)
			file := filepath.Join("testdata", tt.golden+".txt")
			if *update {
				if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			if got != string(want) {
				t.Errorf("%s differs; got:\n%s", file, got)
			}
			for _, p := range []string{o.Journal, filepath.Join(o.TargetRoot, o.Plan.Scope.Mounts[0], journalOnTarget)} {
				if _, err := os.Stat(p); !errors.Is(err, os.ErrNotExist) {
					t.Errorf("the journal of a finished restore is still there: %s", p)
				}
			}
		})
	}
}

// Everything here tries to get the file system of /home written onto a device
// that must not be.
func TestFileSystemIsNotWrittenWhenACheckFails(t *testing.T) {
	mountinfo := func(line string) func(*testing.T, *Options, *probing, *scoped) {
		return func(t *testing.T, o *Options, _ *probing, _ *scoped) {
			put(t, o.Root, "proc/self/mountinfo", line+"\n")
		}
	}
	look := func(change func(*machine.Machine)) func(*testing.T, *Options, *probing, *scoped) {
		return func(_ *testing.T, o *Options, _ *probing, _ *scoped) {
			o.Look = func(context.Context) (machine.Machine, error) {
				m := machinetest.BIOSMBRLogical()
				change(&m)
				return m, nil
			}
		}
	}
	holds := func(what string) func(*testing.T, *Options, *probing, *scoped) {
		return func(_ *testing.T, _ *Options, r *probing, _ *scoped) { r.uuids["/dev/sda5"] = "u\n" + what }
	}
	tests := []struct {
		name  string
		spoil func(t *testing.T, o *Options, r *probing, b *scoped)
		kind  fail.Kind
		want  string
	}{
		{"mounted, by number", mountinfo("30 1 8:5 / /mnt/my\\040home rw - ext4 /dev/root rw"), fail.Refused, "/mnt/my home"},
		{"mounted, by name", mountinfo("30 1 0:44 /x /mnt rw - btrfs /dev/sda5 rw"), fail.Refused, "/mnt"},
		{"mounted by a whole restore", mountinfo("30 1 8:5 / /mnt/mkcdrec/home rw - ext4 /dev/sda5 rw"), fail.Refused, "/mnt/mkcdrec/home"},
		{"volume on it is mounted", func(t *testing.T, o *Options, _ *probing, _ *scoped) {
			put(t, o.Root, "sys/block/sda/sda5/holders/dm-0", "")
			put(t, o.Root, "sys/block/dm-0/dev", "253:0\n")
			put(t, o.Root, "proc/self/mountinfo", "30 1 253:0 / /mnt rw - ext4 /dev/mapper/x rw\n")
		}, fail.Refused, "/mnt"},
		{"part of something active", func(t *testing.T, o *Options, _ *probing, _ *scoped) {
			put(t, o.Root, "sys/block/sda/sda5/holders/md127", "")
		}, fail.Refused, "part of md127"},
		{"active swap", func(t *testing.T, o *Options, _ *probing, _ *scoped) {
			put(t, o.Root, "proc/swaps", "Filename Type Size Used Priority\n/dev/sda5 partition 1 0 -2\n")
		}, fail.Refused, "swap"},
		{"LUKS", holds("TYPE=crypto_LUKS\nUSAGE=crypto"), fail.Refused, "crypto_LUKS"},
		{"RAID member", holds("TYPE=linux_raid_member\nUSAGE=raid"), fail.Refused, "linux_raid_member"},
		{"ZFS member", holds("TYPE=zfs_member\nUSAGE=filesystem"), fail.Refused, "zfs_member"},
		{"partition table", holds("PTTYPE=dos"), fail.Refused, "dos"},
		{"several signatures", func(_ *testing.T, o *Options, r *probing, _ *scoped) { o.System = ambivalent{r} }, fail.Refused, "cannot see what is on"},
		{"backup on its disk", func(_ *testing.T, o *Options, _ *probing, _ *scoped) { o.Protected = []string{"sda"} }, fail.Refused, "medium or the backup"},
		{"read-only", func(t *testing.T, o *Options, _ *probing, _ *scoped) { put(t, o.Root, "sys/block/sda/sda5/ro", "1\n") }, fail.Refused, "read-only"},
		{"other size", func(t *testing.T, o *Options, _ *probing, _ *scoped) {
			put(t, o.Root, "sys/block/sda/sda5/size", "1000\n")
		}, fail.Refused, "another size"},
		{"gone", func(_ *testing.T, o *Options, _ *probing, _ *scoped) {
			_ = os.RemoveAll(filepath.Join(o.Root, "sys/block/sda/sda5"))
		}, fail.Refused, "no partition 5"},
		{"node gone", func(_ *testing.T, o *Options, _ *probing, _ *scoped) {
			_ = os.Remove(filepath.Join(o.Root, "dev/sda5"))
		}, fail.Refused, "cannot open sda5"},
		{"other disk of that name", look(func(m *machine.Machine) { m.Disks[0].Serial = "OTHER" }), fail.Refused, "not the one"},
		{"other partition of that number", look(func(m *machine.Machine) { m.Disks[0].Table.Partitions[2].Start += 8 }), fail.Refused, "not the one"},
		{"physical volume meanwhile", look(func(m *machine.Machine) {
			m.VolumeGroups = []machine.VolumeGroup{{Name: "vgx", Physical: []machine.PhysicalVolume{{On: "part:sda/5"}}}}
		}), fail.Refused, "volume group vgx"},
		{"damaged backup", func(_ *testing.T, _ *Options, _ *probing, b *scoped) {
			b.checkErr = fail.New(fail.Damaged, "truncated")
		}, fail.Damaged, "truncated"},
		{"missing tool", func(_ *testing.T, _ *Options, r *probing, _ *scoped) { r.Missing = map[string]bool{"mke2fs": true} }, fail.Unsupported, "mke2fs"},
		{"plan for another partition", func(_ *testing.T, o *Options, _ *probing, _ *scoped) { o.Plan.Steps[1].Device = "part:sda/1" }, fail.Refused, "does not name as erased"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			o, run, b := fsBench(t, machinetest.BIOSMBRLogical(), fit.FSWishes{Mount: "/home"})
			tt.spoil(t, &o, run, b)
			_, err := Run(t.Context(), o)
			if err == nil || fail.KindOf(err) != tt.kind || !strings.Contains(err.Error(), tt.want) {
				t.Fatalf("got %v, want kind %s, %q", err, tt.kind.Name(), tt.want)
			}
			for _, c := range run.Commands() {
				if writes(c) {
					t.Errorf("ran %s", c)
				}
			}
			if b.unpacked > 0 {
				t.Error("unpacked")
			}
		})
	}
}

// ambivalent is a blkid that finds signatures that contradict each other.
type ambivalent struct{ *probing }

func (a ambivalent) Run(ctx context.Context, c system.Command) (system.Result, error) {
	if c.Name == "blkid" {
		return system.Result{ExitCode: 8}, &system.ExitError{ExitCode: 8}
	}
	return a.probing.Run(ctx, c)
}

func TestVolumeThatIsNotActiveIsRefused(t *testing.T) {
	o, run, _ := fsBench(t, machinetest.UEFILVM(), fit.FSWishes{Mount: "/home"})
	if err := CheckDevices(t.Context(), o); err != nil {
		t.Fatal(err)
	}
	_ = os.RemoveAll(filepath.Join(o.Root, "sys/block/dm-1"))
	if err := CheckDevices(t.Context(), o); fail.KindOf(err) != fail.Refused || err == nil || !strings.Contains(err.Error(), "not active") {
		t.Errorf("got %v", err)
	}
	if slices.ContainsFunc(run.Commands(), writes) {
		t.Errorf("the check ran %q", run.Commands())
	}
	o, _, _ = fsBench(t, machinetest.UEFILVM(), fit.FSWishes{Mount: "/home"})
	o.Look = func(context.Context) (machine.Machine, error) {
		m := machinetest.UEFILVM()
		m.VolumeGroups[0].Logical[1].UUID = "another"
		return m, nil
	}
	if _, err := Run(t.Context(), o); fail.KindOf(err) != fail.Refused || err == nil || !strings.Contains(err.Error(), "not the one") {
		t.Errorf("got %v", err)
	}
}

// What an interrupted start left mounted is its own, and unmounted first.
func TestLeftoverMountIsReleased(t *testing.T) {
	o, run, _ := fsBench(t, machinetest.BIOSMBRLogical(), fit.FSWishes{Mount: "/home"})
	put(t, o.Root, "proc/self/mountinfo", "30 1 8:5 / "+o.TargetRoot+"/home rw - ext4 /dev/sda5 rw\n")
	if err := CheckDevices(t.Context(), o); err != nil {
		t.Fatal(err)
	}
	if _, err := Run(t.Context(), o); err != nil {
		t.Fatal(err)
	}
	got := run.Commands()
	unmount := slices.Index(got, "umount "+o.TargetRoot+"/home")
	wipe := slices.IndexFunc(got, func(c string) bool { return strings.HasPrefix(c, "wipefs") })
	if unmount < 0 || wipe < unmount {
		t.Errorf("commands: %q", got)
	}
}

func TestMountPointsOfOthersAreMade(t *testing.T) {
	o, _, _ := fsBench(t, machinetest.UEFILVM(), fit.FSWishes{Mount: "/"})
	if _, err := Run(t.Context(), o); err != nil {
		t.Fatal(err)
	}
	for _, p := range []string{"boot", "home"} {
		if fi, err := os.Stat(filepath.Join(o.TargetRoot, p)); err != nil || !fi.IsDir() {
			t.Errorf("/%s: %v", p, err)
		}
	}
	if _, err := os.Stat(filepath.Join(o.TargetRoot, "boot/efi")); err == nil {
		t.Error("/boot/efi lies on another file system and was made on this one")
	}
}

// TestFileSystemResumesAfterEveryCommand is TestResumeAfterEveryCommand for
// one file system, with the journal where a power cut leaves it as well.
func TestFileSystemResumesAfterEveryCommand(t *testing.T) {
	for _, keep := range []bool{false, true} {
		w := fit.FSWishes{Mount: "/srv", Keep: keep}
		o, run, _ := fsBench(t, twoSubvolumes(), w)
		if _, err := Run(t.Context(), o); err != nil {
			t.Fatal(err)
		}
		for stop := 1; stop < run.count; stop++ {
			o, again, _ := fsBench(t, twoSubvolumes(), w)
			ctx, cancel := context.WithCancel(t.Context())
			again.stopAt, again.stop = stop, cancel
			if _, err := Run(ctx, o); err == nil {
				t.Fatalf("stopped behind command %d: no error", stop)
			}
			cancel()
			again.stopAt = 0
			rep, err := Run(t.Context(), o)
			if err != nil {
				t.Fatalf("second start after command %d: %v", stop, err)
			}
			if rep.Steps+rep.Resumed != len(o.Plan.Steps) {
				t.Errorf("second start after command %d: %d steps and %d from before, of %d", stop, rep.Steps, rep.Resumed, len(o.Plan.Steps))
			}
		}
	}
}

func TestFileSystemJournalOnTheTargetIsEnough(t *testing.T) {
	o, run, b := fsBench(t, twoSubvolumes(), fit.FSWishes{Mount: "/srv"})
	b.unpackErr = fail.New(fail.Failed, "power cut")
	if _, err := Run(t.Context(), o); err == nil {
		t.Fatal("no error")
	}
	if err := os.Remove(o.Journal); err != nil { // it was in memory only
		t.Fatal(err)
	}
	b.unpackErr = nil
	run.uuids["/dev/vdb"] = o.Plan.Target.FileSystems[0].UUID
	// The recorder does not mount: the journal lies in the directory that the
	// first subvolume is mounted on, and is read where the device is mounted.
	text, err := os.ReadFile(filepath.Join(o.TargetRoot, "home", journalOnTarget))
	if err != nil {
		t.Fatal(err)
	}
	put(t, o.TargetRoot, journalOnTarget, string(text))
	first := len(run.Commands())
	rep, err := Run(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	if rep.Resumed == 0 {
		t.Error("nothing was taken over from the journal on the target")
	}
	for _, c := range run.Commands()[first:] {
		if strings.HasPrefix(c, "mkfs") || strings.HasPrefix(c, "wipefs") {
			t.Errorf("the second start ran %s", c)
		}
	}
}
