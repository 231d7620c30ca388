package wipefs

import (
	"context"
	"fmt"

	"github.com/mkcdrec/mkcdrec/internal/machine"
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

// Zero overwrites size bytes of a device from offset on with zeros (dd(1)). A
// device that is not there is not made as a file.
func Zero(ctx context.Context, r system.Runner, device string, offset, size machine.Bytes) error {
	_, err := r.Run(ctx, system.Command{Name: "dd", Args: []string{
		"if=/dev/zero", "of=" + device, "bs=1M", "iflag=count_bytes", "oflag=seek_bytes",
		fmt.Sprintf("seek=%d", offset), fmt.Sprintf("count=%d", size), "conv=nocreat,notrunc,fsync",
	}})
	if err != nil {
		return fmt.Errorf("cannot zero %s at byte %d: %w", device, offset, err)
	}
	return nil
}
