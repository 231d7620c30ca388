package vm

import (
	"bytes"
	"context"
	"encoding/gob"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/mkcdrec/mkcdrec/internal/rehearse/qemu"
)

// scenario is one way through the main job: a running machine is backed up
// into a medium, its disk is replaced by a blank one, the medium restores it
// unattended, and the restored machine is the original.
type scenario struct {
	fixture string
	usb     bool     // the medium is a USB stick, not a disc
	again   bool     // then once more, onto the disk in use, with a power cut in the middle
	control bool     // then damage the restored machine, and see that the comparison notices
	byHands bool     // then one file system by hand, and a clone: see byHand
	alone   bool     // then boot with each of the disks alone
	vault   bool     // /dev/vda3 is encrypted; its key is on a stick beside the medium
	says    string   // a command that has to say the same of the original and of the restored machine
	changed []string // files that the restore has to change: looked is what looks at them
	looked  func(context.Context, *testing.T, *qemu.VM, string)

	onto    qemu.Firmware                                                    // of the machine that it is restored on; "": that of the fixture
	apart   *regexp.Regexp                                                   // paths that differ there, as the plan says; nil: none
	before  string                                                           // commands in the original before its backup
	after   func(ctx context.Context, t *testing.T, vm *qemu.VM, f *Fixture) // looks at the restored machine
	bus     qemu.Bus                                                         // then restore onto a disk on that bus, too
	answers string                                                           // the answer file, where it is not the usual one
}

// The scenarios of `make vm` begin with TestRestore; further ones with TestGrid.
func TestRestoreUEFILVMFromDisc(t *testing.T) { scenario{fixture: "uefi-lvm", again: true}.run(t) }
func TestRestoreBIOSLogicalFromDisc(t *testing.T) {
	scenario{fixture: "bios-mbr", control: true, byHands: true}.run(t)
}
func TestGridThinAndMirroredLVM(t *testing.T) {
	scenario{fixture: "uefi-lvm-thin", says: volumesSay}.run(t)
}
func TestGridUEFIRAIDFromDisc(t *testing.T) {
	scenario{fixture: "uefi-raid-lvm", alone: true}.run(t)
}
func TestGridUEFILUKSFromDisc(t *testing.T) {
	scenario{fixture: "uefi-luks-lvm", vault: true}.run(t)
}
func TestRestoreUEFIBtrfsFromStick(t *testing.T) { scenario{fixture: "uefi-btrfs", usb: true}.run(t) }

// binary is the static mkcdrec to try.
func binary(t *testing.T) string {
	t.Helper()
	if b := os.Getenv("MKCDREC_BINARY"); b != "" {
		return b
	}
	out, err := exec.Command("make", "-C", "../..", "bin/mkcdrec").CombinedOutput()
	if err != nil {
		t.Fatalf("cannot build mkcdrec: %v\n%s", err, out)
	}
	return "../../bin/mkcdrec"
}

// scratch is a directory that is removed when the test passes and kept, with
// the consoles' logs, when it fails.
func scratch(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("/var/tmp", "mkcdrec-"+strings.ReplaceAll(t.Name(), "/", "-")+"-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if t.Failed() {
			// The disks are large; the logs tell the story.
			if os.Getenv("MKCDREC_KEEP") != "1" {
				for _, pattern := range []string{"*.qcow2", "*.iso"} {
					found, _ := filepath.Glob(filepath.Join(dir, pattern))
					for _, f := range found {
						os.Remove(f)
					}
				}
			}
			t.Logf("logs are in %s", dir)
			return
		}
		os.RemoveAll(dir)
	})
	return dir
}

// The medium and the original's listing that a failed run has kept
// (MKCDREC_KEEP=1) can be restored again without a new backup.
const keptListing = "original.gob"

func keep(t *testing.T, dir string, original Listing) {
	t.Helper()
	var b bytes.Buffer // gob keeps names that are not UTF-8
	if err := gob.NewEncoder(&b).Encode(original); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, keptListing), b.Bytes(), 0o644); err != nil {
		t.Fatal(err)
	}
}

func fromKept(t *testing.T, dir string) (iso string, original Listing) {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(dir, keptListing))
	if err != nil {
		t.Fatal(err)
	}
	if err := gob.NewDecoder(bytes.NewReader(b)).Decode(&original); err != nil {
		t.Fatal(err)
	}
	t.Logf("the backup is an earlier one, from %s", dir)
	return filepath.Join(dir, "medium.iso"), original
}

// answers make the restore run without a question. A disk has another serial
// number than the recorded one, so it is named as the only one; several are
// named one by one and told apart by their sizes.
func answers(disks []qemu.Disk) string {
	named := `"only"`
	if len(disks) > 1 {
		var all []string
		for _, d := range disks {
			all = append(all, strconv.Quote("serial:"+d.Serial))
		}
		named = "[" + strings.Join(all, ", ") + "]"
	}
	return "disks = " + named + "\nmachine = \"same\"\nthen = \"poweroff\"\n"
}

// begin takes the fixture and its backup, made now or by a run that was kept: the
// medium and the original's listing. lap logs how long a phase took.
func (s scenario) begin(t *testing.T) (ctx context.Context, f *Fixture, dir, iso string, original Listing, lap func(string)) {
	t.Helper()
	needsVM(t)
	t.Parallel() // the phases in which a machine boots use one core
	ctx = limit(t, 75*time.Minute)
	f = fixture(ctx, t, s.fixture)
	dir = scratch(t)
	start := time.Now()
	lap = func(what string) {
		t.Logf("%6s  %s", time.Since(start).Round(time.Second), what)
		start = time.Now()
	}

	iso = filepath.Join(dir, "medium.iso")
	if kept := os.Getenv("MKCDREC_MEDIUM_FROM"); kept != "" {
		iso, original = fromKept(t, kept)
	} else {
		original = s.backUp(ctx, t, f, binary(t), dir, iso, lap)
		keep(t, dir, original)
	}
	return ctx, f, dir, iso, original, lap
}

func (s scenario) run(t *testing.T) {
	ctx, f, dir, iso, original, lap := s.begin(t)

	if s.onto != "" {
		other := *f
		f = &other
		f.Firmware = s.onto
	}
	disks, vars := f.disks(dir, "restored", replaced, 1), ""
	if err := f.blank(ctx, disks); err != nil {
		t.Fatal(err)
	}
	if f.Firmware != qemu.BIOS {
		vars = filepath.Join(dir, "restored-vars.qcow2")
	}
	vm := s.startMedium(ctx, t, f, disks, vars, iso, filepath.Join(dir, "restore.log"))
	s.finishRestore(ctx, t, vm)
	lap("restored from the medium")
	vm = s.check(ctx, t, f, disks, vars, filepath.Join(dir, "restored.log"), original, lap)
	if s.onto == qemu.BIOS {
		startsByBIOS(ctx, t, vm, f.Key)
	}
	if s.says != "" {
		s.saysTheSame(ctx, t, vm, f, dir)
		lap("compared what the machine says")
	}
	if s.looked != nil {
		s.looked(ctx, t, vm, f.Key)
		lap("looked at what the comparison does not see")
	}
	if s.vault {
		sameVault(ctx, t, vm, f, dir)
		lap("compared the LUKS header")
		s.opensByHand(ctx, t, f, vm, disks, vars, dir, iso, lap)
	}
	if s.after != nil {
		s.after(ctx, t, vm, f)
	}
	if s.control {
		noticesDamage(ctx, t, vm, f.Key, original)
		lap("looked for damage made on purpose")
	}
	if s.alone {
		s.eachAlone(ctx, t, f, vm, disks, vars, dir, original, lap)
	}
	if s.byHands {
		s.byHand(ctx, t, f, vm, disks, dir, iso, original, lap)
	}
	if s.bus != "" {
		vm.Kill()
		s.ontoBus(ctx, t, f, dir, iso, original, lap)
	}
	if !s.again {
		return
	}

	// The power goes while the machine runs: its disk is full of what there was.
	if _, err := vm.SSH(ctx, f.Key, "echo later >/root/made-after-the-backup; sync", nil); err != nil {
		t.Fatal(err)
	}
	vm.Kill()
	vm = s.startMedium(ctx, t, f, disks, vars, iso, filepath.Join(dir, "cut.log"))
	m, err := vm.WaitFor(ctx, `unpack.* [1-9]\d%|unattended restore finished`, 40*time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	vm.Kill()
	lap("the power was cut at: " + m[0])
	vm = s.startMedium(ctx, t, f, disks, vars, iso, filepath.Join(dir, "resumed.log"))
	if said := s.finishRestore(ctx, t, vm); !strings.Contains(said, "was done before") {
		t.Error("the second start did not say what was done before")
	}
	lap("went on after the power cut")
	s.check(ctx, t, f, disks, vars, filepath.Join(dir, "restored-again.log"), original, lap)
}

// eachAlone takes one disk after the other out of the machine: it starts from
// what is left, and has all its files.
func (s scenario) eachAlone(ctx context.Context, t *testing.T, f *Fixture, vm *qemu.VM, disks []qemu.Disk, vars, dir string, original Listing, lap func(string)) {
	t.Helper()
	// What was not in sync when the restore ended has to be before a disk may go.
	out, err := vm.SSH(ctx, f.Key, "echo 200000 >/proc/sys/dev/raid/speed_limit_min; mdadm --wait /dev/md?*; grep -h . /sys/block/md*/md/degraded | sort -u; cat /proc/mdstat", nil)
	if err != nil || !strings.HasPrefix(string(out), "0\n") {
		t.Errorf("the arrays lack members: %s (%v)", out, err)
	}
	t.Logf("in sync:\n%s", out)
	// Its connection ends with it, hence no look at the error.
	_, _ = vm.SSH(ctx, f.Key, "systemctl poweroff", nil)
	end, cancel := context.WithTimeout(ctx, 3*time.Minute)
	defer cancel()
	if err := vm.Wait(end); err != nil {
		t.Fatal(err)
	}
	lap("all members are in sync, powered off")
	for i, d := range disks {
		d.Snapshot = true // both stay as they are, equal
		name := "alone-" + strconv.Itoa(i)
		vm := s.check(ctx, t, f, []qemu.Disk{d}, vars, filepath.Join(dir, name+".log"), original, lap)
		if out, err := vm.SSH(ctx, f.Key, "grep -h . /sys/block/md*/md/degraded", nil); err != nil || string(out) != "1\n1\n1\n" {
			t.Errorf("with disk %d alone three arrays should lack one member: %q (%v)", i, out, err)
		}
		vm.Kill()
	}
}

// check boots the restored disk by its own boot loader and compares the
// machine, which it leaves running, with the original.
func (s scenario) check(ctx context.Context, t *testing.T, f *Fixture, disks []qemu.Disk, vars, log string, original Listing, lap func(string)) *qemu.VM {
	t.Helper()
	vm := s.boot(ctx, t, f, disks, vars, log, lap)
	got, err := list(ctx, vm, f.Key)
	if err != nil {
		t.Fatal(err)
	}
	lap("listed the restored machine")
	if len(original) < 10000 {
		t.Errorf("only %d facts were compared", len(original))
	}
	if s.apart != nil {
		original = original.without(s.apart)
		got = got.without(s.apart)
	}
	if d := original.withoutFiles(s.changed).diff(got.withoutFiles(s.changed), 60); d != "" {
		t.Errorf("the restored machine differs from the original: %s", d)
	}
	t.Logf("compared %d facts", len(original))
	return vm
}

// boot starts a disk by its own boot loader and sees that the machine runs well.
func (s scenario) boot(ctx context.Context, t *testing.T, f *Fixture, disks []qemu.Disk, vars, log string, lap func(string)) *qemu.VM {
	t.Helper()
	c := f.config(disks, vars)
	c.Name, c.SerialLog = "restored "+f.Name, log
	vm, err := qemu.Start(ctx, c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { vm.Kill() })
	if err := vm.WaitSSH(ctx, f.Key, 20*time.Minute); err != nil {
		t.Fatal(err)
	}
	lap("the restored machine booted by its own boot loader and answers by ssh")
	if out, err := vm.SSH(ctx, f.Key, "systemctl is-system-running --wait; systemctl --failed --no-legend --plain", nil); err != nil || len(out) == 0 {
		t.Errorf("the restored machine's state: %s (%v)", out, err)
	} else if state := strings.Fields(string(out)); state[0] != "running" {
		t.Errorf("the restored machine is not running well: %s", out)
	}
	return vm
}

// damage is one change below /opt/metadata, by a shell command, and the fact
// in which it shows.
var damage = []struct{ fact, command string }{
	{"stat small", "chmod 0600 small"},
	{"stat empty", "chown 1:1 empty"},
	{"stat fifo", "rm fifo"},
	{"stat sym-relative", "ln -sfn large sym-relative"},
	{"stat names/-dash", "rm names/-dash"},
	{"stat added", ": >added"},
	{"device bigdev", "rm bigdev; mknod bigdev b 259 70001"},
	{"mtime large", "touch -d @1 large"},
	{"sha256 owned", "touch -r owned t; printf 'OWNED\\n' >owned; touch -r t owned; rm t"},
	{"data holes/only-hole", "dd if=/dev/zero of=holes/only-hole bs=65536 seek=3 count=1 conv=notrunc status=none"},
	{"sha256 of data holes/terabyte", "printf END | dd of=holes/terabyte bs=1 seek=70000000000 conv=notrunc status=none"},
	{"hardlinks hard-1", "cp -p hard-2 t; mv t hard-2"},
	{"xattr xattr", "setfattr -n user.mkcdrec -v other xattr"},
	{"xattr capable", "setcap -r capable"},
	{"acl acl", "setfacl -m u:1234:r acl"},
	{"flags flag-immutable", "chattr -i flag-immutable"},
}

// noticesDamage changes one thing of every kind and fails where the comparison
// that has just found no difference does not see it.
func noticesDamage(ctx context.Context, t *testing.T, vm *qemu.VM, key string, original Listing) {
	t.Helper()
	script := "set -e; cd /opt/metadata"
	for _, d := range damage {
		script += "\n" + d.command
	}
	if out, err := vm.SSH(ctx, key, script, nil); err != nil {
		t.Fatalf("cannot do damage: %v\n%s", err, out)
	}
	got, err := list(ctx, vm, key)
	if err != nil {
		t.Fatal(err)
	}
	for _, d := range damage {
		i := strings.LastIndexByte(d.fact, ' ')
		fact := d.fact[:i+1] + "/opt/metadata/" + d.fact[i+1:]
		if was, is := original[fact], got[fact]; was == is {
			t.Errorf("the comparison does not notice: %s (%s is %q)", d.command, fact, is)
		}
	}
}

// backUp makes the medium inside the running fixture, copies it to iso, and
// returns what the fixture's files are.
func (s scenario) backUp(ctx context.Context, t *testing.T, f *Fixture, mkcdrec, dir, iso string, lap func(string)) Listing {
	t.Helper()
	vm, err := f.Boot(ctx, dir)
	if err != nil {
		t.Fatal(err)
	}
	defer vm.Kill()
	ssh := func(command, stdin string) string {
		t.Helper()
		out, err := vm.SSH(ctx, f.Key, command, strings.NewReader(stdin))
		if err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
		return string(out)
	}
	given, flags := answers(f.disks(dir, "restored", replaced, 1)), ""
	if s.answers != "" {
		given = s.answers
	}
	if s.vault {
		given, flags = answersVault, " --luks-headers"
		if err := os.WriteFile(filepath.Join(dir, vaultHeader), []byte(ssh(dumpVault, "")), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	ssh("mkdir -p /var/tmp/rehearsal/out && cat >/var/tmp/rehearsal/answers.toml", given)
	// An emulated processor compresses slowly; how well is not the point here.
	ssh("cat >/var/tmp/rehearsal/config.toml", "level = 1\n")
	// A saved machine wakes with the clock of its sleep.
	ssh("date -s @$(cat) >/dev/null", strconv.FormatInt(time.Now().Unix(), 10))
	if err := vm.CopyIn(ctx, f.Key, mkcdrec, "/var/tmp/rehearsal/mkcdrec"); err != nil {
		t.Fatal(err)
	}
	lap("the fixture runs")
	if s.before != "" {
		t.Logf("beforehand:\n%s", ssh(s.before, ""))
	}
	t.Logf("backup says:\n%s", ssh("cd /var/tmp/rehearsal && ./mkcdrec --config config.toml backup --out out --answers answers.toml"+flags+" 2>&1", ""))
	lap("backed up inside the fixture")
	name := strings.TrimSpace(ssh("ls /var/tmp/rehearsal/out/*.iso", ""))
	if err := vm.CopyOut(ctx, f.Key, name, iso); err != nil {
		t.Fatal(err)
	}
	if fi, err := os.Stat(iso); err == nil {
		t.Logf("the medium has %d MB", fi.Size()>>20)
	}
	if s.says != "" {
		if err := os.WriteFile(filepath.Join(dir, saidFile), []byte(ssh(s.says, "")), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	original, err := list(ctx, vm, f.Key)
	if err != nil {
		t.Fatal(err)
	}
	lap("copied the medium out, listed the original")
	return original
}

// replaced is what the serial numbers of the blank disks begin with.
const replaced = "REPLACED"

// startMedium starts the medium beside a disk, up to its unattended run.
func (s scenario) startMedium(ctx context.Context, t *testing.T, f *Fixture, disks []qemu.Disk, vars, iso, log string) *qemu.VM {
	t.Helper()
	vm := s.bootMedium(ctx, t, f, disks, vars, iso, log, "2")
	if _, err := vm.WaitFor(ctx, `unattended restore begins`, 10*time.Minute); err != nil {
		t.Fatal(err)
	}
	return vm
}

// bootMedium starts the medium beside a disk, by that entry of its boot screen.
func (s scenario) bootMedium(ctx context.Context, t *testing.T, f *Fixture, disks []qemu.Disk, vars, iso, log, entry string) *qemu.VM {
	t.Helper()
	c := f.config(disks, vars)
	c.Name, c.SerialLog = "medium", log
	if s.usb {
		c.Disks = append(c.Disks, qemu.Disk{Path: iso, Format: "raw", Bus: qemu.USB, Serial: "STICK", Snapshot: true})
		c.BootOrder = []string{"disk" + strconv.Itoa(len(disks)), "disk0"}
	} else {
		c.CDROMs = []string{iso}
		c.BootOrder = []string{"cd0", "disk0"}
	}
	if s.vault {
		c.Disks = append(c.Disks, qemu.Disk{Path: keyStick(t), Format: "raw", Bus: qemu.USB, Serial: "KEYS"})
	}
	vm, err := qemu.Start(ctx, c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { vm.Kill() })
	if _, err := vm.WaitFor(ctx, `serial console \(ttyS0`, 3*time.Minute); err != nil {
		t.Fatal(err)
	}
	if err := vm.Send(entry); err != nil {
		t.Fatal(err)
	}
	return vm
}

// finishRestore waits for the end of the unattended run, which powers off, and
// returns what it said.
func (s scenario) finishRestore(ctx context.Context, t *testing.T, vm *qemu.VM) string {
	t.Helper()
	m, err := vm.WaitFor(ctx, `(?s)(.*)unattended restore finished: exit (\d+)[\r\n]`, 40*time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	if m[2] != "0" {
		t.Fatalf("the restore ended with exit code %s; it said:\n%s", m[2], m[1])
	}
	t.Logf("restore says:\n%s", m[1])
	end, cancel := context.WithTimeout(ctx, 2*time.Minute)
	defer cancel()
	if err := vm.Wait(end); err != nil {
		t.Fatalf("the answer file says power off after success: %v", err)
	}
	return m[1]
}
