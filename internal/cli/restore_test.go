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
	for flag, value := range map[string]string{"drop": "/scratch", "no-swap": "true", "size": "/home=40G", "fs": "/data=xfs",
		"flatten": "md0", "mirror": "sdb", "onto-one": "true"} {
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
		if ans, err := f.answered(c); err != nil || !ans.NoSwap && !ans.OntoOne && len(ans.Drop)+len(ans.Size)+len(ans.FS)+len(ans.Flatten) != 1 && ans.Mirror != "sdb" {
			t.Errorf("--%s: %+v, %v", flag, ans, err)
		}
	}
}

// A word behind a flag that needs no value is taken for a backup: that is said.
func TestFlagsThatMayHaveAValue(t *testing.T) {
	for _, args := range [][]string{{"--flatten", "md0"}, {"--mirror", "sdb"}, {"--flatten=md0"}, {"--flatten", "/mnt/backups"}, {"--mirror=sdb", "./here"}} {
		var f restoreFlags
		c := &cobra.Command{Use: "restore"}
		(&app{}).restoreFlags(c, &f)
		if err := c.ParseFlags(args); err != nil {
			t.Fatal(err)
		}
		err := optionalValue(c.Flags().Args(), f)
		if wrong := len(args) == 2 && !strings.Contains(args[1], "/"); wrong != (fail.KindOf(err) == fail.Usage && strings.Contains(fail.HintOf(err), args[0]+"="+args[1])) {
			t.Errorf("%q: %v (%s)", args, err, fail.HintOf(err))
		}
	}
}
