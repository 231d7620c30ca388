package restore

import (
	"context"
	"fmt"
	"maps"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/mkcdrec/mkcdrec/internal/fail"
	"github.com/mkcdrec/mkcdrec/internal/machine"
	"github.com/mkcdrec/mkcdrec/internal/plan"
	"github.com/mkcdrec/mkcdrec/internal/tool/btrfs"
	"github.com/mkcdrec/mkcdrec/internal/tool/dmsetup"
	"github.com/mkcdrec/mkcdrec/internal/tool/e2fs"
	"github.com/mkcdrec/mkcdrec/internal/tool/exfat"
	"github.com/mkcdrec/mkcdrec/internal/tool/f2fs"
	"github.com/mkcdrec/mkcdrec/internal/tool/kpartx"
	"github.com/mkcdrec/mkcdrec/internal/tool/mdadm"
	"github.com/mkcdrec/mkcdrec/internal/tool/mkswap"
	"github.com/mkcdrec/mkcdrec/internal/tool/mount"
	"github.com/mkcdrec/mkcdrec/internal/tool/sfdisk"
	"github.com/mkcdrec/mkcdrec/internal/tool/udev"
	"github.com/mkcdrec/mkcdrec/internal/tool/vfat"
	"github.com/mkcdrec/mkcdrec/internal/tool/wipefs"
	"github.com/mkcdrec/mkcdrec/internal/tool/xfs"
	"github.com/mkcdrec/mkcdrec/internal/wording"
)

// release takes the device out of use: what an interrupted restore left
// mounted, swap, device mapper and arrays. preflight has refused foreign
// mounts, and all the rest where the plan is for one file system only.
func (x *executor) release(ctx context.Context, s plan.Step) error {
	device, err := x.kernelName(s.Device)
	if err != nil {
		return err
	}
	mounts, err := x.mounts(device)
	if err != nil {
		return err
	}
	for _, m := range slices.Backward(mounts) {
		if !x.below(m.Mountpoint) {
			return fail.New(fail.Refused, "%s is mounted on %s", m.Source, m.Mountpoint)
		}
		if err := mount.Unmount(ctx, x.System, m.Mountpoint); err != nil {
			return err
		}
	}
	if x.Plan.Scope != nil {
		return nil
	}
	for _, dev := range x.swaps(device) {
		if err := mkswap.Off(ctx, x.System, dev); err != nil {
			return err
		}
	}
	return x.free(ctx, device)
}

// free takes apart what stands on a device (kernel name): device mapper and
// arrays, also those that never came to run for want of members.
func (x *executor) free(ctx context.Context, device string) (err error) {
	for _, h := range x.holders(device) {
		if h.Partition {
			continue // wiped, and then removed, by wipe
		}
		if h.Mapper != "" {
			err = dmsetup.Remove(ctx, x.System, h.Mapper)
		} else {
			err = mdadm.Stop(ctx, x.System, "/dev/"+h.Name)
			maps.DeleteFunc(x.arrays, func(_, now string) bool { return now == h.Name })
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// below says whether a mount point is the target root or within it.
func (x *executor) below(target string) bool {
	return target == x.TargetRoot || strings.HasPrefix(target, x.TargetRoot+"/")
}

// wipe removes the signatures of the old partitions, then of the disk, and
// zeroes both ends of it, where tables and metadata of arrays lie. Of a
// partition or volume it removes the signatures.
func (x *executor) wipe(ctx context.Context, s plan.Step) error {
	if s.Device.Kind() != machine.RefDisk {
		dev, err := x.device(s.Device)
		if err != nil {
			return err
		}
		return wipefs.Wipe(ctx, x.System, dev)
	}
	d := x.m.Disk(s.Device.Body())
	disk, err := x.whole(d.Name)
	if err != nil {
		return err
	}
	parts, err := x.partitions(disk)
	if err != nil {
		return err
	}
	for _, n := range sortedValues(parts) {
		if err := wipefs.Wipe(ctx, x.System, "/dev/"+n); err != nil {
			return err
		}
	}
	if err := x.unmapPartitions(ctx, *d, parts); err != nil {
		return err
	}
	if err := wipefs.Wipe(ctx, x.System, "/dev/"+disk); err != nil {
		return err
	}
	// What no signature's list knows may lie at both ends: boot code, a RAID's
	// superblock, the second GPT.
	end := min(d.Size, 1<<20)
	for _, offset := range []machine.Bytes{0, d.Size - end} {
		if err := wipefs.Zero(ctx, x.System, d.Path, offset, end); err != nil {
			return err
		}
	}
	return udev.Settle(ctx, x.System)
}

// partition writes the table and waits until the kernel shows all of it.
func (x *executor) partition(ctx context.Context, s plan.Step) error {
	disk, err := x.whole(s.Device.Body())
	if err != nil {
		return err
	}
	if err := sfdisk.Write(ctx, x.System, "/dev/"+disk, *s.Table); err != nil {
		return err
	}
	if d := x.m.Disk(s.Device.Body()); d != nil && d.Multipath() {
		if err := kpartx.Add(ctx, x.System, d.Path); err != nil {
			return err
		}
	}
	if err := udev.Settle(ctx, x.System); err != nil {
		return err
	}
	if d := x.m.Disk(disk); x.Images != nil && !x.Images.Scans && d != nil {
		return x.Images.MapPartitions(ctx, *d, *s.Table)
	}
	for attempt := range 20 {
		parts, err := x.partitions(disk)
		if err != nil {
			return err
		}
		missing := slices.ContainsFunc(s.Table.Partitions, func(p machine.Partition) bool { return parts[p.Number] == "" })
		if !missing {
			return nil
		}
		if attempt%5 == 4 {
			// The kernel refuses while a partition is open; that passes.
			_ = udev.Reread(ctx, x.System, "/dev/"+disk)
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(500 * time.Millisecond):
		}
	}
	return fmt.Errorf("the kernel does not show all new partitions of %s", disk)
}

func (x *executor) makeFS(ctx context.Context, s plan.Step) error {
	dev, err := x.device(s.Device)
	if err != nil {
		return err
	}
	switch s.FS.Kind {
	case "ext2", "ext3", "ext4":
		return e2fs.Make(ctx, x.System, dev, *s.FS)
	case "xfs":
		return xfs.Make(ctx, x.System, dev, *s.FS)
	case "btrfs":
		return x.makeBtrfs(ctx, s)
	case "vfat":
		return vfat.Make(ctx, x.System, dev, *s.FS)
	case "exfat":
		return exfat.Make(ctx, x.System, dev, *s.FS)
	case "f2fs":
		return f2fs.Make(ctx, x.System, dev, *s.FS)
	}
	return fail.New(fail.Unsupported, "this version cannot make a file system of type %q", s.FS.Kind)
}

func (x *executor) makeSwap(ctx context.Context, s plan.Step) error {
	dev, err := x.device(s.Device)
	if err != nil {
		return err
	}
	return mkswap.Make(ctx, x.System, dev, *s.Swap)
}

// subvolumes makes the recorded subvolumes, parents first, below a mount of
// the top level. A subvolume that is there already is kept.
func (x *executor) subvolumes(ctx context.Context, s plan.Step) (err error) {
	dev, err := x.device(s.Device)
	if err != nil {
		return err
	}
	top := x.TargetRoot + ".top"
	if err := os.MkdirAll(top, 0o700); err != nil {
		return fmt.Errorf("cannot make a mount point: %w", err)
	}
	if err := x.known(ctx, *s.FS); err != nil {
		return err
	}
	if err := mount.Mount(ctx, x.System, dev, top, "btrfs", "subvolid=5"); err != nil {
		return err
	}
	defer func() {
		if uerr := mount.Unmount(context.WithoutCancel(ctx), x.System, top); err == nil {
			err = uerr
		}
		_ = os.Remove(top)
	}()
	subs := slices.Clone(s.FS.Subvolumes)
	slices.SortFunc(subs, func(a, b machine.Subvolume) int { return strings.Compare(a.Path, b.Path) })
	snapshots := slices.DeleteFunc(slices.Clone(subs), func(v machine.Subvolume) bool { return !x.m.IsCopy(s.Device, v) })
	if n := len(snapshots); n > 0 {
		x.warn("not made again: %s of the btrfs on %s, the first is %s", wording.Count(n, "snapshot"), s.Device.Body(), snapshots[0].Path)
	}
	for _, v := range subs {
		if x.m.IsCopy(s.Device, v) {
			continue
		}
		if !filepath.IsLocal(v.Path) {
			return fail.New(fail.Damaged, "the recorded subvolume %q has an impossible path", v.Path)
		}
		p := path.Join(top, v.Path)
		if _, err := os.Lstat(p); err == nil {
			continue
		}
		if err := os.MkdirAll(path.Dir(p), 0o755); err != nil {
			return fmt.Errorf("cannot make %s: %w", path.Dir(p), err)
		}
		if err := btrfs.CreateSubvolume(ctx, x.System, p); err != nil {
			return err
		}
	}
	for _, v := range subs {
		if v.Default && !x.m.IsCopy(s.Device, v) {
			return btrfs.SetDefault(ctx, x.System, path.Join(top, v.Path))
		}
	}
	return nil
}
