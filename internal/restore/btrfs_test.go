package restore

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/mkcdrec/mkcdrec/internal/fail"
	"github.com/mkcdrec/mkcdrec/internal/machine"
	"github.com/mkcdrec/mkcdrec/internal/machine/machinetest"
	"github.com/mkcdrec/mkcdrec/internal/plan"
	"github.com/mkcdrec/mkcdrec/internal/system"
)

// What the kernel knows of a file system over several devices is told before
// each mount: after a power cut it knows nothing.
func TestDevicesAreKnownBeforeTheyAreMounted(t *testing.T) {
	m := machinetest.BtrfsTwo()
	o, run, _ := bench(t, m, m, plan.Info{})
	if _, err := Run(t.Context(), o); err != nil {
		t.Fatal(err)
	}
	made, known := false, false
	for _, c := range run.Commands() {
		switch {
		case strings.HasPrefix(c, "mkfs.btrfs "):
			made = strings.HasSuffix(c, " /dev/vda2 /dev/vdb1") && strings.Contains(c, "-d raid1 -m raid1")
		case c == "btrfs device scan /dev/vda2 /dev/vdb1":
			known = true
		case strings.HasPrefix(c, "mount ") && strings.Contains(c, "btrfs") && !known:
			t.Errorf("not known to the kernel yet: %s", c)
		}
	}
	if !made {
		t.Errorf("not made on both devices:\n%s", commands(o, run))
	}
}

// The mount table names one device of a btrfs: the others are in use, too.
func TestOtherDeviceOfAMountedBtrfsIsInUse(t *testing.T) {
	for name, c := range map[string]struct {
		devices []string // of the mounted file system
		refused bool
	}{
		"one of ours":  {[]string{"vda2", "sdz"}, true},
		"none of ours": {[]string{"sdy", "sdz"}, false},
	} {
		t.Run(name, func(t *testing.T) {
			m := machinetest.UEFILVM()
			o, run, _ := bench(t, m, m, plan.Info{})
			for _, d := range c.devices {
				if err := os.MkdirAll(filepath.Join(o.Root, "sys/fs/btrfs/1234/devices", d), 0o755); err != nil {
					t.Fatal(err)
				}
			}
			if err := os.WriteFile(filepath.Join(o.Root, "proc/self/mountinfo"), []byte("30 1 0:41 / /mnt/pool rw - btrfs /dev/sdz rw,subvolid=5,subvol=/\n"), 0o644); err != nil {
				t.Fatal(err)
			}
			_, err := Run(t.Context(), o)
			if !c.refused {
				if err != nil {
					t.Error(err)
				}
				return
			}
			if fail.KindOf(err) != fail.Refused || !strings.Contains(err.Error(), "/mnt/pool") {
				t.Errorf("not refused: %v", err)
			}
			for _, command := range run.Commands() {
				if writes(command) {
					t.Errorf("was written: %s", command)
				}
			}
		})
	}
}

// Two file systems of one UUID would be one to the kernel.
func TestSameBtrfsElsewhereIsRefused(t *testing.T) {
	m := machinetest.BtrfsTwo()
	o, run, _ := bench(t, m, m, plan.Info{})
	o.Look = func(context.Context) (machine.Machine, error) {
		here := machinetest.BtrfsTwo()
		old := machine.Disk{Name: "vdc", Path: "/dev/vdc", Size: 8 << 30, LogicalSector: 512}
		here.Disks = append(here.Disks, old)
		fs := *here.FileSystemOn(machine.PartRef("vda", 2))
		fs.On, fs.Devices = machine.DiskRef("vdc"), nil
		here.FileSystems = append(here.FileSystems, fs)
		return here, nil
	}
	_, err := Run(t.Context(), o)
	if fail.KindOf(err) != fail.Refused || !strings.Contains(err.Error(), "disk vdc") {
		t.Errorf("not refused: %v", err)
	}
	for _, command := range run.Commands() {
		if writes(command) {
			t.Errorf("was written: %s", command)
		}
	}
}

func TestNumbersOfSubvolumesAreThoseOfTheNewOnes(t *testing.T) {
	m := machinetest.BtrfsTwo()
	o, run, b := bench(t, m, m, plan.Info{})
	fstab := "UUID=x / btrfs defaults 0 0\nUUID=x /srv btrfs subvolid=258,noatime 0 0\nUUID=y /other btrfs subvolid=258 0 0\nUUID=" + m.FileSystems[1].UUID + " /mnt btrfs noauto,subvolid=257 0 0\n"
	b.files["etc/fstab"] = fstab
	b.files["boot/grub/grub.cfg"] = "linux /vmlinuz root=UUID=x rootflags=subvolid=273 ro\n"
	b.differ = []string{"etc/fstab", "boot/grub/grub.cfg"}
	const list = "ID 256 gen 9 top level 5 parent_uuid - path <FS_TREE>/@\nID 257 gen 9 top level 256 parent_uuid - path <FS_TREE>/@/.snapshots\n" +
		"ID 258 gen 9 top level 257 parent_uuid - path <FS_TREE>/@/.snapshots/3/snapshot\nID 260 gen 9 top level 256 parent_uuid - path <FS_TREE>/@/home\nID 261 gen 9 top level 256 parent_uuid - path <FS_TREE>/@/srv\n"
	run.Answers = map[string]system.Answer{
		"btrfs subvolume list -q*": {Stdout: list}, "btrfs subvolume list -r*": {}, "btrfs subvolume get-default*": {Stdout: "ID 258 gen 9 top level 257 path @/.snapshots/3/snapshot\n"},
	}
	rep, err := Run(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]string{
		"etc/fstab":                strings.NewReplacer("subvolid=258,noatime", "subvolid=261,noatime", "noauto,subvolid=257", "noauto,subvolid=260").Replace(fstab),
		"etc/fstab.before-mkcdrec": fstab,
		"boot/grub/grub.cfg":       "linux /vmlinuz root=UUID=x rootflags=subvolid=258 ro\n",
	} {
		got, err := os.ReadFile(filepath.Join(o.TargetRoot, name))
		if err != nil || string(got) != want {
			t.Errorf("%s is\n%s(%v) want\n%s", name, got, err, want)
		}
	}
	if !strings.Contains(strings.Join(rep.Changes, "\n"), "subvolid= of /srv") {
		t.Errorf("not said: %v", rep.Changes)
	}
}
