package cli

import (
	"context"
	"encoding/json"
	"os"
	"slices"

	"github.com/spf13/cobra"

	"github.com/mkcdrec/mkcdrec/internal/backup"
	"github.com/mkcdrec/mkcdrec/internal/fail"
	"github.com/mkcdrec/mkcdrec/internal/inspect"
	"github.com/mkcdrec/mkcdrec/internal/machine"
	"github.com/mkcdrec/mkcdrec/internal/plan"
	"github.com/mkcdrec/mkcdrec/internal/rescue"
	"github.com/mkcdrec/mkcdrec/internal/rescueinit"
	"github.com/mkcdrec/mkcdrec/internal/restore"
	"github.com/mkcdrec/mkcdrec/internal/ui"
	"github.com/mkcdrec/mkcdrec/internal/wording"
)

// restoreFlags are the flags of restore and clone.
type restoreFlags struct {
	answers    string
	id         string
	plan       bool
	verify     string
	disks      []string
	maps       map[string]string
	anyMachine bool
	fresh      bool
	clone      bool
	hostname   string
	addresses  []string
	gateway    string
	grow       bool
	keys       []string
	file       planFileFlags
	drop       []string
	noSwap     bool
	sizes      map[string]string
	kinds      map[string]string
	image      imageFlags
	flatten    []string
	mirror     string
	ontoOne    bool
}

func (a *app) restoreCommand() *cobra.Command {
	var f restoreFlags
	c := &cobra.Command{
		Use:   "restore [BACKUP]",
		Short: "(in the rescue system) bring the machine back from its backup",
		Long: `Brings the machine back: partitions, volumes, file systems, files, boot loader.
All checks come before the first write, the whole backup is read among them: it
is read twice. It shows what will be erased, and begins
only when you have typed it, or when an answer file names the disks. Without
BACKUP it is the one on the medium that was booted.

The pass phrase of an encrypted device (LUKS) is asked for before anything is
written: the old one, where the backup has a copy of the header (backup
--luks-headers), and it is tried; else a new one. --luks-key reads it from a
file, byte by byte; the newline behind a single line of text does not count.

What is wished otherwise than recorded is part of the plan, and refused before
anything is written where it is not possible:
  --drop /scratch   leaves a file system out: it is not made, its files are not
                    unpacked, its line in fstab becomes a comment. Its partition
                    stays a gap, which is closed on a disk that is too small.
  --no-swap         makes no swap; nothing resumes from one any more.
  --size /home=40G  gives a file system's volume or partition a size; a refusal
                    names the least and the most. Also --size swap=2G.
  --fs /data=xfs    makes a file system as ext4, xfs or btrfs; fstab follows.
  --flatten         makes what RAID arrays hold on one plain disk, without their
                    redundancy; --flatten=md0 (or =boot) only that array.
  --mirror          puts a machine of one disk onto two that mirror each other;
                    --mirror=sdb says which is the second. mdadm must be in the
                    backup: it is looked for before anything is written.
  --onto-one        lays several disks together onto one; so does --map of two to
                    one: --map sda=nvme0n1 --map sdb=nvme0n1.
Files that are changed for that keep their old content beside them, under a name
that ends in .before-mkcdrec. In an answer file these are drop = ["/scratch"],
no_swap = true, size = { "/home" = "40G" } and fs = { "/data" = "xfs" }; flatten,
mirror and onto_one are true, or what is meant: flatten = ["md0"], mirror = "sdb".

After an interruption start it again, with the same wishes: it goes on where it
was.
` + planFileText + imageText,
		Example: `  mkcdrec restore --plan
  mkcdrec restore
  mkcdrec restore --plan-out /mnt/usb/plan.json    # later: --plan-in
  mkcdrec restore --map vda=nvme0n1
  mkcdrec restore --drop /scratch --no-swap --size /home=40G --plan
  mkcdrec restore --flatten --plan                 # mirrored disks onto one
  mkcdrec restore --mirror --disk sda --disk sdb   # one disk onto two
  mount -t nfs nas:/backups /mnt && mkcdrec restore /mnt
  mkcdrec restore web1.iso --to-image web1.raw      # on any machine: a disk image`,
		Args: cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error { return a.runRestore(cmd, args, f) },
	}
	a.restoreFlags(c, &f)
	return c
}

func (a *app) cloneCommand() *cobra.Command {
	f := restoreFlags{clone: true, anyMachine: true}
	c := &cobra.Command{
		Use:   "clone [BACKUP]",
		Short: "(in the rescue system) make another machine from a backup",
		Long: `As restore, onto another machine: disks of other sizes and names, a new host
name, a new machine-id, new ssh host keys, addresses by DHCP or as given. The
wishes of restore (--drop, --no-swap, --size, --fs, --flatten, --mirror, --onto-one)
are those of clone, too, and so is --to-image: another machine, as a disk image.`,
		Example: `  mkcdrec clone --hostname web2
  mkcdrec clone --hostname web2 --address 192.0.2.7/24 --gateway 192.0.2.1
  mkcdrec clone web1.iso --hostname web2 --to-image web2.raw --firmware uefi --image-size 40G`,
		Args: cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error { return a.runRestore(cmd, args, f) },
	}
	a.restoreFlags(c, &f)
	c.Flags().StringVar(&f.hostname, "hostname", "", "`NAME` of the new machine")
	c.Flags().StringArrayVar(&f.addresses, "address", nil, "`ADDRESS/BITS` of its first interface (default: DHCP)")
	c.Flags().StringVar(&f.gateway, "gateway", "", "its default `ROUTER`")
	return c
}

func (a *app) restoreFlags(c *cobra.Command, f *restoreFlags) {
	c.Flags().StringVar(&f.answers, "answers", "", "do not ask: the answers are in `FILE`, which names the disks")
	c.Flags().StringVar(&f.id, "id", "", "which backup, where there are several")
	c.Flags().BoolVar(&f.plan, "plan", false, "show what would be done, and do nothing")
	c.Flags().StringVar(&f.verify, "verify", "", "compare the result with the backup: metadata (default) or full")
	c.Flags().StringArrayVar(&f.keys, "luks-key", nil, luksKeyUsage)
	c.Flags().StringArrayVar(&f.disks, "disk", nil, "use only this `DISK`: serial:S, wwn:W or /dev/vda (repeatable)")
	c.Flags().StringToStringVar(&f.maps, "map", nil, "`RECORDED=HERE`: which disk takes the place of which")
	c.Flags().BoolVar(&f.anyMachine, "any-machine", f.anyMachine, "this need not be the machine that was backed up")
	c.Flags().BoolVar(&f.fresh, "fresh", false, "begin anew after an interruption, do not go on")
	f.file.add(c)
	f.image.add(c)
	c.Flags().StringArrayVar(&f.drop, "drop", nil, "leave the file system of this `MOUNTPOINT` out (repeatable)")
	c.Flags().BoolVar(&f.noSwap, "no-swap", false, "make no swap")
	c.Flags().StringToStringVar(&f.sizes, "size", nil, "`MOUNTPOINT=SIZE` of a file system's volume or partition, as in /home=40G; or swap=2G")
	c.Flags().StringToStringVar(&f.kinds, "fs", nil, "`MOUNTPOINT=KIND`: make a file system as ext4, xfs or btrfs instead")
	f.shapeFlags(c)
	c.Flags().BoolVar(&f.grow, "grow", false, "give new space in a volume group to its largest volume")
}

// runRestore plans, shows, asks and carries out.
func (a *app) runRestore(cmd *cobra.Command, args []string, f restoreFlags) error {
	ctx := cmd.Context()
	ans, err := f.answered(cmd)
	if err != nil {
		return err
	}
	if err := f.image.check(cmd); err != nil {
		return err
	}
	if len(f.image.to) > 0 {
		return a.runToImage(cmd, args, f, ans)
	}
	saved, err := f.file.read(cmd, &ans)
	if err != nil {
		return err
	}
	if err := optionalValue(args, f); err != nil {
		return err
	}
	src, err := a.openRecovery(ctx, args, ans.Backup, f.plan || f.file.out != "")
	if err != nil {
		return ofPlan(saved, err)
	}
	defer src.b.Close()
	if err := restore.Covers(&src.b.Manifest, nil); err != nil {
		return err
	}
	a.ui.Step("Looking at this machine")
	here, err := inspect.Machine(ctx, a.host, inspect.Options{})
	if err != nil {
		return err
	}
	src.protected = append(src.protected, keyDisks(here, ans.Keys)...)
	p, content, err := planned(ctx, saved, src, here, ans, f.grow, f.answers != "")
	if err == nil {
		err = restore.CheckLoader(ctx, p, restore.FromArchive(src.b.Backup))
	}
	if err == nil {
		err = restore.CheckMirrors(ctx, p, restore.FromArchive(src.b.Backup))
	}
	if err != nil {
		return err
	}
	err = a.showPlan(p)
	if err == nil && f.file.out != "" {
		err = a.keepPlan(p, here, src, f.file.out)
	}
	if err != nil || f.plan || f.file.out != "" {
		return err
	}
	o := restore.Options{Plan: p, Backup: restore.FromArchive(src.b.Backup), System: a.host, Protected: src.protected, Verify: ans.Verify, Fresh: f.fresh}
	if o.Keys, err = a.keys(ctx, o, ans.Keys, f.answers != ""); err != nil {
		return err
	}
	if err := a.confirm(src.recorded, here, p, ans, f.answers != ""); err != nil {
		return err
	}
	return a.carryOut(ctx, o, content)
}

// recovery is what a restore of a machine or of a file system begins with.
type recovery struct {
	b         *opened
	recorded  machine.Machine
	protected []string // disks that hold the medium or the backup
	inRescue  bool
}

// openRecovery opens the backup of a restore. Outside of the rescue system
// only its plan can be had.
func (a *app) openRecovery(ctx context.Context, args []string, id string, planOnly bool) (*recovery, error) {
	if err := needRoot("restore"); err != nil {
		return nil, err
	}
	r := &recovery{inRescue: fileExists(rescue.IdentityPath)}
	if !r.inRescue && !planOnly {
		return nil, fail.Hint(fail.New(fail.Refused, "this is not the rescue system: restoring here would overwrite what the machine that is running stands on"),
			"boot the medium; --plan shows the plan here, --to-image makes a disk image; single files come back by: mkcdrec extract")
	}
	if r.inRescue && !a.awaitMedium(ctx, mediumFound, mediumPatience) {
		a.ui.Warn("the medium has not appeared: the disk that it is cannot be told from others")
	}
	where, err := restoreSource(args)
	if err != nil {
		return nil, err
	}
	if r.protected, err = protectedDisks(where); err != nil {
		return nil, err
	}
	if r.b, err = openBackup(ctx, where, id, false); err != nil {
		return nil, err
	}
	if r.recorded, err = recordedMachine(ctx, r.b); err != nil {
		r.b.Close()
		return nil, err
	}
	return r, nil
}

// showPlan shows a plan to people or programs.
func (a *app) showPlan(p plan.Plan) error {
	if a.jsonLines {
		a.ui.Event("plan", map[string]any{"plan": p})
		return nil
	}
	return plan.Describe(a.ui.Writer(), p)
}

func fileExists(p string) bool {
	_, err := os.Stat(p)
	return err == nil
}

// restoreSource is where the backup is: what was given, the medium, or what
// the medium says.
func restoreSource(args []string) (string, error) {
	if len(args) == 1 {
		return args[0], nil
	}
	var id rescue.Identity
	data, err := os.ReadFile(rescue.IdentityPath)
	if err == nil {
		err = json.Unmarshal(data, &id)
	}
	switch {
	case err != nil:
		return "", fail.Hint(fail.New(fail.Usage, "which backup?"), "name an ISO or a directory: mkcdrec restore /mnt/nas/backups")
	case id.BackupURL != "":
		if p, err := localPath(id.BackupURL); err == nil && fileExists(p) {
			return p, nil
		}
		return "", fail.Hint(fail.New(fail.Failed, "the backup was written to %s, which is not here", id.BackupURL), "mount it, and name where: mkcdrec restore /mnt/backups")
	case !mediumMounted():
		return "", fail.Hint(fail.New(fail.Failed, "the medium is not mounted at %s", rescueinit.MediumDir), "insert it and mount it there, or name the backup")
	}
	return rescueinit.MediumDir, nil
}

// recordedMachine is the machine in the backup, checked.
func recordedMachine(ctx context.Context, b *opened) (machine.Machine, error) {
	data, err := b.Layout(ctx)
	if err != nil {
		return machine.Machine{}, err
	}
	if data == nil {
		return machine.Machine{}, fail.Hint(fail.New(fail.Unsupported, "the backup has no record of the machine"), "its files can be had with: mkcdrec extract")
	}
	m, err := machine.ReadLayout(data)
	if err != nil {
		return machine.Machine{}, fail.New(fail.Damaged, "layout.json of the backup: %w", err)
	}
	return *m, nil
}

// protectedDisks are those that hold the backup or the medium.
func protectedDisks(where string) ([]string, error) {
	p, err := localPath(where)
	if err != nil {
		return nil, err
	}
	paths := []string{p}
	if mediumMounted() {
		paths = append(paths, rescueinit.MediumDir)
	}
	var all []string
	for _, p := range paths {
		disks, err := inspect.DisksOf(p)
		if err != nil {
			return nil, fail.New(fail.Refused, "cannot protect the disk that holds the backup: %w", err)
		}
		all = append(all, disks...)
	}
	slices.Sort(all)
	return slices.Compact(all), nil
}

// confirm gets a yes to what the plan erases: typed, or from the answer file.
func (a *app) confirm(recorded, here machine.Machine, p plan.Plan, ans restore.Answers, unattended bool) error {
	same, why := restore.SameMachine(recorded, here)
	same = same || ans.Machine == "any" || ans.Clone
	if unattended {
		if !same {
			return fail.Hint(fail.New(fail.Refused, "this is not the machine that was backed up (%s): %s", recorded.Hostname, why), `if that is meant, answer machine = "any"`)
		}
		a.ui.Say("The answer file names the disks; nothing is asked.")
		return nil
	}
	if !same {
		a.ui.Warn("this does not look like the machine that was backed up (%s): %s", recorded.Hostname, why)
	}
	// The steps of a large machine have pushed the beginning off a small screen.
	verb := "ERASES"
	if p.Scope != nil && p.Scope.Keep {
		verb = "OVERWRITES FILES ON"
	}
	a.ui.Say("")
	for _, e := range p.Erases {
		a.ui.Say("%s %s", a.ui.Styled(ui.Red, verb), e.Text(p.Target))
	}
	want := p.Confirmation()
	answer, err := a.ui.Ask("To begin, type: " + a.ui.Styled(ui.Bold, want) + "\n>")
	if err != nil {
		return err
	}
	if answer != want {
		return fail.New(fail.Refused, "%q was typed, not %q: nothing was changed", answer, want)
	}
	return nil
}

// runPlan carries a plan out and shows how it proceeds; content is what it
// unpacks, in bytes.
func (a *app) runPlan(ctx context.Context, o restore.Options, content int64) (restore.Report, error) {
	// An unattended run on a console and a hand by ssh must not both write.
	release, err := backup.Lock(backup.LockFile)
	if err != nil {
		return restore.Report{}, err
	}
	defer release()
	var pr *ui.Progress
	total := int64(0)
	if o.Images == nil { // which nobody else knows of
		o.Look = func(ctx context.Context) (machine.Machine, error) {
			return inspect.Machine(ctx, a.host, inspect.Options{})
		}
	}
	o.Progress = func(e restore.Event) {
		switch e.State {
		case "checking":
			if pr == nil {
				a.ui.Step("Checking the backup, before any disk is touched")
				pr = a.ui.Progress("check")
			}
			pr.Set(e.Done, content, 0)
		case "begun":
			if pr != nil { // of the check of the backup
				pr.Done()
			}
			a.ui.Step("%d/%d %s", e.Index+1, e.Of, e.Text)
			pr, total = a.ui.Progress(string(e.Step.Kind)), 0
			if e.Step.Kind == plan.Unpack || e.Step.Kind == plan.VerifyRestored {
				total = content
			}
		case "progress":
			pr.Set(e.Done, total, 0)
		case "skipped":
			a.ui.Say("    %d/%d %s: was done before", e.Index+1, e.Of, e.Text)
		case "done":
			pr.Done()
		}
	}
	rep, err := restore.Run(ctx, o)
	if pr != nil {
		pr.Done()
	}
	for _, c := range rep.Changes {
		a.ui.Say("    changed: %s", c)
	}
	for _, w := range rep.Warnings {
		a.ui.Warn("%s", w)
	}
	a.ui.Event("restored", map[string]any{"report": rep, "complete": err == nil})
	return rep, err
}

// carryOut runs the plan and says what came of it.
func (a *app) carryOut(ctx context.Context, o restore.Options, content machine.Bytes) error {
	rep, err := a.runPlan(ctx, o, int64(content))
	if err != nil {
		return err
	}
	a.ui.Say("")
	a.ui.Say("%s %s: %s, %s, %s; %s compared with the backup.", a.ui.Styled(ui.Green, "Restored"), o.Plan.Host, wording.Count(rep.Steps+rep.Resumed, "step"),
		wording.Count(rep.Unpacked.Paths, "path"), ui.Size(rep.Unpacked.Bytes), wording.Count(rep.Verified.Paths, "path"))
	if n := len(rep.Warnings); n > 0 {
		return fail.New(fail.Warnings, "the machine was restored, with %s", wording.Count(n, "warning"))
	}
	a.ui.Say("Remove the medium and type: reboot")
	return nil
}
