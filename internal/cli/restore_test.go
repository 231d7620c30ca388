package cli

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/spf13/cobra"

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

// Beside an answer file a wish would be a guard that does not hold.
func TestWishesBesideAnswersAreRefused(t *testing.T) {
	for flag, value := range map[string]string{"drop": "/scratch", "no-swap": "true", "size": "/home=40G", "fs": "/data=xfs"} {
		var f restoreFlags
		c := &cobra.Command{Use: "restore"}
		(&app{}).restoreFlags(c, &f)
		if err := c.Flags().Set(flag, value); err != nil {
			t.Fatal(err)
		}
		f.answers = "/nowhere/answers.toml"
		if _, err := f.answered(c); fail.KindOf(err) != fail.Usage || !strings.Contains(err.Error(), "--"+flag+" and --answers exclude each other") {
			t.Errorf("--%s: %v", flag, err)
		}
		f.answers = ""
		if ans, err := f.answered(c); err != nil || !ans.NoSwap && len(ans.Drop)+len(ans.Size)+len(ans.FS) != 1 {
			t.Errorf("--%s: %+v, %v", flag, ans, err)
		}
	}
}
