package lvm

import (
	"context"
	"fmt"
	"strconv"

	"github.com/mkcdrec/mkcdrec/internal/machine"
	"github.com/mkcdrec/mkcdrec/internal/system"
)

func run(ctx context.Context, r system.Runner, what string, name string, args ...string) error {
	if _, err := r.Run(ctx, system.Command{Name: name, Args: args}); err != nil {
		return fmt.Errorf("cannot %s: %w", what, err)
	}
	return nil
}

// CreatePhysical makes a physical volume with a given UUID (pvcreate(8)).
func CreatePhysical(ctx context.Context, r system.Runner, device, uuid string) error {
	args := []string{"-ff", "-y", "--zero", "y"}
	if uuid != "" {
		args = append(args, "--uuid", uuid, "--norestorefile")
	}
	return run(ctx, r, "make physical volume "+device, "pvcreate", append(args, device)...)
}

// CreateGroup makes a volume group of physical volumes (vgcreate(8)). LVM
// cannot be given its UUID; nothing refers to that.
func CreateGroup(ctx context.Context, r system.Runner, g machine.VolumeGroup, devices []string) error {
	args := []string{"-y"}
	if g.ExtentSize > 0 {
		args = append(args, "-s", bytes(g.ExtentSize))
	}
	for _, t := range g.Tags {
		args = append(args, "--addtag", t)
	}
	args = append(args, g.Name)
	return run(ctx, r, "make volume group "+g.Name, "vgcreate", append(args, devices...)...)
}

// CreateVolume makes a logical volume, wiped of old signatures (lvcreate(8)).
// devices, when given, are the physical volumes that hold it.
func CreateVolume(ctx context.Context, r system.Runner, group string, lv machine.LogicalVolume, devices []string) error {
	args := []string{"-y", "-W", "y", "-Z", "y", "-n", lv.Name, "-L", bytes(lv.Size)}
	if lv.Stripes > 1 {
		args = append(args, "-i", strconv.Itoa(lv.Stripes))
		if lv.StripeSize > 0 {
			args = append(args, "-I", bytes(lv.StripeSize))
		}
	}
	for _, t := range lv.Tags {
		args = append(args, "--addtag", t)
	}
	args = append(args, group)
	return run(ctx, r, "make volume "+group+"/"+lv.Name, "lvcreate", append(args, devices...)...)
}

// Activate makes the volumes of a group appear (vgchange(8)).
func Activate(ctx context.Context, r system.Runner, group string) error {
	return run(ctx, r, "activate volume group "+group, "vgchange", "-a", "y", group)
}

// bytes writes a size so that LVM takes it as bytes.
func bytes(b machine.Bytes) string { return strconv.FormatInt(int64(b), 10) + "b" }

// Deactivate makes the volumes of a group disappear (vgchange(8)).
func Deactivate(ctx context.Context, r system.Runner, group string) error {
	return run(ctx, r, "deactivate volume group "+group, "vgchange", "-a", "n", group)
}
