package cli

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/mkcdrec/mkcdrec/internal/config"
	"github.com/mkcdrec/mkcdrec/internal/diskimage"
	"github.com/mkcdrec/mkcdrec/internal/fail"
	"github.com/mkcdrec/mkcdrec/internal/fit"
	"github.com/mkcdrec/mkcdrec/internal/inspect"
	"github.com/mkcdrec/mkcdrec/internal/machine"
	"github.com/mkcdrec/mkcdrec/internal/plan"
	"github.com/mkcdrec/mkcdrec/internal/restore"
	"github.com/mkcdrec/mkcdrec/internal/ui"
	"github.com/mkcdrec/mkcdrec/internal/wording"
)

// imageText is what the manual says of restores into image files.
const imageText = `
--to-image FILE restores into a disk image, a new file, on any Linux machine and
of this or another one's backup: no disk is touched, and nothing is asked. One
FILE for each recorded disk that is needed, in the recorded order. The image has
the size of the recorded disk (--image-size takes another), and takes as much
room as is used of it. What is there already is never overwritten, an image that
was not finished is removed; only one that a power cut or kill -9 has left is made
anew by --fresh. Virtual machines start it by BIOS or UEFI as it was recorded, or
as --firmware says. It is refused where this machine has a volume group, an array,
an encrypted device or a mounted btrfs of the same name or UUID: that of its own
backup, above all. The firmware of this machine is never written to.
`

// imageFlags are the flags for a restore into image files.
type imageFlags struct {
	to       []string
	sizes    []string
	firmware string
}

func (f *imageFlags) add(c *cobra.Command) {
	c.Flags().StringArrayVar(&f.to, "to-image", nil, "restore into a new disk image `FILE`; no disk is touched (one for each recorded disk)")
	c.Flags().StringArrayVar(&f.sizes, "image-size", nil, "`SIZE` of the image, as in 20G (default: as the recorded disk; one for each image, or one for all)")
	c.Flags().StringVar(&f.firmware, "firmware", "", "`KIND` that starts the image: bios or uefi (default: as recorded)")
	_ = c.RegisterFlagCompletionFunc("firmware", cobra.FixedCompletions([]string{"bios", "uefi"}, cobra.ShellCompDirectiveNoFileComp))
	_ = c.MarkFlagFilename("to-image")
}

// notWithImages are flags that are about disks, or about plans of disks.
var notWithImages = []string{"disk", "map", "any-machine", "plan-in", "plan-out"}

// check refuses flags that contradict each other.
func (f imageFlags) check(cmd *cobra.Command) error {
	if len(f.to) == 0 {
		for _, name := range []string{"image-size", "firmware"} {
			if cmd.Flags().Changed(name) {
				return fail.Hint(fail.New(fail.Usage, "--%s is for image files, and none is named", name), "name one: --to-image FILE")
			}
		}
		return nil
	}
	for _, name := range notWithImages {
		if cmd.Flags().Changed(name) {
			return fail.New(fail.Usage, "--%s and --to-image exclude each other: no disk of this machine is used", name)
		}
	}
	if f.firmware != "" && f.firmware != string(machine.BIOS) && f.firmware != string(machine.UEFI) {
		return fail.New(fail.Usage, "--firmware %q is not allowed; it may be bios or uefi", f.firmware)
	}
	if n := len(f.sizes); n > 1 && n != len(f.to) {
		return fail.New(fail.Usage, "%d sizes were given for %s", n, wording.Count(len(f.to), "image"))
	}
	return nil
}

// wanted are the images for the recorded disks that are needed.
func (f imageFlags) wanted(needed []machine.Disk) ([]diskimage.Wanted, error) {
	if len(f.to) != len(needed) {
		var names []string
		for _, d := range needed {
			names = append(names, d.Name+" ("+plan.Size(d.Size)+")")
		}
		return nil, fail.Hint(fail.New(fail.Usage, "the backup needs %s, and %d image files are named: %s", wording.Count(len(needed), "disk"), len(f.to), strings.Join(names, ", ")),
			"give --to-image once for each of them, in this order")
	}
	var out []diskimage.Wanted
	for i, name := range f.to {
		abs, err := filepath.Abs(name)
		if err != nil {
			return nil, fail.New(fail.Usage, "%s: %w", name, err)
		}
		w := diskimage.Wanted{File: abs, Size: needed[i].Size}
		if len(f.sizes) > 0 {
			n, err := config.ParseSize(f.sizes[min(i, len(f.sizes)-1)])
			if err != nil {
				return nil, err
			}
			w.Size = (machine.Bytes(n) + 1<<20 - 1) >> 20 << 20 // a size as 10GB is no multiple of a sector
		}
		out = append(out, w)
	}
	return out, nil
}

// toImage is what a restore into image files begins with.
type toImage struct {
	*app
	src      *recovery
	ans      restore.Answers
	grow     bool
	firmware machine.FirmwareKind
	changes  *plan.Changes
	info     plan.Info
	wishes   fit.Wishes
	wanted   []diskimage.Wanted
}

// runToImage plans, shows and carries out a restore into image files.
func (a *app) runToImage(cmd *cobra.Command, args []string, f restoreFlags, ans restore.Answers) error {
	ctx := cmd.Context()
	src, err := a.openRecovery(ctx, args, ans.Backup, true)
	if err != nil {
		return err
	}
	defer src.b.Close()
	if err := restore.Covers(&src.b.Manifest, nil); err != nil {
		return err
	}
	j := toImage{app: a, src: src, ans: ans, grow: f.grow, firmware: machine.FirmwareKind(f.image.firmware)}
	if err := j.prepare(ctx, f.image); err != nil {
		return err
	}
	// All that can be refused is, before anything is made.
	if err := diskimage.Check(j.wanted, j.info.Content, f.fresh); err != nil {
		return err
	}
	p, err := j.plan(diskimage.Planned(j.wanted))
	if err == nil {
		err = restore.CheckLoader(ctx, p, restore.FromArchive(src.b.Backup))
	}
	if err == nil {
		err = j.alone(ctx, p)
	}
	if err != nil {
		return err
	}
	if f.plan {
		return a.showPlan(p)
	}
	o := restore.Options{Plan: p, Backup: restore.FromArchive(src.b.Backup), System: a.host, Verify: ans.Verify, Fresh: true}
	if o.Keys, err = a.keys(ctx, o, ans.Keys, f.answers != ""); err != nil {
		return err
	}
	if f.fresh {
		if err := diskimage.Clear(j.wanted); err != nil {
			return err
		}
	}
	return j.make(ctx, o)
}

// prepare finds out which images are wanted, and what is wished of them.
func (j *toImage) prepare(ctx context.Context, f imageFlags) (err error) {
	j.wishes = j.ans.Wishes(nil)
	j.wishes.GrowLargest = j.grow
	if j.changes, err = j.wishes.Changes(j.src.recorded); err != nil {
		return err
	}
	needed, err := fit.Needed(j.src.recorded, j.wishes)
	if err != nil {
		return err
	}
	if j.wanted, err = f.wanted(needed); err != nil {
		return err
	}
	j.info, j.wishes.Content, err = planInfo(ctx, j.src, j.changes)
	j.info.Clone = j.ans.CloneWishes()
	return err
}

// plan is the plan for images with these names.
func (j *toImage) plan(files []diskimage.File) (plan.Plan, error) {
	var names []string
	info := j.info
	for _, f := range files {
		names = append(names, f.File)
		info.Images = append(info.Images, plan.Image{Disk: f.Disk, File: f.File})
	}
	fitted, here, choices, err := fit.OntoImages(j.src.recorded, diskimage.Disks(files), names, j.firmware, j.wishes)
	if err != nil {
		return plan.Plan{}, err
	}
	return plan.Restore(fitted, choices, here, info)
}

// alone refuses what has a name that this machine uses, too.
func (j *toImage) alone(ctx context.Context, p plan.Plan) error {
	used, err := diskimage.Used(ctx, j.host, "/sys", p.Target)
	if err == nil {
		err = diskimage.Clash(p.Target, used)
	}
	if err != nil {
		return err
	}
	here, err := inspect.Machine(ctx, j.host, inspect.Options{})
	if err != nil {
		return err
	}
	if at := diskimage.Twins(p.Target, here); len(at) > 0 {
		j.ui.Note("what is mounted here at %s has the UUID of a file system of the image: until that is made, do not mount by UUID", strings.Join(at, ", "))
	}
	return nil
}

// make makes the images and restores into them. Whatever happens, nothing of
// them stays attached, and what was not finished is removed.
func (j *toImage) make(ctx context.Context, o restore.Options) (err error) {
	work, err := os.MkdirTemp(j.settings.WorkDir, "mkcdrec-image-")
	if err != nil {
		return fail.New(fail.Failed, "cannot make a mount point: %w", err)
	}
	defer os.Remove(work) // only while it is empty: it was a mount point
	root := filepath.Join(work, "root")
	set, err := diskimage.Make(ctx, j.host, j.wanted, j.settings.WorkDir, root)
	if err != nil {
		return err
	}
	done := false
	defer func() {
		if done {
			return
		}
		if cerr := errors.Join(set.Close(context.WithoutCancel(ctx)), set.Remove()); cerr != nil {
			err = errors.Join(err, cerr)
		}
	}()
	if o.Plan, err = j.plan(set.Files); err != nil {
		return err
	}
	if err := j.showPlan(o.Plan); err != nil {
		return err
	}
	o.System, o.Images, o.TargetRoot, o.Journal = set.Confined(), set, root, diskimage.JournalOf(j.wanted[0].File)
	rep, err := j.runPlan(ctx, o, int64(j.info.Content))
	if err != nil {
		return err
	}
	if err := set.Close(context.WithoutCancel(ctx)); err != nil {
		return err
	}
	done = true
	return j.finished(o.Plan, rep)
}

// finished says what came of it, and what can be done with it.
func (j *toImage) finished(p plan.Plan, rep restore.Report) error {
	var files []string
	for _, w := range j.wanted {
		files = append(files, w.File)
	}
	j.ui.Event("images", map[string]any{"files": files, "firmware": p.Target.Firmware.Kind})
	j.ui.Say("")
	j.ui.Say("%s %s into %s: %s, %s, %s; %s compared with the backup.", j.ui.Styled(ui.Green, "Restored"), p.Host, strings.Join(files, ", "),
		wording.Count(rep.Steps+rep.Resumed, "step"), wording.Count(rep.Unpacked.Paths, "path"), ui.Size(rep.Unpacked.Bytes), wording.Count(rep.Verified.Paths, "path"))
	start := "qemu-system-x86_64 -accel kvm -m 2048"
	if p.Target.Firmware.Kind == machine.UEFI {
		start += " -bios /usr/share/ovmf/OVMF.fd"
	}
	for _, f := range files {
		start += " -drive if=virtio,format=raw,file=" + f
	}
	if slices.Contains([]string{"amd64", ""}, p.Target.Arch) {
		j.ui.Say("To start it:    %s -snapshot", start)
	}
	for _, f := range files {
		j.ui.Say("To convert it:  qemu-img convert -O qcow2 %s %s.qcow2", f, strings.TrimSuffix(f, filepath.Ext(f)))
	}
	if !p.Clone {
		j.ui.Say("It is the same machine, with its name, addresses and keys: do not let both into one network. (mkcdrec clone gives it its own.)")
	}
	if n := len(rep.Warnings); n > 0 {
		return fail.New(fail.Warnings, "the machine was restored, with %s", wording.Count(n, "warning"))
	}
	return nil
}
