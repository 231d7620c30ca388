package inspect

import (
	"os"
	"path/filepath"
	"slices"
	"testing"
)

// A sysfs with vda (vda1, vda2), vdb, and dm-0 that lies on vda2 and vdb.
func TestWholeDisks(t *testing.T) {
	sys := t.TempDir()
	mk := func(dir string, files ...string) {
		p := filepath.Join(sys, "devices", dir)
		if err := os.MkdirAll(p, 0o755); err != nil {
			t.Fatal(err)
		}
		for _, f := range files {
			if err := os.WriteFile(filepath.Join(p, f), []byte("1\n"), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		_ = os.MkdirAll(filepath.Join(sys, "class/block"), 0o755)
		_ = os.Symlink(p, filepath.Join(sys, "class/block", filepath.Base(dir)))
	}
	mk("vda")
	mk("vda/vda1", "partition")
	mk("vda/vda2", "partition")
	mk("vdb")
	mk("dm-0")
	for _, s := range []string{"vda2", "vdb"} {
		if err := os.MkdirAll(filepath.Join(sys, "devices/dm-0/slaves", s), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	for name, want := range map[string][]string{"vda": {"vda"}, "vda1": {"vda"}, "vdb": {"vdb"}, "dm-0": {"vda", "vdb"}} {
		got, err := WholeDisks(sys, name)
		if err != nil || !slices.Equal(got, want) {
			t.Errorf("%s: %v, %v; want %v", name, got, err, want)
		}
	}
	if _, err := WholeDisks(sys, "sdz"); err == nil {
		t.Error("a device that is not there has no disks and no error")
	}
}

func TestDisksOfThisRoot(t *testing.T) {
	if got, err := DisksOf("/proc"); err != nil || len(got) != 0 {
		t.Errorf("/proc lies on %v, %v", got, err)
	}
	if _, err := DisksOf("/no/such/path"); err == nil {
		t.Error("no error for a path that is not there")
	}
}
