// Package vfat calls mkfs.vfat(8), of dosfstools.
package vfat

import (
	"context"
	"fmt"
	"strings"

	"github.com/mkcdrec/mkcdrec/internal/machine"
	"github.com/mkcdrec/mkcdrec/internal/system"
)

// Make makes a vfat with the recorded volume ID, label and FAT width
// (mkfs.fat(8)). The UUID is as blkid prints it: "5A3C-11B0".
func Make(ctx context.Context, r system.Runner, device string, fs machine.FileSystem) error {
	var args []string
	if id := strings.ReplaceAll(fs.UUID, "-", ""); id != "" {
		args = append(args, "-i", id)
	}
	if bits := fs.Options["fat_bits"]; bits != "" {
		args = append(args, "-F", bits)
	}
	if fs.Label != "" {
		args = append(args, "-n", fs.Label)
	}
	if _, err := r.Run(ctx, system.Command{Name: "mkfs.vfat", Args: append(args, device)}); err != nil {
		return fmt.Errorf("cannot make vfat on %s: %w", device, err)
	}
	return nil
}
