package doctor

import (
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/mkcdrec/mkcdrec/internal/machine"
	"github.com/mkcdrec/mkcdrec/internal/machine/machinetest"
	"github.com/mkcdrec/mkcdrec/internal/rescue"
	"github.com/mkcdrec/mkcdrec/internal/system"
)

// A root with nothing in it misses everything that is needed, and the packages
// are those of its distribution.
func TestEmptyRoot(t *testing.T) {
	for family, want := range map[string][]string{
		"debian": {"linux-image-amd64", "e2fsprogs", "grub-pc-bin", "bash"},
		"fedora": {"kernel", "e2fsprogs", "grub2-pc-modules", "bash"},
		"arch":   {"linux", "grub"},
	} {
		root := t.TempDir()
		if err := os.MkdirAll(filepath.Join(root, "etc"), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(root, "etc/os-release"), []byte("ID="+family+"\n"), 0o644); err != nil {
			t.Fatal(err)
		}
		checks := Run(t.Context(), Options{Runner: &system.Recorder{}, Root: root, Machine: machinetest.Get("bios-mbr-logical"), WorkDir: t.TempDir()})
		packages := Packages(checks)
		for _, p := range want {
			if !slices.Contains(packages, p) {
				t.Errorf("%s: package %s is not named: %v", family, p, packages)
			}
		}
		missing := 0
		for _, c := range checks {
			if c.Status == NotFound && c.Needed {
				missing++
			}
		}
		if needed := neededPrograms(); missing < needed {
			t.Errorf("%s: %d checks found something missing, of at least %d", family, missing, needed)
		}
	}
}

func neededPrograms() (n int) {
	for _, p := range rescue.Table() {
		if p.Needed {
			n++
		}
	}
	return n
}

// What starts this machine is needed; the other firmware is not.
func TestOwnFirmwareIsNeeded(t *testing.T) {
	for name, needed := range map[string]string{"bios-mbr-logical": "boots by BIOS (CD)", "uefi-lvm": "boots by UEFI"} {
		for _, c := range Run(t.Context(), Options{Runner: &system.Recorder{}, Root: t.TempDir(), Machine: machinetest.Get(name)}) {
			if c.Name == needed && !c.Needed {
				t.Errorf("%s: %q is not needed", name, needed)
			}
		}
	}
}

// What makes an encrypted device again is needed where there is one.
func TestLUKSNeedsCryptsetup(t *testing.T) {
	for name, want := range map[string]bool{"luks-lvm": true, "uefi-lvm": false} {
		got := slices.ContainsFunc(Run(t.Context(), Options{Runner: &system.Recorder{}, Root: t.TempDir(), Machine: machinetest.Get(name)}), func(c Check) bool {
			return c.Name == "tools for LUKS" && c.Needed && c.Status == NotFound && slices.Contains(c.Packages, "cryptsetup-bin")
		})
		if got != want {
			t.Errorf("%s: cryptsetup is asked for: %v", name, got)
		}
	}
}

// A machine whose root is on no disk cannot be backed up, and doctor says so first.
func TestRootOnNoDiskIsMissing(t *testing.T) {
	for _, onDisk := range []bool{true, false} {
		m := machinetest.Get("uefi-plain")
		if !onDisk {
			m.Mounts = m.Mounts[1:]
		}
		found := false
		for _, c := range Run(t.Context(), Options{Runner: &system.Recorder{}, Root: t.TempDir(), Machine: m}) {
			if c.Name == "the root file system is on a disk" {
				found = c.Needed && (c.Status == Passed) == onDisk
			}
		}
		if !found {
			t.Errorf("root on a disk %v: doctor says otherwise", onDisk)
		}
	}
}

// shim-signed rewrites the boot entry of a Debian machine that starts by UEFI:
// it is installed only where it cannot.
func TestShimIsNotInstalledOverABootEntry(t *testing.T) {
	for name, want := range map[string]bool{"bios-mbr-logical": true, "uefi-lvm": false} {
		packages := Packages(Run(t.Context(), Options{Runner: &system.Recorder{}, Root: t.TempDir(), Machine: machinetest.Get(name)}))
		if slices.Contains(packages, "shim-signed") != want {
			t.Errorf("%s: shim-signed named is not %v: %v", name, want, packages)
		}
		if !slices.Contains(packages, "grub-efi-amd64-bin") {
			t.Errorf("%s: GRUB for UEFI is not named: %v", name, packages)
		}
	}
}

// backup refuses what cannot be rebuilt unless the settings leave it out by
// name: so does doctor.
func TestFindingsAreNeededUnlessExcluded(t *testing.T) {
	m := machinetest.Get("uefi-plain")
	m.Findings = []machine.Finding{{Name: "luks:secret", What: "an encrypted volume", Blocking: true}, {Name: "esp", What: "a note"}}
	for exclude, needed := range map[string]bool{"/tmp/*": true, "luks:secret": false} {
		checks := Run(t.Context(), Options{Runner: &system.Recorder{}, Root: t.TempDir(), Machine: m, Exclude: []string{exclude}})
		c := named(t, checks, "can be rebuilt: luks:secret")
		if c.Needed != needed || c.Status != NotFound {
			t.Errorf("excluded %s: %+v", exclude, c)
		}
		if slices.ContainsFunc(checks, func(c Check) bool { return c.Name == "can be rebuilt: esp" }) {
			t.Error("a note is a check")
		}
	}
}

func named(t *testing.T, checks []Check, name string) Check {
	t.Helper()
	i := slices.IndexFunc(checks, func(c Check) bool { return c.Name == name })
	if i < 0 {
		t.Fatalf("no check %q", name)
	}
	return checks[i]
}

// What makes a file system again has its line in rescue's table, and its
// package from there.
func TestArraysNeedMdadm(t *testing.T) {
	e := &environment{Options: Options{Root: t.TempDir(), Machine: machinetest.RAID1LVM()}}
	i := slices.IndexFunc(fileSystems(t.Context(), e), func(c Check) bool { return c.Name == "tools for RAID" })
	if i < 0 {
		t.Fatal("no check")
	}
	if c := fileSystems(t.Context(), e)[i]; c.Status != NotFound || !c.Needed || !slices.Contains(c.Packages, "mdadm") {
		t.Errorf("%+v", c)
	}
}

func TestMakersAreInTheTable(t *testing.T) {
	table := rescue.Table()
	for kind, names := range makers {
		for _, n := range names {
			i := slices.IndexFunc(table, func(p rescue.Program) bool { return p.Name == n })
			if i < 0 {
				t.Fatalf("%s: %s is not in the table", kind, n)
			}
			for _, family := range []rescue.Family{rescue.Debian, rescue.Fedora, rescue.SUSE, rescue.Arch} {
				e := environment{Options: Options{Root: t.TempDir()}, family: family}
				if c := e.tools(string(kind), "", true, []string{n}); !slices.Equal(c.Packages, []string{table[i].Package(family)}) {
					t.Errorf("%s on %s: packages %v", n, family, c.Packages)
				}
			}
		}
	}
}

// A network file system in use needs its program, which the medium can do without.
func TestNetworkFileSystemsInUse(t *testing.T) {
	root := t.TempDir()
	for name, text := range map[string]string{
		"proc/self/mountinfo": "1 0 8:1 / / rw - ext4 /dev/sda1 rw\n2 1 0:50 / /nas rw - nfs4 nas:/x rw\n3 1 0:51 / /nas2 rw - nfs4 nas:/y rw\n" +
			"4 1 0:52 / /win rw - cifs //win/x rw\n5 1 0:53 / /ceph rw - ceph mon:/ rw\n",
		"etc/os-release":     "ID=fedora\n",
		"usr/bin/mount.cifs": "#!/bin/sh\n",
	} {
		p := filepath.Join(root, name)
		if err := os.MkdirAll(filepath.Dir(p), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(p, []byte(text), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	checks := Run(t.Context(), Options{Runner: &system.Recorder{}, Root: root, Machine: machinetest.Get("uefi-plain")})
	if c := named(t, checks, "tools for nfs4"); c.Status != NotFound || c.Needed || !slices.Equal(c.Packages, []string{"nfs-utils"}) {
		t.Errorf("nfs4: %+v", c)
	}
	if c := named(t, checks, "tools for cifs"); c.Status != Found || c.Needed {
		t.Errorf("cifs: %+v", c)
	}
	if c := named(t, checks, "tools for ceph"); c.Status != NotFound || c.Needed || !strings.Contains(c.Detail, "rescue.programs") {
		t.Errorf("ceph: %+v", c)
	}
}

// A backup beside the image takes the space of its own place.
func TestSpaceOfBackupTo(t *testing.T) {
	m := machinetest.Get("uefi-plain")
	m.FileSystems[0].Used = 1 << 60 // more than there is anywhere
	dir := t.TempDir()
	o := Options{Runner: &system.Recorder{}, Root: t.TempDir(), Machine: m, Destination: dir, WorkDir: dir}
	if c := named(t, Run(t.Context(), o), "space for the image"); c.Status != NotFound {
		t.Errorf("the backup in the image: %+v", c)
	}
	o.BackupTo = dir
	checks := Run(t.Context(), o)
	if c := named(t, checks, "space for the backup"); c.Status != NotFound || !strings.Contains(c.Detail, dir) {
		t.Errorf("the backup beside the image: %+v", c)
	}
	if c := named(t, checks, "space for the image"); c.Status != NotFound || !strings.HasSuffix(c.Detail, "expected for the image, the backup, temporary files") {
		t.Errorf("the image on the file system of the backup: %+v", c)
	}
	if c := named(t, checks, "space for temporary files"); !c.Needed || !strings.HasSuffix(c.Detail, "about "+machine.Human(3*mediumSize)+" expected") {
		t.Errorf("what is needed depends on estimates: %+v", c)
	}
}

// What goes to one file system is added up, and nothing else: by device number,
// or by the recorded device for subvolumes of one btrfs.
func TestSpaceIsAddedUp(t *testing.T) {
	const gib = machine.Bytes(1 << 30)
	image := demand{what: "the image", dir: "/out", least: 2 * gib, place: place{free: 10 * gib, dev: 1}}
	store := func(p place) demand { return demand{what: "the backup", dir: "/nas", least: 9 * gib, place: p} }
	for _, c := range []struct {
		what  string
		image place
		store demand
		want  Status
		text  string
	}{
		{"another file system", place{free: 10 * gib, dev: 1}, store(place{free: 10 * gib, dev: 2}), Passed, "about 2 GiB expected"},
		{"the same", place{free: 10 * gib, dev: 1}, store(place{free: 10 * gib, dev: 1}), NotFound, "about 11 GiB expected for the image, the backup"},
		{"another subvolume", place{free: 10 * gib, dev: 1, on: "part:a"}, store(place{free: 10 * gib, dev: 2, on: "part:a"}), NotFound, "about 11 GiB expected for the image, the backup"},
		{"unknown devices", place{free: 10 * gib, dev: 1}, demand{what: "the backup", dir: "/nas", least: 9 * gib, err: errors.New("not there")}, Passed, "about 2 GiB expected"},
		{"in the image", place{free: 10 * gib}, demand{what: "the backup"}, Passed, "about 2 GiB expected"},
	} {
		d := image
		d.place = c.image
		if got := d.check([]demand{c.store}); got.Status != c.want || !strings.HasSuffix(got.Detail, c.text) {
			t.Errorf("%s: %+v", c.what, got)
		}
	}
}

// A directory that will be made lies where its parent lies, and the root of a
// machine is known by its device.
func TestPlaceOf(t *testing.T) {
	root := t.TempDir()
	m := machinetest.Get("uefi-plain")
	e := &environment{Options: Options{Root: root, Machine: m}}
	p, err := e.placeOf(filepath.Join(root, "not/yet"))
	if err != nil || p.free == 0 || p.dev == 0 || p.on != m.Mounts[0].On {
		t.Errorf("%+v, %v", p, err)
	}
}

func TestFindingsAreNamed(t *testing.T) {
	m := machinetest.Get("uefi-plain")
	m.Findings = []machine.Finding{{Name: "zfs:tank", What: "a ZFS pool", Todo: "use zfs send", Blocking: true}}
	var b strings.Builder
	if err := json.NewEncoder(&b).Encode(Run(t.Context(), Options{Runner: &system.Recorder{}, Root: t.TempDir(), Machine: m})); err != nil {
		t.Fatal(err)
	}
	if s := b.String(); !strings.Contains(s, "zfs:tank") || !strings.Contains(s, `"status":"not found"`) {
		t.Errorf("no finding in %s", s)
	}
}
