package system

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// A program in a chroot finds /proc and runs from a file system mounted
// noexec, and nobody else sees what was mounted for it.
func TestProcInChroot(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("needs root for a chroot")
	}
	busybox, err := exec.LookPath("busybox")
	if err != nil {
		t.Skip("needs busybox (package busybox-static)")
	}
	root := t.TempDir()
	if err := unix.Mount("tmpfs", root, "tmpfs", unix.MS_NOEXEC|unix.MS_NODEV, "size=8m"); err != nil {
		t.Skipf("needs to mount a tmpfs: %v", err)
	}
	defer func() {
		if err := unix.Unmount(root, 0); err != nil {
			t.Errorf("a mount was left behind: %v", err)
		}
	}()
	content, err := os.ReadFile(busybox)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(root, "busybox"), content, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(filepath.Join(root, "proc"), 0o755); err != nil {
		t.Fatal(err)
	}
	before := mounts(t)
	res, err := (&Host{}).Run(t.Context(), Command{Name: "/busybox", Args: []string{"readlink", "/proc/self/exe"}, Chroot: root, Proc: true, Dir: "/"})
	if err != nil || strings.TrimSpace(string(res.Stdout)) != "/busybox" {
		t.Errorf("with /proc: %q, %v", res.Stdout, err)
	}
	if after := mounts(t); after != before {
		t.Errorf("mounts changed:\n%s\nbefore:\n%s", after, before)
	}
	if _, err := (&Host{}).Run(t.Context(), Command{Name: "/busybox", Args: []string{"true"}, Chroot: root, Dir: "/"}); err == nil {
		t.Error("the file system is not mounted noexec: this test shows nothing")
	}
}

func mounts(t *testing.T) string {
	t.Helper()
	b, err := os.ReadFile("/proc/self/mounts")
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}
