// Package xfs calls mkfs.xfs(8). Superblocks are read by package superblock.
package xfs

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
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
	if err != nil && fs.Options["sunit"] != "" {
		// On a much smaller device the log may not fit between the stripes'
		// allocation groups. Where they begin is a matter of speed alone.
		fs.Options = maps.Clone(fs.Options)
		delete(fs.Options, "sunit")
		return Make(ctx, r, device, fs)
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
	if len(fs.Features) > 0 || fs.BlockSize > 0 { // an old one may have none
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
	if u, w := number(fs, "sunit"), number(fs, "swidth"); u > 0 && w > 0 && fs.BlockSize >= 512 {
		units := int64(fs.BlockSize) / 512 // recorded in blocks
		args = append(args, "-d", fmt.Sprintf("sunit=%d,swidth=%d", u*units, w*units))
	}
	if s := number(fs, "sector_size"); s > 512 {
		args = append(args, "-s", fmt.Sprintf("size=%d", s))
	}
	var inode []string
	if fs.InodeSize > 0 {
		inode = append(inode, fmt.Sprintf("size=%d", fs.InodeSize))
	}
	if p := fs.Options["imax_percent"]; p != "" {
		inode = append(inode, "maxpct="+p)
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
	var naming []string
	// With crc, ftype is always on and may not be named (mkfs.xfs(8)).
	if (len(fs.Features) > 0 || fs.BlockSize > 0) && has("crc") == 0 {
		naming = append(naming, fmt.Sprintf("ftype=%d", has("ftype")))
	}
	if s := number(fs, "dir_block_size"); s > int64(fs.BlockSize) {
		naming = append(naming, fmt.Sprintf("size=%d", s))
	}
	if len(naming) > 0 {
		args = append(args, "-n", strings.Join(naming, ","))
	}
	if fs.Label != "" {
		args = append(args, "-L", fs.Label)
	}
	return args
}

// number is an option of a file system as a number; 0 where it is not set.
func number(fs machine.FileSystem, key string) int64 {
	n, err := strconv.ParseInt(fs.Options[key], 10, 64)
	if err != nil {
		return 0
	}
	return n
}
