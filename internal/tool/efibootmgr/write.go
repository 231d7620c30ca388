// Package efibootmgr calls efibootmgr(8) to write boot entries. They are read by
// package efivars.
package efibootmgr

import (
	"context"
	"fmt"
	"strconv"

	"github.com/mkcdrec/mkcdrec/internal/system"
)

// Create makes a boot entry for a loader on a partition and puts it first
// (efibootmgr(8)). loader is the path on the ESP with backslashes.
func Create(ctx context.Context, r system.Runner, disk string, partition int, label, loader string) error {
	_, err := r.Run(ctx, system.Command{Name: "efibootmgr", Args: []string{
		"--create", "--disk", disk, "--part", strconv.Itoa(partition), "--label", label, "--loader", loader, "--quiet"}})
	if err != nil {
		return fmt.Errorf("cannot make the firmware's boot entry %s: %w", label, err)
	}
	return nil
}

// Delete removes the boot entry of a number, four hex digits.
func Delete(ctx context.Context, r system.Runner, number string) error {
	if _, err := r.Run(ctx, system.Command{Name: "efibootmgr", Args: []string{"--bootnum", number, "--delete-bootnum", "--quiet"}}); err != nil {
		return fmt.Errorf("cannot remove the firmware's boot entry %s: %w", number, err)
	}
	return nil
}
