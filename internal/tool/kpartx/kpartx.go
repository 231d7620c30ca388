// Package kpartx calls kpartx(8), which makes the partitions of a device that
// the kernel does not look for partitions on, by device mapper.
package kpartx

import (
	"context"
	"fmt"

	"github.com/mkcdrec/mkcdrec/internal/system"
)

// Add makes the partitions that a device's table has, NAME-partN, and waits
// until they are there.
func Add(ctx context.Context, r system.Runner, device string) error {
	if _, err := r.Run(ctx, system.Command{Name: "kpartx", Args: []string{"-a", "-s", "-p", "-part", device}}); err != nil {
		return fmt.Errorf("cannot make the partitions of %s: %w", device, err)
	}
	return nil
}
