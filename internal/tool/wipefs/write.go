package wipefs

import (
	"context"
	"errors"
	"fmt"
	"strings"

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

// Zero overwrites a part of a device with zeros (dd(1)): from offset on,
// count MiB, or to the end of the device when count is 0.
func Zero(ctx context.Context, r system.Runner, device string, offset, count int64) error {
	args := []string{"if=/dev/zero", "of=" + device, "bs=1M", fmt.Sprintf("seek=%d", offset)}
	if count > 0 {
		args = append(args, fmt.Sprintf("count=%d", count), "conv=fsync")
	}
	_, err := r.Run(ctx, system.Command{Name: "dd", Args: args})
	var ee *system.ExitError
	if count == 0 && errors.As(err, &ee) && strings.Contains(ee.Stderr, "No space left on device") {
		return nil // that is how dd says that it came to the end
	}
	if err != nil {
		return fmt.Errorf("cannot zero the ends of %s: %w", device, err)
	}
	return nil
}
