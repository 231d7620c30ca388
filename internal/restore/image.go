package restore

import (
	"context"
	"errors"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/mkcdrec/mkcdrec/internal/diskimage"
	"github.com/mkcdrec/mkcdrec/internal/fail"
	"github.com/mkcdrec/mkcdrec/internal/identity"
	"github.com/mkcdrec/mkcdrec/internal/machine"
	"github.com/mkcdrec/mkcdrec/internal/plan"
	"github.com/mkcdrec/mkcdrec/internal/tool/lvm"
	"github.com/mkcdrec/mkcdrec/internal/tool/mount"
	"github.com/mkcdrec/mkcdrec/internal/tool/udev"
)

// virtualDrivers are the modules behind the disks of virtual machines.
var virtualDrivers = []string{"virtio_pci", "virtio_blk", "virtio_scsi", "ahci", "sd_mod"}

// checkImages is the guard of restores into image files: a plan for images is
// carried out on images of this run, and one for disks is not.
func (x *executor) checkImages() error {
	if x.Images == nil {
		if len(x.Plan.Images) > 0 {
			return fail.New(fail.Refused, "the plan makes image files, and none are attached")
		}
		return nil
	}
	if len(x.Plan.Images) == 0 {
		return fail.New(fail.Refused, "the plan is for disks, and images are to be made")
	}
	for _, d := range x.m.Disks {
		i := slices.IndexFunc(x.Images.Files, func(f diskimage.File) bool { return f.Disk == d.Name })
		if i < 0 || x.Images.Files[i].File != x.Plan.Image(d.Name) || d.Path != "/dev/"+d.Name {
			return fail.New(fail.Refused, "disk %s of the plan is no image of this run", d.Name)
		}
		if err := x.Images.Owns(d.Name); err != nil {
			return err
		}
	}
	for _, s := range x.Plan.Steps {
		if s.Kind == plan.InstallLoader && (s.BootLoader.Kind == machine.GRUBBIOS || s.BootLoader.Kind == machine.EXTLINUX) && !x.Images.Scans {
			name := map[machine.BootLoaderKind]string{machine.GRUBBIOS: "GRUB", machine.EXTLINUX: "EXTLINUX"}[s.BootLoader.Kind]
			return fail.Hint(fail.New(fail.Unsupported, "the kernel of this machine does not show partitions on loop devices, without which %s cannot be installed on an image", name),
				"make the image on another machine, or in the rescue system")
		}
	}
	return nil
}

// ours refuses a step on any disk that is no image of this run. Each step is
// asked about anew: a device that went away may be somebody else's now.
func (x *executor) ours(s plan.Step) error {
	if x.Images == nil || s.Device == "" {
		return nil
	}
	disks := x.m.DisksUnder(s.Device)
	if len(disks) == 0 {
		return fail.New(fail.Refused, "%s lies on no disk of the plan", s.Device)
	}
	for _, d := range disks {
		if err := x.Images.Owns(d.Name); err != nil {
			return err
		}
	}
	return nil
}

// hideFirmware puts nothing in the place of this machine's firmware, as programs
// inside the restored system see it: they shall not write its variables.
func (x *executor) hideFirmware(ctx context.Context) error {
	if x.Images == nil {
		return nil
	}
	dir := path.Join(x.TargetRoot, "sys/firmware/efi")
	if _, err := os.Stat(dir); errors.Is(err, os.ErrNotExist) {
		return nil
	}
	return mount.Mount(ctx, x.System, "none", dir, "tmpfs", "ro,size=4k")
}

// reserve is what stays free on this machine's file system, in bytes: where it
// is full, the image's file systems lose what they think they have written.
const reserve = 64 << 20

// intoImages is run with what is different: space of this machine is watched,
// and at the end, whatever came of it, nothing stands on the images any more.
func (x *executor) intoImages(ctx context.Context) (Report, error) {
	watched, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	tell, last := x.Progress, time.Time{}
	x.Progress = func(e Event) {
		if time.Since(last) > time.Second {
			last = time.Now()
			if err := x.room(); err != nil {
				stop(err)
			}
		}
		if tell != nil {
			tell(e)
		}
	}
	rep, err := x.run(watched)
	if full := x.room(); full != nil && ctx.Err() == nil {
		err = full
	}
	end, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Minute)
	defer cancel()
	if lerr := x.leave(end); lerr != nil {
		err = errors.Join(err, lerr)
	}
	if err != nil {
		_ = os.Remove(x.Journal)
	}
	return rep, err
}

// room refuses to go on where this machine's file system is as good as full.
func (x *executor) room() error {
	for _, f := range x.Images.Files {
		dir := filepath.Dir(f.File)
		if free, err := diskimage.Free(dir); err == nil && free < reserve {
			return fail.Hint(fail.New(fail.Failed, "the file system of %s is full: %w", f.File, syscall.ENOSPC), "make room there, or name a file on another file system")
		}
	}
	return nil
}

// leave unmounts everything and takes apart what stands on the images, so that
// they can be detached.
func (x *executor) leave(ctx context.Context) error {
	errs := []error{x.unbind(ctx)}
	all, err := x.mountinfo()
	errs = append(errs, err)
	for _, m := range slices.Backward(all) {
		if !x.below(m.Mountpoint) && m.Mountpoint != x.TargetRoot+".top" {
			continue
		}
		errs = append(errs, mount.Unmount(ctx, x.System, m.Mountpoint))
	}
	_ = os.Remove(x.TargetRoot + ".top")
	_ = os.Remove(x.TargetRoot) // never what is in it
	_ = udev.Settle(ctx, x.System)
	for _, g := range x.m.VolumeGroups {
		// What is not there needs nothing; what stays is seen below.
		_ = lvm.Deactivate(ctx, x.System, g.Name)
	}
	for _, name := range x.Images.Devices() {
		errs = append(errs, x.free(ctx, name))
	}
	return errors.Join(errs...)
}

// namesDisk says whether a configuration file names a recorded disk by what the
// kernel called it: a virtual machine may call it otherwise.
func (x *executor) namesDisk(content []byte) string {
	for _, c := range x.Plan.Choices {
		was, ok := strings.CutPrefix(c.Subject, "disk ")
		if !ok || x.m.Disk(c.Chosen) == nil {
			continue
		}
		for line := range strings.SplitSeq(string(content), "\n") {
			renamed := identity.Devices([]byte(line), map[string]string{was: was + "x"})
			if !strings.HasPrefix(strings.TrimSpace(line), "#") && string(renamed) != line {
				return "/dev/" + was
			}
		}
	}
	return ""
}
