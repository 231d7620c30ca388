package cli

import (
	"context"
	"encoding/hex"
	"os"
	"path"
	"path/filepath"
	"slices"
	"sort"
	"strings"
	"time"

	"github.com/moby/sys/mountinfo"
	"github.com/spf13/cobra"

	"github.com/mkcdrec/mkcdrec/internal/archive"
	"github.com/mkcdrec/mkcdrec/internal/fail"
	"github.com/mkcdrec/mkcdrec/internal/medium"
	"github.com/mkcdrec/mkcdrec/internal/medium/iso9660"
	"github.com/mkcdrec/mkcdrec/internal/rescueinit"
	"github.com/mkcdrec/mkcdrec/internal/store"
	"github.com/mkcdrec/mkcdrec/internal/ui"
	"github.com/mkcdrec/mkcdrec/internal/wording"
)

func (a *app) verifyCommand() *cobra.Command {
	var id, latest string
	c := &cobra.Command{
		Use:   "verify [BACKUP]",
		Short: "read a medium or backup back, every byte, and say whether it is whole",
		Long: `Reads everything: the files of a medium against their checksums, the volumes
and frames of a backup, the content of each file against the catalogue.
BACKUP is an ISO, a device, a directory or a file:// URL. In the rescue system
it may be left out: then it is the medium that was booted.

Exit code 0: whole. 5: damaged, and what is concerned was named.`,
		Example: `  mkcdrec verify /srv/web1.iso
  mkcdrec verify file:///mnt/nas/backups --id 20261124T031500Z-1f0e
  mkcdrec verify --latest out`,
		Args: cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			where, err := a.verifyTarget(args, latest)
			if err != nil {
				return err
			}
			return a.verify(cmd.Context(), where, id)
		},
	}
	c.Flags().StringVar(&id, "id", "", "which backup, where there are several (default: all of them)")
	c.Flags().StringVar(&latest, "latest", "", "the newest image in `DIR`")
	return c
}

func (a *app) verifyTarget(args []string, latest string) (string, error) {
	switch {
	case latest != "" && len(args) > 0:
		return "", fail.New(fail.Usage, "--latest and a backup exclude each other")
	case latest != "":
		return newestImage(latest)
	case len(args) == 1:
		return args[0], nil
	}
	if mediumMounted() {
		return mediumDevice()
	}
	return "", fail.Hint(fail.New(fail.Usage, "which backup?"), "give an ISO or a directory: mkcdrec verify /srv/web1.iso")
}

// mediumMounted says whether this is the rescue system with its medium found.
func mediumMounted() bool {
	_, err := os.Stat(filepath.Join(rescueinit.MediumDir, iso9660.SumsName))
	return err == nil
}

// mediumDevice is the device that the medium was mounted from: more can be
// checked there than in its files.
func mediumDevice() (string, error) {
	mounts, err := mountinfo.GetMounts(mountinfo.SingleEntryFilter(rescueinit.MediumDir))
	if err != nil || len(mounts) == 0 {
		return "", fail.New(fail.Failed, "cannot find the device of the medium: %v", err)
	}
	return mounts[0].Source, nil
}

func newestImage(dir string) (string, error) {
	images, err := filepath.Glob(filepath.Join(dir, "*.iso"))
	if err != nil || len(images) == 0 {
		return "", fail.New(fail.Failed, "no image (*.iso) in %s", dir)
	}
	age := func(p string) time.Time {
		if fi, err := os.Stat(p); err == nil {
			return fi.ModTime()
		}
		return time.Time{}
	}
	sort.Slice(images, func(i, j int) bool { return age(images[i]).Before(age(images[j])) })
	return images[len(images)-1], nil
}

// verify checks a medium and the backups on it, or the backups of a directory,
// and reads every byte once. It goes on behind damage: what is whole besides
// matters to whoever has nothing else.
func (a *app) verify(ctx context.Context, where, id string) error {
	p, err := localPath(where)
	if err != nil {
		return err
	}
	if _, err := os.Stat(p); err != nil {
		return fail.Hint(fail.New(fail.Failed, "cannot verify: %w", err), "give an ISO, a directory or a file:// URL")
	}
	src, closeSrc, err := openSource(where)
	if err != nil {
		return err
	}
	defer closeSrc()
	found, err := archive.List(ctx, src)
	if err != nil {
		return err
	}
	found = slices.DeleteFunc(found, func(f archive.Found) bool { return id != "" && f.Manifest.ID != id && path.Base(f.Prefix) != id })
	var checks []func() error
	if isMedium(p) {
		checks = append(checks, func() error { return a.verifyMedium(ctx, p, found) })
	}
	for _, f := range found {
		checks = append(checks, func() error { return a.verifyFound(ctx, src, f) })
	}
	if len(checks) == 0 && id == "" {
		return fail.Hint(fail.New(fail.Damaged, "nothing to verify in %s: no complete backup, no medium", where), "a backup without manifest.json was not finished")
	}
	if len(found) == 0 && id != "" {
		return fail.New(fail.Failed, "no backup %s in %s", id, where)
	}
	var first error
	for _, check := range checks {
		switch err := check(); {
		case err == nil:
		case fail.KindOf(err) != fail.Damaged || ctx.Err() != nil:
			return err
		case first == nil:
			first = err
		default:
			a.ui.Warn("%v", err)
		}
	}
	if first != nil {
		return first
	}
	if len(found) == 0 {
		a.ui.Say("    The medium holds no backup of its own.")
	}
	a.ui.Say("%s %s", a.ui.Styled(ui.Green, "whole:"), where)
	return nil
}

// verifyMedium checks all of a medium but the files of the backups that are
// checked besides.
func (a *app) verifyMedium(ctx context.Context, p string, besides []archive.Found) error {
	known := map[string][]byte{}
	for _, f := range besides {
		if f.Err != nil {
			continue
		}
		for _, info := range f.Manifest.Files() {
			if sum, err := hex.DecodeString(info.SHA256); err == nil {
				known[path.Join(f.Prefix, info.Name)] = sum
			}
		}
	}
	a.ui.Step("Checking the medium %s", p)
	pr := a.ui.Progress("medium")
	rep, err := medium.Verify(ctx, p, known, func(done, total int64) { pr.Set(done, total, 0) })
	pr.Done()
	if err != nil {
		return err
	}
	a.ui.Say("    %s, %s: all checksums hold", wording.Count(rep.Files, "file"), ui.Size(rep.Bytes))
	a.ui.Event("medium", rep)
	return nil
}

func (a *app) verifyFound(ctx context.Context, src store.Source, f archive.Found) error {
	if f.Err != nil {
		return f.Err
	}
	b, err := archive.Open(ctx, src, f.Prefix)
	if err != nil {
		return err
	}
	defer b.Close()
	return a.verifyBackup(ctx, b)
}

// isMedium says whether p is an image or a device; what is mounted is a
// directory of backups.
func isMedium(p string) bool {
	fi, err := os.Stat(p)
	return err == nil && !fi.IsDir()
}

// verifyBackup reads one backup back and says what was checked.
func (a *app) verifyBackup(ctx context.Context, b *archive.Backup) error {
	a.ui.Step("Checking the backup %s of %s", b.Manifest.ID, b.Manifest.Host)
	pr := a.ui.Progress("verify")
	rep, err := b.Verify(ctx, func(p archive.Progress) { pr.Set(p.Content, b.Manifest.Counts.Content, p.Paths) })
	pr.Done()
	if rep != nil {
		a.ui.Event("backup", map[string]any{"id": b.Manifest.ID, "host": b.Manifest.Host, "report": rep, "whole": err == nil})
	}
	if err != nil {
		if rep != nil {
			for _, d := range rep.Damage {
				a.ui.Warn("%s", d)
			}
			if len(rep.Lost) > 0 {
				a.ui.Warn("damaged files: %s", some(rep.Lost, 20))
			}
		}
		return err
	}
	a.ui.Say("    %s, %s, %s; content of %s compared, %s", wording.Count(rep.Volumes, "volume"), wording.Count(rep.Frames, "frame"), wording.Count(rep.Paths, "path"),
		wording.Count(rep.Files, "file"), ui.Size(rep.Bytes))
	if n := b.Manifest.Warned; n > 0 {
		a.ui.Warn("recorded when this backup was made: %s; the first: %s: %s", wording.Count(n, "warning"), b.Manifest.Warnings[0].Path, b.Manifest.Warnings[0].Problem)
	}
	return nil
}

// some joins the first n of a list and says how many more there are.
func some(list []string, n int) string {
	if len(list) <= n {
		return strings.Join(list, ", ")
	}
	return strings.Join(list[:n], ", ") + " and " + itoa(len(list)-n) + " more"
}
