package rescueinit

import (
	"context"
	"crypto/sha256"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/mkcdrec/mkcdrec/internal/machine"
	"github.com/mkcdrec/mkcdrec/internal/rehearse/qemu"
	"github.com/mkcdrec/mkcdrec/internal/rescue"
	"github.com/mkcdrec/mkcdrec/internal/system"
)

// lab is a rescue system of this machine and what it is started with.
type lab struct {
	dir, kernel, initrd, iso, key string
}

// TestBoot starts the real rescue system in virtual machines.
func TestBoot(t *testing.T) {
	if os.Getenv("MKCDREC_SLOW") == "" {
		t.Skip("boots virtual machines: set MKCDREC_SLOW=1")
	}
	if os.Geteuid() != 0 {
		t.Fatal("needs root to build a rescue system")
	}
	for _, tool := range []string{qemu.Program, "genisoimage", "mkfs.ext4", "debugfs", "cpio", "ssh-keygen"} {
		if _, err := exec.LookPath(tool); err != nil {
			t.Fatalf("needs %s", tool)
		}
	}
	l := newLab(t)
	t.Run("prompt, ssh, untouched disk, clean poweroff", l.everyday)
	t.Run("volume groups: deactivated at the end, not activated at the start", l.volumeGroup)
	t.Run("Ctrl-Alt-Del", l.ctrlAltDel)
	t.Run("power button", l.acpiButton)
	t.Run("no shell runs", l.noShell)
	t.Run("unattended restore that fails", l.failingRestore)
}

func newLab(t *testing.T) *lab {
	l := &lab{dir: t.TempDir()}
	binary := os.Getenv("MKCDREC_BINARY")
	if binary == "" {
		binary = filepath.Join(l.dir, "mkcdrec")
		build := exec.Command("go", "build", "-tags", "netgo,osusergo", "-o", binary, "../../cmd/mkcdrec")
		build.Env = append(os.Environ(), "CGO_ENABLED=0")
		if out, err := build.CombinedOutput(); err != nil {
			t.Fatalf("go build: %v\n%s", err, out)
		}
	}
	l.key = filepath.Join(l.dir, "key")
	run(t, "ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", l.key)
	public, err := os.ReadFile(l.key + ".pub")
	if err != nil {
		t.Fatal(err)
	}
	id := rescue.Identity{
		Version: 1, MediumID: "0badcafe", Made: time.Now().Add(-50 * time.Hour), Host: "web01.example.org", OS: "Debian GNU/Linux 12 (bookworm)",
		Settings: rescue.RescueSettings{AuthorizedKeys: []string{strings.TrimSpace(string(public))}},
	}
	res, err := rescue.Build(context.Background(), &system.Host{}, machine.Machine{Hostname: "web01"}, rescue.Options{Binary: binary, WorkDir: l.dir, Identity: id})
	if err != nil {
		t.Fatal(err)
	}
	l.kernel, l.initrd = res.KernelPath, res.InitramfsPath
	content := filepath.Join(l.dir, "content")
	if err := os.MkdirAll(filepath.Join(content, "backup", "20261120T0304-abcd"), 0o755); err != nil {
		t.Fatal(err)
	}
	l.iso = filepath.Join(l.dir, "medium.iso")
	run(t, "genisoimage", "-quiet", "-R", "-V", "MKCDREC_0BADCAFE", "-o", l.iso, content)
	return l
}

func run(t *testing.T, name string, args ...string) string {
	t.Helper()
	out, err := exec.Command(name, args...).CombinedOutput()
	if err != nil {
		t.Fatalf("%s: %v\n%s", name, err, out)
	}
	return string(out)
}

// start boots with 512 MB; over are files laid over the rescue system.
func (l *lab) start(t *testing.T, args string, over map[string]string, disks ...qemu.Disk) (context.Context, *qemu.VM) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 4*time.Minute)
	t.Cleanup(cancel)
	initrd := l.initrd
	if len(over) > 0 {
		initrd = l.overlay(t, over)
	}
	vm, err := qemu.Start(ctx, qemu.Config{
		Name: "rescue", Memory: 512, Kernel: l.kernel, Initrd: initrd, NoReboot: true, CDROMs: []string{l.iso}, Disks: disks,
		Append:  "console=tty0 console=ttyS0 quiet mitigations=off rootfstype=ramfs mkcdrec.medium=0badcafe " + args,
		Network: &qemu.Network{Isolated: true},
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		vm.Kill()
		if t.Failed() {
			t.Logf("console:\n%s", vm.Console())
		}
	})
	return ctx, vm
}

// overlay appends files to a copy of the initramfs: of two with one name the kernel keeps the later.
func (l *lab) overlay(t *testing.T, over map[string]string) string {
	dir := t.TempDir()
	for p, text := range over {
		p = filepath.Join(dir, p)
		if err := os.MkdirAll(filepath.Dir(p), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(p, []byte(text), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	extra := filepath.Join(t.TempDir(), "extra.cpio")
	run(t, "sh", "-c", fmt.Sprintf("cd %s && find . -type f | cpio -o -H newc --quiet >%s", dir, extra))
	both := filepath.Join(t.TempDir(), "initrd")
	// The kernel looks for the next archive at a multiple of four bytes.
	run(t, "sh", "-c", fmt.Sprintf("cp %s %s && truncate -s %%4 %s && cat %s >>%s", l.initrd, both, both, extra, both))
	return both
}

func expect(t *testing.T, ctx context.Context, vm *qemu.VM, pattern string, limit time.Duration) []string {
	t.Helper()
	m, err := vm.WaitFor(ctx, pattern, limit)
	if err != nil {
		t.Fatalf("waiting for %q: %v", pattern, err)
	}
	return m
}

// ask types a command and returns what it printed.
func ask(t *testing.T, ctx context.Context, vm *qemu.VM, command string) string {
	t.Helper()
	// The echo of what is typed must not look like the answer.
	if err := vm.Send("echo BE''GIN; " + command + "; echo EN''D\n"); err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(expect(t, ctx, vm, `(?s)BEGIN\n(.*?)END\n`, 30*time.Second)[1])
}

func ended(t *testing.T, vm *qemu.VM, limit time.Duration) {
	t.Helper()
	select {
	case <-vm.Done():
	case <-time.After(limit):
		t.Fatalf("the machine did not end within %v", limit)
	}
}

func (l *lab) everyday(t *testing.T) {
	disk := filepath.Join(l.dir, "disk.img")
	run(t, "truncate", "-s", "64M", disk)
	run(t, "mkfs.ext4", "-q", "-F", disk)
	before := hashOf(t, disk)
	ctx, vm := l.start(t, "", nil, qemu.Disk{Path: disk, Format: "raw", Durable: true})
	expect(t, ctx, vm, `mkcdrec rescue system of web01\.example\.org`, 2*time.Minute)
	text := expect(t, ctx, vm, `(?s)(Medium .*)everything else`, 10*time.Second)[1]
	for _, want := range []string{`MKCDREC_0BADCAFE on /dev/sr0, with the backup`, `no disk has been touched \(vda 67 MB\)`, `10\.0\.2\.15/24 \(DHCP, no card of the recorded`,
		`SHA256:[\w+/]{43}`, `mkcdrec restore`, `ssh root@10\.0\.2\.15`} {
		if !regexp.MustCompile(want).MatchString(text) {
			t.Errorf("the banner lacks %q", want)
		}
	}
	if got := ask(t, ctx, vm, "tty; set -o | grep monitor; uname -n; echo $TERM $HOME $PWD"); !regexp.MustCompile(`(?s)^/dev/ttyS0\nmonitor\s+on\nrescue-web01\nvt220 /root /root$`).MatchString(got) {
		t.Errorf("terminal: %q", got)
	}
	log := ask(t, ctx, vm, "cat /run/mkcdrec/rescueinit.log")
	t.Logf("%s", log)
	var seconds float64
	if m := regexp.MustCompile(`prompt after ([\d.]+) s`).FindStringSubmatch(log); m == nil {
		t.Error("the log does not say when the prompt came")
	} else if _, _ = fmt.Sscan(m[1], &seconds); seconds > 30 {
		t.Errorf("the prompt came after %v s, more than 30", seconds)
	}
	if got := ask(t, ctx, vm, "ls -d /sys/class/tty/tty[1-4] | wc -l; ps -o tty= -C bash | sort | tr '\\n' ' '"); !strings.Contains(got, "tty1 tty2 tty3 tty4 ttyS0") {
		t.Errorf("shells are on: %q", got)
	}
	if got := ask(t, ctx, vm, "cat /proc/[0-9]*/stat | grep -c ') Z '; (sleep 0.1 & ) ; sleep 0.5; cat /proc/[0-9]*/stat | grep -c ') Z '"); got != "0\n0" {
		t.Errorf("zombies: %q", got)
	}
	if got := ask(t, ctx, vm, "readlink /etc/udev/rules.d/69-lvm.rules"); got != "/dev/null" {
		t.Errorf("udev may activate volume groups: %q", got)
	}
	if err := vm.WaitSSH(ctx, l.key, 30*time.Second); err != nil {
		t.Errorf("ssh: %v", err)
	}
	if hashOf(t, disk) != before {
		t.Error("the disk changed before anybody asked for anything")
	}
	// A new shell where one ended; the terminal was hung up in between.
	if err := vm.Send("exit\n"); err != nil {
		t.Fatal(err)
	}
	expect(t, ctx, vm, `A new shell on ttyS0`, 15*time.Second)
	if got := ask(t, ctx, vm, "set -o | grep monitor"); !strings.Contains(got, "on") {
		t.Errorf("no job control in the second shell: %q", got)
	}
	// A busy mount, written a moment before the end.
	ask(t, ctx, vm, "mkdir -p /mnt/a && mount /dev/vda /mnt/a && mkdir /mnt/a/b && mount -t tmpfs x /mnt/a/b && cd /mnt/a && (trap '' TERM HUP; sleep 1000 & ) ; echo kept >/mnt/a/file")
	if err := vm.Send("poweroff\n"); err != nil {
		t.Fatal(err)
	}
	expect(t, ctx, vm, `mkcdrec: powering off now`, 30*time.Second)
	ended(t, vm, 20*time.Second)
	if strings.Contains(vm.Console(), "cannot unmount") {
		t.Error("something could not be unmounted")
	}
	if out := run(t, "debugfs", "-R", "cat file", disk); !strings.Contains(out, "kept") {
		t.Errorf("what was written is not there: %q", out)
	}
	if out := run(t, "dumpe2fs", "-h", disk); !strings.Contains(out, "Filesystem state:         clean") || strings.Contains(out, "needs_recovery") {
		t.Errorf("the file system was not unmounted:\n%s", out)
	}
}

func (l *lab) volumeGroup(t *testing.T) {
	disk := filepath.Join(l.dir, "lvm.img")
	run(t, "truncate", "-s", "64M", disk)
	ctx, vm := l.start(t, "mkcdrec.nonet mkcdrec.debug", nil, qemu.Disk{Path: disk, Format: "raw"})
	expect(t, ctx, vm, `everything else`, 2*time.Minute)
	got := ask(t, ctx, vm, "vgcreate vg /dev/vda && lvcreate -y -L 32M -n a vg && mkfs.ext4 -q /dev/vg/a && mount /dev/vg/a /mnt && echo mounted")
	if !strings.HasSuffix(got, "mounted") {
		t.Fatalf("cannot make a volume group: %q", got)
	}
	if err := vm.Send("reboot\n"); err != nil {
		t.Fatal(err)
	}
	expect(t, ctx, vm, `vgchange -an: <nil> +0 logical volume`, 30*time.Second)
	ended(t, vm, 20*time.Second)

	before := hashOf(t, disk)
	ctx, vm = l.start(t, "mkcdrec.nonet", nil, qemu.Disk{Path: disk, Format: "raw"})
	expect(t, ctx, vm, `everything else`, 2*time.Minute)
	if got := ask(t, ctx, vm, "udevadm settle; ls /sys/block | grep -c dm-; lvs --noheadings -o lv_name,lv_active | xargs"); got != "0\na" {
		t.Errorf("the volume group was activated, or is not there: %q", got)
	}
	if hashOf(t, disk) != before {
		t.Error("the disk changed")
	}
}

func hashOf(t *testing.T, path string) string {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	h := sha256.New()
	if _, err := io.Copy(h, f); err != nil {
		t.Fatal(err)
	}
	return fmt.Sprintf("%x", h.Sum(nil))
}

func (l *lab) ctrlAltDel(t *testing.T) {
	ctx, vm := l.start(t, "mkcdrec.nonet", nil)
	expect(t, ctx, vm, `left alone \(mkcdrec\.nonet\)`, 2*time.Minute)
	expect(t, ctx, vm, `everything else`, 10*time.Second)
	if err := vm.SendKeys(ctx, "ctrl-alt-delete"); err != nil {
		t.Fatal(err)
	}
	expect(t, ctx, vm, `mkcdrec: restarting now`, 30*time.Second)
	ended(t, vm, 20*time.Second)
}

func (l *lab) acpiButton(t *testing.T) {
	ctx, vm := l.start(t, "", nil)
	expect(t, ctx, vm, `everything else`, 2*time.Minute)
	if got := ask(t, ctx, vm, "echo up"); got != "up" {
		t.Fatalf("no prompt: %q", got)
	}
	if err := vm.PowerDown(ctx); err != nil {
		t.Fatal(err)
	}
	expect(t, ctx, vm, `mkcdrec: powering off now`, 30*time.Second)
	ended(t, vm, 20*time.Second)
}

func (l *lab) noShell(t *testing.T) {
	const broken = "\x7fELF of no machine"
	ctx, vm := l.start(t, "mkcdrec.nonet", map[string]string{"usr/bin/bash": broken, "usr/bin/sh": broken, "usr/bin/dash": broken, "usr/bin/busybox": broken})
	reason := expect(t, ctx, vm, `no shell could be started: (.*)[\r\n]`, 2*time.Minute)[1]
	if !strings.Contains(reason, "/bin/bash: exec format error") {
		t.Errorf("the reason is not told: %q", reason)
	}
	expect(t, ctx, vm, `mkcdrec# `, 10*time.Second)
	if err := vm.Send("log\n"); err != nil {
		t.Fatal(err)
	}
	expect(t, ctx, vm, `PID 1 runs`, 10*time.Second)
	if err := vm.Send("reboot\n"); err != nil {
		t.Fatal(err)
	}
	expect(t, ctx, vm, `mkcdrec: restarting now`, 30*time.Second)
	ended(t, vm, 20*time.Second)
}

func (l *lab) failingRestore(t *testing.T) {
	// The medium holds no usable backup: the restore must refuse, and then = "reboot" not come true.
	ctx, vm := l.start(t, "mkcdrec.auto=/etc/answers.toml", map[string]string{"etc/answers.toml": "disks = \"only\"\nthen = \"reboot\"\n"})
	expect(t, ctx, vm, `unattended restore begins: mkcdrec restore --answers /etc/answers\.toml`, 2*time.Minute)
	if code := expect(t, ctx, vm, `mkcdrec: unattended restore finished: exit (\d+)`, time.Minute)[1]; code == "0" || code == "3" {
		t.Errorf("a restore without a backup ended with %s", code)
	}
	expect(t, ctx, vm, `Here is a shell`, 10*time.Second)
	if got := ask(t, ctx, vm, "cat /run/mkcdrec/unattended.log"); !strings.Contains(got, "error: ") {
		t.Errorf("the log of the run does not say why: %q", got)
	}
}
