package cli

import (
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/mkcdrec/mkcdrec/internal/archive"
	"github.com/mkcdrec/mkcdrec/internal/fail"
	"github.com/mkcdrec/mkcdrec/internal/ui"
)

func (a *app) listCommand() *cobra.Command {
	return &cobra.Command{
		Use:     "list BACKUPS",
		Short:   "list the backups on a medium or in a directory",
		Example: "  mkcdrec list file:///mnt/nas/backups",
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			src, closeSrc, err := openSource(args[0])
			if err != nil {
				return err
			}
			defer closeSrc()
			found, err := archive.List(cmd.Context(), src)
			if err != nil {
				return err
			}
			if len(found) == 0 {
				return fail.Hint(fail.New(fail.Damaged, "no complete backup in %s", args[0]), "a backup without manifest.json was not finished; a medium made by `mkcdrec rescue` holds none")
			}
			a.ui.Say("%-28s %-16s %-20s %10s %10s %s", "ID", "HOST", "MADE", "CONTENT", "STORED", "WARNINGS")
			var broken error
			for _, f := range found {
				if f.Err != nil {
					a.ui.Warn("%s: %v", f.Prefix, f.Err)
					broken = f.Err
					continue
				}
				m := f.Manifest
				part := ""
				if m.Partial() {
					part = "  only " + strings.Join(m.Only, ", ")
				}
				a.ui.Say("%-28s %-16s %-20s %10s %10s %d%s", m.ID, m.Host, m.Begun.UTC().Format(time.DateTime), ui.Size(m.Counts.Content), ui.Size(m.Counts.Stored), m.Warned, part)
				a.ui.Event("backup", m)
			}
			return broken
		},
	}
}

func itoa(n int) string { return strconv.Itoa(n) }
