package btrfs

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/mkcdrec/mkcdrec/internal/system"
)

// mounted makes a btrfs of real tools on loop devices and mounts it.
func mounted(t *testing.T, options string, devices int, args ...string) (dir string, loops []string) {
	t.Helper()
	if os.Getuid() != 0 {
		t.Skip("needs root for loop devices")
	}
	for _, n := range []string{"mkfs.btrfs", "losetup"} {
		if _, err := exec.LookPath(n); err != nil {
			t.Skip(n + " is not installed")
		}
	}
	run := func(name string, args ...string) string {
		t.Helper()
		out, err := exec.Command(name, args...).CombinedOutput()
		if err != nil {
			t.Fatalf("%s %v: %v\n%s", name, args, err, out)
		}
		return string(out)
	}
	base := t.TempDir()
	for i := range devices {
		p := filepath.Join(base, "image"+string(rune('0'+i)))
		if err := os.WriteFile(p, nil, 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Truncate(p, 512<<20); err != nil {
			t.Fatal(err)
		}
		out, err := exec.Command("losetup", "-f", "--show", p).Output()
		if err != nil {
			t.Skip("there are no loop devices here: ", err)
		}
		loop := string(out[:len(out)-1])
		t.Cleanup(func() { _ = exec.Command("losetup", "-d", loop).Run() })
		loops = append(loops, loop)
	}
	run("mkfs.btrfs", append(append([]string{"-q", "-f"}, args...), loops...)...)
	dir = filepath.Join(base, "mnt")
	if err := os.Mkdir(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	run("btrfs", append([]string{"device", "scan"}, loops...)...)
	if out, err := exec.Command("mount", "-t", "btrfs", "-o", options, loops[0], dir).CombinedOutput(); err != nil {
		t.Skipf("btrfs cannot be mounted here: %v: %s", err, out)
	}
	t.Cleanup(func() { run("umount", "-R", dir) })
	return dir, loops
}

func TestOnlyDirectories(t *testing.T) {
	dir, _ := mounted(t, "subvolid=5", 1)
	h := &system.Host{}
	for _, s := range []string{"empty", "dirs", "file", "link"} {
		if err := CreateSubvolume(t.Context(), h, filepath.Join(dir, s)); err != nil {
			t.Fatal(err)
		}
	}
	for i := range 300 { // more than one answer of the kernel holds
		if err := os.MkdirAll(filepath.Join(dir, "dirs", string(rune('a'+i%26)), string(rune(0x4e00+i))), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.MkdirAll(filepath.Join(dir, "link", string(rune(0x4e00+i))), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	if err := CreateSubvolume(t.Context(), h, filepath.Join(dir, "dirs", "nested")); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "file", "f"), nil, 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("x", filepath.Join(dir, "link", "l")); err != nil {
		t.Fatal(err)
	}
	subvols, err := Subvolumes(t.Context(), h, dir)
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]bool{"empty": true, "dirs": true, "file": false, "link": false, "dirs/nested": true}
	for _, s := range subvols {
		got, err := OnlyDirectories(dir, s.ID)
		if err != nil || got != want[s.Path] {
			t.Errorf("%s holds only directories: %v (%v), want %v", s.Path, got, err, want[s.Path])
		}
	}
	if len(subvols) != len(want) {
		t.Errorf("subvolumes %+v", subvols)
	}
	if _, err := OnlyDirectories(dir, 9999); err == nil {
		t.Error("a subvolume that is not there was looked into")
	}
}

func FuzzDirectories(f *testing.F) {
	f.Add(make([]byte, 200), 3)
	f.Fuzz(func(t *testing.T, b []byte, n int) {
		_, _, seen := directories(b, n)
		if seen*32 > len(b) {
			t.Errorf("%d items in %d bytes", seen, len(b))
		}
	})
}
