package vm

import (
	"context"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/mkcdrec/mkcdrec/internal/rehearse/qemu"
	"github.com/mkcdrec/mkcdrec/internal/system"
)

// reshaped are the files that a restore onto fewer or more disks changes, each
// named in its report: mdadm.conf and its copy; the initramfs, which has one, too;
// what GRUB is told of /boot when it is installed anew.
var reshaped = regexp.MustCompile(`^/etc/mdadm/mdadm\.conf|^/boot/initrd\.img-|^/var/lib/initramfs-tools/|^/boot/efi/EFI/[^/]*/grub\.cfg$|^/boot/grub/x86_64-efi/(core\.efi|grub\.efi|load\.cfg)$`)

// reshape backs the fixture up, and restores it onto blank disks that are not those
// of the fixture, by answers.
func (s scenario) reshape(t *testing.T, disks func(f *Fixture, dir string) ([]qemu.Disk, []int64)) (context.Context, *Fixture, *qemu.VM, []qemu.Disk, string, string, Listing, func(string)) {
	t.Helper()
	ctx, f, dir, iso, original, lap := s.begin(t)
	here, sizes := disks(f, dir)
	for i, d := range here {
		if err := qemu.CreateDisk(ctx, &system.Host{}, d.Path, sizes[i], ""); err != nil {
			t.Fatal(err)
		}
	}
	vars := filepath.Join(dir, "restored-vars.qcow2")
	vm := s.startMedium(ctx, t, f, here, vars, iso, filepath.Join(dir, "restore.log"))
	s.finishRestore(ctx, t, vm)
	lap("restored from the medium")
	vm = s.check(ctx, t, f, here, vars, filepath.Join(dir, "restored.log"), original, lap)
	return ctx, f, vm, here, vars, dir, original, lap
}

// asks runs a command in the machine and compares what it says.
func asks(ctx context.Context, t *testing.T, vm *qemu.VM, f *Fixture, command, want string) {
	t.Helper()
	out, err := vm.SSH(ctx, f.Key, command, nil)
	if err != nil || strings.TrimSpace(string(out)) != want {
		t.Errorf("%s: %v, said\n%s\nwant\n%s", command, err, out, want)
	}
}

// Two mirrored disks become one smaller NVMe disk.
func TestGridRAIDOntoOneNVMe(t *testing.T) {
	s := scenario{fixture: "uefi-raid-lvm", apart: reshaped, answers: "disks = \"only\"\nmachine = \"same\"\nthen = \"poweroff\"\nflatten = true\n"}
	ctx, f, vm, _, _, _, _, _ := s.reshape(t, func(_ *Fixture, dir string) ([]qemu.Disk, []int64) {
		return []qemu.Disk{{Path: filepath.Join(dir, "restored.qcow2"), Bus: qemu.NVMe, Serial: replaced + "1"}}, []int64{3584 << 20}
	})
	asks(ctx, t, vm, f, "for m in /boot/efi /boot; do findmnt -no SOURCE $m; done; pvs --noheadings -o pv_name | tr -d ' '", "/dev/nvme0n1p1\n/dev/nvme0n1p2\n/dev/nvme0n1p3")
	asks(ctx, t, vm, f, "sfdisk --part-type /dev/nvme0n1 1; sfdisk --part-type /dev/nvme0n1 2; sfdisk --part-type /dev/nvme0n1 3",
		"C12A7328-F81F-11D2-BA4B-00A0C93EC93B\n0FC63DAF-8483-4772-8E79-3D69D8477DE4\nE6D6D379-F507-44C2-A23C-238F2A3DF928")
	asks(ctx, t, vm, f, "grep -c ^ARRAY /etc/mdadm/mdadm.conf; grep -c ^#ARRAY /etc/mdadm/mdadm.conf; grep -c '^# mkcdrec: .* was flattened' /etc/mdadm/mdadm.conf", "0\n3\n3")
	asks(ctx, t, vm, f, "grep -c ^ARRAY /etc/mdadm/mdadm.conf.before-mkcdrec; grep -v '^# mkcdrec: ' /etc/mdadm/mdadm.conf | sed 's/^#ARRAY/ARRAY/' | cmp - /etc/mdadm/mdadm.conf.before-mkcdrec && echo same", "3\nsame")
	asks(ctx, t, vm, f, "grep -c '^md' /proc/mdstat; blkid -t TYPE=linux_raid_member | wc -l", "0\n0")
	asks(ctx, t, vm, f, "grep -c mduuid /boot/efi/EFI/debian/grub.cfg", "0")
	asks(ctx, t, vm, f, "unmkinitramfs /boot/initrd.img-$(uname -r) /var/tmp/i && cat $(find /var/tmp/i -name mdadm.conf) | grep -c ^ARRAY", "0")
}

// One disk becomes two that mirror each other, and each starts the machine alone.
func TestGridOneDiskMirrored(t *testing.T) {
	s := scenario{fixture: "uefi-lvm", apart: reshaped, answers: "disks = [\"serial:" + replaced + "1\", \"serial:" + replaced + "2\"]\nmachine = \"same\"\nthen = \"poweroff\"\nmirror = true\n"}
	ctx, f, vm, disks, vars, dir, original, lap := s.reshape(t, func(f *Fixture, dir string) ([]qemu.Disk, []int64) {
		return []qemu.Disk{{Path: diskFile(dir, "restored", 0), Serial: replaced + "1"}, {Path: diskFile(dir, "restored", 1), Serial: replaced + "2"}}, []int64{f.DiskSizes[0], f.DiskSizes[0]}
	})
	asks(ctx, t, vm, f, "grep -c ^ARRAY /etc/mdadm/mdadm.conf; grep -c '^md. : active raid1' /proc/mdstat", "3\n3")
	asks(ctx, t, vm, f, "for m in /boot/efi /boot; do findmnt -no SOURCE $m; done; pvs --noheadings -o pv_name | tr -d ' '", "/dev/md0\n/dev/md1\n/dev/md2")
	asks(ctx, t, vm, f, "mdadm --detail /dev/md[012] | grep Version | tr -s ' '", " Version : 1.0\n Version : 1.0\n Version : 1.2")
	s.eachAlone(ctx, t, f, vm, disks, vars, dir, original, lap)
}
