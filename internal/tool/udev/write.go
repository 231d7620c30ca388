// Package udev calls udevadm(8), and the kernel's partition scan by way of
// blockdev(8).
package udev

import (
	"context"
	"fmt"

	"github.com/mkcdrec/mkcdrec/internal/system"
)

// Settle waits until udev has made the nodes of new devices, a minute at most.
// Without udevd there is nothing to wait for: devtmpfs makes the nodes.
func Settle(ctx context.Context, r system.Runner) error {
	if _, err := r.Run(ctx, system.Command{Name: "udevadm", Args: []string{"settle", "--timeout=60"}}); err != nil {
		return fmt.Errorf("cannot wait for the device nodes: %w", err)
	}
	return nil
}

// Reread makes the kernel read a partition table again.
func Reread(ctx context.Context, r system.Runner, disk string) error {
	if _, err := r.Run(ctx, system.Command{Name: "blockdev", Args: []string{"--rereadpt", disk}}); err != nil {
		return fmt.Errorf("cannot make the kernel read the partition table of %s: %w", disk, err)
	}
	return nil
}
