package cli

import (
	"slices"
	"testing"

	"github.com/mkcdrec/mkcdrec/internal/doctor"
	"github.com/mkcdrec/mkcdrec/internal/machine/machinetest"
	"github.com/mkcdrec/mkcdrec/internal/rescue"
	"github.com/mkcdrec/mkcdrec/internal/system"
)

// What a restore calls has its line in the table of programs: without one it
// would be on no medium, or without its package's name and its trial.
func TestRestoreToolsAreInTheTable(t *testing.T) {
	t.Parallel()
	table := rescue.Table()
	for _, name := range machinetest.Names() {
		tools := restoreTools(machinetest.Get(name))
		if len(tools) == 0 {
			t.Errorf("%s: restoring it calls no program", name)
		}
		for _, tool := range tools {
			if !slices.ContainsFunc(table, func(p rescue.Program) bool { return p.Name == tool }) {
				t.Errorf("%s: restoring it calls %s, which is not in the table", name, tool)
			}
		}
	}
}

// The boot entry of a machine that starts by UEFI is made by efibootmgr: doctor
// says that its medium needs it, and which package has it.
func TestDoctorNeedsEfibootmgrForUEFI(t *testing.T) {
	t.Parallel()
	for name, want := range map[string]bool{"uefi-lvm": true, "bios-mbr-logical": false} {
		m := machinetest.Get(name)
		checks := doctor.Run(t.Context(), doctor.Options{Runner: &system.Recorder{}, Root: t.TempDir(), Machine: m, RestoreTools: restoreTools(m)})
		got := slices.ContainsFunc(checks, func(c doctor.Check) bool {
			return c.Name == "program efibootmgr" && c.Needed && c.Status == doctor.NotFound && slices.Equal(c.Packages, []string{"efibootmgr"})
		})
		if got != want {
			t.Errorf("%s: efibootmgr is needed is not %v: %+v", name, want, checks)
		}
	}
}
