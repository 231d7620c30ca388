package rescue

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/mkcdrec/mkcdrec/internal/fail"
)

func TestFindKernel(t *testing.T) {
	root := t.TempDir()
	for _, v := range []string{"6.1.0-9-amd64", "6.1.0-56-amd64", "6.1.0-100-amd64", "5.10.0-30-amd64", "6.12.1"} {
		write(t, root, "/lib/modules/"+v+"/modules.dep", "")
		if v != "6.12.1" { // its image is beside its modules, as in Fedora and Arch
			write(t, root, "/boot/vmlinuz-"+v, "")
		}
	}
	write(t, root, "/lib/modules/6.12.1/vmlinuz", "")
	write(t, root, "/lib/modules/7.0.0/modules.dep", "") // no image
	write(t, root, "/boot/vmlinuz-8.0.0", "")            // no modules
	for _, c := range []struct{ running, wish, want string }{
		{"6.1.0-9-amd64", "", "6.1.0-9-amd64"},
		{"7.0.0", "", "6.12.1"},
		{"", "6.1.0-56-amd64", "6.1.0-56-amd64"},
		{"6.12.1", "/boot/vmlinuz-5.10.0-30-amd64", "5.10.0-30-amd64"},
	} {
		k, err := FindKernel(root, c.running, c.wish)
		if err != nil || k.Version != c.want {
			t.Errorf("running %q, wished %q: %+v, %v", c.running, c.wish, k, err)
		}
	}
	if k, err := FindKernel(root, "", "8.0.0"); fail.KindOf(err) != fail.Unsupported || !strings.Contains(err.Error(), "8.0.0") {
		t.Errorf("a kernel without modules: %+v, %v", k, err)
	}
	if err := os.RemoveAll(filepath.Join(root, "lib/modules/6.12.1")); err != nil {
		t.Fatal(err)
	}
	if k, err := FindKernel(root, "", ""); err != nil || k.Version != "6.1.0-100-amd64" {
		t.Errorf("the newest: %+v, %v", k, err)
	}
	if _, err := FindKernel(t.TempDir(), "6.1.0", ""); fail.KindOf(err) != fail.Unsupported {
		t.Errorf("no kernel: %v", err)
	}
}

func TestKernelUnpacksZstd(t *testing.T) {
	k := Kernel{Version: "6.1.0", Modules: "/lib/modules/6.1.0"}
	for _, c := range []struct {
		file, config string
		refused      bool
	}{
		{"/etc/none", "", false},
		{"/boot/config-6.1.0", "CONFIG_RD_GZIP=y\nCONFIG_RD_ZSTD=y\n", false},
		{"/boot/config-6.1.0", "CONFIG_RD_GZIP=y\n# CONFIG_RD_ZSTD is not set\n", true},
		{"/lib/modules/6.1.0/config", "CONFIG_RD_GZIP=y\n", true},
	} {
		root := t.TempDir()
		write(t, root, c.file, c.config)
		if err := unpacksZstd(NewTree(root), k); (fail.KindOf(err) == fail.Unsupported) != c.refused || (err != nil) != c.refused {
			t.Errorf("%s %q: %v", c.file, c.config, err)
		}
	}
}

func TestFamilyOf(t *testing.T) {
	for text, want := range map[string]Family{
		"ID=debian\n": Debian, "ID=ubuntu\nID_LIKE=debian\n": Debian, "ID=\"rhel\"\nID_LIKE=\"fedora\"\n": Fedora, "ID=\"opensuse-leap\"\nID_LIKE=\"suse opensuse\"\n": SUSE,
		"NAME=Arch\nID=arch\n": Arch, "ID=linuxmint\nID_LIKE=\"ubuntu debian\"\n": Debian, "": Debian,
	} {
		if got := FamilyOf(text); got != want {
			t.Errorf("%q: %s", text, got)
		}
	}
}
