package cli

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/mkcdrec/mkcdrec/internal/archive"
	"github.com/mkcdrec/mkcdrec/internal/backup"
	"github.com/mkcdrec/mkcdrec/internal/fail"
	"github.com/mkcdrec/mkcdrec/internal/machine/machinetest"
	"github.com/mkcdrec/mkcdrec/internal/store/dir"
	"github.com/mkcdrec/mkcdrec/internal/ui"
)

// partialBackup is a backup of /etc alone that records a whole machine.
func partialBackup(t *testing.T) (where string) {
	t.Helper()
	root, where := t.TempDir(), t.TempDir()
	if err := os.MkdirAll(filepath.Join(root, "etc"), 0o755); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"etc/hostname", "other"} {
		if err := os.WriteFile(filepath.Join(root, name), []byte("web1\n"), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	s, err := dir.Open(where)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	m := machinetest.Get("uefi-plain")
	layout, err := m.Layout()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := backup.Run(t.Context(), backup.Options{Root: root, Only: []string{"/etc"}, Sink: s, Lock: "-",
		Writer: archive.WriterOptions{Prefix: "web1", Layout: layout, WorkDir: t.TempDir()}}); err != nil {
		t.Fatal(err)
	}
	return where
}

// The layout of a backup of one directory is that of all disks: nothing may
// begin with it, and a plan says so already.
func TestPartialBackupRestoresNoMachine(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("needs root: restore asks for it first")
	}
	where := partialBackup(t)
	for _, verb := range []string{"restore", "clone"} {
		out, code := says(t, verb, "--plan", where)
		if code != int(fail.Refused) || !strings.Contains(out, "has only /etc, not the whole machine") || !strings.Contains(out, "hint:") || !strings.Contains(out, "mkcdrec extract") {
			t.Errorf("%s: exit code %d:\n%s", verb, code, out)
		}
	}
	if out, code := says(t, "list", where); code != 0 || !strings.Contains(out, "  only /etc\n") {
		t.Errorf("list: exit code %d:\n%s", code, out)
	}
	into := t.TempDir()
	if out, code := says(t, "extract", where, "--into", into); code != 0 || !fileExists(filepath.Join(into, "etc/hostname")) {
		t.Errorf("extract: exit code %d:\n%s", code, out)
	}
}

// An image with some files on it is not called what brings a machine back.
func TestPartialImageIsAnnouncedAsSuch(t *testing.T) {
	for _, only := range [][]string{nil, {"/etc"}} {
		var out bytes.Buffer
		j := &job{app: &app{ui: &ui.Printer{Out: &out, Err: &out, Now: time.Now}}, f: makeFlags{only: only}, image: "/srv/web1.iso"}
		j.announce(1 << 30)
		if only != nil && !strings.Contains(out.String(), "Medium with a part of the files: /srv/web1.iso") {
			t.Errorf("the files on it are not named: %s", out.String())
		}
		whole := strings.Contains(out.String(), "Recovery medium: /srv/web1.iso (1.0 GiB)")
		part := strings.Contains(out.String(), "has only /etc: it cannot bring the machine back")
		if whole == (only != nil) || part == whole {
			t.Errorf("only %v: %s", only, out.String())
		}
	}
}
