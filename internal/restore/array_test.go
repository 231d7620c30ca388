package restore

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/mkcdrec/mkcdrec/internal/fail"
	"github.com/mkcdrec/mkcdrec/internal/machine"
	"github.com/mkcdrec/mkcdrec/internal/machine/machinetest"
	"github.com/mkcdrec/mkcdrec/internal/plan"
	"github.com/mkcdrec/mkcdrec/internal/system"
)

// mdSim is what the kernel shows of arrays that mdadm makes, starts and stops.
type mdSim struct {
	t       *testing.T
	root    string
	m       *machine.Machine
	running map[string]string // kernel name -> UUID
	made    map[string]bool   // UUIDs with superblocks on their members
	less    machine.Bytes     // how much smaller than planned arrays become
}

func (s *mdSim) byUUID(uuid string) *machine.Array {
	for i := range s.m.Arrays {
		if s.m.Arrays[i].UUID == uuid {
			return &s.m.Arrays[i]
		}
	}
	return nil
}

func (s *mdSim) run(c system.Command, res system.Result, err error) (system.Result, error) {
	if err != nil {
		return res, err
	}
	option := func(name string) string {
		for _, a := range c.Args {
			if v, ok := strings.CutPrefix(a, name+"="); ok {
				return v
			}
		}
		return ""
	}
	failed := func(why string) (system.Result, error) {
		return system.Result{ExitCode: 1}, &system.ExitError{Command: system.Quote(c), ExitCode: 1, Stderr: why}
	}
	switch c.Args[0] {
	case "--detail":
		uuid := s.running[filepath.Base(c.Args[2])]
		if uuid == "" {
			return failed("md device does not appear to be active")
		}
		return system.Result{Stdout: []byte("MD_UUID=" + uuid + "\n")}, nil
	case "--create", "--assemble":
		uuid := option("--uuid")
		if c.Args[0] == "--assemble" && !s.made[uuid] {
			return failed("no superblock")
		}
		for _, u := range s.running {
			if u == uuid {
				return failed("device or resource busy")
			}
		}
		s.start(filepath.Base(c.Args[1]), s.byUUID(uuid))
		s.made[uuid] = true
	case "--stop":
		s.stop(filepath.Base(c.Args[1]))
	}
	return res, nil
}

func (s *mdSim) file(name, text string) {
	s.t.Helper()
	f := filepath.Join(s.root, name)
	if err := errors.Join(os.MkdirAll(filepath.Dir(f), 0o755), os.WriteFile(f, []byte(text), 0o644)); err != nil {
		s.t.Fatal(err)
	}
}

func (s *mdSim) holders(name string, a *machine.Array, do func(file string)) {
	for _, m := range a.Members {
		if d, n, ok := m.On.Part(); ok {
			do(filepath.Join("sys/block", d, filepath.Base(s.m.Disk(d).Partition(n).Path), "holders", name))
		}
	}
}

func (s *mdSim) start(name string, a *machine.Array) {
	s.running[name] = a.UUID
	s.file("sys/block/"+name+"/size", strconv.FormatInt(int64((a.Size-s.less)/512), 10))
	s.file("sys/block/"+name+"/md/level", a.Level)
	s.holders(name, a, func(f string) { s.file(f, "") })
	for _, m := range a.Members {
		if dev, err := s.m.Resolve(m.On); err == nil {
			s.file("sys/block/"+name+"/md/dev-"+filepath.Base(dev.Path)+"/state", "in_sync")
		}
	}
	if a.Table != nil {
		for _, p := range a.Table.Partitions {
			n := strconv.Itoa(p.Number)
			s.file("sys/block/"+name+"/"+name+"p"+n+"/partition", n)
		}
	}
}

func (s *mdSim) stop(name string) {
	if a := s.byUUID(s.running[name]); a != nil {
		s.holders(name, a, func(f string) { _ = os.Remove(filepath.Join(s.root, f)) })
	}
	delete(s.running, name)
	if err := os.RemoveAll(filepath.Join(s.root, "sys/block", name)); err != nil {
		s.t.Fatal(err)
	}
}

// reboot is a start of the machine: no array runs.
func (s *mdSim) reboot() {
	for name := range s.running {
		s.stop(name)
	}
}

// partitioned has one mirror of whole disks with a partition table on it.
func partitioned() machine.Machine {
	m := machinetest.UEFIPlain()
	a := machine.Array{
		Disk: m.Disks[0], UUID: "77777777:aaaaaaaa:bbbbbbbb:00000000", Label: "box:0", Level: "raid1", Metadata: "1.0", Slots: 2, Component: m.Disks[0].Size,
		Members: []machine.ArrayMember{{On: "disk:sda", Slot: 0}, {On: "disk:sdb", Slot: 1}},
	}
	a.Name, a.Path, a.Serial, a.WWN = "md0", "/dev/md0", "", ""
	table := *a.Table
	table.Partitions = slices.Clone(table.Partitions)
	a.Table = &table
	on := func(r machine.Ref) machine.Ref {
		if _, n, ok := r.Part(); ok {
			return machine.PartRef("md0", n)
		}
		return r
	}
	for i := range table.Partitions {
		table.Partitions[i].Path = "/dev/md0p" + strconv.Itoa(table.Partitions[i].Number)
	}
	for i := range m.FileSystems {
		m.FileSystems[i].On = on(m.FileSystems[i].On)
	}
	for i := range m.Mounts {
		m.Mounts[i].On = on(m.Mounts[i].On)
	}
	for i := range m.Swaps {
		m.Swaps[i].On = on(m.Swaps[i].On)
	}
	var disks []machine.Disk
	for _, name := range []string{"sda", "sdb"} {
		d := m.Disks[0]
		d.Name, d.Path, d.Serial, d.WWN, d.Table = name, "/dev/"+name, "S"+name, "", nil
		d.Size += 1 << 20
		disks = append(disks, d)
	}
	m.Disks, m.Arrays = disks, []machine.Array{a}
	return m
}

// The names of partitions of an array are those of the kernel, which may have
// called the array otherwise.
func TestPartitionsOfAnArray(t *testing.T) {
	m := partitioned()
	if err := m.Validate(); err != nil {
		t.Fatal(err)
	}
	o, run, _ := bench(t, m, m, plan.Info{})
	run.md.file("sys/block/md0/size", "1024") // somebody else's
	for dev, uuid := range run.uuids {
		run.uuids[strings.Replace(dev, "md0", "md127", 1)] = uuid
	}
	if _, err := Run(t.Context(), o); err != nil {
		t.Fatal(err)
	}
	all := strings.Join(run.Commands(), "\n")
	for _, want := range []string{"mdadm --create /dev/md127 ", " /dev/sda /dev/sdb\n", "/dev/md127p1", "sfdisk --wipe always --wipe-partitions always /dev/md127\n"} {
		if !strings.Contains(all, want) {
			t.Errorf("no %q in:\n%s", want, all)
		}
	}
	if strings.Contains(strings.ReplaceAll(all, "--export /dev/md0", ""), "/dev/md0") {
		t.Errorf("the foreign array was touched:\n%s", all)
	}
}

// After a power cut no array runs: they are started from their members before
// it is looked at what is on them, and the restore goes on.
func TestResumeStartsArrays(t *testing.T) {
	m := machinetest.RAID1LVM()
	o, run, b := bench(t, m, m, plan.Info{})
	b.unpackErr = errors.New("power cut")
	if _, err := Run(t.Context(), o); err == nil {
		t.Fatal("the restore did not stop")
	}
	run.md.reboot()
	b.unpackErr = nil
	before := len(run.Commands())
	rep, err := Run(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	second := strings.Join(run.Commands()[before:], "\n")
	if n := strings.Count(second, "mdadm --assemble"); n != 3 || strings.Contains(second, "mdadm --create") || rep.Resumed == 0 {
		t.Errorf("%d arrays were started, %d steps were done before:\n%s", n, rep.Resumed, second)
	}
	assemble, activate := strings.Index(second, "mdadm --assemble"), strings.Index(second, "vgchange")
	if activate < assemble || !strings.Contains(second, "mdadm --assemble /dev/md2 --run --uuid=88888888:aaaaaaaa:bbbbbbbb:00000002 /dev/sda3 /dev/sdb3") {
		t.Errorf("the volume group was looked for before its array ran:\n%s", second)
	}
}

// Arrays go by their UUIDs, wherever they run; what else runs is left alone.
func TestFindArrays(t *testing.T) {
	m := machinetest.RAID1LVM()
	o, run, _ := bench(t, m, m, plan.Info{})
	run.md.start("md127", &m.Arrays[0])
	run.md.start("md0", &m.Arrays[2])
	run.md.file("sys/block/md5/md/level", "raid1") // inactive: nothing is said of it
	run.md.running["md126"] = "00000000:00000000:00000000:00000000"
	run.md.file("sys/block/md126/md/level", "raid1")
	x := newExecutor(o)
	x.findArrays(t.Context())
	if len(x.arrays) != 2 || x.arrays["md0"] != "md127" || x.arrays["md2"] != "md0" {
		t.Errorf("%v", x.arrays)
	}
}

// An array that was made, and whose step was not written down as done, is made
// once more.
func TestArrayIsMadeAgain(t *testing.T) {
	m := machinetest.RAID1LVM()
	o, run, _ := bench(t, m, m, plan.Info{})
	run.md.start("md127", &m.Arrays[0]) // half of an old life of these disks
	x := newExecutor(o)
	x.findArrays(t.Context())
	for _, s := range o.Plan.Steps {
		if s.Kind == plan.MakeArray && s.Device == machine.ArrayRef("md0") {
			if err := x.makeArray(t.Context(), s); err != nil {
				t.Fatal(err)
			}
		}
	}
	all := run.Commands()
	stop, create := slices.Index(all, "mdadm --stop /dev/md127"), slices.IndexFunc(all, func(c string) bool { return strings.HasPrefix(c, "mdadm --create /dev/md0 ") })
	if stop < 0 || create < stop {
		t.Errorf("not stopped before it was made again: %q", all)
	}
	if dev, err := x.device(machine.ArrayRef("md0")); err != nil || dev != "/dev/md0" {
		t.Errorf("%s, %v", dev, err)
	}
}

func TestWriteMostly(t *testing.T) {
	m := machinetest.RAID1LVM()
	m.Arrays[1].Members[1].WriteMostly = true
	o, _, _ := bench(t, m, m, plan.Info{})
	if _, err := Run(t.Context(), o); err != nil {
		t.Fatal(err)
	}
	for member, want := range map[string]string{"sda2": "in_sync", "sdb2": "writemostly\n"} {
		if b, err := os.ReadFile(filepath.Join(o.Root, "sys/block/md1/md/dev-"+member+"/state")); err != nil || string(b) != want {
			t.Errorf("%s: %q, %v", member, b, err)
		}
	}
}

func TestArrayTooSmall(t *testing.T) {
	m := machinetest.RAID1LVM()
	o, run, _ := bench(t, m, m, plan.Info{})
	run.md.less = 512
	if _, err := Run(t.Context(), o); err == nil || !strings.Contains(err.Error(), "were planned") {
		t.Errorf("an array smaller than planned: %v", err)
	}
}

// What stands on partitions of an array is in use, too.
func TestStackHasPartitionsOfArrays(t *testing.T) {
	m := partitioned()
	o, run, _ := bench(t, m, m, plan.Info{})
	run.md.start("md0", &m.Arrays[0])
	run.md.file("sys/block/sda/holders/md0", "")
	run.md.file("sys/block/md0/md0p1/dev", "259:7")
	run.md.file("sys/block/md0/md0p2/holders/dm-0", "")
	run.md.file("sys/block/dm-0/dm/name", "old")
	x := newExecutor(o)
	if got := x.holders("sda"); len(got) != 2 || got[0].Mapper != "old" || got[1].Name != "md0" {
		t.Errorf("holders %+v", got)
	}
	run.md.file("proc/self/mountinfo", "30 1 259:7 / /mnt/data rw - ext4 /dev/md0p1 rw\n")
	if _, err := Run(t.Context(), o); fail.KindOf(err) != fail.Refused {
		t.Errorf("a disk in use by way of an array: %v", err)
	}
}

// Two arrays of one UUID cannot be told apart.
func TestSameArrayElsewhere(t *testing.T) {
	m := machinetest.RAID1LVM()
	o, run, _ := bench(t, m, m, plan.Info{})
	o.Look = func(context.Context) (machine.Machine, error) {
		here := machinetest.RAID1LVM()
		other := here.Disks[0]
		other.Name, other.Serial = "sdc", "OLD"
		here.Disks = append(here.Disks, other)
		here.VolumeGroups = nil
		here.Arrays[1].Members = []machine.ArrayMember{{On: machine.PartRef("sdc", 2)}}
		return here, nil
	}
	if _, err := Run(t.Context(), o); fail.KindOf(err) != fail.Refused || !strings.Contains(err.Error(), "md1") {
		t.Errorf("got %v", err)
	}
	if slices.ContainsFunc(run.Commands(), writes) {
		t.Errorf("something was written: %q", run.Commands())
	}
}

// The firmware finds the boot loader on either disk of a mirror.
func TestBootEntryForEachMember(t *testing.T) {
	m := machinetest.RAID1LVM()
	o, run, _ := bench(t, m, m, plan.Info{})
	if err := os.MkdirAll(filepath.Join(o.Root, "sys/firmware/efi/efivars"), 0o755); err != nil {
		t.Fatal(err)
	}
	if _, err := Run(t.Context(), o); err != nil {
		t.Fatal(err)
	}
	var did []string
	for _, c := range run.Commands() {
		if strings.HasPrefix(c, "efibootmgr ") {
			did = append(did, c)
		}
	}
	if len(did) != 3 || !strings.Contains(did[0], "--bootnum 0000 --disk /dev/sda --part 1") || !strings.Contains(did[1], "--bootnum 0001 --disk /dev/sdb --part 1") ||
		!strings.Contains(did[1], "(disk 2)") || !strings.Contains(did[2], "--bootorder 0000,0001 ") {
		t.Errorf("entries %q", did)
	}
}

// mdadm.conf may name disks; the initramfs has a copy of it.
func TestDisksInMdadmConf(t *testing.T) {
	m := machinetest.RAID1LVM()
	here := machinetest.RAID1LVM()
	here.Arrays, here.VolumeGroups, here.FileSystems, here.Mounts, here.Swaps = nil, nil, nil, nil, nil
	for i, name := range []string{"vda", "vdb"} {
		here.Disks[i].Name, here.Disks[i].Path, here.Disks[i].Table = name, "/dev/"+name, nil
	}
	m.Kernel = "6.1"
	o, run, b := bench(t, m, here, plan.Info{Clone: &plan.CloneWishes{Hostname: "web2"}})
	b.files["etc/mdadm/mdadm.conf"] = "DEVICE /dev/sda* /dev/sda3\nARRAY /dev/md/boot UUID=88888888:aaaaaaaa:bbbbbbbb:00000001\n"
	b.files["boot/initrd.img-6.1"], b.files["usr/bin/lsinitramfs"], b.files["usr/sbin/update-initramfs"] = "", "", ""
	rep, err := Run(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	got, err := os.ReadFile(filepath.Join(o.TargetRoot, "etc/mdadm/mdadm.conf"))
	if err != nil || !strings.Contains(string(got), "/dev/vda3\n") {
		t.Errorf("%q, %v", got, err)
	}
	if !slices.ContainsFunc(run.Commands(), func(c string) bool { return strings.Contains(c, "update-initramfs") }) {
		t.Errorf("the initramfs still has the old file: %q", run.Commands())
	}
	warned := strings.Join(rep.Warnings, "\n")
	if strings.Contains(warned, "array md1 ") || !strings.Contains(warned, "array md2 belongs to host mirrored") {
		t.Errorf("warnings: %s", warned)
	}
}

// The power is cut behind each command: no array runs at the second start, and
// of the journals only the one on the target is left. Or the restore alone
// ended, and the arrays run. Either way the second start comes to the end.
func TestArraysResumeAfterEveryCommand(t *testing.T) {
	m := machinetest.RAID1LVM()
	o, run, _ := bench(t, m, m, plan.Info{})
	if _, err := Run(t.Context(), o); err != nil {
		t.Fatal(err)
	}
	all, tookOver := run.count, 0
	for stop := 1; stop < all; stop++ {
		for _, cut := range []bool{true, false} {
			if !cut && stop%5 != 0 {
				continue // TestResumeAfterEveryCommand has that for all
			}
			o, run, _ := bench(t, m, m, plan.Info{})
			ctx, cancel := context.WithCancel(t.Context())
			run.stopAt, run.stop = stop, cancel
			if _, err := Run(ctx, o); fail.KindOf(err) != fail.Interrupted {
				t.Fatalf("stopped behind command %d: %v", stop, err)
			}
			cancel()
			run.stopAt = 0
			first := run.Commands()
			if cut {
				run.md.reboot()
				_ = os.Remove(o.Journal)
			}
			rep, err := Run(t.Context(), o)
			if err != nil {
				t.Fatalf("second start after command %d (power cut %v, %s): %v", stop, cut, first[len(first)-1], err)
			}
			if rep.Steps+rep.Resumed != len(o.Plan.Steps) || len(run.md.running) != len(m.Arrays) {
				t.Errorf("second start after command %d: %d steps and %d from before, of %d; %d arrays", stop, rep.Steps, rep.Resumed, len(o.Plan.Steps), len(run.md.running))
			}
			if cut && rep.Resumed > 0 {
				tookOver++
			}
			second := run.Commands()[len(first):]
			made := func(c string) bool { return strings.HasPrefix(c, "mdadm --create /dev/md2 ") }
			if i := slices.IndexFunc(first, made); !cut && i >= 0 && i < len(first)-4 && slices.ContainsFunc(second, made) {
				t.Errorf("stopped behind command %d: the array was made twice", stop)
			}
		}
	}
	if tookOver == 0 {
		t.Error("no start went on by the journal on the target")
	}
}
