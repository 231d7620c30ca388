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
