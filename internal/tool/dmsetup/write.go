// Package dmsetup calls dmsetup(8).
package dmsetup

import (
	"context"
	"fmt"

	"github.com/mkcdrec/mkcdrec/internal/system"
)

// Remove removes a device-mapper device by its name.
func Remove(ctx context.Context, r system.Runner, name string) error {
	if _, err := r.Run(ctx, system.Command{Name: "dmsetup", Args: []string{"remove", "--retry", name}}); err != nil {
		return fmt.Errorf("cannot remove device-mapper device %s: %w", name, err)
	}
	return nil
}
