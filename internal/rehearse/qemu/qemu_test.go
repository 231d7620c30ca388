package qemu

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/cavaliergopher/cpio"

	"github.com/mkcdrec/mkcdrec/internal/system"
)

var update = flag.Bool("update", false, "write the golden files")

func TestArgs(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]Config{
		"plain": {Accel: TCG},
		"bios-cd": {
			Accel: TCG, Memory: 512, CPUs: 1,
			Disks:     []Disk{{Path: "/tmp/a,b.qcow2", Serial: "S1"}},
			CDROMs:    []string{"/tmp/rescue.iso", ""},
			Network:   &Network{SSHPort: 2222, MAC: "52:54:00:00:00:01"},
			BootOrder: []string{"cd0", "disk0"},
		},
		"uefi-usb": {
			Accel: TCG, Firmware: UEFI,
			Disks: []Disk{
				{Path: "/tmp/stick.iso", Format: "raw", Bus: USB, ReadOnly: true},
				{Path: "/tmp/n.qcow2", Bus: NVMe, SectorSize: 4096},
				{Path: "/tmp/s.qcow2", Bus: SATA, Snapshot: true, Serial: "SATA1"},
				{Path: "/tmp/c.qcow2", Bus: SCSI, Durable: true},
			},
		},
		"secure-boot": {Accel: KVM, Firmware: UEFISecureBoot, NoReboot: true, LoadVM: "booted"},
		"direct-kernel": {
			Accel: TCG, Kernel: "/boot/vmlinuz", Initrd: "/boot/initrd", Append: "console=ttyS0",
			Shares:  []Share{{Path: "/srv/x", Tag: "x"}, {Path: "/srv/y", Tag: "y", ReadOnly: true}},
			Network: &Network{SSHPort: 1, Isolated: true, Model: "e1000e"}, BootOrder: []string{"nic"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			args, err := c.withDefaults().args(files{code: "/fw/code.fd", vars: "/vm/vars.qcow2", qmp: "/vm/qmp"})
			if err != nil {
				t.Fatal(err)
			}
			got := regexp.MustCompile(`(?m)\n([^-])`).ReplaceAllString(strings.Join(args, "\n"), " $1") + "\n"
			golden := filepath.Join("testdata", name+".args")
			if *update {
				if err := os.WriteFile(golden, []byte(got), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(golden)
			if err != nil {
				t.Fatal(err)
			}
			if got != string(want) {
				t.Errorf("arguments are\n%s\nwant\n%s", got, want)
			}
		})
	}
}

func TestArgsRefuse(t *testing.T) {
	t.Parallel()
	for want, c := range map[string]Config{
		`boot order names "cd0"`:      {BootOrder: []string{"cd0"}},
		`unknown firmware "coreboot"`: {Firmware: "coreboot"},
		`unknown bus "floppy"`:        {Disks: []Disk{{Path: "x", Bus: "floppy"}}},
		`7 SATA disks and CDs`:        {CDROMs: make([]string, 7)},
	} {
		_, err := c.withDefaults().args(files{})
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v, want %q", err, want)
		}
	}
}

func TestConsoleWaitFor(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	c := newConsole(nil)
	go func() {
		for _, piece := range []string{"one\r\nlog", "in: \x1b", "[31mready in 12 s\x1b[0m\r\n", "login: "} {
			time.Sleep(5 * time.Millisecond)
			_, _ = c.Write([]byte(piece))
		}
	}()
	m, err := c.waitFor(ctx, regexp.MustCompile(`login: ready in (\d+) s`), 5*time.Second)
	if err != nil || m[1] != "12" {
		t.Fatalf("match %q, error %v", m, err)
	}
	if _, err := c.waitFor(ctx, regexp.MustCompile(`^\nlogin:`), 5*time.Second); err != nil {
		t.Fatalf("the second search begins after the first match: %v", err)
	}
	_, err = c.waitFor(ctx, regexp.MustCompile(`login:`), 20*time.Millisecond)
	if !errors.Is(err, ErrTimeout) || !strings.Contains(err.Error(), "    login: ready in 12 s\n    login:") {
		t.Errorf("error %v, want a timeout with the last lines", err)
	}
}

func TestConsoleGivesUpEarly(t *testing.T) {
	t.Parallel()
	never := regexp.MustCompile("never")
	c := newConsole(nil)
	_, _ = c.Write([]byte("[ 1.0] Kernel panic - not syncing: VFS: no root\r\nrest"))
	if _, err := c.waitFor(context.Background(), never, time.Minute); !errors.Is(err, ErrPanic) || !strings.Contains(err.Error(), "VFS: no root") {
		t.Errorf("error %v, want the panic", err)
	}
	c = newConsole(nil)
	time.AfterFunc(5*time.Millisecond, c.end)
	if _, err := c.waitFor(context.Background(), never, time.Minute); !errors.Is(err, ErrEnded) {
		t.Errorf("error %v, want %v", err, ErrEnded)
	}
	c = newConsole(nil)
	ctx, cancel := context.WithCancel(context.Background())
	time.AfterFunc(5*time.Millisecond, cancel)
	if _, err := c.waitFor(ctx, never, time.Minute); !errors.Is(err, context.Canceled) {
		t.Errorf("error %v, want %v", err, context.Canceled)
	}
}

func TestConsoleLastIsLimited(t *testing.T) {
	t.Parallel()
	c := newConsole(nil)
	_, _ = c.Write([]byte(strings.Repeat("line\n\n", 30)))
	if n := strings.Count(c.last(20), "line"); n != 20 {
		t.Errorf("%d lines, want 20", n)
	}
}

func TestFindOVMF(t *testing.T) {
	t.Parallel()
	p, err := findOVMF(UEFI, func(s string) bool { return strings.HasPrefix(s, "/usr/share/edk2/x64/") })
	if err != nil || p.vars != "/usr/share/edk2/x64/OVMF_VARS.4m.fd" {
		t.Errorf("found %v, error %v", p, err)
	}
	if _, err := findOVMF(UEFI, func(s string) bool { return strings.Contains(s, "CODE") }); err == nil {
		t.Error("code without variables was accepted")
	}
}

func TestCreateDiskCommands(t *testing.T) {
	t.Parallel()
	r := &system.Recorder{}
	ctx := context.Background()
	if err := CreateDisk(ctx, r, "/d/a.qcow2", 1<<30, ""); err != nil {
		t.Fatal(err)
	}
	if err := CreateDisk(ctx, r, "/d/b.qcow2", 0, "/d/a.qcow2"); err != nil {
		t.Fatal(err)
	}
	want := "qemu-img create -q -f qcow2 /d/a.qcow2 1073741824\nqemu-img create -q -f qcow2 -b /d/a.qcow2 -F qcow2 /d/b.qcow2"
	if got := strings.Join(r.Commands(), "\n"); got != want {
		t.Errorf("commands\n%s\nwant\n%s", got, want)
	}
	if err := CreateDisk(ctx, r, "/d/c.qcow2", 0, ""); err == nil {
		t.Error("a disk of no size was made")
	}
}

// tinyMachine is a config that boots an installed kernel into a busybox
// whose init runs script; it skips the test where that cannot be had.
func tinyMachine(t *testing.T, script string) Config {
	t.Helper()
	if _, err := exec.LookPath(Program); err != nil {
		t.Skipf("%s is not installed", Program)
	}
	kernel := newestKernel()
	if kernel == "" {
		t.Skip("no kernel in /boot to boot")
	}
	busybox, err := os.ReadFile("/bin/busybox")
	if err != nil || !bytes.Contains(busybox[:min(len(busybox), 1<<20)], []byte("\x7fELF")) {
		t.Skip("/bin/busybox (package busybox-static) is not installed")
	}
	if out, err := exec.Command("ldd", "/bin/busybox").CombinedOutput(); err == nil {
		t.Skipf("/bin/busybox is not static: %s", out)
	}
	path := filepath.Join(t.TempDir(), "initrd")
	var image bytes.Buffer
	w := cpio.NewWriter(&image)
	for _, f := range []struct {
		name string
		mode cpio.FileMode
		body []byte
	}{
		{"proc", cpio.TypeDir | 0o755, nil}, {"dev", cpio.TypeDir | 0o755, nil}, {"bin", cpio.TypeDir | 0o755, nil},
		{"bin/busybox", cpio.TypeReg | 0o755, busybox},
		{"init", cpio.TypeReg | 0o755, []byte("#!/bin/busybox sh\n/bin/busybox mount -t devtmpfs dev /dev\nexec >/dev/console 2>&1 </dev/console\n" + script)},
	} {
		if err := w.WriteHeader(&cpio.Header{Name: f.name, Mode: f.mode, Size: int64(len(f.body))}); err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write(f.body); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, image.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	return Config{Accel: TCG, Memory: 256, Kernel: kernel, Initrd: path, Append: "console=ttyS0 mitigations=off panic=0"}
}

func TestBootTalkAndPowerOff(t *testing.T) {
	c := tinyMachine(t, "echo Who are you; read name; echo Hello $name; read x; /bin/busybox poweroff -f\n")
	c.SerialLog = filepath.Join(t.TempDir(), "serial.log")
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()
	vm, err := Start(ctx, c)
	if err != nil {
		t.Fatal(err)
	}
	defer vm.Kill()
	if _, err := vm.WaitFor(ctx, "Who are you", time.Minute); err != nil {
		t.Fatal(err)
	}
	if err := vm.Send("Ada\n"); err != nil {
		t.Fatal(err)
	}
	if m, err := vm.WaitFor(ctx, `Hello (\w+)\s`, time.Minute); err != nil || m[1] != "Ada" {
		t.Fatalf("match %q, error %v", m, err)
	}
	picture := filepath.Join(t.TempDir(), "screen.png")
	if err := vm.Screendump(ctx, picture); err != nil {
		t.Fatal(err)
	}
	if b, err := os.ReadFile(picture); err != nil || !bytes.HasPrefix(b, []byte("\x89PNG")) {
		t.Errorf("the screen dump is not a PNG picture (error %v)", err)
	}
	if err := vm.SendKeys(ctx, "a", "shift-b"); err != nil {
		t.Error(err)
	}
	if _, err := vm.QMP(ctx, "no-such-command", nil); err == nil || !strings.Contains(err.Error(), "CommandNotFound") {
		t.Errorf("error %v, want CommandNotFound", err)
	}
	if err := vm.Send("\n"); err != nil {
		t.Fatal(err)
	}
	if err := vm.Wait(ctx); err != nil {
		t.Fatal(err)
	}
	if b, _ := os.ReadFile(c.SerialLog); !bytes.Contains(b, []byte("Hello Ada")) {
		t.Errorf("the console's log lacks what was said:\n%s", b)
	}
	if _, err := os.Stat(vm.dir); !os.IsNotExist(err) {
		t.Errorf("the machine's directory is still there (error %v)", err)
	}
}

func TestPanicAndCancel(t *testing.T) {
	c := tinyMachine(t, "exit 3\n")
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()
	vm, err := Start(ctx, c)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := vm.WaitFor(ctx, "never said", time.Minute); !errors.Is(err, ErrPanic) {
		t.Errorf("error %v, want %v", err, ErrPanic)
	}
	pid := vm.cmd.Process.Pid
	cancel()
	select {
	case <-vm.Done():
	case <-time.After(10 * time.Second):
		t.Fatal("the machine outlived its context by 10 s")
	}
	if _, err := os.Stat(filepath.Join("/proc", strconv.Itoa(pid))); err == nil {
		t.Errorf("process %d is still there", pid)
	}
}

func TestStartSaysWhatQEMUSays(t *testing.T) {
	if _, err := exec.LookPath(Program); err != nil {
		t.Skipf("%s is not installed", Program)
	}
	_, err := Start(context.Background(), Config{Accel: TCG, Disks: []Disk{{Path: "/nonexistent/disk"}}})
	if err == nil || !strings.Contains(err.Error(), "No such file or directory") {
		t.Errorf("error %v, want QEMU's own words", err)
	}
}
