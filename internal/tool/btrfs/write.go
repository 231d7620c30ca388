package btrfs

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/mkcdrec/mkcdrec/internal/machine"
	"github.com/mkcdrec/mkcdrec/internal/system"
)

// switches are the features that mkfs.btrfs(8) knows, by the names in which
// dump-super reports them. The free space tree was a feature of -R only before
// btrfs-progs 6.3; later versions still take it there.
var switches = []struct{ reported, flag, option string }{
	{"EXTENDED_IREF", "-O", "extref"},
	{"SKINNY_METADATA", "-O", "skinny-metadata"},
	{"NO_HOLES", "-O", "no-holes"},
	{"FREE_SPACE_TREE", "-R", "free-space-tree"},
}

// newer are features that are off unless they are asked for; an older
// mkfs.btrfs(8) does not know their names.
var newer = map[string]string{"BLOCK_GROUP_TREE": "block-group-tree", "RAID_STRIPE_TREE": "raid-stripe-tree"}

// Make makes a btrfs on devices, which get their numbers in this order, with the
// recorded UUID, label, node size, checksum and profiles.
func Make(ctx context.Context, r system.Runner, devices []string, fs machine.FileSystem) error {
	args := []string{"-f", "-q"}
	data, metadata := fs.Options[machine.DataProfile], fs.Options[machine.MetadataProfile]
	if slices.Contains(fs.Features, "MIXED_GROUPS") {
		args = append(args, "--mixed")
		metadata = data
	}
	if data != "" && metadata != "" {
		args = append(args, "-d", data, "-m", metadata)
	}
	if fs.UUID != "" {
		args = append(args, "-U", fs.UUID)
	}
	if fs.Label != "" {
		args = append(args, "-L", fs.Label)
	}
	if n := fs.Options["node_size"]; n != "" {
		args = append(args, "-n", n)
	}
	if fs.BlockSize > 0 {
		args = append(args, "-s", strconv.FormatInt(int64(fs.BlockSize), 10))
	}
	if c := fs.Options["csum"]; c != "" {
		args = append(args, "--csum", c)
	}
	if len(fs.Features) > 0 {
		for _, flag := range []string{"-O", "-R"} {
			var o []string
			for _, s := range switches {
				on := slices.ContainsFunc(fs.Features, func(f string) bool { return strings.EqualFold(f, s.reported) })
				switch {
				case s.flag != flag:
				case on:
					o = append(o, s.option)
				default:
					o = append(o, "^"+s.option)
				}
			}
			for _, f := range fs.Features {
				if flag == "-O" && newer[f] != "" {
					o = append(o, newer[f])
				}
			}
			args = append(args, flag, strings.Join(o, ","))
		}
	}
	if _, err := r.Run(ctx, system.Command{Name: "mkfs.btrfs", Args: append(args, devices...)}); err != nil {
		return fmt.Errorf("cannot make btrfs on %s: %w", strings.Join(devices, " "), err)
	}
	return nil
}

// Scan tells the kernel which devices belong together: until it knows all of a
// file system none of them can be mounted (btrfs-device(8)).
func Scan(ctx context.Context, r system.Runner, devices []string) error {
	if _, err := r.Run(ctx, system.Command{Name: "btrfs", Args: append([]string{"device", "scan"}, devices...)}); err != nil {
		return fmt.Errorf("cannot make the devices %s known: %w", strings.Join(devices, " "), err)
	}
	return nil
}

// Load loads the kernel's module, which makes the device that Scan talks to.
func Load(ctx context.Context, r system.Runner) error {
	if _, err := r.Run(ctx, system.Command{Name: "modprobe", Args: []string{"-q", "btrfs"}}); err != nil {
		return fmt.Errorf("cannot load the module btrfs: %w", err)
	}
	return nil
}

// Forget makes the kernel forget the devices that are not mounted: what they
// were before they were wiped.
func Forget(ctx context.Context, r system.Runner) error {
	if _, err := r.Run(ctx, system.Command{Name: "btrfs", Args: []string{"device", "scan", "--forget"}}); err != nil {
		return fmt.Errorf("cannot make the kernel forget devices of btrfs: %w", err)
	}
	return nil
}

// CreateSubvolume makes a subvolume at a path below a mounted btrfs.
func CreateSubvolume(ctx context.Context, r system.Runner, path string) error {
	if _, err := r.Run(ctx, system.Command{Name: "btrfs", Args: []string{"subvolume", "create", path}}); err != nil {
		return fmt.Errorf("cannot make subvolume %s: %w", path, err)
	}
	return nil
}

// SetDefault makes the subvolume at path the one that is mounted when no
// other is named.
func SetDefault(ctx context.Context, r system.Runner, path string) error {
	if _, err := r.Run(ctx, system.Command{Name: "btrfs", Args: []string{"subvolume", "set-default", path}}); err != nil {
		return fmt.Errorf("cannot make %s the default subvolume: %w", path, err)
	}
	return nil
}

// TakeSnapshot makes a read-only snapshot of the subvolume at path as a new
// subvolume at to, in the same file system (btrfs-subvolume(8)). Nested
// subvolumes are empty directories in it.
func TakeSnapshot(ctx context.Context, r system.Runner, path, to string) error {
	if _, err := r.Run(ctx, system.Command{Name: "btrfs", Args: []string{"subvolume", "snapshot", "-r", path, to}}); err != nil {
		return fmt.Errorf("cannot take a snapshot of subvolume %s: %w", path, err)
	}
	return nil
}

// DeleteSubvolume deletes the subvolume at path; its space comes back later.
func DeleteSubvolume(ctx context.Context, r system.Runner, path string) error {
	if _, err := r.Run(ctx, system.Command{Name: "btrfs", Args: []string{"subvolume", "delete", path}}); err != nil {
		return fmt.Errorf("cannot delete subvolume %s: %w", path, err)
	}
	return nil
}
