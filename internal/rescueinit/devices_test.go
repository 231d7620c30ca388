package rescueinit

import (
	"bytes"
	"encoding/binary"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"testing"
	"testing/fstest"
	"time"

	"golang.org/x/sys/unix"
)

// TestVolumeLabel reads the label of an image that another program made.
func TestVolumeLabel(t *testing.T) {
	tool, err := exec.LookPath("genisoimage")
	if err != nil {
		t.Skip("needs genisoimage, a writer of ISO images that is not ours")
	}
	dir := t.TempDir()
	iso := filepath.Join(dir, "x.iso")
	if out, err := exec.Command(tool, "-quiet", "-V", "MKCDREC_1A2B3C4D", "-o", iso, "testdata").CombinedOutput(); err != nil {
		t.Fatalf("genisoimage: %v\n%s", err, out)
	}
	label, err := labelOf(iso)
	if err != nil || label != "MKCDREC_1A2B3C4D" {
		t.Errorf("label %q, %v", label, err)
	}
	if got := volumeLabel(bytes.NewReader(make([]byte, 64<<10))); got != "" {
		t.Errorf("an empty device has the label %q", got)
	}
	if got := volumeLabel(bytes.NewReader(nil)); got != "" {
		t.Errorf("a device of no size has the label %q", got)
	}
}

func TestIsOurs(t *testing.T) {
	tests := []struct {
		label, id string
		want      bool
	}{
		{"MKCDREC_1A2B3C4D", "1a2b3c4d", true}, {"MKCDREC_1A2B3C4E", "1a2b3c4d", false}, {"MKCDREC_1A2B3C4E", "", true}, {"DEBIAN", "", false}, {"", "", false}, {"", "1a2b3c4d", false},
	}
	for _, tt := range tests {
		if got := isOurs(tt.label, tt.id); got != tt.want {
			t.Errorf("isOurs(%q, %q) = %v", tt.label, tt.id, got)
		}
	}
}

func TestModaliases(t *testing.T) {
	file := func(s string) *fstest.MapFile { return &fstest.MapFile{Data: []byte(s)} }
	sys := fstest.MapFS{
		"pci0/0000:00:01.0/modalias": file("pci:v00001AF4d00001000\n"), "pci0/0000:00:02.0/modalias": file("pci:v00001AF4d00001000\n"),
		"pci0/0000:00:01.0/virtio0/modalias": file("virtio:d00000001v00001AF4\n"), "platform/x/modalias": file("\n"), "platform/x/uevent": file("MODALIAS=no\n"),
	}
	want := []string{"pci:v00001AF4d00001000", "virtio:d00000001v00001AF4"}
	if got := modaliases(sys); !reflect.DeepEqual(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestMaskRules(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "rules.d")
	// A rule of the recorded machine's own with that name must not survive.
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "69-lvm.rules"), []byte("RUN+=\"vgchange -ay\"\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := maskRules(dir); err != nil {
			t.Fatal(err)
		}
	}
	for _, n := range []string{"69-lvm.rules", "64-md-raid-assembly.rules"} {
		if l, err := os.Readlink(filepath.Join(dir, n)); err != nil || l != "/dev/null" {
			t.Errorf("%s: %q, %v", n, l, err)
		}
	}
}

func TestPressed(t *testing.T) {
	event := func(kind, code uint16, value int32) []byte {
		b := make([]byte, 24)
		binary.NativeEndian.PutUint16(b[16:], kind)
		binary.NativeEndian.PutUint16(b[18:], code)
		binary.NativeEndian.PutUint32(b[20:], uint32(value))
		return b
	}
	if pressed(bytes.NewReader(append(event(0, 0, 0), event(1, 116, 0)...))) {
		t.Error("a release counts as a press")
	}
	if !pressed(bytes.NewReader(append(event(0, 0, 0), event(1, 116, 1)...))) {
		t.Error("a press was not seen")
	}
}

// TestReaper leaves the exit code of a program to the one who started it,
// and collects an orphan.
func TestReaper(t *testing.T) {
	if err := unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0); err != nil {
		t.Skipf("cannot become a subreaper: %v", err)
	}
	defer func() { _ = unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 0, 0, 0, 0) }()
	k := newChildren()
	cmd := exec.Command("/bin/sh", "-c", "(sleep 0.2) & exit 7")
	if err := k.start(cmd); err != nil {
		t.Fatal(err)
	}
	deadline := time.Now().Add(5 * time.Second)
	for stop := time.Now().Add(100 * time.Millisecond); time.Now().Before(stop); time.Sleep(5 * time.Millisecond) {
		if k.reapOne() {
			t.Fatal("the reaper took a program that somebody waits for")
		}
	}
	err := k.wait(cmd)
	if ee, ok := err.(*exec.ExitError); !ok || ee.ExitCode() != 7 {
		t.Fatalf("exit code lost: %v", err)
	}
	for !k.reapOne() {
		if time.Now().After(deadline) {
			t.Fatal("the orphan was not reaped")
		}
		time.Sleep(10 * time.Millisecond)
	}
}
