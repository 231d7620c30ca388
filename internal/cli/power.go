package cli

import (
	"os"

	"github.com/spf13/cobra"
	"github.com/spf13/cobra/doc"

	"github.com/mkcdrec/mkcdrec/internal/fail"
	"github.com/mkcdrec/mkcdrec/internal/rescueinit"
)

// powerCommands are poweroff, reboot and halt of the rescue system.
func (a *app) powerCommands() []*cobra.Command {
	var all []*cobra.Command
	for _, verb := range []string{"poweroff", "reboot", "halt"} {
		all = append(all, &cobra.Command{
			Use:                verb,
			Short:              verb + " the rescue system: unmounts first",
			Hidden:             true,
			Args:               cobra.ArbitraryArgs, // -f and the like, from habit
			DisableFlagParsing: true,
			RunE: func(*cobra.Command, []string) error {
				if _, err := os.Stat("/etc/mkcdrec/rescue.json"); err != nil {
					return fail.New(fail.Refused, "this is not a rescue system")
				}
				return rescueinit.Signal(verb)
			},
		})
	}
	return all
}

func (a *app) manCommand() *cobra.Command {
	return &cobra.Command{
		Use:    "man DIR",
		Short:  "write the manual pages into a directory",
		Hidden: true,
		Args:   cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			root := cmd.Root()
			root.DisableAutoGenTag = true
			if err := doc.GenManTree(root, &doc.GenManHeader{Section: "8", Manual: "System Administration", Source: "mkcdrec"}, args[0]); err != nil {
				return fail.New(fail.Failed, "cannot write the manual pages: %w", err)
			}
			return nil
		},
	}
}
