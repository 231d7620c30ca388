package cli

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/mkcdrec/mkcdrec/internal/archive"
	"github.com/mkcdrec/mkcdrec/internal/backup"
	"github.com/mkcdrec/mkcdrec/internal/machine"
	"github.com/mkcdrec/mkcdrec/internal/machine/machinetest"
	"github.com/mkcdrec/mkcdrec/internal/plan"
	"github.com/mkcdrec/mkcdrec/internal/restore"
	"github.com/mkcdrec/mkcdrec/internal/store/dir"
)

// A plan with wishes counts what it unpacks, and knows how much content there
// is for a file system of another kind.
func TestPlanWithWishesCountsWhatItUnpacks(t *testing.T) {
	root, where := t.TempDir(), t.TempDir()
	for name, size := range map[string]int64{"etc/hostname": 5, "home/a": 1000, "home/b": 3 << 20} {
		if err := os.MkdirAll(filepath.Dir(filepath.Join(root, name)), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(root, name), make([]byte, size), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	s, err := dir.Open(where)
	if err != nil {
		t.Fatal(err)
	}
	m := machinetest.UEFILVM()
	layout, err := m.Layout()
	if err != nil {
		t.Fatal(err)
	}
	_, err = backup.Run(t.Context(), backup.Options{Root: root, Only: []string{"/etc", "/home"}, Sink: s, Lock: "-",
		Writer: archive.WriterOptions{Prefix: "lvm", Layout: layout, WorkDir: t.TempDir()}})
	if err != nil {
		t.Fatal(err)
	}
	b, err := openBackup(t.Context(), where, "", false)
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	src := &recovery{b: b, recorded: m}
	byAnswers := func(ans restore.Answers) (plan.Plan, machine.Bytes, error) {
		return makePlan(t.Context(), src, m, ans, false)
	}
	_, all, err := byAnswers(restore.Answers{})
	if err != nil {
		t.Fatal(err)
	}
	p, content, err := byAnswers(restore.Answers{Drop: []string{"/home"}})
	if err != nil {
		t.Fatal(err)
	}
	if content != 5 || all != 3<<20+1005 || p.Changes == nil {
		t.Errorf("%d bytes are unpacked, and %d without wishes; the changes are %+v", content, all, p.Changes)
	}
	// Kept in a file, it is carried out with its wishes.
	renewed, content, err := plannedAgain(t, p, src, m)
	if err != nil || content != 5 || renewed.Digest() != p.Digest() || renewed.Paths().Holds("home/a") {
		t.Errorf("%d bytes, %v, changes %+v", content, err, renewed.Changes)
	}
	if p, _, err = byAnswers(restore.Answers{FS: map[string]string{"/home": "ext4"}}); err != nil || p.Target.FileSystemOn(machine.LVRef("vg0", "home")).Kind != "ext4" {
		t.Errorf("got %v", err)
	}
	// What was compressed on the recorded file system needs more than was used.
	home := &src.recorded.FileSystems[3]
	home.Used, home.Size = 1<<10, 24<<20
	src.recorded.VolumeGroups[0].Volume("home").Size = 24 << 20
	if _, _, err = byAnswers(restore.Answers{FS: map[string]string{"/home": "ext4"}}); err == nil || !strings.Contains(err.Error(), "as ext4 it needs at least 24.1 MiB") {
		t.Errorf("got %v", err)
	}
}

// plannedAgain is a plan that went through a file.
func plannedAgain(t *testing.T, p plan.Plan, src *recovery, here machine.Machine) (plan.Plan, machine.Bytes, error) {
	t.Helper()
	f, err := plan.NewFile(p, here, nil, "test", time.Now())
	if err != nil {
		t.Fatal(err)
	}
	b, err := f.Encode()
	if err != nil {
		t.Fatal(err)
	}
	saved, err := plan.ReadFile(b)
	if err != nil {
		t.Fatal(err)
	}
	return planned(t.Context(), &saved, src, here, restore.Answers{}, false, false)
}
