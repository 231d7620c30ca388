package vm

import (
	"context"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/mkcdrec/mkcdrec/internal/rehearse/qemu"
	"github.com/mkcdrec/mkcdrec/internal/system"
)

// intoImage restores the medium of bios-mbr into a disk image on a machine that
// runs, and starts that by its own boot loader.
type intoImage struct {
	maker    string        // the machine that makes the image
	flags    string        // of mkcdrec restore
	firmware qemu.Firmware // that starts the image
	apart    *regexp.Regexp
}

// The very machine that was backed up makes an image of itself: while its own
// file systems are mounted under the UUIDs that the image gets. What
// grub-install writes says how it was installed.
func TestGridToImage(t *testing.T) {
	intoImage{maker: "bios-mbr", firmware: qemu.BIOS, apart: regexp.MustCompile(`^/boot/grub/i386-pc/(core\.img|load\.cfg)$`)}.run(t)
}

// Another machine, which starts by UEFI, makes an image that does so, too, of
// one that does not. Its own boot entries stay as they are.
func TestGridToImageForUEFI(t *testing.T) {
	intoImage{maker: "uefi-btrfs", flags: " --firmware uefi --image-size 5632M", firmware: qemu.UEFI,
		apart: regexp.MustCompile(`^/(etc/fstab|boot/efi|boot/grub/(i386-pc|x86_64-efi))($|/)`)}.run(t)
}

func (i intoImage) run(t *testing.T) {
	needsVM(t)
	t.Parallel()
	ctx := limit(t, 50*time.Minute)
	f := fixture(ctx, t, "bios-mbr")
	maker := fixture(ctx, t, i.maker)
	mkcdrec, dir := binary(t), scratch(t)
	start := time.Now()
	lap := func(what string) {
		t.Logf("%6s  %s", time.Since(start).Round(time.Second), what)
		start = time.Now()
	}
	s := scenario{fixture: f.Name, apart: i.apart}
	iso := filepath.Join(dir, "medium.iso")
	var original Listing
	if kept := os.Getenv("MKCDREC_MEDIUM_FROM"); kept != "" {
		iso, original = fromKept(t, kept)
	} else {
		original = s.backUp(ctx, t, f, mkcdrec, dir, iso, lap)
		keep(t, dir, original)
	}
	image := i.make(ctx, t, maker, mkcdrec, dir, iso, lap)
	other, vars := *f, ""
	if other.Firmware = i.firmware; i.firmware != qemu.BIOS {
		vars = filepath.Join(dir, "image-vars.qcow2") // with no boot entry
	}
	vm := s.check(ctx, t, &other, []qemu.Disk{{Path: image, Format: "raw", Serial: "IMAGE"}}, vars, filepath.Join(dir, "image.log"), original, lap)
	if i.firmware == qemu.BIOS {
		return
	}
	out, err := vm.SSH(ctx, f.Key, "ls -d /sys/firmware/efi; findmnt -no FSTYPE /boot/efi; df --output=size -BM /srv | tail -n 1", nil)
	if err != nil || !regexp.MustCompile(`^/sys/firmware/efi\nvfat\n +[12][0-9]{3}M\n$`).Match(out) {
		t.Errorf("firmware, ESP, size of /srv: %q (%v)", out, err)
	}
}

// make runs mkcdrec on the machine that makes the image, which is then here.
func (i intoImage) make(ctx context.Context, t *testing.T, maker *Fixture, mkcdrec, dir, iso string, lap func(string)) string {
	t.Helper()
	disks := maker.disks(dir, "maker", serial, 0)
	for n, d := range disks {
		if err := qemu.CreateDisk(ctx, &system.Host{}, d.Path, 0, diskFile(maker.dir, "disk", n)); err != nil {
			t.Fatal(err)
		}
	}
	work := qemu.Disk{Path: filepath.Join(dir, "work.qcow2"), Serial: "WORK"}
	if err := qemu.CreateDisk(ctx, &system.Host{}, work.Path, 9<<30, ""); err != nil {
		t.Fatal(err)
	}
	c := maker.config(append(disks, work), filepath.Join(dir, "maker-vars.qcow2"))
	c.Name, c.SerialLog, c.CDROMs, c.BootOrder = "maker of the image", filepath.Join(dir, "maker.log"), []string{iso}, []string{"disk0"}
	vm, err := qemu.Start(ctx, c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { vm.Kill() })
	if err := vm.WaitSSH(ctx, maker.Key, 10*time.Minute); err != nil {
		t.Fatal(err)
	}
	ssh := func(command string) string {
		t.Helper()
		out, err := vm.SSH(ctx, maker.Key, command, nil)
		if err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
		return string(out)
	}
	if err := vm.CopyIn(ctx, maker.Key, mkcdrec, "/var/tmp/mkcdrec"); err != nil {
		t.Fatal(err)
	}
	ssh("udevadm settle; modprobe -a loop isofs; mkfs.ext4 -q /dev/vdb && mkdir /work && mount /dev/vdb /work")
	lap("the machine that makes the image runs")
	// What must be the same afterwards.
	const state = `sync; losetup -a; findmnt -rn --real -o TARGET,SOURCE; ls -l /dev/disk/by-uuid | sort -k 9; efibootmgr -v 2>/dev/null; cat /etc/fstab; ls -A /var/tmp | grep image; true`
	before := ssh(state)
	said := ssh("cd /work && /var/tmp/mkcdrec restore /dev/sr0 --to-image disk.raw" + i.flags + " 2>&1")
	t.Logf("restore --to-image says:\n%s", said)
	for _, want := range []string{"no disk is touched", "qemu-img convert", "Restored fixture-bios-mbr"} {
		if !strings.Contains(said, want) {
			t.Errorf("it does not say %q", want)
		}
	}
	lap("made an image")
	if after := ssh(state); after != before {
		t.Errorf("the machine that made the image has changed; before:\n%s\nafter:\n%s", before, after)
	}
	// A second time: what is there is not touched.
	const again = `cd /work && was=$(stat -c '%i %s %b %Y' disk.raw) && { /var/tmp/mkcdrec restore /dev/sr0 --to-image disk.raw; [ $? = 4 ]; } && [ "$(stat -c '%i %s %b %Y' disk.raw)" = "$was" ]`
	if out, err := vm.SSH(ctx, maker.Key, again, nil); err != nil {
		t.Errorf("an image that is there: %s (%v)", out, err)
	}
	_, _ = vm.SSH(ctx, maker.Key, "umount /work; sync; systemctl poweroff", nil)
	end, cancel := context.WithTimeout(ctx, 5*time.Minute)
	defer cancel()
	if err := vm.Wait(end); err != nil {
		t.Fatal(err)
	}
	// The work disk holds an ext4, which this machine can mount.
	raw, at := filepath.Join(dir, "work.raw"), filepath.Join(dir, "work")
	h := &system.Host{}
	for _, c := range []system.Command{
		{Name: "qemu-img", Args: []string{"convert", "-O", "raw", work.Path, raw}},
		{Name: "mkdir", Args: []string{at}},
		{Name: "mount", Args: []string{"-o", "ro,loop", raw, at}},
	} {
		if _, err := h.Run(ctx, c); err != nil {
			t.Fatal(err)
		}
	}
	image := filepath.Join(dir, "image.raw")
	if _, err := h.Run(ctx, system.Command{Name: "cp", Args: []string{"--sparse=always", filepath.Join(at, "disk.raw"), image}}); err != nil {
		t.Fatal(err)
	}
	if _, err := h.Run(ctx, system.Command{Name: "umount", Args: []string{at}}); err != nil {
		t.Fatal(err)
	}
	for _, done := range []string{raw, work.Path} {
		if err := os.Remove(done); err != nil {
			t.Fatal(err)
		}
	}
	lap("took the image out")
	return image
}
