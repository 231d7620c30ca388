// Package efibootmgr calls efibootmgr(8) to write boot entries. They are read by
// package efivars.
package efibootmgr

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"

	"github.com/mkcdrec/mkcdrec/internal/system"
)

// Entry is a boot entry to be made.
type Entry struct {
	Number    string // four hex digits that no entry has
	Label     string
	Disk      string // device
	Partition int
	Loader    string // path on the partition, with backslashes
	Data      []byte // what the loader is given
}

// Create makes a boot entry, which is not in the boot order yet.
func Create(ctx context.Context, r system.Runner, e Entry) error {
	args := []string{"--create-only", "--bootnum", e.Number,
		"--disk", e.Disk, "--part", strconv.Itoa(e.Partition), "--label", e.Label, "--loader", e.Loader, "--quiet"}
	if len(e.Data) > 0 {
		// It reads what it is given twice: a pipe would be empty the second time.
		f, err := os.CreateTemp("", "mkcdrec-efi-")
		if err != nil {
			return fmt.Errorf("cannot make the firmware's boot entry %s: %w", e.Label, err)
		}
		defer func() { _ = os.Remove(f.Name()) }()
		_, err = f.Write(e.Data)
		if err = errors.Join(err, f.Close()); err != nil {
			return fmt.Errorf("cannot make the firmware's boot entry %s: %w", e.Label, err)
		}
		args = append(args, "--append-binary-args", f.Name())
	}
	if _, err := r.Run(ctx, system.Command{Name: "efibootmgr", Args: args}); err != nil {
		return fmt.Errorf("cannot make the firmware's boot entry %s: %w", e.Label, err)
	}
	return nil
}

// Order says in which order the firmware tries the entries of these numbers.
func Order(ctx context.Context, r system.Runner, numbers []string) error {
	if _, err := r.Run(ctx, system.Command{Name: "efibootmgr", Args: []string{"--bootorder", strings.Join(numbers, ","), "--quiet"}}); err != nil {
		return fmt.Errorf("cannot set the order of the firmware's boot entries: %w", err)
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
