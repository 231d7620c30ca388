package cli

import (
	"errors"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/mkcdrec/mkcdrec/internal/doctor"
	"github.com/mkcdrec/mkcdrec/internal/fail"
	"github.com/mkcdrec/mkcdrec/internal/inspect"
	"github.com/mkcdrec/mkcdrec/internal/machine"
	"github.com/mkcdrec/mkcdrec/internal/ui"
	"github.com/mkcdrec/mkcdrec/internal/wording"
)

func (a *app) doctorCommand() *cobra.Command {
	var packages bool
	var out string
	c := &cobra.Command{
		Use:   "doctor",
		Short: "check that everything is here which a recovery medium needs",
		Long: `Numbered checks: programs, kernel and modules, tools for every mounted file
system, memory, space, boot loaders; what the medium will boot on. It changes
nothing. Exit code 1 if something is missing that is needed.`,
		Example: `  mkcdrec doctor
  apt-get install $(mkcdrec doctor --packages)`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := needRoot("look at the disks"); err != nil {
				return err
			}
			m, err := inspect.Machine(cmd.Context(), a.host, inspect.Options{})
			if err != nil {
				return err
			}
			if out == "" {
				out = a.settings.ImageDir
			}
			tools, planErr := restoreTools(m)
			o, err := a.doctorOptions(m, tools, out)
			if err != nil {
				return err
			}
			checks := doctor.Run(cmd.Context(), o)
			if packages {
				a.ui.Say("%s", strings.Join(doctor.Packages(checks), " "))
				a.ui.Event("packages", map[string]any{"packages": doctor.Packages(checks)})
				return nil
			}
			if err := a.showChecks(checks); err != nil {
				return errors.Join(err, planErr)
			}
			return planErr
		},
	}
	c.Flags().BoolVar(&packages, "packages", false, "print only the packages to install, on one line")
	c.Flags().StringVar(&out, "out", "", "`DIR` where the image will go, for the check of its space")
	return c
}

// doctorOptions takes from the settings what backup and rescue take from them.
func (a *app) doctorOptions(m machine.Machine, tools []string, out string) (doctor.Options, error) {
	set := a.settings
	o := doctor.Options{
		Runner: a.host, Machine: m, Destination: out, WorkDir: set.WorkDir, Exclude: set.Exclude,
		Programs: slices.Clone(set.Rescue.Programs), RestoreTools: tools, Kernel: set.Rescue.Kernel,
	}
	if set.Rescue.ConsoleLogin {
		o.Programs = append(o.Programs, "sulogin")
	}
	if set.BackupTo == "" {
		return o, nil
	}
	var err error
	o.BackupTo, err = localPath(set.BackupTo)
	return o, err
}

func (a *app) showChecks(checks []doctor.Check) error {
	var missing []string
	for i, c := range checks {
		style := ui.Green
		switch {
		case c.Status == doctor.NotFound && c.Needed:
			style = ui.Red
			missing = append(missing, c.Name)
		case c.Status == doctor.NotFound:
			style = ui.Yellow
		case c.Status == doctor.NotApplicable:
			style = ui.Dim
		}
		a.ui.Say("%3d. %-34s %s%s", i+1, c.Name, a.ui.Styled(style, c.Status.String()), detail(c))
		a.ui.Event("check", c)
	}
	if len(checks) == 0 {
		return fail.New(fail.Failed, "nothing was checked")
	}
	if len(missing) > 0 {
		err := fail.New(fail.Failed, "%d of %d checks found something missing: %s", len(missing), len(checks), strings.Join(missing, ", "))
		if p := doctor.Packages(checks); len(p) > 0 {
			return fail.Hint(err, "install: %s", strings.Join(p, " "))
		}
		return err
	}
	a.ui.Say("%s, nothing is missing that is needed.", wording.Count(len(checks), "check"))
	return nil
}

func detail(c doctor.Check) string {
	if c.Detail == "" {
		return ""
	}
	return "  " + c.Detail
}
