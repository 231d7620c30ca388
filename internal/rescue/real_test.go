package rescue

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/mkcdrec/mkcdrec/internal/machine"
	"github.com/mkcdrec/mkcdrec/internal/system"
)

// TestRealMachine builds the rescue system of this machine, unpacks it by
// cpio, and works in it as one would at its prompt.
func TestRealMachine(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("needs root to try programs in a chroot")
	}
	if len(InstalledKernels("/")) == 0 {
		t.Skip("needs an installed kernel (package linux-image-amd64)")
	}
	for _, p := range []string{"cpio", "zstd", "depmod", "groff", "lvm", "mdadm", "cryptsetup", "ssh"} {
		if _, err := (&system.Host{}).LookPath(p); err != nil {
			t.Skipf("needs %s", p)
		}
	}
	dir := t.TempDir()
	res, err := Build(t.Context(), &system.Host{}, machine.Machine{Hostname: "here"}, Options{Binary: "/bin/true", WorkDir: dir, Modules: HostModules, Level: 1})
	if err != nil {
		t.Fatal(err)
	}
	for _, w := range res.Warnings {
		t.Logf("warning: %s", w)
	}
	root := filepath.Join(dir, "root")
	if err := os.Mkdir(root, 0o755); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("sh", "-c", `zstd -dcq "$0" | cpio -idm --quiet --no-absolute-filenames`, res.InitramfsPath)
	cmd.Dir = root
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("cannot unpack it: %v\n%s", err, out)
	}
	image, err := os.ReadFile(res.InitramfsPath)
	if err != nil {
		t.Fatal(err)
	}
	var entries []*Entry
	for p, f := range readImage(t, image) {
		if f.mode&0o170000 == 0o100000 && f.mode&0o111 != 0 {
			entries = append(entries, &Entry{Path: "/" + p, Mode: 0o755})
		}
	}
	if len(entries) < len(res.Programs)/2 {
		t.Errorf("%d files for %d programs", len(entries), len(res.Programs))
	}
	for p, why := range closed(root, entries) {
		t.Errorf("%s lacks something: %v", p, why)
	}
	for _, pattern := range []string{"libgcc_s.so.1", "ossl-modules/legacy.so", "gconv/IBM850.so", "gconv/gconv-modules", "device-mapper/libdevmapper-event-lvm2*.so", "libdevmapper-event-lvm2*.so", "cryptsetup/*.so"} {
		for _, p := range newClosure(NewTree("/")).glob([]string{pattern}) {
			if !isFile(NewTree(root), p) {
				t.Errorf("%s, which a program opens by name, is not on board", p)
			}
		}
	}
	for _, c := range []struct{ command, want string }{
		{"whoami", "root\n"},
		{"id -gn", "root\n"},
		{"bash -lc 'echo $LANG'", "C.UTF-8\n"},
		{"unset LC_ALL; bash -lc 'printf ü | wc -m'", "1\n"},
		{"getent hosts localhost", "localhost"},
		{"getent group disk", "disk:x:6:"},
		{"cat /etc/hostname", "here\n"},
		{"man mount", "mount - mount a filesystem"},
		{"man 5 fstab", "fstab"},
		{"man -k lvm", "lvm.8"},
		{"debugfs -V 2>&1", "debugfs"},
		{"lvm version", "LVM version"},
		{"lvs --version", "LVM version"},
		{"mdadm --version 2>&1", "mdadm"},
		{"cryptsetup --version", "cryptsetup"},
		{"ssh -V 2>&1", "OpenSSH"},
		{"sfdisk --version", "sfdisk"},
		{"modinfo -k " + res.KernelVersion + " -F filename ext4", "ext4.ko"},
		{"truncate -s 64M /tmp/x && mkfs.ext4 -q /tmp/x && e2fsck -fn /tmp/x", "0.0%"},
		{"ls /init", "/init"},
		{"mkfs.vfat -C /tmp/v 4096 2>&1 | grep -c conversion; true", "0\n"}, // code page 850 is a library that it opens
	} {
		r, err := (&system.Host{}).Run(t.Context(), system.Command{Name: "/bin/bash", Args: []string{"-c", c.command}, Chroot: root, Proc: true, Dir: "/", Env: []string{"MANPAGER=cat"}})
		if err != nil || !strings.Contains(string(r.Stdout), c.want) {
			t.Errorf("%s: %.300q, %v", c.command, r.Stdout, err)
		}
	}
}
