package cli

import (
	"fmt"

	"github.com/mkcdrec/mkcdrec/internal/fail"
	"github.com/mkcdrec/mkcdrec/internal/restore"
)

// checkAnswers reads the answer file as the restore will: what is wrong in it
// is found now, and not in the disaster. to is where the backup goes; "": into
// the image.
func (f makeFlags) checkAnswers(to string) error {
	if f.answers == "" {
		return nil
	}
	if len(f.only) > 0 {
		return fail.Hint(fail.New(fail.Usage, "--only and --answers exclude each other: a backup of some paths restores no machine"),
			"leave one of them out; files come back by: mkcdrec extract")
	}
	if to != "" {
		return fail.Hint(fail.New(fail.Usage, "--answers needs the backup on the medium: in the rescue system nobody mounts %s before an unattended restore", to),
			"leave --to out (and backup_to in the settings), or give the answers by hand: mkcdrec restore --answers FILE BACKUP")
	}
	ans, err := restore.ReadAnswers(f.answers)
	if err != nil {
		return fmt.Errorf("%s: %w", f.answers, err)
	}
	if ans.Backup != "" {
		return fail.Hint(fail.New(fail.Usage, "%s: backup = %q cannot be the one that is made now", f.answers, ans.Backup),
			"leave it out: there is one backup on the medium")
	}
	return nil
}
