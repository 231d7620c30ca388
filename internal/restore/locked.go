package restore

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/mkcdrec/mkcdrec/internal/fail"
	"github.com/mkcdrec/mkcdrec/internal/fit"
	"github.com/mkcdrec/mkcdrec/internal/machine"
	"github.com/mkcdrec/mkcdrec/internal/system"
	"github.com/mkcdrec/mkcdrec/internal/tool/blkid"
	"github.com/mkcdrec/mkcdrec/internal/tool/cryptsetup"
	"github.com/mkcdrec/mkcdrec/internal/tool/udev"
)

// Locked are the encrypted devices that have to be opened before it can be seen
// what the recorded place of a mount point holds here, the lowest first.
func Locked(recorded, here machine.Machine, target string) []machine.Crypt {
	mt := recorded.MountAt(target)
	if mt == nil {
		return nil
	}
	var out []machine.Crypt
	for _, r := range slices.Backward(recorded.Below(mt.On)) {
		dev, err := recorded.Resolve(r)
		if err != nil || dev.Crypt == nil || dev.Partition != nil {
			continue
		}
		open := func(c machine.Crypt) bool { return c.UUID == dev.Crypt.UUID }
		if !slices.ContainsFunc(here.Crypts, open) && !slices.ContainsFunc(out, open) {
			out = append(out, *dev.Crypt)
		}
	}
	return out
}

// Unlock opens the one device here that has the header of a recorded encrypted
// device, under its recorded name. Nothing is written to it. The error is of
// kind fail.WrongKey where the key does not open it, and fail.Refused where no
// device has that header, or more than one.
func Unlock(ctx context.Context, r system.Runner, here machine.Machine, c machine.Crypt, key Key) error {
	dev, err := lockedDevice(ctx, r, here, c)
	if err != nil {
		return err
	}
	err = cryptsetup.Open(ctx, r, dev, c.Name, nil, key.Bytes)
	switch {
	case errors.Is(err, cryptsetup.ErrWrongKey):
		return fail.New(fail.WrongKey, "the pass phrase or key file does not open the encrypted device %s; nothing was changed: %w", c.Name, err)
	case errors.Is(err, cryptsetup.ErrMemory):
		return fail.Hint(fail.New(fail.Unsupported, "%w", err), "its key slot wants %d KiB: use a machine with more memory", c.KDF.Memory)
	case err != nil:
		return err
	}
	if err := udev.Settle(ctx, r); err != nil {
		return fmt.Errorf("cannot see what %s holds: %w", c.Name, err)
	}
	return nil
}

// lockedDevice is the device with the header of c. A member of an array is
// none, though a mirror's shows the header, too.
func lockedDevice(ctx context.Context, r system.Runner, here machine.Machine, c machine.Crypt) (string, error) {
	var found []string
	for _, refs := range fit.DeviceNames(here) {
		for _, ref := range refs {
			dev, err := here.Resolve(ref)
			if _, member := here.LayerOn(ref); member || err != nil || slices.Contains(found, dev.Path) {
				continue
			}
			p, err := blkid.Probe(ctx, r, dev.Path)
			if err == nil && p.Type == "crypto_LUKS" && strings.EqualFold(p.UUID, c.UUID) {
				found = append(found, dev.Path)
			}
		}
	}
	slices.Sort(found)
	switch len(found) {
	case 1:
		return found[0], nil
	case 0:
		return "", fail.Hint(fail.New(fail.Refused, "the encrypted device %s is not here: no device has a LUKS header with the UUID %s", c.Name, c.UUID),
			"name a device with --onto, or restore the whole machine: mkcdrec restore")
	}
	return "", fail.Hint(fail.New(fail.Refused, "cannot tell which device is %s; they have the same LUKS header: %s", c.Name, strings.Join(found, ", ")),
		"open the right one by hand: cryptsetup open DEVICE %s", c.Name)
}
