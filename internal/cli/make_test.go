package cli

import (
	"slices"
	"testing"

	"github.com/mkcdrec/mkcdrec/internal/machine/machinetest"
	"github.com/mkcdrec/mkcdrec/internal/rescue"
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
