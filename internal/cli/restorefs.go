package cli

import (
	"context"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"github.com/mkcdrec/mkcdrec/internal/fail"
	"github.com/mkcdrec/mkcdrec/internal/fit"
	"github.com/mkcdrec/mkcdrec/internal/inspect"
	"github.com/mkcdrec/mkcdrec/internal/machine"
	"github.com/mkcdrec/mkcdrec/internal/plan"
	"github.com/mkcdrec/mkcdrec/internal/restore"
	"github.com/mkcdrec/mkcdrec/internal/ui"
	"github.com/mkcdrec/mkcdrec/internal/wording"
)

// restoreFSFlags are the flags of restore-fs.
type restoreFSFlags struct {
	answers    string
	id         string
	onto       string
	noFormat   bool
	plan       bool
	verify     string
	anyMachine bool
	fresh      bool
	keys       []string
}

func (a *app) restoreFSCommand() *cobra.Command {
	var f restoreFSFlags
	c := &cobra.Command{
		Use:   "restore-fs MOUNTPOINT [BACKUP]",
		Short: "(in the rescue system) bring a single file system back",
		Long: `Brings one file system back, and leaves everything else alone: partitions,
volumes, other file systems, boot loader. It is made anew where it was recorded,
or on another device (--onto), or it is kept and the files of the backup are
unpacked over what is there (--no-format): files that the backup does not have
then stay.

A btrfs is made anew with all its subvolumes, and all of them are restored;
--no-format restores the one at MOUNTPOINT.

All checks come before the first write; all that the backup has of the file
system is read among them. The device must not be in use, nor a part of
something larger. What lies on an encrypted device (LUKS) that is not open is opened
first: the pass phrase is asked for, or read from a file (--luks-key); it stays open.
It shows what will be erased, and begins only when you have
typed it, or when an answer file names the file system and the device. After an
interruption start it again: it goes on where it was.`,
		Example: `  mkcdrec restore-fs --plan /home
  mkcdrec restore-fs /home
  mkcdrec restore-fs --no-format /home             # files only, over what is there
  mkcdrec restore-fs --onto /dev/sdb1 /home        # onto another partition
  mkcdrec restore-fs --answers answers.toml        # filesystem = "/home", onto = "recorded"`,
		Args: cobra.MaximumNArgs(2),
		RunE: func(cmd *cobra.Command, args []string) error { return a.runRestoreFS(cmd, args, f) },
	}
	c.Flags().StringVar(&f.answers, "answers", "", "do not ask: the answers are in `FILE`, which names file system and device")
	c.Flags().StringVar(&f.id, "id", "", "which backup, where there are several")
	c.Flags().StringVar(&f.onto, "onto", "", "the `DEVICE` that takes it: /dev/sdb1, VG/LV, partuuid:U, serial:S (default: where it was)")
	c.Flags().StringArrayVar(&f.keys, "luks-key", nil, luksKeyUsage)
	c.Flags().BoolVar(&f.noFormat, "no-format", false, "keep the file system that is there, and unpack over it")
	c.Flags().BoolVar(&f.plan, "plan", false, "show what would be done, and do nothing")
	c.Flags().StringVar(&f.verify, "verify", "", "compare the result with the backup: metadata (default) or full")
	c.Flags().BoolVar(&f.anyMachine, "any-machine", false, "this need not be the machine that was backed up")
	c.Flags().BoolVar(&f.fresh, "fresh", false, "begin anew after an interruption, do not go on")
	return c
}

// runRestoreFS plans, shows, asks and carries out.
func (a *app) runRestoreFS(cmd *cobra.Command, args []string, f restoreFSFlags) error {
	ctx := cmd.Context()
	ans, err := f.answered(cmd, args)
	if err != nil {
		return err
	}
	src, err := a.openRecovery(ctx, args[min(len(args), 1):], ans.Backup, f.plan)
	if err != nil {
		return err
	}
	defer src.b.Close()
	if ans.FileSystem == "" {
		if ans.FileSystem, err = a.askFileSystem(src.recorded); err != nil {
			return err
		}
	}
	here, err := a.lookForFS(ctx, src.recorded, ans, src.inRescue, f.answers != "")
	if err != nil {
		return err
	}
	src.protected = append(src.protected, keyDisks(here, ans.Keys)...)
	p, content, err := fsPlan(ctx, src.recorded, here, ans.Wishes(src.protected), src.b)
	if err == nil {
		err = restore.Covers(&src.b.Manifest, p.Scope)
	}
	if err != nil {
		return err
	}
	if err := a.showPlan(p); err != nil {
		return err
	}
	o := restore.Options{
		Plan: p, Backup: restore.FromArchive(src.b.Backup), System: a.host, Protected: src.protected, Verify: ans.Verify, Fresh: f.fresh,
		TargetRoot: restore.DefaultFSTarget, Journal: restore.DefaultFSJournal,
	}
	if !src.inRescue {
		a.ui.Say("This is not the rescue system: whether the device is in use was not checked.")
		return nil
	}
	if err := restore.CheckDevices(ctx, o); err != nil || f.plan {
		return err
	}
	if err := a.confirm(src.recorded, here, p, restore.Answers{Machine: ans.Machine}, f.answers != ""); err != nil {
		return err
	}
	return a.carryOutFS(ctx, o, content)
}

// answeredFSFlags are the flags that an answer file has in their place.
var answeredFSFlags = []string{"id", "verify", "onto", "no-format", "any-machine", "luks-key"}

// answered is what would be asked: from the answer file, or from the flags. A
// word on the command line that says something else than the file is refused.
func (f restoreFSFlags) answered(cmd *cobra.Command, args []string) (restore.FSAnswers, error) {
	target := ""
	if len(args) > 0 {
		target = args[0]
	}
	if f.answers != "" {
		for _, name := range answeredFSFlags {
			if cmd.Flags().Changed(name) {
				return restore.FSAnswers{}, fail.Hint(fail.New(fail.Usage, "--%s and --answers exclude each other", name), "write it into the answer file")
			}
		}
		ans, err := restore.ReadFSAnswers(f.answers)
		if err == nil && target != "" && filepath.Clean(target) != filepath.Clean(ans.FileSystem) {
			err = fail.New(fail.Usage, "the command line says %s, and the answers say %s", target, ans.FileSystem)
		}
		return ans, err
	}
	keys, err := restore.ParseKeyFiles(f.keys)
	if err != nil {
		return restore.FSAnswers{}, err
	}
	ans := restore.FSAnswers{Keys: keys, FileSystem: target, Onto: f.onto, NoFormat: f.noFormat, Verify: restore.VerifyMode(f.verify), Backup: f.id}
	if f.anyMachine {
		ans.Machine = "any"
	}
	check := ans
	if target == "" {
		check.FileSystem = "/" // it is asked for
	}
	return ans, check.Validate()
}

// askFileSystem lists the recorded file systems and asks for one of them.
func (a *app) askFileSystem(recorded machine.Machine) (string, error) {
	hint := "name its mount point: mkcdrec restore-fs /home"
	if !a.ui.Asking || a.jsonLines {
		return "", fail.Hint(fail.New(fail.Usage, "which file system?"), "%s", hint)
	}
	a.ui.Say("The backup of %s has the file systems of:", recorded.Hostname)
	for _, mt := range recorded.Mounts {
		if fs := recorded.FileSystemOn(mt.On); fs != nil {
			a.ui.Say("  %-24s %-6s %10s used  %s", mt.Target, fs.Kind, ui.Size(int64(fs.Used)), mt.On.Body())
		}
	}
	answer, err := a.ui.Ask("Mount point of the one to restore:")
	if err == nil && !filepath.IsAbs(answer) {
		err = fail.Hint(fail.New(fail.Usage, "%q is not the mount point of a file system", answer), "%s", hint)
	}
	return answer, err
}

// lookForFS looks at this machine. Encrypted devices that are not open, and a
// volume group that was not activated, show nothing of what they hold: those
// under the recorded place are, one after the other.
func (a *app) lookForFS(ctx context.Context, recorded machine.Machine, ans restore.FSAnswers, inRescue, unattended bool) (machine.Machine, error) {
	a.ui.Step("Looking at this machine")
	w, opened := ans.Wishes(nil), ""
	for {
		here, err := inspect.Machine(ctx, a.host, inspect.Options{})
		if err != nil || !inRescue {
			return here, err
		}
		group, locked := restore.Inactive(recorded, here, w.Mount, w.Onto), restore.Locked(recorded, here, w.Mount)
		switch {
		case group != "" && group != opened:
			a.ui.Step("Activating volume group %s, to see what it holds", group)
			opened, err = group, restore.Activate(ctx, a.host, group)
		case w.Onto == "" && len(locked) > 0 && locked[0].UUID != opened:
			opened, err = locked[0].UUID, a.unlock(ctx, here, locked[0], ans.Keys, unattended)
		default:
			return here, nil
		}
		if err != nil {
			return here, err
		}
	}
}

// fsPlan makes the plan, and counts the content that it unpacks.
func fsPlan(ctx context.Context, recorded, here machine.Machine, w fit.FSWishes, b *opened) (plan.Plan, int64, error) {
	if real, err := filepath.EvalSymlinks(w.Onto); err == nil && strings.HasPrefix(w.Onto, "/dev/") && len(fit.DeviceNames(here)[w.Onto]) == 0 {
		w.Onto = real // /dev/disk/by-id/...
	}
	target, scope, choices, err := fit.FileSystem(recorded, here, w)
	if err != nil {
		return plan.Plan{}, 0, err
	}
	info := plan.Info{Backup: b.Manifest.ID, Host: b.Manifest.Host}
	var content int64
	for e, err := range b.Catalogue(ctx) {
		if err != nil {
			return plan.Plan{}, 0, err
		}
		if scope.Holds(e.Name) {
			info.Entries++
			content += e.ContentSize()
		}
	}
	info.Content = machine.Bytes(content)
	p, err := plan.FileSystem(target, scope, choices, here, info)
	return p, content, err
}

// carryOutFS runs the plan and says what came of it.
func (a *app) carryOutFS(ctx context.Context, o restore.Options, content int64) error {
	rep, err := a.runPlan(ctx, o, content)
	if err != nil {
		return err
	}
	a.ui.Say("")
	a.ui.Say("%s %s of %s on %s: %s, %s, %s; %s compared with the backup.", a.ui.Styled(ui.Green, "Restored"), o.Plan.Scope.Text(), o.Plan.Host,
		o.Plan.Erases[0].Name(o.Plan.Target), wording.Count(rep.Steps+rep.Resumed, "step"),
		wording.Count(rep.Unpacked.Paths, "path"), ui.Size(rep.Unpacked.Bytes), wording.Count(rep.Verified.Paths, "path"))
	if n := len(rep.Warnings); n > 0 {
		return fail.New(fail.Warnings, "the file system was restored, with %s", wording.Count(n, "warning"))
	}
	return nil
}
