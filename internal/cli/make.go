package cli

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/mkcdrec/mkcdrec/internal/archive"
	"github.com/mkcdrec/mkcdrec/internal/backup"
	"github.com/mkcdrec/mkcdrec/internal/config"
	"github.com/mkcdrec/mkcdrec/internal/fail"
	"github.com/mkcdrec/mkcdrec/internal/inspect"
	"github.com/mkcdrec/mkcdrec/internal/machine"
	"github.com/mkcdrec/mkcdrec/internal/medium"
	"github.com/mkcdrec/mkcdrec/internal/plan"
	"github.com/mkcdrec/mkcdrec/internal/rescue"
	"github.com/mkcdrec/mkcdrec/internal/restore"
	"github.com/mkcdrec/mkcdrec/internal/snapshot"
	"github.com/mkcdrec/mkcdrec/internal/system"
	"github.com/mkcdrec/mkcdrec/internal/ui"
	"github.com/mkcdrec/mkcdrec/internal/wording"
)

// makeFlags are the flags of rescue and backup.
type makeFlags struct {
	out        string
	to         string
	only       []string
	exclude    []string
	volumeSize string
	volume     int64 // bytes, from volumeSize or the settings; 0: one volume
	answers    string
	snapshots  string   // auto, off, require; "": the settings
	freeze     []string // mount points, beside those of the settings
	noMedium   bool
	// luksHeaders puts copies of LUKS headers into the backup.
	luksHeaders bool
	plan        bool
	ask         bool // the menu asks before it begins
}

func (a *app) rescueCommand() *cobra.Command {
	var f makeFlags
	c := &cobra.Command{
		Use:   "rescue",
		Short: "make a rescue medium without a backup",
		Long: `Makes a bootable medium of this machine: its kernel, modules, programs and the
record of how it is set up, without its files. It is read back before it is
called good.

Exit code 0: whole. 3: made, and something was not as it should be, such as a
program that is left out: each is named.`,
		Example: `  mkcdrec rescue --out /srv
  dd if=/srv/web1-rescue-20261124.iso of=/dev/sdX bs=4M conv=fsync     # onto a USB stick`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return a.runRescue(cmd.Context(), f) },
	}
	a.mediumFlags(c, &f)
	return c
}

// mediumFlags are those that rescue and backup have in common.
func (a *app) mediumFlags(c *cobra.Command, f *makeFlags) {
	c.Flags().StringVar(&f.out, "out", "", "`DIR` for the image (default image_dir of the settings)")
	c.Flags().BoolVar(&f.plan, "plan", false, "say what would be made, and make nothing")
}

// runRescue makes a medium without a backup.
func (a *app) runRescue(ctx context.Context, f makeFlags) (err error) {
	m, err := a.record(ctx)
	if err != nil {
		return err
	}
	j, err := a.newJob(m, f, "rescue")
	if err != nil {
		return err
	}
	defer func() { err = j.end(err) }()
	if done, err := j.show(); done || err != nil {
		return err
	}
	w, err := j.beginMedium(ctx)
	if err != nil {
		return err
	}
	return j.finishMedium(ctx, w)
}

// record looks at the machine and names what was found.
func (a *app) record(ctx context.Context) (machine.Machine, error) {
	if err := needRoot("make a recovery medium"); err != nil {
		return machine.Machine{}, err
	}
	a.ui.Step("Looking at this machine")
	m, err := inspect.Machine(ctx, a.host, inspect.Options{})
	if err != nil {
		return m, err
	}
	if err := m.Validate(); err != nil {
		return m, fail.Hint(fail.New(fail.Unsupported, "the record of this machine does not hold together: %w", err), "see it with: mkcdrec layout")
	}
	return m, nil
}

// job is the making of one medium.
type job struct {
	*app
	f        makeFlags
	kind     string // "rescue" or "backup"
	m        machine.Machine
	identity rescue.Identity
	image    string   // path of the ISO
	tools    []string // that the restore of this machine calls
	work     string   // directory made for this run, removed at its end
	// snapshots are left out of the backup.
	snapshots []backup.Snapshots
	warned    int64                // how many warnings were said, those in the manifest with them
	source    snapshot.Plan        // from where each mount is read
	headers   []archive.HeaderCopy // copies of LUKS headers
}

func (a *app) newJob(m machine.Machine, f makeFlags, kind string) (*job, error) {
	if f.out == "" {
		f.out = a.settings.ImageDir
	}
	var err error
	if f.out, err = filepath.Abs(f.out); err != nil {
		return nil, err
	}
	j := &job{app: a, f: f, kind: kind, m: m}
	id := make([]byte, 4)
	if _, err := rand.Read(id); err != nil {
		return nil, err
	}
	now, given := madeAt()
	if given && kind == "rescue" { // the same machine gives the same medium, but for what changed on it
		sum := sha256.Sum256([]byte(m.MachineID + m.Hostname + now.String()))
		copy(id, sum[:])
		j.m.Recorded = now
	}
	kindOfImage := kind
	if len(f.only) > 0 {
		kindOfImage = "partial" // not the name of what brings a machine back
	}
	j.identity = rescue.Identity{Only: f.only, Version: 1, MediumID: hex.EncodeToString(id), Made: now, Host: m.Hostname, OS: m.OS.Name, Network: m.Network}
	if err := j.planRestore(); err != nil {
		return nil, err
	}
	if j.identity.Settings, err = a.rescueSettings(); err != nil {
		return nil, err
	}
	j.image = filepath.Join(f.out, m.Hostname+"-"+kindOfImage+"-"+now.Format("20060102-150405")+".iso")
	if f.plan {
		return j, nil
	}
	if err := os.MkdirAll(f.out, 0o755); err != nil {
		return nil, fail.New(fail.Failed, "cannot make the image directory: %w", err)
	}
	if j.work, err = os.MkdirTemp(a.settings.WorkDir, "mkcdrec-"); err != nil {
		return nil, fail.New(fail.Failed, "cannot make a work directory: %w", err)
	}
	return j, nil
}

// madeAt is the time of the medium: SOURCE_DATE_EPOCH, if it is given, or now.
// Source: https://reproducible-builds.org/specs/source-date-epoch/
func madeAt() (at time.Time, given bool) {
	if s, err := strconv.ParseInt(os.Getenv("SOURCE_DATE_EPOCH"), 10, 64); err == nil {
		return time.Unix(s, 0).UTC(), true
	}
	return time.Now().UTC().Truncate(time.Second), false
}

// rescueSettings takes what matters inside the rescue system from the settings.
func (a *app) rescueSettings() (rescue.RescueSettings, error) {
	s := rescue.RescueSettings{ConsoleLogin: a.settings.Rescue.ConsoleLogin}
	for _, k := range a.settings.Rescue.AuthorizedKeys {
		if !strings.HasPrefix(k, "/") {
			s.AuthorizedKeys = append(s.AuthorizedKeys, k)
			continue
		}
		data, err := os.ReadFile(k)
		if err != nil {
			return s, fail.New(fail.Usage, "rescue.authorized_keys: %w", err)
		}
		for line := range strings.Lines(string(data)) {
			if line = strings.TrimSpace(line); line != "" && !strings.HasPrefix(line, "#") {
				s.AuthorizedKeys = append(s.AuthorizedKeys, line)
			}
		}
	}
	return s, nil
}

// warn names one thing that is not as it should be; the end counts them.
func (j *job) warn(format string, args ...any) {
	j.ui.Warn(format, args...)
	j.warned++
}

// end cleans up, and is the last word on what was made: whole, or with warnings.
func (j *job) end(err error) error {
	if j.work != "" {
		if err := os.RemoveAll(j.work); err != nil {
			j.warn("cannot remove the work directory: %v", err)
		}
	}
	if err != nil || j.warned == 0 {
		return err
	}
	what := map[string]string{"rescue": "the medium", "backup": "the backup"}[j.kind] + " was made and verified"
	if j.f.plan {
		what = "this is the plan"
	}
	return fail.New(fail.Warnings, "%s, with %s", what, wording.Count(j.warned, "warning"))
}

// beginMedium builds the rescue system and begins the image with it.
func (j *job) beginMedium(ctx context.Context) (*medium.Writer, error) {
	j.ui.Step("Building the rescue system")
	begun := time.Now()
	pr := j.ui.Progress("rescue system")
	res, err := rescue.Build(ctx, j.host, j.m, j.rescueOptions(pr.Stage))
	pr.Done()
	if err != nil {
		return nil, err
	}
	j.describeRescue(res, time.Since(begun))
	if limit, err := config.ParseSize(j.settings.Rescue.Memory); j.settings.Rescue.Memory != "" && err == nil && int64(res.MemoryNeeded) > limit {
		return nil, fail.Hint(fail.New(fail.Failed, "the rescue system needs %s of memory, more than rescue.memory allows", ui.Size(int64(res.MemoryNeeded))), `fewer modules: rescue.modules = "host"`)
	}
	loaders, err := medium.FindLoaders(ctx, j.host, "/", medium.Label(j.identity.MediumID))
	if err != nil {
		return nil, err
	}
	if own := j.m.Firmware.Kind; own == machine.BIOS && loaders.BIOS == nil || own == machine.UEFI && loaders.GRUB64 == nil {
		return nil, fail.Hint(fail.New(fail.Unsupported, "the medium would not boot on this machine, which starts by %s: %s", own, strings.Join(loaders.Notes, "; ")),
			"see what to install: mkcdrec doctor")
	}
	o, err := j.mediumOptions(res, loaders)
	if err != nil {
		return nil, err
	}
	return medium.NewWriter(ctx, j.image, o)
}

// describeRescue says what is in the rescue system, and what is not.
func (j *job) describeRescue(res rescue.Result, took time.Duration) {
	for _, w := range res.Warnings {
		j.warn("%s", w)
	}
	for _, n := range res.Notes {
		j.ui.Note("%s", n)
	}
	j.ui.Say("    kernel %s, %s, %s: %s, needs %s of memory (%s)", res.KernelVersion, wording.Count(len(res.Programs), "program"), wording.Count(res.Modules, "module"),
		ui.Size(int64(res.Size)), ui.Size(int64(res.MemoryNeeded)), ui.Duration(took))
	j.ui.Event("rescue", map[string]any{"kernel": res.KernelVersion, "size": res.Size, "memory_needed": res.MemoryNeeded, "programs": len(res.Programs), "modules": res.Modules, "warnings": res.Warnings, "notes": res.Notes})
}

// restoreTools are the programs that restoring this machine will call: a medium
// without them is found now. It is an error of plan's kind and hint where no
// restore of this machine can be planned.
func restoreTools(m machine.Machine) ([]string, error) {
	p, err := plan.Restore(m, nil, m, plan.Info{})
	if err != nil {
		return nil, fmt.Errorf("cannot plan the restore of this machine: %w", err)
	}
	return restore.Tools(p), nil
}

// planRestore refuses the backup of a whole machine that could not be brought
// back. Any other medium is good for something without that.
func (j *job) planRestore() (err error) {
	if j.tools, err = restoreTools(j.m); err == nil {
		return j.answeredWishes()
	}
	if j.kind == "backup" && len(j.f.only) == 0 {
		return err
	}
	j.warn("%v", err)
	if h := fail.HintOf(err); h != "" {
		j.ui.Say("    %s", h)
	}
	return nil
}

// finishMedium closes the image, reads it back and says what it is good for.
func (j *job) finishMedium(ctx context.Context, w *medium.Writer) error {
	sum, err := w.Close(ctx)
	if err != nil {
		return err
	}
	for _, n := range sum.Notes {
		j.ui.Note("%s", n)
	}
	if err := j.verify(ctx, j.image, ""); err != nil {
		return err
	}
	j.ui.Event("medium-made", map[string]any{"image": j.image, "summary": sum, "only": j.f.only})
	j.ui.Say("")
	j.announce(sum.Size)
	j.ui.Say("Boots by: %s", bootsBy(sum))
	j.ui.Say("Burn it to a disc, or copy it to a USB stick:  dd if=%s of=/dev/sdX bs=4M conv=fsync", system.Quote(system.Command{Name: j.image}))
	return j.burn(ctx)
}

// announce says what the image is, and not more.
func (j *job) announce(size int64) {
	image := j.ui.Styled(ui.Bold, j.image)
	if len(j.f.only) == 0 {
		j.ui.Say("Recovery medium: %s (%s)", image, ui.Size(size))
		return
	}
	what := "Medium with a part of the files"
	if j.f.to != "" {
		what = "Rescue medium"
	}
	j.ui.Say("%s: %s (%s)", what, image, ui.Size(size))
	j.sayPartial()
}

// sayPartial says what a backup with --only is not.
func (j *job) sayPartial() {
	if len(j.f.only) > 0 {
		j.ui.Say("The backup has only %s: it cannot bring the machine back. Take files out of it with: mkcdrec extract", strings.Join(j.f.only, ", "))
	}
}

func bootsBy(s medium.Summary) string {
	var by []string
	for _, b := range []struct {
		ok   bool
		name string
	}{{s.BIOS, "BIOS (CD)"}, {s.BIOSUSB, "BIOS (USB)"}, {s.UEFI, "UEFI (CD, USB)"}, {s.SecureBoot, "UEFI Secure Boot"}} {
		if b.ok {
			by = append(by, b.name)
		}
	}
	return strings.Join(by, ", ")
}

// burn writes the image to a disc when the settings ask for it.
func (j *job) burn(ctx context.Context) error {
	b := j.settings.Burn
	if !b.Enabled {
		return nil
	}
	for _, tool := range []struct {
		name string
		args []string
	}{
		{"xorriso", []string{"-as", "cdrecord", "-v", "dev=" + b.Device, "speed=" + strconv.Itoa(b.Speed), "-eject", j.image}},
		{"wodim", []string{"-v", "dev=" + b.Device, "speed=" + strconv.Itoa(b.Speed), "-eject", j.image}},
	} {
		if _, err := j.host.LookPath(tool.name); err != nil {
			continue
		}
		j.ui.Step("Burning %s on %s", j.image, b.Device)
		if _, err := j.host.Run(ctx, system.Command{Name: tool.name, Args: tool.args}); err != nil {
			return fail.New(fail.Failed, "the image is good, but it was not burned: %w", err)
		}
		return nil
	}
	return fail.Hint(fail.New(fail.Unsupported, "cannot burn: no xorriso and no wodim here"), "install xorriso, or burn %s elsewhere", j.image)
}

// abort gives a medium up and keeps the error that led to it.
func abort(w *medium.Writer, err error) error { return errors.Join(err, w.Abort()) }
