package restore

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/mkcdrec/mkcdrec/internal/archive"
	"github.com/mkcdrec/mkcdrec/internal/backup"
	"github.com/mkcdrec/mkcdrec/internal/fail"
	"github.com/mkcdrec/mkcdrec/internal/plan"
	"github.com/mkcdrec/mkcdrec/internal/store/dir"
)

// Whoever made the plan: what has only some paths is refused by the check that
// comes before the first write.
func TestPartialBackupIsRefusedBeforeTheFirstWrite(t *testing.T) {
	root := t.TempDir()
	for _, d := range []string{"etc", "home"} {
		if err := os.MkdirAll(filepath.Join(root, d), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(root, d, "file"), []byte("x"), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	s, err := dir.Open(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	res, err := backup.Run(t.Context(), backup.Options{Root: root, Only: []string{"/home"}, Sink: s, Lock: "-", Writer: archive.WriterOptions{WorkDir: t.TempDir()}})
	if err != nil {
		t.Fatal(err)
	}
	b, err := archive.Open(t.Context(), s, res.Prefix)
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	for _, c := range []struct {
		scope   *plan.Scope
		refused bool
	}{
		{nil, true},
		{&plan.Scope{Mounts: []string{"/"}, Others: []string{"/home"}}, true},
		{&plan.Scope{Mounts: []string{"/home"}, Others: []string{"/"}}, false},
	} {
		err := FromArchive(b).Check(t.Context(), c.scope, func(int64) {})
		if (err != nil) != c.refused || c.refused && fail.KindOf(err) != fail.Refused {
			t.Errorf("%+v: %v", c.scope, err)
		}
	}
}

func TestFileSystemThatIsNotWhollyThere(t *testing.T) {
	home := []string{"/home"}
	for _, c := range []struct {
		name                  string
		only, exclude, mounts []string
		ok                    bool
	}{
		{"a backup of before only was recorded", nil, nil, home, true},
		{"asked for", []string{"/etc", "/home"}, nil, home, true},
		{"below what was asked for", []string{"/srv"}, nil, []string{"/srv/data"}, true},
		{"everything was asked for", []string{"/"}, nil, home, true},
		{"a part of it", []string{"/home/anna"}, nil, home, false},
		{"one that begins the same", []string{"/home"}, nil, []string{"/home2"}, false},
		{"another", []string{"/etc"}, nil, home, false},
		{"the root of what was asked for", []string{"/home"}, nil, []string{"/"}, false},
		{"one of two subvolumes", []string{"/home"}, nil, []string{"/", "/home"}, false},
		{"left out", nil, []string{"/home"}, home, false},
		{"left out with what is above", nil, []string{"/srv"}, []string{"/srv/data"}, false},
		{"all that is in it was left out", nil, []string{"/home/*"}, home, false},
		{"some files were left out", nil, []string{"/home/anna", "*.tmp", "/tmp/*", "node_modules"}, home, true},
		{"left out below another", nil, []string{"/tmp/*"}, []string{"/"}, true},
	} {
		err := Covers(&archive.Manifest{Only: c.only, Exclude: c.exclude}, &plan.Scope{Mounts: c.mounts})
		if (err == nil) != c.ok || err != nil && (fail.KindOf(err) != fail.Refused || fail.HintOf(err) == "") {
			t.Errorf("%s: %v", c.name, err)
		}
	}
}
