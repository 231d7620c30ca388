// Package xfs calls mkfs.xfs(8). Superblocks are read by package superblock.
package xfs

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/mkcdrec/mkcdrec/internal/machine"
	"github.com/mkcdrec/mkcdrec/internal/system"
)

// Make makes an xfs with the recorded UUID, label and features (mkfs.xfs(8)).
// A feature that this machine's mkfs.xfs does not know is left at its default
// when it would be off anyway.
func Make(ctx context.Context, r system.Runner, device string, fs machine.FileSystem) error {
	args := arguments(fs, true)
	_, err := r.Run(ctx, system.Command{Name: "mkfs.xfs", Args: append(args, device)})
	var ee *system.ExitError
	if errors.As(err, &ee) && strings.Contains(ee.Stderr, "unknown option") {
		// An older mkfs.xfs stops at the name of a newer feature, even "=0".
		_, err = r.Run(ctx, system.Command{Name: "mkfs.xfs", Args: append(arguments(fs, false), device)})
	}
	if err != nil {
		return fmt.Errorf("cannot make xfs on %s: %w", device, err)
	}
	return nil
}

func arguments(fs machine.FileSystem, newer bool) []string {
	has := func(f string) int {
		if slices.Contains(fs.Features, f) {
			return 1
		}
		return 0
	}
	args := []string{"-f", "-q"}
	var meta []string
	if fs.UUID != "" {
		meta = append(meta, "uuid="+fs.UUID)
	}
	if len(fs.Features) > 0 {
		crc := has("crc")
		meta = append(meta, fmt.Sprintf("crc=%d", crc))
		if crc == 1 {
			meta = append(meta, fmt.Sprintf("finobt=%d", has("finobt")), fmt.Sprintf("reflink=%d", has("reflink")), fmt.Sprintf("rmapbt=%d", has("rmapbt")))
			for _, f := range []string{"bigtime", "inobtcount"} {
				if newer || has(f) == 1 {
					meta = append(meta, fmt.Sprintf("%s=%d", f, has(f)))
				}
			}
		}
	}
	if len(meta) > 0 {
		args = append(args, "-m", strings.Join(meta, ","))
	}
	if fs.BlockSize > 0 {
		args = append(args, "-b", fmt.Sprintf("size=%d", fs.BlockSize))
	}
	var inode []string
	if fs.InodeSize > 0 {
		inode = append(inode, fmt.Sprintf("size=%d", fs.InodeSize))
	}
	if has("crc") == 1 {
		inode = append(inode, fmt.Sprintf("sparse=%d", has("sparse")))
		if newer || has("nrext64") == 1 {
			inode = append(inode, fmt.Sprintf("nrext64=%d", has("nrext64")))
		}
	}
	if len(inode) > 0 {
		args = append(args, "-i", strings.Join(inode, ","))
	}
	// With crc, ftype is always on and may not be named (mkfs.xfs(8)).
	if len(fs.Features) > 0 && has("crc") == 0 {
		args = append(args, "-n", fmt.Sprintf("ftype=%d", has("ftype")))
	}
	if fs.Label != "" {
		args = append(args, "-L", fs.Label)
	}
	return args
}
