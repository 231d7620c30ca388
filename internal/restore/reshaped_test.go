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

func blankDisks(firmware machine.FirmwareKind, size machine.Bytes, names ...string) machine.Machine {
	m := machine.Machine{Firmware: machine.Firmware{Kind: firmware}}
	for _, n := range names {
		m.Disks = append(m.Disks, machine.Disk{Name: n, Path: "/dev/" + n, Size: size, LogicalSector: 512})
	}
	return m
}

func fileOf(t *testing.T, o Options, name string) string {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(o.TargetRoot, name))
	if err != nil {
		t.Error(err)
	}
	return string(b)
}

func TestRestoreOfMirrorsOntoOneDisk(t *testing.T) {
	m := machinetest.RAID1LVM()
	o, run, b := wishedBench(t, m, blankDisks(machine.UEFI, 8*machinetest.GiB, "nvme0n1"), plan.Info{}, fit.Wishes{Flatten: []string{fit.FlattenAll}})
	if err := os.MkdirAll(filepath.Join(o.Root, "sys/firmware/efi/efivars"), 0o755); err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string]string{
		"etc/fstab": "/dev/mapper/vg0-root / ext4 defaults 0 1\n/dev/md/boot /boot ext4 defaults 0 2\nUUID=5A3C-11B0 /boot/efi vfat umask=0077 0 1\n",
		"etc/mdadm/mdadm.conf": "HOMEHOST <system>\nARRAY /dev/md/esp metadata=1.0 UUID=" + m.Arrays[0].UUID + "\nARRAY /dev/md/boot UUID=" + m.Arrays[1].UUID +
			"\nARRAY /dev/md/lvm UUID=" + m.Arrays[2].UUID + "\n",
		"boot/grub/grub.cfg":                  "\tset root='mduuid/1'\n\tlinux /vmlinuz root=/dev/mapper/vg0-root ro resume=/dev/md2\n",
		"boot/initrd.img-6.1.0-56-amd64":      "",
		"usr/bin/lsinitramfs":                 "",
		"usr/sbin/update-initramfs":           "",
		"usr/lib/modules/6.1.0-56-amd64/none": "",
	} {
		b.files[name] = text
	}
	b.differ = []string{"etc/fstab", "etc/mdadm/mdadm.conf", "boot/initrd.img-6.1.0-56-amd64", "boot/efi/EFI/debian/shimx64.efi"}
	rep, err := Run(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	all := commands(o, run)
	for _, want := range []string{"pvcreate", "/dev/nvme0n1p3", "mke2fs", "grub-install --target=x86_64-efi --efi-directory=/boot/efi", "update-initramfs -u -k 6.1.0-56-amd64", "efibootmgr"} {
		if !strings.Contains(all, want) {
			t.Errorf("no %s among the commands:\n%s", want, all)
		}
	}
	if strings.Contains(all, "mdadm") || strings.Contains(all, "sdb") {
		t.Errorf("arrays are made, or a second disk is used:\n%s", all)
	}
	if got, want := fileOf(t, o, "etc/fstab"), strings.Replace(b.files["etc/fstab"], "/dev/md/boot", "/dev/disk/by-uuid/"+m.FileSystems[1].UUID, 1); got != want {
		t.Errorf("fstab: %q", got)
	}
	conf := fileOf(t, o, "etc/mdadm/mdadm.conf")
	if strings.Contains(conf, "\nARRAY") || strings.Count(conf, "\n#ARRAY") != 3 || strings.Count(conf, "# mkcdrec: /dev/md/") != 3 || fileOf(t, o, "etc/mdadm/mdadm.conf.before-mkcdrec") != b.files["etc/mdadm/mdadm.conf"] {
		t.Errorf("mdadm.conf: %q", conf)
	}
	said := strings.Join(rep.Changes, "\n")
	for _, want := range []string{"/etc/fstab: /dev/md/boot by UUID now (as it was: /etc/fstab.before-mkcdrec)", "/etc/mdadm/mdadm.conf: /dev/md/esp commented out: it was flattened", "GRUB installed anew", "initrd.img-6.1.0-56-amd64 rebuilt"} {
		if !strings.Contains(said, want) {
			t.Errorf("not said: %s; said:\n%s", want, said)
		}
	}
	// A physical volume has no UUID by which the kernel could find it.
	if warned := strings.Join(rep.Warnings, "\n"); !strings.Contains(warned, "/boot/grub/grub.cfg names /dev/md2") {
		t.Errorf("warnings:\n%s", warned)
	}
}

func TestRestoreOfOneDiskOntoAMirror(t *testing.T) {
	for _, conf := range []string{"HOMEHOST <system>\n", ""} {
		m := machinetest.UEFIPlain()
		o, run, b := wishedBench(t, m, blankDisks(machine.UEFI, 8*machinetest.GiB, "sda", "sdb"), plan.Info{}, fit.Wishes{Mirror: fit.MirrorAny})
		if err := os.MkdirAll(filepath.Join(o.Root, "sys/firmware/efi/efivars"), 0o755); err != nil {
			t.Fatal(err)
		}
		b.files["etc/fstab"] = "/dev/vda2 / ext4 defaults 0 1\nPARTUUID=" + strings.ToUpper(m.Disks[0].Table.Partitions[0].UUID) + " /boot/efi vfat defaults 0 1\nUUID=x none swap sw 0 0\n"
		b.files["boot/initrd.img-6.1.0-56-amd64"], b.files["usr/bin/lsinitramfs"], b.files["usr/sbin/update-initramfs"] = "", "", ""
		file := "etc/mdadm.conf"
		if conf != "" {
			file = "etc/mdadm/mdadm.conf"
			b.files[file] = conf
		}
		b.differ = []string{"etc/fstab", file}
		rep, err := Run(t.Context(), o)
		if err != nil {
			t.Fatal(err)
		}
		all := commands(o, run)
		if n := strings.Count(all, "mdadm --create"); n != 3 {
			t.Errorf("%d arrays are made:\n%s", n, all)
		}
		for _, want := range []string{"--metadata=1.0 --raid-devices=2", "/dev/sda2 /dev/sdb2", "update-initramfs", "efibootmgr"} {
			if !strings.Contains(all, want) {
				t.Errorf("no %s among the commands:\n%s", want, all)
			}
		}
		if got, want := fileOf(t, o, "etc/fstab"), "/dev/disk/by-uuid/"+m.FileSystems[1].UUID+" / ext4 defaults 0 1\nUUID="+m.FileSystems[0].UUID+" /boot/efi vfat defaults 0 1\nUUID=x none swap sw 0 0\n"; got != want {
			t.Errorf("fstab: %q, want %q", got, want)
		}
		if got := fileOf(t, o, file); strings.Count(got, "\nARRAY /dev/md") != 3 || !strings.HasPrefix(got, conf) || !strings.Contains(got, " metadata=1.0 UUID="+o.Plan.Target.Arrays[0].UUID+" name=plain:0\n") {
			t.Errorf("%s: %q", file, got)
		}
		if len(rep.Warnings) > 1 { // of the initramfs, whose modules the recorder does not list
			t.Errorf("warnings %q", rep.Warnings)
		}
	}
}

// What a mirror needs is looked for before anything is written.
func TestMirrorWithoutWhatStartsIt(t *testing.T) {
	m := machinetest.UEFIPlain()
	for _, lacks := range []string{"mdadm", "lsinitramfs lsinitrd lsinitcpio"} {
		o, run, b := wishedBench(t, m, blankDisks(machine.UEFI, 8*machinetest.GiB, "sda", "sdb"), plan.Info{}, fit.Wishes{Mirror: fit.MirrorAny})
		for _, p := range strings.Fields(lacks) {
			for _, dir := range programDirs {
				b.lacking = append(b.lacking, dir+"/"+p)
			}
		}
		_, err := Run(t.Context(), o)
		if fail.KindOf(err) != fail.Unsupported || !strings.Contains(err.Error(), "--mirror") || !strings.Contains(fail.HintOf(err), "install") {
			t.Errorf("without %s: %v (hint %q)", lacks, err, fail.HintOf(err))
		}
		for _, c := range run.Commands() {
			if strings.HasPrefix(c, "wipefs") || strings.HasPrefix(c, "sfdisk") || strings.HasPrefix(c, "mdadm --create") {
				t.Errorf("written before it was refused: %s", c)
			}
		}
	}
	// So is what the boot loader is installed from, where it has to be installed anew.
	o, _, b := wishedBench(t, machinetest.RAID1LVM(), blankDisks(machine.UEFI, 8*machinetest.GiB, "sda"), plan.Info{}, fit.Wishes{Flatten: []string{fit.FlattenAll}})
	b.lacks = "usr/lib/grub/x86_64-efi"
	if _, err := Run(t.Context(), o); fail.KindOf(err) != fail.Unsupported || !strings.Contains(err.Error(), "grub-efi-amd64-bin") {
		t.Errorf("got %v", err)
	}
}

func TestAnswersAboutTheNumberOfDisks(t *testing.T) {
	for text, want := range map[string]fit.Wishes{
		"flatten = true":                     {Flatten: []string{fit.FlattenAll}},
		"flatten = false\nmirror = false":    {},
		"flatten = ['md0', '/dev/md/boot']":  {Flatten: []string{"md0", "/dev/md/boot"}},
		"flatten = 'md0'":                    {Flatten: []string{"md0"}},
		"mirror = true":                      {Mirror: fit.MirrorAny},
		"mirror = 'serial:B'":                {Mirror: "serial:B"},
		"onto_one = true":                    {OntoOne: true},
		"map = {sda = 'vda', sdb = 'vda'}":   {},
		"onto_one = true\nmirror = 'sdb'":    {OntoOne: true, Mirror: "sdb"},
		"mirror = 'sdb'\nflatten = ['md0']":  {Mirror: "contradict each other"},
		"flatten = 1":                        {Mirror: "not allowed"},
		"flatten = [1]":                      {Mirror: "is not an array"},
		"mirror = ['sdb']":                   {Mirror: "not allowed"},
		"onto_one = 'yes'":                   {Mirror: "cannot read"},
		"onto_one=true\nmap={a='x', b ='y'}": {Mirror: "contradict each other"},
	} {
		a, err := ParseAnswers([]byte("disks = 'only'\n" + text))
		if err != nil {
			if fail.KindOf(err) != fail.Usage || want.Mirror == "" || !strings.Contains(err.Error(), want.Mirror) {
				t.Errorf("%q: %v", text, err)
			}
			continue
		}
		if w := a.Wishes(nil); strings.Join(w.Flatten, " ") != strings.Join(want.Flatten, " ") || w.Mirror != want.Mirror || w.OntoOne != want.OntoOne {
			t.Errorf("%q: %+v", text, w)
		}
	}
}
