// Package mdadm calls mdadm(8). So far it only stops arrays.
package mdadm

import (
	"context"
	"fmt"

	"github.com/mkcdrec/mkcdrec/internal/system"
)

// Stop stops an array, /dev/md0.
func Stop(ctx context.Context, r system.Runner, device string) error {
	if _, err := r.Run(ctx, system.Command{Name: "mdadm", Args: []string{"--stop", device}}); err != nil {
		return fmt.Errorf("cannot stop array %s: %w", device, err)
	}
	return nil
}
