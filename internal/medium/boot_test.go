package medium

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/cavaliergopher/cpio"

	"github.com/mkcdrec/mkcdrec/internal/rehearse/qemu"
	"github.com/mkcdrec/mkcdrec/internal/system"
	"github.com/mkcdrec/mkcdrec/internal/tool/grub"
)

// slow skips a test that takes minutes, unless they are asked for.
func slow(t *testing.T) {
	t.Helper()
	if os.Getenv("MKCDREC_SLOW") == "" {
		t.Skip("takes minutes; set MKCDREC_SLOW=1")
	}
}

// probe is the init of a rescue system that looks for the medium as the kernel
// sees it, has all its files checked by sha256sum, and says what it found.
const probe = `#!/bin/busybox sh
/bin/busybox --install -s /bin
mount -t devtmpfs dev /dev; mount -t proc proc /proc; mount -t sysfs sys /sys
exec >/dev/console 2>&1 </dev/console
for m in $(cat /modules); do insmod $m; done
echo "ARGS $(cat /proc/cmdline)"
[ -d /sys/firmware/efi ] && echo FIRMWARE uefi || echo FIRMWARE bios
[ -d /sys/firmware/efi ] && mount -t efivarfs none /sys/firmware/efi/efivars && echo "SECUREBOOT $(tail -c 1 /sys/firmware/efi/efivars/SecureBoot-* | od -An -t u1 | tr -d ' ')"
for try in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15; do
  for d in sr0 sda sdb vda; do
    if mount -t iso9660 -o ro /dev/$d /mnt 2>/dev/null && [ -f /mnt/SHA256SUMS ]; then
      echo "MEDIUM on $d"; cd /mnt
      ls -l boot backup/*
      sha256sum -c SHA256SUMS | tail -n 3 && echo "CHECKED $(wc -l < SHA256SUMS) $(sha256sum -c SHA256SUMS | grep -c ': OK')"
      poweroff -f
    fi
  done
  sleep 1
done
ls /dev; cat /proc/partitions; echo "CHECKED no medium found"
poweroff -f
`

// probeInitrd packs busybox, probe and the modules it needs.
func probeInitrd(t *testing.T, kernel string) string {
	t.Helper()
	busybox, err := os.ReadFile("/bin/busybox")
	if err != nil {
		t.Fatal("needs /bin/busybox (Debian: busybox-static)")
	}
	var image bytes.Buffer
	w := cpio.NewWriter(&image)
	add := func(name string, mode cpio.FileMode, body []byte) {
		if err := w.WriteHeader(&cpio.Header{Name: name, Mode: mode, Size: int64(len(body))}); err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write(body); err != nil {
			t.Fatal(err)
		}
	}
	for _, d := range []string{"bin", "dev", "proc", "sys", "mnt"} {
		add(d, cpio.TypeDir|0o755, nil)
	}
	add("bin/busybox", cpio.TypeReg|0o755, busybox)
	add("init", cpio.TypeReg|0o755, []byte(probe))
	var list []string
	for _, m := range moduleFiles(t, kernel) {
		b, err := os.ReadFile(m)
		if err != nil {
			t.Fatal(err)
		}
		add(filepath.Base(m), cpio.TypeReg|0o644, b)
		list = append(list, "/"+filepath.Base(m))
	}
	add("modules", cpio.TypeReg|0o644, []byte(strings.Join(list, "\n")))
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "initrd")
	if err := os.WriteFile(path, image.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// moduleFiles are the kernel modules for CDs and USB disks in loading order.
func moduleFiles(t *testing.T, kernel string) []string {
	t.Helper()
	dir := "/lib/modules/" + strings.TrimPrefix(filepath.Base(kernel), "vmlinuz-")
	dep, err := os.ReadFile(filepath.Join(dir, "modules.dep"))
	if err != nil {
		t.Fatal("needs the modules of ", kernel)
	}
	var files []string
	for _, want := range []string{"isofs", "sr_mod", "sd_mod", "ahci", "ata_piix", "xhci-pci", "ehci-pci", "usb-storage", "uas", "efivarfs"} {
		for l := range strings.SplitSeq(string(dep), "\n") {
			file, needs, ok := strings.Cut(l, ":")
			if !ok || filepath.Base(file) != want+".ko" {
				continue
			}
			chain := append([]string{file}, strings.Fields(needs)...)
			slices.Reverse(chain) // modules.dep names what is needed first last
			for _, f := range chain {
				if f = filepath.Join(dir, f); !slices.Contains(files, f) {
					files = append(files, f)
				}
			}
		}
	}
	return files
}

// TestBoot starts a medium by real firmware, picks entry 2 on the serial
// console, and has the kernel that comes up mount and check the medium.
func TestBoot(t *testing.T) {
	slow(t)
	if _, err := exec.LookPath(qemu.Program); err != nil {
		t.Fatal("needs ", qemu.Program)
	}
	kernel := hostKernel(t)
	o := options(hostLoaders(t))
	o.Kernel, o.Initramfs = kernel, probeInitrd(t, kernel)
	o.Menu.KernelArgs = []string{"mitigations=off"}
	path, summary := build(t, o)
	if !summary.BIOS || !summary.BIOSUSB || !summary.UEFI || !summary.SecureBoot {
		t.Fatalf("%+v", summary)
	}
	m, err := Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	files, _ := m.List(context.Background(), "")
	checked := fmt.Sprintf("CHECKED %d %d", len(files)-1, len(files)-1)

	for _, c := range []struct {
		name     string
		firmware qemu.Firmware
		usb      bool
		want     []string
	}{
		{"bios-cd", qemu.BIOS, false, []string{"FIRMWARE bios", "MEDIUM on sr0"}},
		{"bios-usb", qemu.BIOS, true, []string{"FIRMWARE bios", "MEDIUM on sda"}},
		{"uefi-cd", qemu.UEFI, false, []string{"FIRMWARE uefi", "MEDIUM on sr0"}},
		{"uefi-usb", qemu.UEFI, true, []string{"FIRMWARE uefi", "MEDIUM on sda"}},
		{"secure-boot-cd", qemu.UEFISecureBoot, false, []string{"FIRMWARE uefi", "SECUREBOOT 1", "MEDIUM on sr0"}},
		{"secure-boot-usb", qemu.UEFISecureBoot, true, []string{"FIRMWARE uefi", "SECUREBOOT 1", "MEDIUM on sda"}},
	} {
		t.Run(c.name, func(t *testing.T) { bootAndCheck(t, path, c.name, c.firmware, c.usb, append(c.want, checked)) })
	}
}

// TestBootOwnImage is the same with a GRUB image of our own for UEFI, as on a
// machine without signed boot loaders.
func TestBootOwnImage(t *testing.T) {
	slow(t)
	if _, err := exec.LookPath(qemu.Program); err != nil {
		t.Fatal("needs ", qemu.Program)
	}
	dir := grub.ModuleDir("/", grub.EFI64)
	if dir == "" {
		t.Fatal("needs GRUB's x86_64-efi modules (Debian: grub-efi-amd64-bin)")
	}
	root := t.TempDir()
	if err := os.MkdirAll(filepath.Join(root, "usr/lib/grub"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(dir, filepath.Join(root, "usr/lib/grub/x86_64-efi")); err != nil {
		t.Fatal(err)
	}
	l, err := FindLoaders(context.Background(), &system.Host{}, root, Label("0badcafe"))
	if err != nil || l.GRUB64 == nil || l.Shim != nil || l.BIOS != nil {
		t.Fatalf("notes %q, %v", l.Notes, err)
	}
	kernel := hostKernel(t)
	o := options(l)
	o.Kernel, o.Initramfs = kernel, probeInitrd(t, kernel)
	o.Menu.KernelArgs = []string{"mitigations=off"}
	path, _ := build(t, o)
	bootAndCheck(t, path, "own-uefi-cd", qemu.UEFI, false, []string{"FIRMWARE uefi", "MEDIUM on sr0"})
	bootAndCheck(t, path, "own-uefi-usb", qemu.UEFI, true, []string{"FIRMWARE uefi", "MEDIUM on sda"})
}

// bootAndCheck starts one machine from the medium at path and looks for want
// among what it says.
func bootAndCheck(t *testing.T, path, name string, firmware qemu.Firmware, usb bool, want []string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Minute)
	defer cancel()
	cfg := qemu.Config{Name: name, Firmware: firmware, Accel: qemu.TCG, NoReboot: true}
	if dir := os.Getenv("MKCDREC_KEEP"); dir != "" {
		cfg.SerialLog = filepath.Join(dir, name+".log")
	}
	if usb {
		cfg.Disks = []qemu.Disk{{Path: path, Format: "raw", Bus: qemu.USB, Snapshot: true}}
	} else {
		cfg.CDROMs = []string{path}
	}
	vm, err := qemu.Start(ctx, cfg)
	if err != nil {
		t.Fatal(err)
	}
	defer vm.Kill()
	for _, p := range []string{`1  Rescue system: restore web1`, `4  Check this medium`} {
		if _, err := vm.WaitFor(ctx, p, 2*time.Minute); err != nil {
			t.Fatal(err)
		}
	}
	if dir := os.Getenv("MKCDREC_KEEP"); dir != "" {
		time.Sleep(2 * time.Second)
		if err := vm.Screendump(ctx, filepath.Join(dir, name+".png")); err != nil {
			t.Error(err)
		}
	}
	if err := vm.Send("2"); err != nil {
		t.Fatal(err)
	}
	if _, err := vm.WaitFor(ctx, `CHECKED .*[\r\n]`, 3*time.Minute); err != nil {
		t.Fatal(err)
	}
	all := vm.Console()
	for _, want := range append(want, "ARGS BOOT_IMAGE=/boot/vmlinuz mkcdrec.medium=0badcafe rootfstype=ramfs mitigations=off console=tty0 console=ttyS0,115200") {
		if !strings.Contains(all, want) {
			t.Errorf("the console lacks %q; its end:\n%s", want, all[max(0, len(all)-3000):])
		}
	}
}
