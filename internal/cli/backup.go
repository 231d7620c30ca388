package cli

import (
	"context"
	"crypto/rand"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/mkcdrec/mkcdrec/internal/archive"
	"github.com/mkcdrec/mkcdrec/internal/backup"
	"github.com/mkcdrec/mkcdrec/internal/fail"
	"github.com/mkcdrec/mkcdrec/internal/machine"
	"github.com/mkcdrec/mkcdrec/internal/store"
	"github.com/mkcdrec/mkcdrec/internal/store/dir"
	"github.com/mkcdrec/mkcdrec/internal/ui"
	"github.com/mkcdrec/mkcdrec/internal/wording"
)

func (a *app) backupCommand() *cobra.Command {
	var f makeFlags
	c := &cobra.Command{
		Use:   "backup",
		Short: "back this machine up: rescue system and backup in one ISO, or the backup elsewhere",
		Long: `Backs up every mounted local file system, while the machine runs, and makes the
medium that restores it. Without --to the backup goes into the image itself.
What was written is read back before it is called good.

Logical volumes and btrfs subvolumes are read from snapshots that are taken for
the backup and removed behind it, so that each of their file systems is as it
was at one moment; other file systems are read while they are in use, and a file
that changed meanwhile is named. --plan says which is which. With --snapshots
require there is no backup where a file system that can change has no snapshot;
EFI system partitions are excepted. --freeze lets nobody write to an ext or xfs
file system without snapshots while it is read, for freeze_seconds of the
settings at most. Executables in pre-snapshot and post-snapshot below
/etc/mkcdrec/hooks.d run directly before and after the snapshots are taken. A
snapshot that runs full ends the backup with an error. What a backup that was
killed has left is removed by the next one.

Of an encrypted device (LUKS) the content is backed up, not the keys: it gets a
new pass phrase when it is restored. --luks-headers puts a copy of its header
into the backup, and all pass phrases and tokens come back. The backup is not
encrypted: whoever has it can then open the disk by any pass phrase that was
valid when it was made, even after it was changed.

Exit code 0: whole. 3: made, and something was not as it should be in the backup
or the rescue system: each is named. 4: the question of the menu was not answered
with yes. 7: something on this machine cannot be rebuilt; exclude it by its name to
go on all the same.`,
		Example: `  mkcdrec backup --out /srv
  mkcdrec backup --to file:///mnt/nas/backups
  mkcdrec backup --exclude '/var/lib/docker/*' --exclude zfs:tank
  mkcdrec backup --answers answers.toml          # the medium restores unattended
  mkcdrec backup --plan`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return a.runBackup(cmd.Context(), f) },
	}
	a.mediumFlags(c, &f)
	c.Flags().StringVar(&f.answers, "answers", "", "put this answer `FILE` on the medium, and make an unattended restore its first entry")
	c.Flags().StringVar(&f.to, "to", "", "`URL` or directory for the backup (default: into the image)")
	c.Flags().StringArrayVar(&f.only, "only", nil, "back up only this absolute `PATH` (repeatable); the machine cannot be restored from that")
	c.Flags().StringArrayVar(&f.exclude, "exclude", nil, "leave out this `PATTERN`, or a finding by its name (repeatable)")
	c.Flags().StringVar(&f.snapshots, "snapshots", "", "read from snapshots taken for the backup: `auto`, off, require (default snapshots of the settings)")
	c.Flags().StringArrayVar(&f.freeze, "freeze", nil, "let nobody write to this mount point `PATH` while it is read, where it can have no snapshot (repeatable)")
	c.Flags().BoolVar(&f.luksHeaders, "luks-headers", false, "put copies of the headers of encrypted devices into the backup: all their keys come back")
	c.Flags().StringVar(&f.volumeSize, "volume-size", "", "cut the backup into volumes of this `SIZE`, e.g. 4GiB (at least 16MiB)")
	c.Flags().BoolVar(&f.noMedium, "no-medium", false, "with --to: make no medium")
	return c
}

// runBackup makes a backup and its medium.
func (a *app) runBackup(ctx context.Context, f makeFlags) (err error) {
	if f, err = f.checked(a.settings); err != nil {
		return err
	}
	m, err := a.record(ctx)
	if err != nil {
		return err
	}
	if f.exclude, err = a.excludeFindings(m, f.exclude); err != nil {
		return err
	}
	if err := answersOpen(m, f.answers); err != nil {
		return err
	}
	var snapshots []backup.Snapshots
	if !a.settings.KeepSnapshots {
		snapshots = backup.LeaveOutSnapshots(&m, f.only)
	}
	j, err := a.newJob(m, f, "backup")
	if err != nil {
		return err
	}
	j.snapshots = snapshots
	defer func() { err = j.end(err) }()
	if !f.plan {
		release, err := backup.Lock(backup.LockFile)
		if err != nil {
			return err
		}
		defer release()
		j.sweep(ctx)
	}
	if err := j.chooseSource(ctx); err != nil {
		return err
	}
	if err := j.luks(ctx); err != nil {
		return err
	}
	if done, err := j.show(); done || err != nil {
		return err
	}
	if j.identity.BackupID, err = backup.NewID(j.identity.Made, rand.Reader); err != nil {
		return err
	}
	if f.to == "" {
		return j.intoMedium(ctx)
	}
	return j.intoStore(ctx)
}

// excludeFindings refuses what cannot be rebuilt unless it was excluded by
// name, and returns the patterns that remain.
func (a *app) excludeFindings(m machine.Machine, flags []string) ([]string, error) {
	patterns := append(slices.Clone(a.settings.Exclude), flags...)
	var open []string
	for _, f := range m.Findings {
		excluded := slices.Contains(patterns, f.Name)
		patterns = slices.DeleteFunc(patterns, func(p string) bool { return p == f.Name })
		switch {
		case !f.Blocking:
			a.ui.Note("%s", f.What)
		case excluded:
			a.ui.Note("left out by name: %s: %s", f.Name, f.What)
		default:
			a.ui.Warn("%s: %s (%s)", f.Name, f.What, f.Todo)
			open = append(open, f.Name)
		}
	}
	if len(open) > 0 {
		return nil, fail.Hint(fail.New(fail.Unsupported, "this machine has what cannot be rebuilt: %s", strings.Join(open, ", ")),
			"to back up the rest, leave it out by name: --exclude %s", strings.Join(open, " --exclude "))
	}
	return patterns, nil
}

// show says what will be made; done when that was all that was asked for.
func (j *job) show() (done bool, err error) {
	if j.kind == "backup" {
		j.describeBackup()
	} else if j.f.plan {
		j.ui.Say("Would make the rescue medium %s", j.image)
	}
	if j.f.plan {
		j.ui.Event("plan", j.plan())
		return true, nil
	}
	if j.f.ask {
		answer, err := j.ui.Ask("Is that right? [y/N]")
		if err == nil && !strings.EqualFold(answer, "y") && !strings.EqualFold(answer, "yes") {
			err = fail.New(fail.Refused, "%q was typed, not y: nothing was made", answer)
		}
		return err != nil, err
	}
	return false, nil
}

// describeBackup lists what will be archived.
func (j *job) describeBackup() {
	j.ui.Say("    File systems that are backed up:")
	for _, mt := range j.m.Mounts {
		fs := j.m.FileSystemOn(mt.On)
		if fs == nil {
			continue
		}
		j.ui.Say("      %-24s %-6s %10s used  %-24s %s", mt.Target, fs.Kind, ui.Size(int64(fs.Used)), mt.On, j.readFrom(mt.Target))
	}
	if len(j.f.only) > 0 {
		j.ui.Say("    of them only: %s", strings.Join(j.f.only, ", "))
	}
	for _, s := range j.snapshots {
		j.ui.Say("    left out: %s", s)
	}
	j.ui.Say("    to %s", j.destination())
	if j.f.to != "" && !j.f.noMedium {
		j.ui.Say("    with the medium that restores it: %s", j.image)
	}
}

// intoMedium streams the backup into the image.
func (j *job) intoMedium(ctx context.Context) error {
	w, err := j.beginMedium(ctx)
	if err != nil {
		return err
	}
	res, err := j.backUp(ctx, w.BackupSink(), "")
	if err != nil {
		return abort(w, err)
	}
	if err := j.finishMedium(ctx, w); err != nil {
		return err
	}
	return j.outcome(res)
}

// intoStore writes the backup into a directory, verifies it and makes the
// medium that restores it.
func (j *job) intoStore(ctx context.Context) error {
	p, err := localPath(j.f.to)
	if err != nil {
		return err
	}
	s, err := dir.Open(p)
	if err != nil {
		return err
	}
	j.identity.BackupURL = "file://" + p
	res, err := j.backUp(ctx, s, j.m.Hostname)
	if err != nil {
		return err
	}
	b, err := archive.Open(ctx, s, res.Prefix)
	if err != nil {
		return err
	}
	err = j.verifyBackup(ctx, b)
	b.Close()
	if err != nil {
		return err
	}
	j.ui.Say("Backup: %s", filepath.Join(p, filepath.FromSlash(res.Prefix)))
	if j.f.noMedium {
		j.sayPartial()
	} else {
		w, err := j.beginMedium(ctx)
		if err != nil {
			return err
		}
		if err := j.finishMedium(ctx, w); err != nil {
			return err
		}
	}
	return j.outcome(res)
}

// backUp walks the machine into a sink.
func (j *job) backUp(ctx context.Context, sink store.Sink, prefix string) (backup.Result, error) {
	layout, err := j.m.Layout()
	if err != nil {
		return backup.Result{}, err
	}
	j.ui.Step("Backing up %s as %s", j.m.Hostname, j.identity.BackupID)
	begun, cpu := time.Now(), cpuTime()
	pr := j.ui.Progress("backup")
	res, err := backup.Run(ctx, backup.Options{
		Machine: &j.m, Exclude: j.f.exclude, Only: j.f.only, LeaveOut: j.snapshots, Own: j.own(), Snapshots: &j.source, Sink: sink, ID: j.identity.BackupID,
		Lock: "-", Hooks: existing(j.settings.HooksDir), Runner: j.host,
		Writer: archive.WriterOptions{
			Prefix: prefix, Host: j.m.Hostname, Level: j.settings.Level, VolumeSize: j.f.volume, Layout: layout,
			Headers: j.headers, WorkDir: j.work, Tool: "mkcdrec " + Version,
		},
		OnProgress: func(p backup.Progress) { pr.Set(p.Bytes, p.Total, p.Paths) },
		OnLeftover: j.leftover,
	})
	pr.Done()
	if err != nil {
		return res, err
	}
	c, took := res.Manifest.Counts, time.Since(begun)
	j.ui.Say("    %s, %s of content in %s: %s/s, %.0f %% of its size, %.1f CPUs busy", wording.Count(c.Paths, "path"), ui.Size(c.Content), ui.Duration(took),
		ui.Size(int64(float64(c.Content)/took.Seconds())), 100*float64(c.Stored)/float64(max(c.Content, 1)), (cpuTime()-cpu).Seconds()/took.Seconds())
	j.ui.Event("backup-made", map[string]any{"id": res.ID, "prefix": path.Join(prefix, res.ID), "counts": c, "seconds": took.Seconds(), "warnings": res.Manifest.Warned, "read_from": res.Manifest.ReadFrom})
	return res, nil
}

// leftover says what became of what an earlier backup left that did not end.
func (j *job) leftover(l store.Leftover) {
	j.ui.Event("leftover", map[string]any{"name": l.Name, "bytes": l.Bytes, "removed": l.Kept == nil})
	if l.Kept != nil {
		j.warn("an unfinished backup was left as it is: %s: %v", l.Name, l.Kept)
		return
	}
	j.ui.Say("    removed an unfinished backup of an earlier run: %s (%s)", l.Name, ui.Size(l.Bytes))
}

// existing is dir, or "" where it is not there: no hooks.
func existing(dir string) string {
	if _, err := os.Stat(dir); err != nil {
		return ""
	}
	return dir
}

// outcome names what was not as it should be in a verified backup.
func (j *job) outcome(res backup.Result) error {
	for i, w := range res.Manifest.Warnings {
		if i == 20 {
			j.ui.Warn("and %d more, in the manifest", res.Manifest.Warned-20)
			break
		}
		j.ui.Warn("%s: %s", w.Path, w.Problem)
	}
	j.warned += res.Manifest.Warned
	if res.Unremoved != nil {
		return fail.New(fail.Warnings, "the backup is good, but a snapshot that it was made of is still there: %w", res.Unremoved)
	}
	if res.PostHook != nil {
		return fail.New(fail.Warnings, "the backup is good, but a hook failed behind it: %w", res.PostHook)
	}
	return nil
}
