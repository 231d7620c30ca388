package cli

import (
	"github.com/spf13/cobra"

	"github.com/mkcdrec/mkcdrec/internal/fail"
	"github.com/mkcdrec/mkcdrec/internal/ui"
)

// menu is what mkcdrec shows without a verb: the choices of the original.
func (a *app) menu(cmd *cobra.Command) error {
	if err := needRoot("make a recovery medium"); err != nil {
		return err
	}
	a.ui.Say("")
	a.ui.Say("  %s  make a recovery medium of this machine", a.ui.Styled(ui.Bold, "mkcdrec "+Version))
	a.ui.Say("")
	for _, l := range []string{
		"1) Rescue medium only (no backup)",
		"2) Recovery image with the backup in it, to burn or to copy to a USB stick",
		"3) Backup into another path (spare disk or NFS), and the medium that restores it",
		"4) Backup to a tape device",
		"5) Quit",
	} {
		a.ui.Say("    %s", l)
	}
	a.ui.Say("")
	for {
		answer, err := a.ui.Ask("Your choice [1-5]:")
		if err != nil {
			return err
		}
		ctx := cmd.Context()
		switch answer {
		case "1":
			return a.runRescue(ctx, makeFlags{out: a.settings.ImageDir})
		case "2":
			return a.runBackup(ctx, makeFlags{out: a.settings.ImageDir, ask: true})
		case "3":
			where, err := a.ui.Ask("Path, such as /mnt/nas/backups:")
			if err != nil {
				return err
			}
			return a.runBackup(ctx, makeFlags{out: a.settings.ImageDir, to: where, ask: true})
		case "4":
			return fail.Hint(fail.New(fail.Unsupported, "this version cannot write to tape"), "choose 3 and copy the directory to tape")
		case "5", "q", "":
			return nil
		}
		a.ui.Say("Please type a number from 1 to 5.")
	}
}
