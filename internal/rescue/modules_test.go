package rescue

import (
	"os"
	"path/filepath"
	"slices"
	"testing"
)

// fakeModules is a root with modules a -> b -> c and d, which stands alone.
// The test binary is an ELF file without .modinfo: a module that names nothing.
func fakeModules(t *testing.T) *modules {
	t.Helper()
	root := t.TempDir()
	dir := "/lib/modules/6.1.0"
	write(t, root, dir+"/modules.dep", "kernel/a.ko: kernel/b.ko kernel/c-x.ko\nkernel/b.ko: kernel/c-x.ko\nkernel/c-x.ko:\nkernel/d.ko:\n")
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	if err := os.MkdirAll(filepath.Join(root, dir, "kernel"), 0o755); err != nil {
		t.Fatal(err)
	}
	for _, n := range []string{"a", "b", "c-x", "d"} {
		if err := os.Symlink(self, filepath.Join(root, dir, "kernel", n+".ko")); err != nil {
			t.Fatal(err)
		}
	}
	m, err := readModules(NewTree(root), Kernel{Version: "6.1.0", Modules: dir})
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func TestChooseModules(t *testing.T) {
	for _, c := range []struct {
		what            string
		set             ModuleSet
		extra, excluded []string
		want            []string
	}{
		{"all", AllModules, nil, nil, []string{"kernel/a.ko", "kernel/b.ko", "kernel/c-x.ko", "kernel/d.ko"}},
		{"with dependencies", HostModules, []string{"b"}, nil, []string{"kernel/b.ko", "kernel/c-x.ko"}},
		{"what needs an excluded one goes with it", AllModules, nil, []string{"c_x"}, []string{"kernel/d.ko"}},
		{"what it needs stays", AllModules, nil, []string{"a"}, []string{"kernel/b.ko", "kernel/c-x.ko", "kernel/d.ko"}},
		{"excluded goes before wanted", HostModules, []string{"a", "d"}, []string{"b"}, []string{"kernel/d.ko"}},
	} {
		files, _, unknown, err := fakeModules(t).choose(c.set, nil, c.extra, c.excluded)
		if err != nil || len(unknown) > 0 || !slices.Equal(files, c.want) {
			t.Errorf("%s: %v, unknown %v, %v; want %v", c.what, files, unknown, err, c.want)
		}
	}
	if _, _, unknown, _ := fakeModules(t).choose(HostModules, nil, []string{"zz"}, nil); !slices.Equal(unknown, []string{"zz"}) {
		t.Errorf("unknown modules: %v", unknown)
	}
}
