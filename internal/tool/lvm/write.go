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
func CreatePhysical(ctx context.Context, r system.Runner, device string, pv machine.PhysicalVolume) error {
	args := []string{"-ff", "-y", "--zero", "y"}
	if pv.UUID != "" {
		args = append(args, "--uuid", pv.UUID, "--norestorefile")
	}
	if start := pv.Start; start > metadataOffset {
		// The first extent comes behind the metadata, at the next multiple of the
		// alignment: the largest power of two that the place is a multiple of.
		args = append(args, "--metadatasize", bytes(start-metadataOffset), "--dataalignment", bytes(start&-start))
	}
	return run(ctx, r, "make physical volume "+device, "pvcreate", append(args, device)...)
}

// metadataOffset is where a physical volume's metadata begin.
const metadataOffset = machine.Bytes(4096)

// CreateGroup makes a volume group of physical volumes (vgcreate(8)). LVM
// cannot be given its UUID; nothing refers to that.
func CreateGroup(ctx context.Context, r system.Runner, g machine.VolumeGroup, devices []string) error {
	args := []string{"-y"}
	if g.ExtentSize > 0 {
		args = append(args, "-s", bytes(g.ExtentSize))
	}
	args = append(append(args, tags(g.Tags)...), g.Name)
	if err := run(ctx, r, "make volume group "+g.Name, "vgcreate", append(args, devices...)...); err != nil {
		return err
	}
	for i, pv := range g.Physical {
		if len(pv.Tags) == 0 || i >= len(devices) {
			continue
		}
		if err := run(ctx, r, "tag physical volume "+devices[i], "pvchange", append(tags(pv.Tags), devices[i])...); err != nil {
			return err
		}
	}
	return nil
}

func tags(list []string) (args []string) {
	for _, t := range list {
		args = append(args, "--addtag", t)
	}
	return args
}

// layout are the arguments of lvcreate(8) for how a volume lies. What is
// linear or striped needs no word for its kind.
func layout(lv machine.LogicalVolume) []string {
	var args []string
	switch lv.Layout() {
	case "linear":
		return nil
	case "striped":
	default:
		args = append(args, "--type", lv.Kind)
	}
	if lv.Mirrors > 0 {
		args = append(args, "-m", strconv.Itoa(lv.Mirrors))
	}
	// lvcreate wants the stripes of data, without parity and copies.
	if lv.Stripes > 1 || lv.Layout() == "raid10" {
		args = append(args, "-i", strconv.Itoa(max(lv.Stripes, 1)))
		if lv.StripeSize > 0 {
			args = append(args, "-I", bytes(lv.StripeSize))
		}
	}
	if lv.RegionSize > 0 {
		args = append(args, "-R", bytes(lv.RegionSize))
	}
	if lv.Log != "" {
		args = append(args, "--mirrorlog", lv.Log)
	}
	return args
}

// CreateVolume makes a logical volume, wiped of old signatures (lvcreate(8)).
// devices, when given, are the physical volumes that hold it. A thin volume is
// made in its pool, and holds nothing yet.
func CreateVolume(ctx context.Context, r system.Runner, group string, lv machine.LogicalVolume, devices []string) error {
	what := "make volume " + group + "/" + lv.Name
	if lv.Kind == machine.ThinKind {
		args := append([]string{"-y", "--type", "thin", "-V", bytes(lv.Size), "--thinpool", lv.In, "-n", lv.Name}, tags(lv.Tags)...)
		return run(ctx, r, what, "lvcreate", append(args, group)...)
	}
	args := append([]string{"-y", "-W", "y", "-Z", "y", "-n", lv.Name, "-L", bytes(lv.Size)}, layout(lv)...)
	args = append(append(args, tags(lv.Tags)...), group)
	return run(ctx, r, what, "lvcreate", append(args, devices...)...)
}

// metadataName is what the metadata of a pool are called until they are a part of it.
const metadataName = "mkcdrec_metadata"

// CreatePool makes a thin pool of two volumes (lvmthin(7)): data and metadata,
// each on the devices given for it, if any. What an earlier try has left under
// these names is removed. spare says whether LVM keeps room to repair the
// metadata of the group's pools.
func CreatePool(ctx context.Context, r system.Runner, group string, lv machine.LogicalVolume, devices, metadataDevices []string, spare bool) error {
	what := "make thin pool " + group + "/" + lv.Name
	there, err := report(ctx, r, "cannot "+what, "lvs", "-o", "lv_name", group)
	if err != nil {
		return err
	}
	parts := lv.Parts()
	data, md := parts[0], parts[1]
	md.Name = metadataName
	for _, l := range there {
		if l["lv_name"] == lv.Name || l["lv_name"] == md.Name {
			if err := RemoveVolume(ctx, r, group, l["lv_name"]); err != nil {
				return err
			}
		}
	}
	if err := CreateVolume(ctx, r, group, data, devices); err != nil {
		return err
	}
	if err := CreateVolume(ctx, r, group, md, metadataDevices); err != nil {
		return err
	}
	name := group + "/" + lv.Name
	err = run(ctx, r, what, "lvconvert", "-y", "--type", "thin-pool", "--poolmetadata", md.Name, "--poolmetadataspare", yesNo(spare),
		"--chunksize", bytes(lv.Pool.Chunk), "--discards", lv.Pool.Discards, "--zero", yesNo(lv.Pool.Zero), name)
	if err != nil {
		return err
	}
	change := tags(lv.Tags)
	if lv.Pool.ErrorWhenFull {
		change = append(change, "--errorwhenfull", "y")
	}
	if len(change) == 0 {
		return nil
	}
	return run(ctx, r, what, "lvchange", append(append([]string{"-y"}, change...), name)...)
}

func yesNo(b bool) string {
	if b {
		return "y"
	}
	return "n"
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
