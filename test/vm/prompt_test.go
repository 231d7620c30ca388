package vm

import (
	"context"
	"maps"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/mkcdrec/mkcdrec/internal/rehearse/qemu"
	"github.com/mkcdrec/mkcdrec/internal/system"
)

// byHand does what people type at the rescue system's prompt: one file system
// of the restored machine, which runs and is given over here, is brought back
// (all else stays as it is), then a clone is made on a larger disk of another
// kind.
func (s scenario) byHand(ctx context.Context, t *testing.T, f *Fixture, vm *qemu.VM, disks []qemu.Disk, dir, iso string, original Listing, lap func(string)) {
	t.Helper()
	// Devices and symlinks have no such flags, hence the exit code that is not looked at.
	const spoil = `chattr -R -ia /srv/metadata 2>/dev/null; set -e; rm -rf /srv/metadata/names /srv/metadata/large
		echo later >/srv/made-after-the-backup; echo later >/root/made-after-the-backup; sync`
	if out, err := vm.SSH(ctx, f.Key, spoil, nil); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	vm.Kill()
	vm = s.prompt(ctx, t, f, disks, "", iso, filepath.Join(dir, "restore-fs.log"))
	typeAndConfirm(ctx, t, vm, "mkcdrec restore-fs /srv", "erase vda6")
	powerOff(ctx, t, vm)
	lap("brought one file system back, by hand")
	vm = s.boot(ctx, t, f, disks, "", filepath.Join(dir, "restore-fs-booted.log"), lap)
	got, err := list(ctx, vm, f.Key)
	if err != nil {
		t.Fatal(err)
	}
	onSrv := func(l Listing) Listing {
		l = maps.Clone(l)
		maps.DeleteFunc(l, func(k, _ string) bool {
			_, path, _ := strings.Cut(k, " ")
			return path != "/srv" && !strings.HasPrefix(path, "/srv/")
		})
		return l
	}
	if was := onSrv(original); len(was) < 100 {
		t.Errorf("only %d facts about /srv were compared", len(was))
	} else if d := was.diff(onSrv(got), 60); d != "" {
		t.Errorf("the file system that was brought back differs from the original: %s", d)
	}
	if got["stat /root/made-after-the-backup"] == "" {
		t.Error("restoring /srv has changed the root file system")
	}
	lap("listed it")
	vm.Kill()
	s.clone(ctx, t, f, dir, iso, original, lap)
}

// clone makes another machine of the backup, on hardware that starts by UEFI
// and not by BIOS, with a disk that is 2 GiB larger and an NVMe one, and
// compares it with the original.
func (s scenario) clone(ctx context.Context, t *testing.T, f *Fixture, dir, iso string, original Listing, lap func(string)) {
	t.Helper()
	other := *f
	f = &other
	f.Firmware = qemu.UEFI
	disk, vars := qemu.Disk{Path: filepath.Join(dir, "clone.qcow2"), Bus: qemu.NVMe, Serial: "CLONE1"}, filepath.Join(dir, "clone-vars.qcow2")
	if err := qemu.CreateDisk(ctx, &system.Host{}, disk.Path, f.DiskSizes[0]+2<<30, ""); err != nil {
		t.Fatal(err)
	}
	vm := s.prompt(ctx, t, f, []qemu.Disk{disk}, vars, iso, filepath.Join(dir, "clone.log"))
	typeAndConfirm(ctx, t, vm, "mkcdrec clone --hostname web2", "erase nvme0n1")
	powerOff(ctx, t, vm)
	lap("made a clone, by hand")
	vm = s.boot(ctx, t, f, []qemu.Disk{disk}, vars, filepath.Join(dir, "clone-booted.log"), lap)
	out, err := vm.SSH(ctx, f.Key, "hostname; wc -c </etc/machine-id; df --output=size -B1M /srv | tail -n 1; findmnt -no FSTYPE /boot/efi; grep -c /boot/efi /etc/fstab; efibootmgr | grep -c debian", nil)
	if err != nil {
		t.Fatal(err)
	}
	// The last partition had 300 MiB, and takes what the disk has more.
	if m := regexp.MustCompile(`^web2\n33\n +[12][0-9]{3}\nvfat\n1\n1\n$`).FindString(string(out)); m == "" {
		t.Errorf("the clone's name, length of its machine-id, size of /srv in MiB, ESP and its lines in fstab, boot entries: %q", out)
	}
	got, err := list(ctx, vm, f.Key)
	if err != nil {
		t.Fatal(err)
	}
	// What makes a machine another one has to differ; all else has to be equal.
	own := regexp.MustCompile(`^/etc/(machine-id|hostname|hosts|ssh/ssh_host_.*_key(\.pub)?)$`)
	identity := 0
	for k := range original {
		aspect, path, _ := strings.Cut(k, " ")
		if !own.MatchString(path) {
			continue
		}
		if aspect == "sha256" {
			identity++
			if got[k] == original[k] {
				t.Errorf("the clone has the original's %s", path)
			}
		}
		delete(got, k)
	}
	if identity < 5 {
		t.Errorf("only %d files of the clone's identity were compared", identity)
	}
	rest := maps.Clone(original)
	firmware := regexp.MustCompile(`^/(etc/fstab|boot/efi|boot/grub/(i386-pc|x86_64-efi))($|/)`)
	for _, l := range []Listing{rest, got} {
		maps.DeleteFunc(l, func(k, _ string) bool {
			aspect, path, _ := strings.Cut(k, " ")
			return own.MatchString(path) || firmware.MatchString(path) || aspect == "mtime" && path == "/etc/ssh"
		})
	}
	if d := rest.diff(got, 60); d != "" {
		t.Errorf("the clone differs from the original: %s", d)
	}
	lap("listed the clone")
}

// prompt starts the medium beside disks, up to the prompt of its rescue
// system on the serial line.
func (s scenario) prompt(ctx context.Context, t *testing.T, f *Fixture, disks []qemu.Disk, vars, iso, log string) *qemu.VM {
	t.Helper()
	vm := s.bootMedium(ctx, t, f, disks, vars, iso, log, "7") // 1 and 2 are unattended
	if _, err := vm.WaitFor(ctx, promptOf, 5*time.Minute); err != nil {
		t.Fatal(err)
	}
	return vm
}

const promptOf = `rescue:\S*# `

// typeAndConfirm types a command that asks before it erases: once with an
// answer that is wrong, which must change nothing, then with the one it wants.
func typeAndConfirm(ctx context.Context, t *testing.T, vm *qemu.VM, command, yes string) {
	t.Helper()
	expect := func(pattern string, limit time.Duration) string {
		t.Helper()
		m, err := vm.WaitFor(ctx, pattern, limit)
		if err != nil {
			t.Fatal(err)
		}
		return m[len(m)-1]
	}
	send := func(line string) {
		t.Helper()
		if err := vm.Send(line + "\n"); err != nil {
			t.Fatal(err)
		}
	}
	for _, answer := range []string{yes + "x", yes} {
		send(command + "; echo exit=$?")
		if asked := expect(`To begin, type: ([^\n]*)\n`, 3*time.Minute); asked != yes {
			t.Fatalf("asks for %q, want %q", asked, yes)
		}
		expect(`> ?`, time.Minute)
		send(answer)
		said := expect(`(?s)(.*exit=\d+)\s`, 20*time.Minute)
		if answer != yes && (!strings.Contains(said, "nothing was changed") || strings.HasSuffix(said, "exit=0")) {
			t.Fatalf("the wrong answer %q was not refused: %s", answer, said)
		}
		if answer == yes && !strings.HasSuffix(said, "exit=0") {
			t.Fatalf("%s failed: %s", command, said)
		}
		expect(promptOf, time.Minute)
	}
}

// powerOff ends the rescue system as people do.
func powerOff(ctx context.Context, t *testing.T, vm *qemu.VM) {
	t.Helper()
	if err := vm.Send("poweroff\n"); err != nil {
		t.Fatal(err)
	}
	end, cancel := context.WithTimeout(ctx, 2*time.Minute)
	defer cancel()
	if err := vm.Wait(end); err != nil {
		t.Fatal(err)
	}
}
