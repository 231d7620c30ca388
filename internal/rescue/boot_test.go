package rescue

import (
	"bytes"
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/mkcdrec/mkcdrec/internal/machine"
	"github.com/mkcdrec/mkcdrec/internal/system"
)

const placeholderInit = `#!/bin/bash
export PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/root TERM=linux
mount -t proc proc /proc; mount -t sysfs sys /sys; mount -t devtmpfs dev /dev; mount -t tmpfs run /run
echo "UP $(cut -d' ' -f1 /proc/uptime)"
free -m
df -k /
try() { if out=$("$@" 2>&1); then echo "RAN $1"; else echo "BROKE $1: $?: $out"; fi; }
try lsblk
try sfdisk --version
try mkfs.ext4 -V
try ip addr
try modprobe virtio_blk
try modprobe ext4
try modprobe dm-mod
try lvm version
try cryptsetup --version
try ssh -V
try whoami
try udevadm --version
MANPAGER=cat try man ls
whoami
echo "FINISHED"
mount -o remount,ro / 2>/dev/null
echo o > /proc/sysrq-trigger
sleep 60
`

// TestBoot boots the initramfs of this machine in 512 MB and runs programs in it.
func TestBoot(t *testing.T) {
	if os.Getenv("MKCDREC_SLOW") == "" {
		t.Skip("boots a virtual machine: set MKCDREC_SLOW=1")
	}
	qemu, err := exec.LookPath("qemu-system-x86_64")
	if err != nil {
		t.Fatal("needs qemu-system-x86_64")
	}
	if os.Geteuid() != 0 {
		t.Fatal("needs root to try programs in a chroot")
	}
	dir := t.TempDir()
	init := filepath.Join(dir, "init")
	if err := os.WriteFile(init, []byte(placeholderInit), 0o755); err != nil {
		t.Fatal(err)
	}
	start := time.Now()
	res, err := Build(context.Background(), &system.Host{}, machine.Machine{Hostname: "testhost"}, Options{Binary: init, WorkDir: dir, Progress: stageLog(t)})
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("built in %v: initramfs %d, unpacked %d, modules %d, programs %d, needs %d", time.Since(start), res.Size, res.UnpackedSize, res.Modules, len(res.Programs), res.MemoryNeeded)
	for _, w := range res.Warnings {
		t.Log("warning: ", w)
	}
	if res.Size > 75<<20 {
		t.Errorf("initramfs has %d bytes, more than 75 MiB", res.Size)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 3*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, qemu, "-accel", "tcg,thread=multi", "-cpu", "max", "-smp", "2", "-m", "512", "-nographic", "-no-reboot", "-nic", "none",
		"-kernel", res.KernelPath, "-initrd", res.InitramfsPath, "-append", "console=ttyS0 mitigations=off panic=-1 rootfstype=ramfs")
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	_ = cmd.Run() // the output says whether it worked
	text := out.String()
	if !strings.Contains(text, "FINISHED") {
		t.Fatalf("the rescue system did not come to its end:\n%s", tail(text, 4000))
	}
	for _, l := range regexp.MustCompile(`(?m)^BROKE.*$`).FindAllString(text, -1) {
		t.Error(l)
	}
	if n := strings.Count(text, "RAN "); n != 13 {
		t.Errorf("%d of 13 programs ran", n)
	}
	t.Log(text[strings.Index(text, "UP "):])
}

func tail(s string, n int) string { return s[max(0, len(s)-n):] }

// stageLog logs when each stage begins.
func stageLog(t *testing.T) func(string, int, int) {
	last, start := "", time.Now()
	return func(stage string, _, _ int) {
		if stage != last {
			last = stage
			t.Logf("%6.2f s %s", time.Since(start).Seconds(), stage)
		}
	}
}
