// Package f2fs calls mkfs.f2fs(8), of f2fs-tools.
package f2fs

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/mkcdrec/mkcdrec/internal/machine"
	"github.com/mkcdrec/mkcdrec/internal/system"
)

// optional are the features that -O takes; others come by options of their
// own, or with these.
var optional = []string{
	"encrypt", "extra_attr", "project_quota", "inode_checksum", "flexible_inline_xattr", "quota", "inode_crtime", "lost_found", "verity", "sb_checksum", "compression",
}

// encodings are what -C calls the recorded number (fs/f2fs/super.c).
var encodings = map[string]string{"1": "utf8"}

// Make makes a f2fs with the recorded UUID, label and features.
func Make(ctx context.Context, r system.Runner, device string, fs machine.FileSystem) error {
	args := []string{"-f", "-q"}
	if fs.UUID != "" {
		args = append(args, "-U", fs.UUID)
	}
	if fs.Label != "" {
		args = append(args, "-l", fs.Label)
	}
	var features []string
	for _, f := range fs.Features {
		if slices.Contains(optional, f) {
			features = append(features, f)
		}
	}
	if len(features) > 0 {
		args = append(args, "-O", strings.Join(features, ","))
	}
	if slices.Contains(fs.Features, "casefold") {
		encoding := encodings[fs.Options["encoding"]]
		if encoding == "" {
			return fmt.Errorf("cannot make f2fs on %s: its encoding %q of names is not known", device, fs.Options["encoding"])
		}
		if fs.Options["encoding_flags"] == "1" {
			encoding += ":strict"
		}
		args = append(args, "-C", encoding)
	}
	if _, err := r.Run(ctx, system.Command{Name: "mkfs.f2fs", Args: append(args, device)}); err != nil {
		return fmt.Errorf("cannot make f2fs on %s: %w", device, err)
	}
	return nil
}
