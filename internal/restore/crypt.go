package restore

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/mkcdrec/mkcdrec/internal/fail"
	"github.com/mkcdrec/mkcdrec/internal/machine"
	"github.com/mkcdrec/mkcdrec/internal/plan"
	"github.com/mkcdrec/mkcdrec/internal/tool/cryptsetup"
	"github.com/mkcdrec/mkcdrec/internal/tool/udev"
)

// Crypts are the encrypted devices that a plan makes, in its order.
func Crypts(p plan.Plan) []machine.Crypt {
	var out []machine.Crypt
	for _, s := range p.Steps {
		if s.Kind == plan.MakeCrypt {
			out = append(out, *s.Crypt)
		}
	}
	return out
}

// checkKeys sees before the first write that every encrypted device has a key,
// that the copy of a header belongs to the device, and that the key opens it.
func (x *executor) checkKeys(ctx context.Context) error {
	for _, c := range Crypts(x.Plan) {
		key, ok := x.Keys[c.Name]
		if !ok || len(key.Bytes) == 0 {
			return fail.Hint(fail.New(fail.Usage, "there is no pass phrase and no key file for the encrypted device %s", c.Name),
				`give one: --luks-key FILE, or luks_key = "FILE" in the answer file`)
		}
		if c.Header == "" || key.Tested {
			continue
		}
		if err := x.testKey(ctx, c, key); err != nil {
			return err
		}
	}
	return nil
}

// TestKey says whether a key opens the copy of the header of a device; an
// error of kind fail.WrongKey says that it does not. Nothing is written to a disk.
func TestKey(ctx context.Context, opt Options, c machine.Crypt, key Key) error {
	return newExecutor(opt).testKey(ctx, c, key)
}

func (x *executor) testKey(ctx context.Context, c machine.Crypt, key Key) error {
	data, err := x.Backup.Header(ctx, c.Header)
	if err != nil {
		return err
	}
	if err := x.headerFits(c, data); err != nil {
		return err
	}
	return x.withFile(data, func(file string) error {
		err := cryptsetup.Test(ctx, x.System, file, key.Bytes)
		switch {
		case errors.Is(err, cryptsetup.ErrWrongKey):
			return fail.New(fail.WrongKey, "the pass phrase or key file does not open the encrypted device %s as it was when it was backed up; nothing was changed: %w", c.Name, err)
		case errors.Is(err, cryptsetup.ErrMemory):
			return fail.Hint(fail.New(fail.Unsupported, "%w", err), "its key slot wants %d KiB: use a machine with more memory", c.KDF.Memory)
		}
		return err
	})
}

// headerFits refuses the header of another device, and one whose data has no
// room on the device. cryptsetup looks at neither.
func (x *executor) headerFits(c machine.Crypt, data []byte) error {
	h, err := cryptsetup.ReadHeader(bytes.NewReader(data))
	if err != nil {
		return fail.New(fail.Damaged, "the copy of the LUKS header of %s: %w", c.Name, err)
	}
	is := h.Crypt
	if is.UUID != c.UUID || is.Version != c.Version || is.Offset != c.Offset || is.Cipher != c.Cipher {
		return fail.New(fail.Damaged, "the copy of the LUKS header of %s belongs to another device: UUID %s, recorded %s; data from byte %d, recorded %d", c.Name, is.UUID, c.UUID, is.Offset, c.Offset)
	}
	on, err := x.m.Resolve(c.On)
	if err != nil {
		return fail.New(fail.Refused, "%w", err)
	}
	if need := is.Offset + max(h.Data, 1); on.Size < need || on.Size < machine.Bytes(len(data)) {
		return fail.New(fail.Refused, "the recorded LUKS header of %s does not fit onto %s, which has %s: it needs %s", c.Name, on.Path, plan.Size(on.Size), plan.Size(max(need, machine.Bytes(len(data)))))
	}
	return nil
}

// withFile lends data as a file of root's in memory: what is beside the
// journal is in no file system of a disk.
func (x *executor) withFile(data []byte, do func(file string) error) error {
	base := filepath.Dir(x.Journal)
	if x.Images != nil { // whose journal is on a disk
		base = filepath.Dir(DefaultJournal)
	}
	if err := os.MkdirAll(base, 0o700); err != nil {
		return fmt.Errorf("cannot keep the copy of a LUKS header: %w", err)
	}
	dir, err := os.MkdirTemp(base, "luks-")
	if err != nil {
		return fmt.Errorf("cannot keep the copy of a LUKS header: %w", err)
	}
	file := filepath.Join(dir, "header")
	if err = os.WriteFile(file, data, 0o600); err == nil {
		err = do(file)
	}
	return errors.Join(err, os.RemoveAll(dir))
}

// checkMappings refuses an open device of a planned name that stands on
// another disk than those of the plan: there cannot be two.
func (x *executor) checkMappings(here machine.Machine, target map[string]bool) error {
	for _, c := range Crypts(x.Plan) {
		there := here.Crypt(c.Name)
		if there == nil {
			continue
		}
		for _, d := range here.DisksUnder(machine.CryptRef(c.Name)) {
			if !target[d.Name] {
				return fail.Hint(fail.New(fail.Refused, "an encrypted device is open as %s on disk %s, which is not to be overwritten; there cannot be two of that name", c.Name, d.Name),
					"close it: cryptsetup close %s", c.Name)
			}
		}
	}
	return nil
}

// makeCrypt writes the header, the recorded one or a new one, and opens the device.
func (x *executor) makeCrypt(ctx context.Context, s plan.Step) error {
	c, key := *s.Crypt, x.Keys[s.Crypt.Name].Bytes
	dev, err := x.device(c.On)
	if err != nil {
		return err
	}
	if _, err := x.kernelName(s.Device); err == nil { // by this step, when it was interrupted
		if err := cryptsetup.Close(ctx, x.System, c.Name); err != nil {
			return err
		}
	}
	if c.Header != "" {
		err = x.restoreHeader(ctx, c, dev)
		c.Flags = nil // they are in it
	} else {
		c.KDF = x.affordable(c)
		err = cryptsetup.Format(ctx, x.System, dev, c, key)
	}
	if err != nil {
		return err
	}
	if err := cryptsetup.Open(ctx, x.System, dev, c.Name, c.Flags, key); err != nil {
		return err
	}
	return udev.Settle(ctx, x.System)
}

func (x *executor) restoreHeader(ctx context.Context, c machine.Crypt, dev string) error {
	data, err := x.Backup.Header(ctx, c.Header)
	if err != nil {
		return err
	}
	if err := x.headerFits(c, data); err != nil {
		return err
	}
	return x.withFile(data, func(file string) error { return cryptsetup.RestoreHeader(ctx, x.System, dev, file) })
}

// affordable is the recorded key derivation, with no more memory than there is
// here now, and half of all of it: the machine that starts from this disk has
// its initramfs in memory, too.
func (x *executor) affordable(c machine.Crypt) machine.KDF {
	k := c.KDF
	b, err := os.ReadFile(filepath.Join(x.Root, "/proc/meminfo"))
	if err != nil {
		return k
	}
	limit := k.Memory // KiB, as in meminfo
	for line := range strings.Lines(string(b)) {
		f := append(strings.Fields(line), "", "")
		switch n, err := strconv.Atoi(f[1]); {
		case err != nil:
		case f[0] == "MemTotal:":
			limit = min(limit, n/2)
		case f[0] == "MemAvailable:":
			limit = min(limit, n/4*3)
		}
	}
	if limit < k.Memory {
		x.warn("the key of %s is derived with %d KiB of memory, recorded %d: there is no more here; see luksConvertKey in cryptsetup(8)", c.Name, limit, k.Memory)
		k.Memory = limit
	}
	return k
}

// openAgain opens a device that an earlier start has made.
func (x *executor) openAgain(ctx context.Context, c machine.Crypt) error {
	if _, err := x.kernelName(machine.CryptRef(c.Name)); err == nil {
		return nil
	}
	key, ok := x.Keys[c.Name]
	if !ok {
		return fmt.Errorf("there is no key for %s", c.Name)
	}
	dev, err := x.device(c.On)
	if err != nil {
		return err
	}
	f, err := os.Open(filepath.Join(x.Root, dev))
	if err != nil {
		return err
	}
	defer f.Close()
	if h, err := cryptsetup.ReadHeader(f); err != nil || h.Crypt.UUID != c.UUID {
		return fmt.Errorf("%s is not the encrypted device %s: UUID %q: %w", dev, c.Name, h.Crypt.UUID, errors.Join(err, os.ErrNotExist))
	}
	if err := cryptsetup.Open(ctx, x.System, dev, c.Name, nil, key.Bytes); err != nil {
		return err
	}
	return udev.Settle(ctx, x.System)
}

// keyFilesBack gives the key files that the restored crypttab names a key slot
// in headers that were made anew, so that the machine starts as it did.
func (x *executor) keyFilesBack(ctx context.Context) error {
	for _, c := range Crypts(x.Plan) {
		file := x.keyFileOf(c.Name)
		if c.Header != "" || file == "" {
			continue
		}
		if !x.exists(strings.TrimPrefix(file, "/")) {
			x.warn("/etc/crypttab opens %s by %s, which is not in the backup: the new header does not know that key", c.Name, file)
			continue
		}
		dev, err := x.device(c.On)
		if err != nil {
			return err
		}
		full := path.Join(x.TargetRoot, file)
		if cryptsetup.TestFile(ctx, x.System, dev, full) == nil {
			continue
		}
		c.KDF = x.affordable(c)
		if err := cryptsetup.AddFile(ctx, x.System, dev, c, full, x.Keys[c.Name].Bytes); err != nil {
			x.warn("/etc/crypttab opens %s by %s, and the new header does not know that key: %v", c.Name, file, err)
			continue
		}
		x.change("", "%s: the key file %s of /etc/crypttab opens it, too", c.Name, file)
	}
	return nil
}

// keyFileOf is the key file that the restored crypttab has for a device; ""
// where it has none, or one that is no file of this root.
func (x *executor) keyFileOf(name string) string {
	var b []byte
	_ = x.inRoot(func(r *os.Root) (err error) { b, err = r.ReadFile("etc/crypttab"); return err })
	for line := range strings.Lines(string(b)) {
		f := strings.Fields(line)
		if len(f) < 3 || f[0] != name || !strings.HasPrefix(f[2], "/") || strings.HasPrefix(f[2], "/dev/") || strings.Contains(f[2], ":") {
			continue
		}
		return path.Clean(f[2])
	}
	return ""
}
