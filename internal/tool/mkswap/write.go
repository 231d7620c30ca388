// Package mkswap calls mkswap(8) and swapoff(8).
package mkswap

import (
	"context"
	"fmt"

	"github.com/mkcdrec/mkcdrec/internal/machine"
	"github.com/mkcdrec/mkcdrec/internal/system"
)

// Make makes a swap area on a device or in a file with the recorded UUID and
// label (mkswap(8)).
func Make(ctx context.Context, r system.Runner, path string, s machine.Swap) error {
	args := []string{"--force"}
	if s.UUID != "" {
		args = append(args, "--uuid", s.UUID)
	}
	if s.Label != "" {
		args = append(args, "--label", s.Label)
	}
	if _, err := r.Run(ctx, system.Command{Name: "mkswap", Args: append(args, path)}); err != nil {
		return fmt.Errorf("cannot make swap on %s: %w", path, err)
	}
	return nil
}

// Off stops using a swap area (swapoff(8)).
func Off(ctx context.Context, r system.Runner, path string) error {
	if _, err := r.Run(ctx, system.Command{Name: "swapoff", Args: []string{path}}); err != nil {
		return fmt.Errorf("cannot stop swapping to %s: %w", path, err)
	}
	return nil
}
