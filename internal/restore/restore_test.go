package restore

import (
	"context"
	"errors"
	"flag"
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

var update = flag.Bool("update", false, "write the golden files anew")

// fakeBackup unpacks a few files as root of the restored machine.
type fakeBackup struct {
	headers   map[string][]byte
	files     map[string]string
	checkErr  error
	unpackErr error
	differ    []string
	lacks     string // a path
	only      bool   // it has the files alone, not everything that is asked for
	lacking   []string
	unpacked  int
	scope     *plan.Scope // of the last call
}

func (b *fakeBackup) Has(_ context.Context, path string) (bool, error) {
	_, ok := b.files[path]
	return path != b.lacks && !slices.Contains(b.lacking, path) && (ok || !b.only), nil
}

func (b *fakeBackup) Header(_ context.Context, name string) ([]byte, error) {
	if h, ok := b.headers[name]; ok {
		return h, nil
	}
	return nil, fail.New(fail.Damaged, "no header %s", name)
}

func (b *fakeBackup) Check(context.Context, *plan.Scope, func(int64)) error { return b.checkErr }

func (b *fakeBackup) Unpack(_ context.Context, root string, scope *plan.Scope, _ func(int64)) (Unpacked, error) {
	b.unpacked++
	b.scope = scope
	for name, text := range b.files {
		p := filepath.Join(root, name)
		if err := os.MkdirAll(filepath.Dir(p), 0o755); err != nil {
			return Unpacked{}, err
		}
		if err := os.WriteFile(p, []byte(text), 0o755); err != nil {
			return Unpacked{}, err
		}
	}
	return Unpacked{Paths: int64(len(b.files))}, b.unpackErr
}

func (b *fakeBackup) Compare(_ context.Context, _ string, _ *plan.Scope, _ VerifyMode, ignore func(string) bool, _ func(int64)) (Verified, error) {
	v := Verified{Paths: int64(len(b.files))}
	for _, d := range b.differ {
		if !ignore(d) {
			v.Differences = append(v.Differences, d)
		}
	}
	return v, nil
}

// probing is a Recorder that answers blkid with the planned UUIDs, and can stop
// the restore behind a command, as a power cut does.
type probing struct {
	*system.Recorder
	uuids  map[string]string // device -> UUID
	md     *mdSim
	stopAt int // number of commands that are carried out; 0: all
	count  int
	stop   context.CancelFunc
}

func (p *probing) Run(ctx context.Context, c system.Command) (system.Result, error) {
	if p.count++; p.stopAt > 0 && p.count > p.stopAt {
		p.stop()
		return system.Result{}, context.Canceled
	}
	res, err := p.Recorder.Run(ctx, c)
	if c.Name == "mdadm" {
		return p.md.run(c, res, err)
	}
	if c.Name == "blkid" {
		dev := c.Args[len(c.Args)-1]
		if p.uuids[dev] == "" {
			return system.Result{ExitCode: 2}, &system.ExitError{ExitCode: 2}
		}
		return system.Result{Stdout: []byte("UUID=" + p.uuids[dev] + "\n")}, nil
	}
	return res, err
}

// bench is a fake /sys and /proc with the disks of a plan, and a target root.
func bench(t *testing.T, m, here machine.Machine, info plan.Info) (Options, *probing, *fakeBackup) {
	t.Helper()
	return wishedBench(t, m, here, info, fit.Wishes{})
}

func wishedBench(t *testing.T, m, here machine.Machine, info plan.Info, w fit.Wishes) (Options, *probing, *fakeBackup) {
	t.Helper()
	dir := t.TempDir()
	fitted, choices, err := fit.Onto(m, here, w)
	if err == nil {
		info.Changes, err = w.Changes(m)
	}
	if err != nil {
		t.Fatal(err)
	}
	info.Backup, info.Host, info.Entries = "B1", m.Hostname, 3
	p, err := plan.Restore(fitted, choices, here, info)
	if err != nil {
		t.Fatal(err)
	}
	write := func(name, text string) {
		t.Helper()
		f := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(f), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(f, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	write("proc/self/mountinfo", "20 1 0:5 / /proc rw - proc proc rw\n")
	none := map[string]system.Answer{"lvm lvs*": {Stdout: `{"report":[{"lv":[]}]}`}}
	run := &probing{Recorder: &system.Recorder{Answers: none}, uuids: map[string]string{}, md: &mdSim{t: t, root: dir, m: &fitted, running: map[string]string{}, made: map[string]bool{}}}
	for _, d := range fitted.Disks {
		if d.Multipath() {
			multipathBench(d, write)
			continue
		}
		write("sys/block/"+d.Name+"/size", fmt.Sprint(int64(d.Size/512), "\n"))
		if d.Table != nil {
			for _, q := range d.Table.Partitions {
				write("sys/block/"+d.Name+"/"+filepath.Base(q.Path)+"/partition", fmt.Sprint(q.Number, "\n"))
			}
		}
	}
	for _, s := range p.Steps {
		dev, _ := fitted.Resolve(s.Device)
		if dev.Array != nil && dev.Partition == nil {
			dev.Path = "/dev/" + dev.Array.Name // and not what mdadm.conf calls it
		}
		if dev.Partition != nil && dev.Disk.Multipath() {
			dev.Path = fmt.Sprint("/dev/dm-", dev.Partition.Number)
		}
		switch s.Kind {
		case plan.MakeFS:
			run.uuids[dev.Path] = s.FS.UUID
		case plan.MakeSwap:
			run.uuids[dev.Path] = s.Swap.UUID
		case plan.CreatePV:
			run.uuids[dev.Path] = s.PV.UUID
		}
	}
	b := &fakeBackup{files: map[string]string{
		"etc/fstab": "/dev/vda2 / ext4 defaults 0 1\n", "etc/hostname": m.Hostname + "\n", "etc/hosts": "127.0.1.1 " + m.Hostname + "\n",
		"etc/machine-id": "0123\n", "etc/ssh/ssh_host_rsa_key": "secret", "usr/sbin/grub-install": "", "usr/bin/ssh-keygen": "",
		"boot/efi/EFI/debian/shimx64.efi": "shim", "boot/efi/EFI/debian/grubx64.efi": "grub",
	}}
	keys := map[string]Key{}
	for _, c := range Crypts(p) {
		keys[c.Name] = Key{Bytes: []byte("hunter2")}
	}
	return Options{Plan: p, Keys: keys, Backup: b, System: run, Root: dir, TargetRoot: filepath.Join(dir, "target"), Journal: filepath.Join(dir, "run/journal"), Sync: func(string) error { return nil }}, run, b
}

// commands are the recorded ones, with the temporary directory named DIR.
func commands(o Options, r *probing) string {
	return strings.ReplaceAll(strings.Join(r.Commands(), "\n")+"\n", o.Root, "DIR")
}

func TestCommandsOfNamedMachines(t *testing.T) {
	for _, name := range machinetest.Names() {
		t.Run(name, func(t *testing.T) {
			m := machinetest.Get(name)
			o, run, _ := bench(t, m, m, plan.Info{})
			rep, err := Run(t.Context(), o)
			if err != nil {
				t.Fatal(err)
			}
			if rep.Steps != len(o.Plan.Steps) || rep.Verified.Paths == 0 {
				t.Errorf("report: %+v", rep)
			}
			if _, err := os.Stat(o.Journal); !errors.Is(err, os.ErrNotExist) {
				t.Error("the journal of a finished restore is still there")
			}
			got := commands(o, run)
			file := filepath.Join("testdata", name+".txt")
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
		})
	}
}

// writes says whether a command changes something on a disk.
func writes(command string) bool {
	for _, w := range []string{"wipefs", "dd ", "sfdisk", "pvcreate", "vgcreate", "lvcreate", "mdadm --create", "mdadm --assemble", "mdadm --stop", "mk", "mount", "umount", "swapoff", "vgchange"} {
		if strings.HasPrefix(command, w) {
			return true
		}
	}
	return false
}

func TestNothingIsWrittenWhenACheckFails(t *testing.T) {
	lvm := machinetest.UEFILVM()
	tests := []struct {
		name  string
		spoil func(o *Options, r *probing, b *fakeBackup)
		kind  fail.Kind
	}{
		{"damaged backup", func(_ *Options, _ *probing, b *fakeBackup) { b.checkErr = fail.New(fail.Damaged, "truncated") }, fail.Damaged},
		{"no package of the other boot loader", func(o *Options, _ *probing, b *fakeBackup) {
			b.lacks = "usr/lib/grub/x86_64-efi"
			for _, s := range o.Plan.Steps {
				if s.Kind == plan.InstallLoader {
					s.BootLoader.Kind, s.BootLoader.Exchanged = machine.GRUBEFI, true
				}
			}
		}, fail.Unsupported},
		{"medium's disk", func(o *Options, _ *probing, _ *fakeBackup) { o.Protected = []string{"vda"} }, fail.Refused},
		{"missing tool", func(_ *Options, r *probing, _ *fakeBackup) { r.Missing = map[string]bool{"vgcreate": true} }, fail.Unsupported},
		{"disk gone", func(o *Options, _ *probing, _ *fakeBackup) { _ = os.RemoveAll(filepath.Join(o.Root, "sys/block/vda")) }, fail.Refused},
		{"other size", func(o *Options, _ *probing, _ *fakeBackup) {
			_ = os.WriteFile(filepath.Join(o.Root, "sys/block/vda/size"), []byte("1000\n"), 0o644)
		}, fail.Refused},
		{"other disk of that name", func(o *Options, _ *probing, _ *fakeBackup) {
			o.Look = func(context.Context) (machine.Machine, error) {
				m := machinetest.UEFILVM()
				m.Disks[0].Serial = "OTHER"
				return m, nil
			}
		}, fail.Refused},
		{"group of that name elsewhere", func(o *Options, _ *probing, _ *fakeBackup) {
			o.Look = func(context.Context) (machine.Machine, error) {
				m := machinetest.UEFILVM()
				other := m.Disks[0]
				other.Name, other.Serial = "vdb", "OLD"
				m.Disks = append(m.Disks, other)
				m.VolumeGroups[0].Physical[0].On = machine.PartRef("vdb", 3)
				return m, nil
			}
		}, fail.Refused},
		{"mounted elsewhere", func(o *Options, _ *probing, _ *fakeBackup) {
			_ = os.WriteFile(filepath.Join(o.Root, "proc/self/mountinfo"), []byte("30 1 254:1 / /mnt/my\\040data rw - ext4 /dev/vda2 rw\n"), 0o644)
		}, fail.Refused},
		{"plan without its disk", func(o *Options, _ *probing, _ *fakeBackup) { o.Plan.Erases = nil }, fail.Refused},
		{"unknown boot loader", func(o *Options, _ *probing, _ *fakeBackup) { o.Plan.Target.BootLoader.Kind = "lilo" }, fail.Unsupported},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			o, run, b := bench(t, lvm, lvm, plan.Info{})
			tt.spoil(&o, run, b)
			if _, err := Run(t.Context(), o); fail.KindOf(err) != tt.kind || err == nil {
				t.Fatalf("got %v, want kind %s", err, tt.kind.Name())
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

// TestResumeAfterEveryCommand stops a restore behind each of its commands and
// starts it again: the second start finishes, and does not make anew what was
// done.
func TestResumeAfterEveryCommand(t *testing.T) {
	m := machinetest.UEFILVM()
	o, run, _ := bench(t, m, m, plan.Info{})
	if _, err := Run(t.Context(), o); err != nil {
		t.Fatal(err)
	}
	all := run.count
	for stop := 1; stop < all; stop++ {
		o, run, _ := bench(t, m, m, plan.Info{})
		ctx, cancel := context.WithCancel(t.Context())
		run.stopAt, run.stop = stop, cancel
		if _, err := Run(ctx, o); fail.KindOf(err) != fail.Interrupted {
			t.Fatalf("stopped behind command %d: %v", stop, err)
		}
		cancel()
		first := run.Commands()
		run.stopAt = 0
		rep, err := Run(t.Context(), o)
		if err != nil {
			t.Fatalf("second start after command %d: %v", stop, err)
		}
		if rep.Steps+rep.Resumed != len(o.Plan.Steps) {
			t.Errorf("second start after command %d: %d steps and %d from before, of %d", stop, rep.Steps, rep.Resumed, len(o.Plan.Steps))
		}
		second := run.Commands()[len(first):]
		mkfs := func(c string) bool { return strings.HasPrefix(c, "mkfs.xfs") }
		if i := slices.IndexFunc(first, mkfs); i >= 0 && i < len(first)-1 && slices.ContainsFunc(second, mkfs) {
			t.Errorf("stopped behind command %d: the xfs was made twice", stop)
		}
	}
}

func TestJournalOnTheTargetIsEnough(t *testing.T) {
	m := machinetest.UEFILVM()
	o, run, b := bench(t, m, m, plan.Info{})
	b.unpackErr = fail.New(fail.Failed, "power cut")
	if _, err := Run(t.Context(), o); err == nil {
		t.Fatal("no error")
	}
	if err := os.Remove(o.Journal); err != nil { // it was in memory only
		t.Fatal(err)
	}
	b.unpackErr = nil
	first := len(run.Commands())
	rep, err := Run(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	if rep.Resumed == 0 {
		t.Error("nothing was taken over from the journal on the target")
	}
	for _, c := range run.Commands()[first:] {
		if strings.HasPrefix(c, "sfdisk") || strings.HasPrefix(c, "mke2fs") || strings.HasPrefix(c, "lvcreate") {
			t.Errorf("the second start ran %s", c)
		}
	}
	if _, err := os.Stat(filepath.Join(o.TargetRoot, journalOnTarget)); !errors.Is(err, os.ErrNotExist) {
		t.Error("the journal was left on the restored machine")
	}
}

func TestJournalThatIsNotTrueIsNotBelieved(t *testing.T) {
	m := machinetest.UEFILVM()
	o, run, b := bench(t, m, m, plan.Info{})
	b.unpackErr = fail.New(fail.Failed, "broken off")
	if _, err := Run(t.Context(), o); err == nil {
		t.Fatal("no error")
	}
	b.unpackErr = nil
	run.uuids["/dev/vda2"] = "somebody-made-another"
	first := len(run.Commands())
	rep, err := Run(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	if rep.Resumed != 0 || !slices.ContainsFunc(run.Commands()[first:], func(c string) bool { return strings.HasPrefix(c, "sfdisk") }) {
		t.Errorf("a journal was believed that is not true: %d steps taken over", rep.Resumed)
	}
}

// A boot loader that was left out of the backup by name is not installed, and
// that is said.
func TestForeignBootLoaderIsAWarning(t *testing.T) {
	for _, kind := range []machine.BootLoaderKind{machine.EXTLINUX, machine.OtherLoader} {
		m := machinetest.BIOSMBRLogical()
		m.BootLoader.Kind = kind
		o, _, _ := bench(t, m, m, plan.Info{})
		rep, err := Run(t.Context(), o)
		if err != nil {
			t.Fatal(err)
		}
		if w := strings.Join(rep.Warnings, "\n"); !strings.Contains(w, "("+string(kind)+"): the machine does not start") {
			t.Errorf("%s: warnings: %s", kind, w)
		}
	}
}

func TestFailuresAreNeverSuccess(t *testing.T) {
	t.Run("boot loader", func(t *testing.T) {
		m := machinetest.BIOSMBRLogical()
		o, run, _ := bench(t, m, m, plan.Info{})
		run.Answers = map[string]system.Answer{"chroot " + o.TargetRoot + " /usr/sbin/grub-install*": {ExitCode: 1, Stderr: "embedding is not possible"}}
		if _, err := Run(t.Context(), o); fail.KindOf(err) != fail.Failed || err == nil || !strings.Contains(err.Error(), "embedding") {
			t.Fatalf("got %v", err)
		}
	})
	t.Run("difference", func(t *testing.T) {
		m := machinetest.UEFIPlain()
		o, _, b := bench(t, m, m, plan.Info{})
		b.differ = []string{"usr/bin/ls"}
		if _, err := Run(t.Context(), o); err == nil || !strings.Contains(err.Error(), "usr/bin/ls") {
			t.Fatalf("got %v", err)
		}
	})
	t.Run("empty backup", func(t *testing.T) {
		m := machinetest.UEFIPlain()
		o, _, b := bench(t, m, m, plan.Info{})
		b.files = nil
		if _, err := Run(t.Context(), o); fail.KindOf(err) != fail.Damaged {
			t.Fatalf("got %v", err)
		}
	})
	t.Run("no loader on the ESP, no grub-install", func(t *testing.T) {
		m := machinetest.UEFIPlain()
		o, _, b := bench(t, m, m, plan.Info{})
		b.files = map[string]string{"etc/fstab": ""}
		if _, err := Run(t.Context(), o); err == nil || !strings.Contains(err.Error(), "boot loader") {
			t.Fatalf("got %v", err)
		}
	})
}

func TestCloneOntoAnotherDisk(t *testing.T) {
	m := machinetest.UEFIPlain()
	here := machine.Machine{Disks: []machine.Disk{{Name: "nvme0n1", Path: "/dev/nvme0n1", Size: m.Disks[0].Size * 2, LogicalSector: 512}}}
	o, _, b := bench(t, m, here, plan.Info{Clone: &plan.CloneWishes{Hostname: "web2"}})
	b.differ = []string{"etc/fstab", "etc/hostname", "etc/hosts", "etc/machine-id", "etc/ssh/ssh_host_rsa_key"}
	rep, err := Run(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]string{
		"etc/fstab": "/dev/nvme0n1p2 / ext4 defaults 0 1\n", "etc/hostname": "web2\n", "etc/hosts": "127.0.1.1 web2\n", "etc/machine-id": "",
		"boot/efi/EFI/BOOT/BOOTX64.EFI": "shim", "boot/efi/EFI/BOOT/grubx64.efi": "grub",
	} {
		if got, err := os.ReadFile(filepath.Join(o.TargetRoot, name)); err != nil || string(got) != want {
			t.Errorf("%s: %q, %v; want %q", name, got, err, want)
		}
	}
	if _, err := os.Stat(filepath.Join(o.TargetRoot, "etc/ssh/ssh_host_rsa_key")); err == nil {
		t.Error("the clone has the original's ssh host key")
	}
	if len(rep.Changes) < 5 {
		t.Errorf("changes: %q", rep.Changes)
	}
}

func TestSymlinksInTheRestoredTreeLeadNowhereElse(t *testing.T) {
	m := machinetest.UEFIPlain()
	outside := filepath.Join(t.TempDir(), "hostname")
	if err := os.WriteFile(outside, []byte("rescue\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	o, _, b := bench(t, m, m, plan.Info{Clone: &plan.CloneWishes{Hostname: "web2"}})
	delete(b.files, "etc/hostname")
	if err := os.MkdirAll(filepath.Join(o.TargetRoot, "etc"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(outside, filepath.Join(o.TargetRoot, "etc/hostname")); err != nil {
		t.Fatal(err)
	}
	_, err := Run(t.Context(), o)
	if got, _ := os.ReadFile(outside); string(got) != "rescue\n" || err == nil {
		t.Fatalf("error %v; the file outside says %q", err, got)
	}
}

func TestReleaseOfAUsedDisk(t *testing.T) {
	m := machinetest.UEFILVM()
	o, run, _ := bench(t, m, m, plan.Info{})
	for name, text := range map[string]string{
		"sys/block/vda/vda3/holders/dm-0": "", "sys/block/dm-0/dm/name": "old-root\n", "sys/block/dm-0/holders/dm-1": "",
		"sys/block/dm-1/dm/name": "old-top\n", "sys/block/vda/vda2/holders/md127": "",
		"proc/swaps": "Filename Type Size Used Priority\n/dev/mapper/old-root partition 1 0 -2\n/dev/sdz1 partition 1 0 -2\n",
	} {
		f := filepath.Join(o.Root, name)
		if err := os.MkdirAll(filepath.Dir(f), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(f, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := Run(t.Context(), o); err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, c := range run.Commands() {
		if strings.HasPrefix(c, "swapoff") || strings.HasPrefix(c, "dmsetup") || strings.HasPrefix(c, "mdadm") {
			got = append(got, c)
		}
	}
	want := []string{"swapoff /dev/mapper/old-root", "mdadm --stop /dev/md127", "dmsetup remove --retry old-top", "dmsetup remove --retry old-root"}
	if !slices.Equal(got, want) {
		t.Errorf("got %q\nwant %q", got, want)
	}
}
