package restore

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/mkcdrec/mkcdrec/internal/fail"
	"github.com/mkcdrec/mkcdrec/internal/fit"
	"github.com/mkcdrec/mkcdrec/internal/machine"
	"github.com/mkcdrec/mkcdrec/internal/machine/machinetest"
	"github.com/mkcdrec/mkcdrec/internal/plan"
)

// configured gives a bench the configuration of UEFILVM, which resumes from
// its swap.
func configured(b *fakeBackup) {
	for name, text := range map[string]string{
		"etc/fstab":                           "/dev/mapper/vg0-root / ext4 defaults 0 1\nUUID=x /home xfs logbufs=8 0 0\n/dev/mapper/vg0-swap none swap sw 0 0\n",
		"etc/initramfs-tools/conf.d/resume":   "RESUME=/dev/mapper/vg0-swap\n",
		"etc/default/grub":                    "GRUB_CMDLINE_LINUX=\"resume=/dev/mapper/vg0-swap quiet\"\n",
		"boot/grub/grub.cfg":                  "\tlinux /vmlinuz root=/dev/mapper/vg0-root ro resume=/dev/mapper/vg0-swap\n",
		"boot/loader/entries/x.conf":          "options ro resume=UUID=1\n",
		"boot/grub/grubenv":                   "# GRUB Environment Block\nkernelopts=ro resume=UUID=1\n######",
		"boot/initrd.img-6.1.0-56-amd64":      "",
		"usr/bin/lsinitramfs":                 "",
		"usr/sbin/update-initramfs":           "",
		"usr/lib/modules/6.1.0-56-amd64/none": "",
	} {
		b.files[name] = text
	}
}

func TestRestoreWithoutHomeAndSwap(t *testing.T) {
	m := machinetest.UEFILVM()
	o, run, b := wishedBench(t, m, m, plan.Info{}, fit.Wishes{Drop: []string{"/home"}, NoSwap: true})
	configured(b)
	b.differ = []string{"etc/fstab", "etc/default/grub", "boot/grub/grub.cfg", "boot/loader/entries/x.conf", "boot/grub/grubenv", "etc/initramfs-tools/conf.d/resume",
		"boot/initrd.img-6.1.0-56-amd64"}
	rep, err := Run(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	if b.scope.Holds("home/user") || !b.scope.Holds("homes") {
		t.Error("what was left out is unpacked, or more than that is not")
	}
	all := commands(o, run)
	for _, not := range []string{"mkswap", "mkfs.xfs", "home", "swap"} {
		if strings.Contains(all, not) {
			t.Errorf("%s is among the commands:\n%s", not, all)
		}
	}
	if !strings.Contains(all, "update-initramfs -u -k 6.1.0-56-amd64") {
		t.Errorf("the initramfs, which waits for the swap, was not rebuilt:\n%s", all)
	}
	for name, want := range map[string]string{
		"etc/fstab": "/dev/mapper/vg0-root / ext4 defaults 0 1\n# mkcdrec: /home was left out of the restore\n#UUID=x /home xfs logbufs=8 0 0\n" +
			"# mkcdrec: the restore made no swap\n#/dev/mapper/vg0-swap none swap sw 0 0\n",
		"etc/fstab.before-mkcdrec":          b.files["etc/fstab"],
		"etc/initramfs-tools/conf.d/resume": "#RESUME=/dev/mapper/vg0-swap\nRESUME=none\n",
		"etc/default/grub":                  "GRUB_CMDLINE_LINUX=\"quiet\"\n",
		"boot/grub/grub.cfg":                "\tlinux /vmlinuz root=/dev/mapper/vg0-root ro\n",
		"boot/loader/entries/x.conf":        "options ro\n",
		"boot/grub/grubenv":                 "# GRUB Environment Block\nkernelopts=ro\n######" + strings.Repeat("#", len(" resume=UUID=1")),
	} {
		if got, err := os.ReadFile(filepath.Join(o.TargetRoot, name)); string(got) != want {
			t.Errorf("%s: %q, %v", name, got, err)
		}
	}
	if c := strings.Join(rep.Changes, "\n"); !strings.Contains(c, "/etc/fstab: line of /home commented out: /home was left out of the restore; line of /dev/mapper/vg0-swap commented out") {
		t.Errorf("changes:\n%s", c)
	}
	if fi, err := os.Stat(filepath.Join(o.TargetRoot, "home")); err != nil || !fi.IsDir() {
		t.Error("no mount point is left")
	}
}

// Nobody knows which files were changed when the power went: they come from
// the backup again.
func TestInterruptedWishesBeginWithTheFilesOfTheBackup(t *testing.T) {
	m := machinetest.UEFILVM()
	o, _, b := wishedBench(t, m, m, plan.Info{}, fit.Wishes{NoSwap: true})
	configured(b)
	b.differ = []string{"etc/fstab"}
	// Fails when fstab is changed already: the old file cannot be kept.
	inTheWay := filepath.Join(o.TargetRoot, "etc/default/grub"+asRecorded)
	o.Progress = func(e Event) {
		if e.Step.Kind == plan.Identity && e.State == "begun" {
			if err := os.Symlink("/nowhere", inTheWay); err != nil {
				t.Error(err)
			}
		}
	}
	if _, err := Run(t.Context(), o); err == nil || !strings.Contains(err.Error(), "etc/default/grub") {
		t.Fatalf("got %v", err)
	}
	if err := os.Remove(inTheWay); err != nil {
		t.Fatal(err)
	}
	o.Progress = nil
	rep, err := Run(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	if b.unpacked != 2 || rep.Resumed == 0 || !strings.Contains(strings.Join(rep.Changes, "\n"), "/etc/fstab: line of") {
		t.Errorf("unpacked %d times; report: %+v", b.unpacked, rep)
	}
}

func TestAnswersWithWishes(t *testing.T) {
	a, err := ParseAnswers([]byte("disks = 'only'\ndrop = ['/scratch']\nno_swap = true\nsize = { '/home' = '40G' }\nfs = { '/data' = 'xfs' }\n"))
	if err != nil {
		t.Fatal(err)
	}
	w := a.Wishes(nil)
	if w.Drop[0] != "/scratch" || !w.NoSwap || w.Sizes["/home"] != 40<<30 || w.Kinds["/data"] != machine.FSKind("xfs") {
		t.Errorf("the wishes are %+v", w)
	}
	for text, want := range map[string]string{
		"drop = '/scratch'":                         "cannot read the answers",
		"drop = ['scratch']":                        "not the mount point",
		"drop = ['swap']":                           "not the mount point",
		"size = {swap = 'much'}":                    "is not a size",
		"size = {home = '1G'}":                      "not the mount point",
		"fs = {'/data' = 'vfat'}":                   "is no kind",
		"fs = {swap = 'ext4'}":                      "not the mount point",
		"no_swap = true\nsize = {swap = '1G'}":      "contradict each other",
		"drop = ['/data/']\nfs = {'/data' = 'xfs'}": "contradict each other",
		"drop = ['/data']\nsize = {'/data' = '1G'}": "contradict each other",
		"swap = false":                              "unknown answer",
	} {
		if _, err := ParseAnswers([]byte("disks = 'only'\n" + text)); err == nil || fail.KindOf(err) != fail.Usage || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v", text, err)
		}
	}
}
