// Package cli is the command line: one file a verb. A verb reads flags, calls
// the rooms that do the work, and says what came of it by way of ui. It
// decides nothing about disks, and keeps no state.
package cli

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/mkcdrec/mkcdrec/internal/config"
	"github.com/mkcdrec/mkcdrec/internal/fail"
	"github.com/mkcdrec/mkcdrec/internal/system"
	"github.com/mkcdrec/mkcdrec/internal/ui"
)

// Version is set by the linker.
var Version = "dev"

// app is what every verb shares.
type app struct {
	configPath string
	jsonLines  bool
	logPath    string

	settings config.Settings
	ui       *ui.Printer
	host     *system.Host
	log      *os.File
}

// Main runs mkcdrec with os.Args-like arguments and returns the exit code.
// The name it is started under may be a verb's (start-restore.sh, poweroff ...).
func Main(args []string) int {
	if verb, ok := verbOfName(filepath.Base(args[0])); ok {
		args = append([]string{args[0], verb}, args[1:]...)
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
	defer stop()
	a := &app{ui: ui.New(hasJSONFlag(args))}
	root := a.rootCommand()
	root.SetArgs(args[1:])
	return a.run(ctx, root)
}

// run carries a command out, says what was wrong, and returns the exit code.
func (a *app) run(ctx context.Context, root *cobra.Command) int {
	err := root.ExecuteContext(ctx)
	if ctx.Err() != nil && err != nil && fail.KindOf(err) == fail.Failed {
		err = fail.New(fail.Interrupted, "interrupted: %w", err)
	}
	a.ui.Error(a.hinted(err))
	if a.log != nil {
		a.log.Close()
	}
	return fail.ExitCode(err)
}

// hinted adds what to do about a full file system where nobody nearer to it
// has said so: the image, the work directory and the log can all be full.
func (a *app) hinted(err error) error {
	if fail.HintOf(err) != "" || !errors.Is(err, syscall.ENOSPC) && !errors.Is(err, syscall.EDQUOT) {
		return err
	}
	return fail.Hint(err, "make room there, or use another place: --out for the image; temporary files go to work_dir of the settings, now %s", a.settings.WorkDir)
}

// hasJSONFlag looks for --json before cobra has parsed anything, so that a
// usage error is JSON as well.
func hasJSONFlag(args []string) bool {
	for _, a := range args[1:] {
		if a == "--" {
			return false
		}
		if a == "--json" || a == "--json=true" {
			return true
		}
	}
	return false
}

// verbOfName is the verb behind a name that people know from the original.
func verbOfName(name string) (string, bool) {
	switch name {
	case "start-restore.sh", "start-restore":
		return "restore", true
	case "clone-disk.sh", "clone-dsk.sh":
		return "clone", true
	case "restore-fs.sh", "restore-fs":
		return "restore-fs", true
	}
	return "", false
}

func (a *app) rootCommand() *cobra.Command {
	root := &cobra.Command{
		Use:   "mkcdrec",
		Short: "make a bootable recovery medium of this machine, and bring the machine back from it",
		Long: `mkcdrec makes a bootable recovery medium of the running system, backs the
system up, and brings the machine back from it: the same one, or another.

Without a verb, on a terminal, it shows a menu.`,
		Example: `  sudo mkcdrec doctor                 is everything here that a medium needs?
  sudo mkcdrec backup --out /srv      rescue medium and backup in one ISO
  sudo mkcdrec verify /srv/web1.iso   read everything back
  mkcdrec restore --plan              (in the rescue system) show what would be done`,
		Version:           Version,
		SilenceErrors:     true,
		SilenceUsage:      true,
		Args:              cobra.NoArgs,
		PersistentPreRunE: func(*cobra.Command, []string) error { return a.prepare() },
		// The one place where success is said to a program; Main says what was not.
		PersistentPostRun: func(*cobra.Command, []string) { a.ui.Event("done", map[string]any{"exit_code": 0}) },
		RunE: func(cmd *cobra.Command, _ []string) error {
			if !a.ui.Asking || a.jsonLines {
				return cmd.Help()
			}
			return a.menu(cmd)
		},
	}
	f := root.PersistentFlags()
	f.StringVar(&a.configPath, "config", "", "settings `FILE` (default "+config.Path+")")
	f.BoolVar(&a.jsonLines, "json", false, "one JSON object a line on standard output")
	f.StringVar(&a.logPath, "log", "", "append every program that is run, with its result, to `FILE` (default /var/log/mkcdrec.log for root)")
	root.SetFlagErrorFunc(func(cmd *cobra.Command, err error) error {
		return fail.Hint(fail.New(fail.Usage, "%w", err), "see: %s --help", cmd.CommandPath())
	})
	root.AddCommand(a.doctorCommand(), a.layoutCommand(), a.rescueCommand(), a.backupCommand(), a.verifyCommand(),
		a.listCommand(), a.extractCommand(), a.restoreCommand(), a.cloneCommand(), a.restoreFSCommand(), a.manCommand())
	for _, c := range append(root.Commands(), root) {
		usageErrors(c)
	}
	return root
}

// usageErrors gives a wrong number of arguments the exit code of a usage error.
func usageErrors(c *cobra.Command) {
	check := c.Args
	if check == nil {
		return
	}
	c.Args = func(cmd *cobra.Command, args []string) error {
		if err := check(cmd, args); err != nil {
			cmd.SuggestionsMinimumDistance = 2 // as cobra has it for itself
			if cmd.HasSubCommands() && len(args) > 0 {
				if near := cmd.SuggestionsFor(args[0]); len(near) > 0 {
					return fail.Hint(fail.New(fail.Usage, "%w", err), "did you mean: %s", strings.Join(near, ", "))
				}
			}
			return fail.Hint(fail.New(fail.Usage, "%w", err), "see: %s --help", cmd.CommandPath())
		}
		return nil
	}
}

// prepare reads the settings and opens the log.
func (a *app) prepare() error {
	a.ui.JSON = a.jsonLines
	var err error
	if a.settings, err = config.Load(a.configPath); err != nil {
		return err
	}
	path := a.logPath
	if path == "" && os.Geteuid() == 0 {
		path = "/var/log/mkcdrec.log"
	}
	a.host = &system.Host{}
	if path == "" {
		return nil
	}
	a.log, err = os.OpenFile(path, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		if a.logPath != "" {
			return fail.New(fail.Usage, "cannot write the log: %w", err)
		}
		return nil // a read-only /var does not keep anyone from a rescue
	}
	a.host.Log = slog.New(slog.NewTextHandler(a.log, nil))
	a.host.Log.Info("mkcdrec", "version", Version, "args", strings.Join(os.Args[1:], " "))
	return nil
}

// needRoot refuses a verb for people other than root.
func needRoot(what string) error {
	if os.Geteuid() == 0 {
		return nil
	}
	return fail.Hint(fail.New(fail.Usage, "only root can %s", what), "run it with sudo")
}
