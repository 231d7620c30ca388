package rescue

import (
	"encoding/json"
	"fmt"
	"os"

	"github.com/mkcdrec/mkcdrec/internal/machine"
)

// addBase adds directories, links of a merged /usr, and the device nodes
// that the kernel needs before devtmpfs is mounted.
func addBase(t *Tree) {
	for _, d := range []string{"/bin", "/sbin", "/lib", "/lib64"} {
		if fi, err := os.Lstat(t.host(d)); err == nil && fi.Mode()&os.ModeSymlink != 0 {
			_, _ = t.AddHost(d) // adding a link that is there cannot fail but for a race, and then the files below bring it
		}
	}
	for _, d := range []string{"/dev", "/proc", "/sys", "/run", "/etc", "/mnt", "/media", "/var", "/var/log", "/var/lib", "/usr/bin", "/usr/sbin", "/home", "/opt"} {
		t.AddDir(d, 0o755)
	}
	t.AddDir("/root", 0o700)
	t.AddDir("/tmp", 0o777|os.ModeSticky)
	t.AddDir("/var/tmp", 0o777|os.ModeSticky)
	t.AddLink("/var/run", "../run")
	t.AddChar("/dev/console", 0o600, 5, 1)
	t.AddChar("/dev/null", 0o666, 1, 3)
	t.AddChar("/dev/kmsg", 0o644, 1, 11)
}

// hostFamily is the family of the machine below the tree's root.
func hostFamily(t *Tree) Family {
	b, _ := os.ReadFile(t.host("/etc/os-release")) // unknown: Debian
	return FamilyOf(string(b))
}

// addSettings adds the mkcdrec binary and the files that make programs at home.
func (c *Contents) addSettings(m machine.Machine, o Options) error {
	binary := o.Binary
	if binary == "" {
		binary = "/proc/self/exe"
	}
	if err := c.Tree.AddSource(BinaryPath, 0o755, binary); err != nil {
		return fmt.Errorf("cannot put mkcdrec into the rescue system: %w", err)
	}
	c.Tree.AddLink("/init", BinaryPath)
	for _, n := range Names {
		c.Tree.AddLink("/usr/bin/"+n, "mkcdrec")
	}
	id, err := json.MarshalIndent(o.Identity, "", "  ")
	if err != nil {
		return fmt.Errorf("cannot write the identity: %w", err)
	}
	c.Tree.AddData(IdentityPath, 0o644, append(id, '\n'))
	return nil
}
