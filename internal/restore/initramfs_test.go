package restore

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/mkcdrec/mkcdrec/internal/fail"
	"github.com/mkcdrec/mkcdrec/internal/machine/machinetest"
	"github.com/mkcdrec/mkcdrec/internal/plan"
	"github.com/mkcdrec/mkcdrec/internal/system"
)

// behind says that a driver is behind the disk vda.
func behind(t *testing.T, o Options, driver string) {
	t.Helper()
	for _, dir := range []string{"sys/devices/pci0/virtio0/driver", "sys/module/" + driver} {
		if err := os.MkdirAll(filepath.Join(o.Root, dir), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	for link, to := range map[string]string{"sys/devices/pci0/virtio0/driver/module": "sys/module/" + driver, "sys/block/vda/device": "sys/devices/pci0/virtio0"} {
		if err := os.Symlink(filepath.Join(o.Root, to), filepath.Join(o.Root, link)); err != nil {
			t.Fatal(err)
		}
	}
}

const kernel61 = "6.1.0-56-amd64"

// dracutBench is a machine with dracut, an initramfs in /boot and a copy of it on
// the ESP, where systemd-boot finds it.
func dracutBench(t *testing.T) (Options, *probing, *fakeBackup) {
	m := systemdBoot()
	o, run, b := bench(t, m, m, plan.Info{})
	for name, text := range map[string]string{
		"boot/efi/EFI/systemd/systemd-bootx64.efi": "sd", "usr/bin/lsinitrd": "", "usr/bin/dracut": "",
		"boot/initrd.img-" + kernel61: "old", "boot/efi/0123/" + kernel61 + "/initrd": "old", "boot/efi/0123/other/initrd": "of another",
		"boot/efi/loader/entries/a.conf":      "version " + kernel61 + "\nlinux /0123/" + kernel61 + "/linux\ninitrd /amd-ucode.img /0123/" + kernel61 + "/initrd\n",
		"boot/efi/loader/entries/b.conf":      "version other\nlinux /0123/other/linux\ninitrd /0123/other/initrd\n",
		"usr/lib/modules/" + kernel61 + "/no": "",
	} {
		b.files[name] = text
	}
	behind(t, o, "nvme")
	run.Answers = map[string]system.Answer{"chroot " + o.TargetRoot + " lsinitrd*": {Stdout: "-rw-r--r-- 1 root root 1 Nov 20 17:06 usr/lib/modules/6.1/virtio_blk.ko\n"}}
	return o, run, b
}

func TestDracutRebuildsWhatLacksADriver(t *testing.T) {
	o, run, b := dracutBench(t)
	b.differ = []string{"boot/initrd.img-" + kernel61, "boot/efi/0123/" + kernel61 + "/initrd"}
	rep, err := Run(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	did := ran(run, "dracut")
	if len(did) != 1 || !strings.HasSuffix(did[0], " dracut --force --add-drivers nvme /boot/initrd.img-"+kernel61+" "+kernel61) {
		t.Errorf("%q", did)
	}
	said := strings.Join(rep.Changes, "\n")
	for _, want := range []string{
		"boot/initrd.img-" + kernel61 + " rebuilt by dracut: it lacked nvme, which this machine's disk needs",
		"boot/efi/0123/" + kernel61 + "/initrd replaced by the rebuilt boot/initrd.img-" + kernel61,
	} {
		if !strings.Contains(said, want) {
			t.Errorf("%q is not among the changes:\n%s", want, said)
		}
	}
	// The dracut of this test makes nothing: that is noticed.
	if !slices.ContainsFunc(rep.Warnings, func(w string) bool { return strings.Contains(w, "still lacks the driver nvme") }) {
		t.Errorf("warnings %q", rep.Warnings)
	}
}

func TestNoRebuildWithoutReason(t *testing.T) {
	o, run, _ := dracutBench(t)
	run.Answers["chroot "+o.TargetRoot+" lsinitrd*"] = system.Answer{Stdout: "-rw-r--r-- 1 root root 1 Nov 20 17:06 usr/lib/modules/6.1/nvme.ko.xz\n"}
	if _, err := Run(t.Context(), o); err != nil {
		t.Fatal(err)
	}
	if did := ran(run, "dracut"); len(did) != 0 {
		t.Errorf("%q", did)
	}
}

// An image on the ESP that is not the one of /boot is made by itself, where the
// maker can; another tool's is named.
func TestImageThatIsNoCopy(t *testing.T) {
	for _, tools := range [][2]string{{"lsinitrd", "dracut"}, {"lsinitramfs", "update-initramfs"}} {
		o, run, b := dracutBench(t)
		delete(b.files, "usr/bin/lsinitrd")
		b.files["usr/bin/"+tools[0]], b.files["usr/sbin/"+tools[1]] = "", ""
		b.files["boot/efi/0123/"+kernel61+"/initrd"] = "its own"
		rep, err := Run(t.Context(), o)
		if err != nil {
			t.Fatal(err)
		}
		direct := len(ran(run, "dracut")) == 2 && strings.HasSuffix(ran(run, "dracut")[1], " /boot/efi/0123/"+kernel61+"/initrd "+kernel61)
		named := slices.ContainsFunc(rep.Warnings, func(w string) bool {
			return strings.Contains(w, "/boot/efi/0123/"+kernel61+"/initrd was not rebuilt: it lacked nvme")
		})
		if direct != (tools[1] == "dracut") || named != (tools[1] != "dracut") {
			t.Errorf("%s: %q\nwarnings %q", tools[1], commands(o, run), rep.Warnings)
		}
	}
}

// crypttab is a reason only where the image has a copy of it.
func TestRebuildForACopyOfCrypttab(t *testing.T) {
	for _, inside := range []bool{true, false} {
		m := machinetest.UEFIPlain()
		here := m
		here.Disks = slices.Clone(m.Disks)
		here.Disks[0].Name, here.Disks[0].Path = "vdb", "/dev/vdb"
		o, run, b := bench(t, m, here, plan.Info{})
		b.files["etc/crypttab"], b.files["usr/bin/lsinitramfs"], b.files["usr/sbin/update-initramfs"] = "x /dev/vda3 none swap\n", "", ""
		b.files["boot/initrd.img-"+kernel61] = ""
		list := "usr/bin/true\n"
		if inside {
			list += "cryptroot/crypttab\n"
		}
		run.Answers = map[string]system.Answer{"chroot " + o.TargetRoot + " lsinitramfs*": {Stdout: list}}
		if _, err := Run(t.Context(), o); err != nil {
			t.Fatal(err)
		}
		if got, _ := os.ReadFile(filepath.Join(o.TargetRoot, "etc/crypttab")); string(got) != "x /dev/vdb3 none swap\n" {
			t.Fatalf("crypttab is %q, so this test says nothing", got)
		}
		if rebuilt := len(ran(run, "update-initramfs")) == 1; rebuilt != inside {
			t.Errorf("a copy inside: %v, rebuilt: %v", inside, rebuilt)
		}
	}
}

// An ESP that is full is an error: what starts would lack the driver.
func TestNoRoomForTheCopy(t *testing.T) {
	o, _, b := dracutBench(t)
	b.files["boot/efi/0123/"+kernel61+"/initrd"] = "old"
	x := newExecutor(o)
	if err := os.MkdirAll(o.TargetRoot, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := x.copyImage("boot/not-there", "boot/x"); fail.KindOf(err) != fail.Failed || err == nil {
		t.Errorf("%v", err)
	}
}

func TestImagesOfAnotherLayout(t *testing.T) {
	m := systemdBoot()
	o, _, _ := bench(t, m, m, plan.Info{})
	x := newExecutor(o)
	for name, text := range map[string]string{
		"boot/loader/entries/f.conf":          "version " + kernel61 + "\nlinux /boot/vmlinuz-" + kernel61 + "\ninitrd /boot/initramfs-" + kernel61 + ".img\n",
		"boot/initramfs-" + kernel61 + ".img": "x",
	} {
		p := filepath.Join(o.TargetRoot, name)
		if err := os.MkdirAll(filepath.Dir(p), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(p, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if got := x.images(kernel61); !slices.Equal(got, []bootImage{{"boot/initramfs-" + kernel61 + ".img", false}}) {
		t.Errorf("%v", got)
	}
	if got := x.images(""); got != nil {
		t.Errorf("%v", got)
	}
}
