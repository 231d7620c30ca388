package vm

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/mkcdrec/mkcdrec/internal/rehearse/qemu"
)

// volumesSay is what LVM itself says of groups, members and volumes, the hidden
// parts of pools and mirrors included: how they lie, where, how large they are.
// The UUIDs of groups and volumes are new after a restore. Neither is it the
// same how far mirrors are in step, where exactly an extent lies, and where LVM
// keeps its spare metadata.
const volumesSay = `export LC_ALL=C
vgs --noheadings --units b -o vg_name,vg_extent_size,vg_tags,pv_count,lv_count
pvs --noheadings --units b -o pv_name,pv_uuid,pv_size,pe_start,pv_tags
lvs --noheadings --units b -a -O lv_name -o lv_name,lv_size,segtype,lv_tags,lv_metadata_size,chunk_size,discards,zero,lv_when_full,pool_lv,data_stripes,region_size,stripe_size
lvs --noheadings -a -O lv_name -o lv_name,devices | grep -v pmspare | sed 's/([0-9]*)//g'`

// saidFile keeps beside the medium what the original said.
const saidFile = "said.txt"

// saysTheSame compares what the scenario's command says in the restored machine
// with what it said in the original.
func (s scenario) saysTheSame(ctx context.Context, t *testing.T, vm *qemu.VM, f *Fixture, dir string) {
	t.Helper()
	if kept := os.Getenv("MKCDREC_MEDIUM_FROM"); kept != "" {
		dir = kept
	}
	was, err := os.ReadFile(filepath.Join(dir, saidFile))
	if err != nil {
		t.Fatal(err)
	}
	is, err := vm.SSH(ctx, f.Key, s.says, nil)
	if err != nil {
		t.Fatalf("%v\n%s", err, is)
	}
	if strings.Count(string(was), "\n") < 5 {
		t.Errorf("the original said hardly anything:\n%s", was)
	}
	if string(is) != string(was) {
		t.Errorf("the restored machine says:\n%s\nthe original said:\n%s", is, was)
	}
	t.Logf("both say:\n%s", was)
}
