package cli

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"

	"github.com/mkcdrec/mkcdrec/internal/config"
	"github.com/mkcdrec/mkcdrec/internal/fail"
	"github.com/mkcdrec/mkcdrec/internal/machine"
	"github.com/mkcdrec/mkcdrec/internal/plan"
	"github.com/mkcdrec/mkcdrec/internal/restore"
	"github.com/mkcdrec/mkcdrec/internal/selection"
	"github.com/mkcdrec/mkcdrec/internal/store/dir"
	"github.com/mkcdrec/mkcdrec/internal/ui"
)

// minVolume is the smallest volume, in bytes. Volumes are cut between frames
// of up to 4 MiB, so that smaller ones would not have the size that was asked
// for; and a machine in a hundred thousand files is of no use.
const minVolume = 16 << 20

// checked says what is wrong with the flags of backup, before anything is
// looked at or done, and fills in what the settings say. The errors are of kind
// fail.Usage, but for a destination that is not there.
func (f makeFlags) checked(s config.Settings) (makeFlags, error) {
	if f.to == "" {
		f.to = s.BackupTo
	}
	if f.noMedium && f.to == "" {
		return f, fail.Hint(fail.New(fail.Usage, "--no-medium needs a place for the backup"), "say where: --to file:///mnt/nas/backups")
	}
	if f.snapshots == "" {
		f.snapshots = s.Snapshots
	}
	if !config.ValidSnapshots(f.snapshots) {
		return f, fail.New(fail.Usage, "--snapshots %q is not allowed: auto, off or require", f.snapshots)
	}
	for _, p := range f.freeze {
		if !filepath.IsAbs(p) {
			return f, fail.New(fail.Usage, "--freeze %q is not an absolute path", p)
		}
	}
	f.freeze = append(slices.Clone(s.Freeze), f.freeze...)
	if err := f.checkVolume(s.VolumeSize); err != nil {
		return f, err
	}
	if err := f.checkPaths(s.Exclude); err != nil {
		return f, err
	}
	if err := f.checkAnswers(f.to); err != nil || f.to == "" {
		return f, err
	}
	p, err := localPath(f.to)
	if err != nil {
		return f, err
	}
	d, err := dir.Open(p)
	if err != nil {
		return f, err
	}
	return f, d.Close()
}

// checkVolume reads the size of a volume.
func (f *makeFlags) checkVolume(setting string) (err error) {
	what, size := "--volume-size", f.volumeSize
	if size == "" {
		what, size = "volume_size in the settings", setting
	}
	if size == "" {
		return nil
	}
	if f.volume, err = config.ParseSize(size); err != nil {
		return fmt.Errorf("%s: %w", what, err)
	}
	if f.volume < minVolume {
		return fail.Hint(fail.New(fail.Usage, "%s: %q is too small for a volume, it may be %s or more", what, size, ui.Size(minVolume)),
			"with its unit: 4GiB, 700MB")
	}
	return nil
}

// checkPaths makes the paths of --only clean, and reads the patterns.
func (f *makeFlags) checkPaths(settings []string) error {
	only := make([]string, 0, len(f.only))
	for _, p := range f.only {
		if !filepath.IsAbs(p) {
			return fail.Hint(fail.New(fail.Usage, "--only %q is not an absolute path", p), "write it from the root: --only /etc")
		}
		p = filepath.Clean(p)
		if _, err := os.Lstat(p); err != nil {
			return fail.Hint(fail.New(fail.Usage, "--only %s: it is not here: %w", p, err), "see what is there: ls %s", filepath.Dir(p))
		}
		only = append(only, p)
	}
	if slices.Contains(only, "/") {
		only = nil // that is everything
	}
	f.only = only
	_, err := selection.Compile(append(slices.Clone(settings), f.exclude...))
	return err
}

// checkAnswers reads the answer file as the restore will: what is wrong in it
// is found now, and not in the disaster. to is where the backup goes; "": into
// the image.
func (f makeFlags) checkAnswers(to string) error {
	if f.answers == "" {
		return nil
	}
	if len(f.only) > 0 {
		return fail.Hint(fail.New(fail.Usage, "--only and --answers exclude each other: a backup of some paths restores no machine"),
			"leave one of them out; files come back by: mkcdrec extract")
	}
	if to != "" {
		return fail.Hint(fail.New(fail.Usage, "--answers needs the backup on the medium: in the rescue system nobody mounts %s before an unattended restore", to),
			"leave --to out (and backup_to in the settings), or give the answers by hand: mkcdrec restore --answers FILE BACKUP")
	}
	ans, err := restore.ReadAnswers(f.answers)
	if err != nil {
		return fmt.Errorf("%s: %w", f.answers, err)
	}
	if ans.Backup != "" {
		return fail.Hint(fail.New(fail.Usage, "%s: backup = %q cannot be the one that is made now", f.answers, ans.Backup),
			"leave it out: there is one backup on the medium")
	}
	return nil
}

// answeredWishes checks what the answer file wishes against this machine: a
// mistake is found now, not by a restore that nobody watches. The programs that
// the wishes call belong on the medium.
func (j *job) answeredWishes() error {
	if j.f.answers == "" {
		return nil
	}
	ans, err := restore.ReadAnswers(j.f.answers)
	if err == nil {
		err = ans.Wishes(nil).Check(j.m)
	}
	if err != nil {
		return fmt.Errorf("%s: %w", j.f.answers, err)
	}
	if ans.Mirror != "" {
		j.tools = append(j.tools, "mdadm")
	}
	for _, kind := range ans.FS {
		made := plan.Step{Kind: plan.MakeFS, FS: &machine.FileSystem{Kind: machine.FSKind(kind)}}
		j.tools = append(j.tools, restore.Tools(plan.Plan{Steps: []plan.Step{made}})...)
	}
	slices.Sort(j.tools)
	j.tools = slices.Compact(j.tools)
	return nil
}
