// Package mount calls mount(8) and umount(8). What is mounted now is read from
// /proc/self/mountinfo by whoever wants to know, not here.
package mount

import (
	"context"
	"fmt"

	"github.com/mkcdrec/mkcdrec/internal/system"
)

// Mount mounts a device. options may be empty.
func Mount(ctx context.Context, r system.Runner, device, target, kind, options string) error {
	args := []string{"-t", kind}
	if options != "" {
		args = append(args, "-o", options)
	}
	if _, err := r.Run(ctx, system.Command{Name: "mount", Args: append(args, device, target)}); err != nil {
		return fmt.Errorf("cannot mount %s on %s: %w", device, target, err)
	}
	return nil
}

// Bind shows a directory with everything below it at another place; what is
// mounted there later does not come back to the original.
func Bind(ctx context.Context, r system.Runner, source, target string) error {
	if _, err := r.Run(ctx, system.Command{Name: "mount", Args: []string{"--rbind", "--make-rslave", source, target}}); err != nil {
		return fmt.Errorf("cannot bind %s to %s: %w", source, target, err)
	}
	return nil
}

// Unmount unmounts a target.
func Unmount(ctx context.Context, r system.Runner, target string) error {
	if _, err := r.Run(ctx, system.Command{Name: "umount", Args: []string{target}}); err != nil {
		return fmt.Errorf("cannot unmount %s: %w", target, err)
	}
	return nil
}

// UnmountAll unmounts a target with everything below it.
func UnmountAll(ctx context.Context, r system.Runner, target string) error {
	if _, err := r.Run(ctx, system.Command{Name: "umount", Args: []string{"--recursive", target}}); err != nil {
		return fmt.Errorf("cannot unmount %s: %w", target, err)
	}
	return nil
}

// Detach takes a mount out of the tree at once (umount --lazy); it ends when
// nobody has anything open on it any more.
func Detach(ctx context.Context, r system.Runner, target string) error {
	if _, err := r.Run(ctx, system.Command{Name: "umount", Args: []string{"--lazy", target}}); err != nil {
		return fmt.Errorf("cannot unmount %s: %w", target, err)
	}
	return nil
}
