package cli

import (
	"github.com/spf13/cobra"
	"github.com/spf13/cobra/doc"

	"github.com/mkcdrec/mkcdrec/internal/fail"
)

func (a *app) manCommand() *cobra.Command {
	return &cobra.Command{
		Use:    "man DIR",
		Short:  "write the manual pages into a directory",
		Hidden: true,
		Args:   cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			root := cmd.Root()
			root.DisableAutoGenTag = true
			if c, _, err := root.Find([]string{"completion"}); err == nil && c != root {
				c.Hidden = true // cobra's own, with a page for each shell: not for people
			}
			if err := doc.GenManTree(root, &doc.GenManHeader{Section: "8", Manual: "System Administration", Source: "mkcdrec"}, args[0]); err != nil {
				return fail.New(fail.Failed, "cannot write the manual pages: %w", err)
			}
			return nil
		},
	}
}
