package restore

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/mkcdrec/mkcdrec/internal/machine/machinetest"
	"github.com/mkcdrec/mkcdrec/internal/plan"
)

// A medium that was made on a machine with other firmware may lack efibootmgr:
// the restore does without, by the fallback path, and says so.
func TestRestoreWithoutEfibootmgr(t *testing.T) {
	m := machinetest.UEFIPlain()
	for _, missing := range []bool{true, false} {
		o, run, _ := bench(t, m, m, plan.Info{})
		if err := os.MkdirAll(filepath.Join(o.Root, "sys/firmware/efi/efivars"), 0o755); err != nil {
			t.Fatal(err)
		}
		run.Missing = map[string]bool{"efibootmgr": missing}
		rep, err := Run(t.Context(), o)
		if err != nil {
			t.Fatal(err)
		}
		warned := slices.ContainsFunc(rep.Warnings, func(w string) bool {
			return strings.Contains(w, "efibootmgr") && strings.Contains(w, "fallback path")
		})
		if warned != missing {
			t.Errorf("efibootmgr missing %v, warnings %q", missing, rep.Warnings)
		}
		if got, err := os.ReadFile(filepath.Join(o.TargetRoot, "boot/efi/EFI/BOOT/BOOTX64.EFI")); err != nil || string(got) != "shim" {
			t.Errorf("efibootmgr missing %v, fallback path: %q, %v", missing, got, err)
		}
		if !slices.ContainsFunc(run.Commands(), func(c string) bool { return strings.HasPrefix(c, "efibootmgr --create-only ") }) {
			t.Errorf("efibootmgr missing %v: it was not called, so this test says nothing", missing)
		}
	}
}

// What is called for the boot entry is on the list, where there is one to make.
func TestToolsForTheFirmware(t *testing.T) {
	for name, want := range map[string]bool{"uefi-lvm": true, "btrfs-subvols": true, "bios-mbr-logical": false} {
		m := machinetest.Get(name)
		p, err := plan.Restore(m, nil, m, plan.Info{})
		if err != nil {
			t.Fatal(err)
		}
		if slices.Contains(Tools(p), "efibootmgr") != want {
			t.Errorf("%s: efibootmgr is needed is not %v: %q", name, want, Tools(p))
		}
	}
}
