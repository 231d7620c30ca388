package btrfs

import (
	"context"
	"fmt"
	"strconv"
	"strings"

	"github.com/mkcdrec/mkcdrec/internal/machine"
	"github.com/mkcdrec/mkcdrec/internal/system"
)

// switches are the features that mkfs.btrfs(8) -O knows, by the names in which
// dump-super reports them.
var switches = []struct{ reported, option string }{
	{"EXTENDED_IREF", "extref"},
	{"SKINNY_METADATA", "skinny-metadata"},
	{"NO_HOLES", "no-holes"},
	{"FREE_SPACE_TREE", "free-space-tree"},
}

// Make makes a btrfs on one device with the recorded UUID, label, node size
// and checksum.
func Make(ctx context.Context, r system.Runner, device string, fs machine.FileSystem) error {
	args := []string{"-f", "-q"}
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
		var o []string
		for _, s := range switches {
			on := false
			for _, f := range fs.Features {
				on = on || strings.EqualFold(f, s.reported)
			}
			if on {
				o = append(o, s.option)
			} else {
				o = append(o, "^"+s.option)
			}
		}
		args = append(args, "-O", strings.Join(o, ","))
	}
	if _, err := r.Run(ctx, system.Command{Name: "mkfs.btrfs", Args: append(args, device)}); err != nil {
		return fmt.Errorf("cannot make btrfs on %s: %w", device, err)
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
