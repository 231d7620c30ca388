package vm

import (
	"context"
	"maps"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/mkcdrec/mkcdrec/internal/rehearse/qemu"
)

// Debian 13 that starts by systemd-boot from its ESP, with an initramfs by dracut;
// then its backup onto a disk for which that initramfs has no driver.
func TestGridSystemdBootDracut(t *testing.T) {
	scenario{fixture: "uefi-systemd-boot", before: bootEntriesMade, after: sameStartAsBefore, bus: qemu.NVMe}.run(t)
}

// Debian 13 that starts by EXTLINUX from an MBR.
func TestGridEXTLINUX(t *testing.T) { scenario{fixture: "bios-extlinux"}.run(t) }

// bootEntriesMade gives the firmware entries in an order that is not that of their
// numbers; one has words for the loader.
const bootEntriesMade = `set -e
efibootmgr -q -C -b 0070 -d /dev/vda -p 1 -L 'Linux Boot Manager' -l '\EFI\systemd\systemd-bootx64.efi'
efibootmgr -q -C -b 0060 -d /dev/vda -p 1 -L 'second way' -l '\EFI\BOOT\BOOTX64.EFI' -u 'some words'
efibootmgr -q -o 0070,0060
efibootmgr -v`

// sameStartAsBefore sees that the restored machine was started by systemd-boot
// through its own boot entry, and that the other one came back, too.
func sameStartAsBefore(ctx context.Context, t *testing.T, vm *qemu.VM, f *Fixture) {
	t.Helper()
	out, err := vm.SSH(ctx, f.Key, "efibootmgr; bootctl --esp-path=/boot/efi status", nil)
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	t.Logf("firmware and loader say:\n%s", out)
	said := string(out)
	current := regexp.MustCompile(`BootCurrent: (\w+)\n`).FindStringSubmatch(said)
	if current == nil || !regexp.MustCompile(`Boot`+current[1]+`\* Linux Boot Manager`).MatchString(said) {
		t.Errorf("it was not started by its own entry")
	}
	second := regexp.MustCompile(`Boot(\w+)\* second way`).FindStringSubmatch(said)
	if second == nil || current == nil || !strings.Contains(said, "BootOrder: "+current[1]+","+second[1]) {
		t.Errorf("the entries are not in the recorded order")
	}
	if !regexp.MustCompile(`Product: systemd-boot `).MatchString(said) {
		t.Errorf("it was not started by systemd-boot")
	}
}

// ontoBus restores the backup once more, onto a blank disk on another bus. The
// initramfs is made anew for it; all else is as it was.
func (s scenario) ontoBus(ctx context.Context, t *testing.T, f *Fixture, dir, iso string, original Listing, lap func(string)) {
	t.Helper()
	disks, vars := f.disks(dir, "other-bus", replaced, 1), filepath.Join(dir, "other-bus-vars.qcow2")
	for i := range disks {
		disks[i].Bus = s.bus
	}
	if err := f.blank(ctx, disks); err != nil {
		t.Fatal(err)
	}
	vm := s.startMedium(ctx, t, f, disks, vars, iso, filepath.Join(dir, "other-bus-restore.log"))
	said := s.finishRestore(ctx, t, vm)
	lap("restored onto a disk on " + string(s.bus))
	if !regexp.MustCompile(`rebuilt by dracut: it lacked \S*nvme`).MatchString(said) {
		t.Error("it does not say that the initramfs was rebuilt, and why")
	}
	vm = s.boot(ctx, t, f, disks, vars, filepath.Join(dir, "other-bus.log"), lap)
	got, err := list(ctx, vm, f.Key)
	if err != nil {
		t.Fatal(err)
	}
	image, images := regexp.MustCompile(`/initrd\.img-[^/]*$`), 0
	rest := maps.Clone(original)
	for _, l := range []Listing{rest, got} {
		maps.DeleteFunc(l, func(k, v string) bool {
			aspect, path, _ := strings.Cut(k, " ")
			if image.MatchString(path) && aspect == "sha256" && original[k] != got[k] {
				images++
			}
			return image.MatchString(path)
		})
	}
	if images < 2 {
		t.Errorf("%d images of the initramfs differ from the original", images)
	}
	if d := rest.diff(got, 60); d != "" {
		t.Errorf("the machine on %s differs from the original: %s", s.bus, d)
	}
	lap("listed it")
}
