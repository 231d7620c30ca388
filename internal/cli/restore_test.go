package cli

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"testing"

	"github.com/mkcdrec/mkcdrec/internal/backup"
	"github.com/mkcdrec/mkcdrec/internal/fail"
	"github.com/mkcdrec/mkcdrec/internal/restore"
)

// An unattended restore on a console and a hand that types one by ssh would
// write the same disk: the second is refused before it looks at anything.
func TestOneRestoreAtATime(t *testing.T) {
	if err := os.MkdirAll(filepath.Dir(backup.LockFile), 0o755); errors.Is(err, fs.ErrPermission) || os.Geteuid() != 0 {
		t.Skip("needs root for the lock file")
	}
	release, err := backup.Lock(backup.LockFile)
	if err != nil {
		t.Skipf("a real run holds the lock: %v", err)
	}
	_, err = (&app{}).runPlan(context.Background(), restore.Options{}, 0)
	release()
	if fail.KindOf(err) != fail.Refused {
		t.Errorf("a second restore beside another run: %v", err)
	}
}
