package cli

import (
	"encoding/json"

	"github.com/spf13/cobra"

	"github.com/mkcdrec/mkcdrec/internal/fail"
	"github.com/mkcdrec/mkcdrec/internal/inspect"
	"github.com/mkcdrec/mkcdrec/internal/machine"
)

func (a *app) layoutCommand() *cobra.Command {
	var id string
	c := &cobra.Command{
		Use:   "layout [BACKUP]",
		Short: "show what is known about this machine, or about the one in a backup",
		Long: `Shows disks, partitions, RAID arrays, volume groups, file systems, mount points, firmware,
boot loader and network as they would be recorded, and what could not be
understood. It only reads.`,
		Example: `  mkcdrec layout
  mkcdrec layout --json | jq .disks
  mkcdrec layout web1.iso`,
		Args:              cobra.MaximumNArgs(1),
		PersistentPostRun: func(*cobra.Command, []string) {}, // the machine is one document, for jq: no event behind it
		RunE: func(cmd *cobra.Command, args []string) error {
			var m machine.Machine
			if len(args) == 1 {
				b, err := openBackup(cmd.Context(), args[0], id, true)
				if err != nil {
					return err
				}
				defer b.Close()
				data, err := b.Layout(cmd.Context())
				if err != nil {
					return err
				}
				read, err := machine.ReadLayout(data)
				if err != nil {
					return fail.New(fail.Damaged, "layout.json of the backup: %w", err)
				}
				m = *read
			} else {
				if err := needRoot("look at the disks"); err != nil {
					return err
				}
				var err error
				if m, err = inspect.Machine(cmd.Context(), a.host, inspect.Options{}); err != nil {
					return err
				}
			}
			if a.jsonLines {
				return json.NewEncoder(a.ui.Writer()).Encode(m)
			}
			machine.Describe(a.ui.Writer(), &m, machine.DescribeOptions{Colour: a.ui.Colour, Width: a.ui.Width})
			return nil
		},
	}
	c.Flags().StringVar(&id, "id", "", "which backup, where there are several (default: the newest)")
	return c
}
