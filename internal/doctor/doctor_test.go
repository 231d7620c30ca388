package doctor

import (
	"encoding/json"
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
