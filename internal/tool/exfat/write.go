// Package exfat calls mkfs.exfat(8) and tune.exfat(8), of exfatprogs.
package exfat

import (
	"context"
	"fmt"
	"strconv"
	"strings"

	"github.com/mkcdrec/mkcdrec/internal/machine"
	"github.com/mkcdrec/mkcdrec/internal/system"
)

// Make makes an exFAT with the recorded label, size of clusters and serial
// number. The UUID is as blkid prints it: "5A3C-11B0".
func Make(ctx context.Context, r system.Runner, device string, fs machine.FileSystem) error {
	var args []string
	if fs.BlockSize > 0 {
		args = append(args, "-c", strconv.FormatInt(int64(fs.BlockSize), 10))
	}
	if fs.Label != "" {
		args = append(args, "-L", fs.Label)
	}
	// The label is read as the locale has it.
	if _, err := r.Run(ctx, system.Command{Name: "mkfs.exfat", Args: append(args, device), Env: []string{"LC_ALL=C.UTF-8"}}); err != nil {
		return fmt.Errorf("cannot make exfat on %s: %w", device, err)
	}
	serial := strings.ReplaceAll(fs.UUID, "-", "")
	if serial == "" {
		return nil
	}
	if _, err := r.Run(ctx, system.Command{Name: "tune.exfat", Args: []string{"-I", "0x" + serial, device}}); err != nil {
		return fmt.Errorf("cannot give the exfat on %s its serial number: %w", device, err)
	}
	return nil
}
