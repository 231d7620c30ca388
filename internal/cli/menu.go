package cli

import (
	"context"

	"github.com/spf13/cobra"

	"github.com/mkcdrec/mkcdrec/internal/fail"
	"github.com/mkcdrec/mkcdrec/internal/ui"
)

// menu is what mkcdrec shows without a verb: the choices of the original.
func (a *app) menu(cmd *cobra.Command) error {
	if err := needRoot("make a recovery medium"); err != nil {
		return err
	}
	return a.offer(cmd.Context(), a.runRescue, a.runBackup)
}

// offer shows the menu until something was made or the person quits. What went
// wrong is said where it happened, and decides the exit code if nothing better
// follows.
func (a *app) offer(ctx context.Context, makeRescue, makeBackup func(context.Context, makeFlags) error) error {
	var wrong error
	for {
		a.showMenu()
		answer, err := a.ui.Ask("Your choice [1-5]:")
		if err != nil {
			return err
		}
		f := makeFlags{out: a.settings.ImageDir}
		switch answer {
		case "1":
			err = makeRescue(ctx, f)
		case "2":
			f.ask = true
			err = makeBackup(ctx, f)
		case "3":
			f.ask = true
			if f.to, err = a.askPath(); err != nil {
				return err
			}
			if f.to == "" {
				continue
			}
			err = makeBackup(ctx, f)
		case "4":
			a.ui.Say("This version cannot write to tape: choose 3, and copy that directory to the tape.")
			continue
		case "5", "q", "":
			return wrong
		default:
			a.ui.Say("Please type a number from 1 to 5.")
			continue
		}
		if err == nil || fail.KindOf(err) == fail.Warnings || ctx.Err() != nil {
			return err
		}
		a.ui.Error(err)
		wrong = err
	}
}

func (a *app) showMenu() {
	a.ui.Say("")
	a.ui.Say("  %s  make a recovery medium of this machine", a.ui.Styled(ui.Bold, "mkcdrec "+Version))
	a.ui.Say("")
	for _, l := range []string{
		"1) Rescue medium only (no backup)",
		"2) Recovery image with the backup in it, to burn or to copy to a USB stick",
		"3) Backup into another path (spare disk or NFS), and the medium that restores it",
		"4) Backup to a tape device (not in this version)",
		"5) Quit",
	} {
		a.ui.Say("    %s", l)
	}
	a.ui.Say("")
}

// askPath asks where a backup is to go; "" is the way back. No answer is no
// path: it would be the choice of a backup into the image.
func (a *app) askPath() (string, error) {
	for {
		where, err := a.ui.Ask("Path, such as /mnt/nas/backups:")
		switch {
		case err != nil:
			return "", err
		case where == "q":
			return "", nil
		case where != "":
			return where, nil
		}
		a.ui.Say("Please type a path, or q to go back.")
	}
}
