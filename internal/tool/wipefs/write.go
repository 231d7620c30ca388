package wipefs

import (
	"context"
	"fmt"

	"github.com/mkcdrec/mkcdrec/internal/system"
)

// Wipe removes every signature from a device (wipefs(8)). --force, since the
// kernel may still know partitions on it.
func Wipe(ctx context.Context, r system.Runner, device string) error {
	if _, err := r.Run(ctx, system.Command{Name: "wipefs", Args: []string{"--all", "--force", device}}); err != nil {
		return fmt.Errorf("cannot wipe the signatures of %s: %w", device, err)
	}
	return nil
}
