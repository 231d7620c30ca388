package cli

import (
	"path"

	"github.com/mkcdrec/mkcdrec/internal/archive"
	"github.com/mkcdrec/mkcdrec/internal/backup"
	"github.com/mkcdrec/mkcdrec/internal/fail"
	"github.com/mkcdrec/mkcdrec/internal/plan"
	"github.com/mkcdrec/mkcdrec/internal/restore"
)

// coversFS refuses to make a file system anew that the backup has not wholly:
// for --only, or because all that is on it was left out by --exclude. Single
// files that match a pattern are what the administrator did without.
func coversFS(m *archive.Manifest, scope *plan.Scope) error {
	if err := restore.Covers(m, scope); err != nil {
		return err
	}
	patterns, err := backup.CompilePatterns(m.Exclude)
	if err != nil {
		return fail.New(fail.Damaged, "the exclude patterns in the manifest: %w", err)
	}
	for _, mount := range scope.Mounts {
		// A name that nobody has is matched by what matches every name.
		for p := path.Join(mount, "any\x00name"); p != "/"; p = path.Dir(p) {
			if patterns.Excluded(p[1:]) {
				return fail.Hint(fail.New(fail.Refused, "what is on %s was left out of this backup: %s", mount, m.Exclude),
					"choose another backup: --id; see: mkcdrec list")
			}
		}
	}
	return nil
}
