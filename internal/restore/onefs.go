package restore

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/mkcdrec/mkcdrec/internal/fail"
	"github.com/mkcdrec/mkcdrec/internal/machine"
	"github.com/mkcdrec/mkcdrec/internal/plan"
	"github.com/mkcdrec/mkcdrec/internal/system"
	"github.com/mkcdrec/mkcdrec/internal/tool/blkid"
	"github.com/mkcdrec/mkcdrec/internal/tool/lvm"
	"github.com/mkcdrec/mkcdrec/internal/tool/udev"
)

// Places for the restore of a single file system: beside those of a whole
// restore, which may have been interrupted and is to go on later.
const (
	DefaultFSTarget  = "/mnt/mkcdrec-fs"
	DefaultFSJournal = "/run/mkcdrec/restore-fs.journal"
)

// CheckDevices makes those checks of Run that need no look at the backup, so
// that a plan which cannot be carried out is refused before anybody is asked.
func CheckDevices(ctx context.Context, opt Options) error {
	x := newExecutor(opt)
	if err := plan.Validate(x.Plan); err != nil {
		return err
	}
	return x.checkDevices(ctx)
}

// checkDevices refuses devices that must not be overwritten, or cannot be.
func (x *executor) checkDevices(ctx context.Context) error {
	x.findArrays(ctx)
	for _, e := range x.Plan.Erases {
		if err := x.checkErased(e); err != nil {
			return err
		}
		if x.Plan.Scope == nil {
			continue // a whole disk is taken out of use
		}
		if err := x.checkIdle(ctx, e); err != nil {
			return err
		}
	}
	return x.checkTools()
}

// checkIdle refuses the device of a single file system while anything stands
// on it, and when it is a part of something larger: what is around it is left
// alone, so nothing is taken apart for it.
func (x *executor) checkIdle(ctx context.Context, e plan.Erased) error {
	what := e.Name(*x.m)
	name, err := x.kernelName(e.Device)
	if err != nil {
		return fail.New(fail.Refused, "%s cannot be overwritten: %w", what, err)
	}
	if b, err := os.ReadFile(filepath.Join(x.sysDir(name), "ro")); err == nil && strings.TrimSpace(string(b)) == "1" {
		return fail.New(fail.Refused, "%s is read-only", what)
	}
	if dev := x.swaps(name); len(dev) > 0 {
		return fail.Hint(fail.New(fail.Refused, "%s is in use as swap", what), "if it is not needed: swapoff %s", dev[0])
	}
	if h := x.holders(name); len(h) > 0 {
		return fail.Hint(fail.New(fail.Refused, "%s is a part of %s, which is active", what, h[0].Name), "see: lsblk /dev/%s", name)
	}
	if parts, _ := x.partitions(name); len(parts) > 0 {
		return fail.New(fail.Refused, "%s has partitions", what)
	}
	dev, err := x.device(e.Device)
	if err != nil {
		return fail.New(fail.Refused, "%w", err)
	}
	p, err := blkid.Probe(ctx, x.System, dev)
	if err != nil {
		return fail.Hint(fail.New(fail.Refused, "cannot see what is on %s: %w", what, err), "if it is not needed: wipefs -a %s", dev)
	}
	if p.Usage == "raid" || p.Usage == "crypto" || strings.HasSuffix(p.Type, "_member") || p.PTType != "" && p.Type == "" {
		return fail.Hint(fail.New(fail.Refused, "%s holds %s: it is, or was, a part of something larger", what, p.Type+p.PTType), "if it is not needed any more: wipefs -a %s", dev)
	}
	mounts, err := x.mounts(name)
	if err != nil || len(mounts) > 0 {
		return err // left by an earlier start: checkErased has refused all others
	}
	return x.claim(what, dev)
}

// claim opens a device as its only user for a moment: the kernel knows of
// users that are listed nowhere, such as the further devices of a btrfs.
func (x *executor) claim(what, dev string) error {
	f, err := os.OpenFile(filepath.Join(x.Root, dev), os.O_RDONLY|unix.O_EXCL, 0)
	if errors.Is(err, unix.EBUSY) {
		return fail.Hint(fail.New(fail.Refused, "%s is in use", what), "see: lsblk %s", dev)
	}
	if err != nil {
		return fail.New(fail.Refused, "cannot open %s: %w", what, err)
	}
	return f.Close()
}

// samePlace says whether the partition or volume of the plan is the one that
// is here now.
func samePlace(m, here *machine.Machine, e plan.Erased) error {
	was, err := m.Resolve(e.Device)
	if err != nil {
		return fail.New(fail.Refused, "%w", err)
	}
	is, err := here.Resolve(e.Device)
	if err != nil {
		return fail.New(fail.Refused, "%s is not here any more: %w", e.Name(*m), err)
	}
	same := is.Size == was.Size && (is.Partition == nil) == (was.Partition == nil)
	if same && was.Partition != nil {
		same = was.Partition.Start == is.Partition.Start && was.Partition.UUID == is.Partition.UUID && was.Partition.Type == is.Partition.Type
	}
	if same && was.Array != nil {
		same = is.Array != nil && was.Array.UUID == is.Array.UUID
	}
	if same && was.Crypt != nil {
		same = is.Crypt != nil && was.Crypt.UUID == is.Crypt.UUID
	}
	if same && was.Volume != nil {
		same = was.Volume.UUID == is.Volume.UUID && was.Group.UUID == is.Group.UUID
	}
	if !same {
		return fail.New(fail.Refused, "%s is not the one that the plan was made for", e.Name(*m))
	}
	if l, ok := here.LayerOn(e.Device); ok {
		return fail.New(fail.Refused, "%s is a part of %s", e.Name(*m), l.Name())
	}
	return nil
}

// Inactive is the volume group that has to be activated before it can be seen
// what the recorded place of a mount point, or the device named by onto, holds
// here; "" where there is none.
func Inactive(recorded, here machine.Machine, target, onto string) string {
	for _, g := range here.VolumeGroups {
		for _, lv := range g.Logical {
			ref := machine.LVRef(g.Name, lv.Name)
			mt := recorded.MountAt(target)
			wanted := onto == "" && mt != nil && mt.On == ref ||
				onto != "" && (onto == machine.MapperPath(g.Name, lv.Name) || strings.TrimPrefix(onto, "/dev/") == g.Name+"/"+lv.Name)
			if _, err := os.Stat(machine.MapperPath(g.Name, lv.Name)); wanted && err != nil {
				return g.Name
			}
		}
	}
	return ""
}

// Activate makes the volumes of a group available. Nothing is written.
func Activate(ctx context.Context, r system.Runner, group string) error {
	if err := lvm.Activate(ctx, r, group); err != nil {
		return err
	}
	if err := udev.Settle(ctx, r); err != nil {
		return fmt.Errorf("cannot see the volumes of %s: %w", group, err)
	}
	return nil
}
