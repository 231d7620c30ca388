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
	if len(fs.Features) > 0 || fs.BlockSize > 0 { // an ext2 may have none
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
	if c := fs.Options["cluster_size"]; c != "" && slices.Contains(fs.Features, "bigalloc") {
		args = append(args, "-C", c)
	}
	if g := fs.Options["flex_bg_groups"]; g != "" && slices.Contains(fs.Features, "flex_bg") {
		args = append(args, "-G", g)
	}
	if j, err := strconv.ParseInt(fs.Options["journal_size"], 10, 64); err == nil && j >= 1<<20 && slices.Contains(fs.Features, "has_journal") && !slices.Contains(fs.Features, "fast_commit") {
		args = append(args, "-J", "size="+num(j>>20))
	}
	if e := extended(fs); len(e) > 0 {
		args = append(args, "-E", strings.Join(e, ","))
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

// extended are the options of mke2fs(8) that go by -E.
func extended(fs machine.FileSystem) []string {
	var out []string
	for _, o := range [][2]string{
		{"hash_seed", "hash_seed"}, {"stride", "stride"}, {"stripe_width", "stripe_width"}, {"quotas", "quotatype"}, {"encoding_flags", "encoding_flags"},
	} {
		if v := fs.Options[o[0]]; v != "" {
			out = append(out, o[1]+"="+v)
		}
	}
	return out
}

// tuning are the parameters that only tune2fs(8) sets.
func tuning(fs machine.FileSystem) []string {
	var args []string
	if o, known := fs.Options["default_mount_options"]; known {
		// Those that mke2fs.conf(5) sets are taken back where they were off.
		list := strings.FieldsFunc(o, func(r rune) bool { return r == ',' })
		for _, d := range []string{"user_xattr", "acl"} {
			if !slices.Contains(list, d) {
				list = append(list, "^"+d)
			}
		}
		args = append(args, "-o", strings.Join(list, ","))
	}
	if a := fs.Options["hash_alg"]; a == "legacy" || a == "tea" {
		args = append(args, "-E", "hash_alg="+a)
	}
	if e := fs.Options["errors"]; e != "" {
		args = append(args, "-e", e)
	}
	return args
}

func num(n int64) string { return strconv.FormatInt(n, 10) }
