// Package e2fs calls mke2fs(8) and tune2fs(8). Superblocks are read by package
// superblock.
package e2fs

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/mkcdrec/mkcdrec/internal/machine"
	"github.com/mkcdrec/mkcdrec/internal/system"
)

// settable are the features that mke2fs(8) can be given with -O; others (such
// as needs_recovery or orphan_file's state) come and go with use.
var settable = []string{
	"64bit", "bigalloc", "casefold", "dir_index", "dir_nlink", "ea_inode", "encrypt", "ext_attr", "extent", "extra_isize",
	"fast_commit", "filetype", "flex_bg", "has_journal", "huge_file", "inline_data", "large_dir", "large_file", "meta_bg",
	"metadata_csum", "metadata_csum_seed", "mmp", "orphan_file", "project", "quota", "resize_inode", "sparse_super",
	"sparse_super2", "stable_inodes", "uninit_bg", "verity",
}

// Make makes an ext2, ext3 or ext4 with the recorded UUID, label, features and
// parameters, whatever this machine's mke2fs.conf says: the installed boot
// loader must be able to read it (mke2fs(8)).
func Make(ctx context.Context, r system.Runner, device string, fs machine.FileSystem) error {
	args := []string{"-F", "-q", "-t", string(fs.Kind)}
	if len(fs.Features) > 0 {
		on := []string{"none"}
		for _, f := range fs.Features {
			if slices.Contains(settable, f) {
				on = append(on, f)
			}
		}
		args = append(args, "-O", strings.Join(on, ","))
	}
	if fs.UUID != "" {
		args = append(args, "-U", fs.UUID)
	}
	if fs.Label != "" {
		args = append(args, "-L", fs.Label)
	}
	if fs.BlockSize > 0 {
		args = append(args, "-b", num(int64(fs.BlockSize)))
	}
	if fs.InodeSize > 0 {
		args = append(args, "-I", num(int64(fs.InodeSize)))
	}
	if fs.Inodes > 0 {
		args = append(args, "-N", num(fs.Inodes))
	}
	if p := fs.Options["reserved_percent"]; p != "" {
		args = append(args, "-m", p)
	}
	if seed := fs.Options["hash_seed"]; seed != "" {
		args = append(args, "-E", "hash_seed="+seed)
	}
	if _, err := r.Run(ctx, system.Command{Name: "mke2fs", Args: append(args, device)}); err != nil {
		return fmt.Errorf("cannot make %s on %s: %w", fs.Kind, device, err)
	}
	if tune := tuning(fs); len(tune) > 0 {
		if _, err := r.Run(ctx, system.Command{Name: "tune2fs", Args: append(tune, device)}); err != nil {
			return fmt.Errorf("cannot set the parameters of %s: %w", device, err)
		}
	}
	return nil
}

// tuning are the parameters that only tune2fs(8) sets.
func tuning(fs machine.FileSystem) []string {
	var args []string
	if o := fs.Options["default_mount_options"]; o != "" {
		args = append(args, "-o", o)
	}
	if e := fs.Options["errors"]; e != "" {
		args = append(args, "-e", e)
	}
	return args
}

func num(n int64) string { return strconv.FormatInt(n, 10) }
