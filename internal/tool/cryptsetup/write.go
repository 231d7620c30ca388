package cryptsetup

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strconv"

	"github.com/mkcdrec/mkcdrec/internal/machine"
	"github.com/mkcdrec/mkcdrec/internal/system"
)

// What cryptsetup's exit codes say (cryptsetup(8), "RETURN CODES").
var (
	ErrWrongKey = errors.New("no key slot is opened by this pass phrase or key")
	ErrMemory   = errors.New("not enough memory for the key derivation function of the key slot")
	ErrBusy     = errors.New("the device exists already, or is busy")
)

var codes = map[int]error{2: ErrWrongKey, 3: ErrMemory, 5: ErrBusy}

// run starts cryptsetup with a key on its standard input. With --key-file=-
// it takes all bytes of it, a newline too.
func run(ctx context.Context, r system.Runner, what string, key []byte, args ...string) error {
	_, err := r.Run(ctx, system.Command{Name: "cryptsetup", Args: append(args[:1:1], append([]string{"--batch-mode"}, args[1:]...)...), Stdin: bytes.NewReader(key)})
	if err == nil {
		return nil
	}
	var exit *system.ExitError
	if errors.As(err, &exit) && codes[exit.ExitCode] != nil {
		return fmt.Errorf("cannot %s: %w (%w)", what, codes[exit.ExitCode], err)
	}
	return fmt.Errorf("cannot %s: %w", what, err)
}

// Format writes a new header with a new volume key and one key slot, as
// recorded: UUID, label, cipher, sector size, cost of the key derivation, and
// where the data begins.
func Format(ctx context.Context, r system.Runner, device string, c machine.Crypt, key []byte) error {
	args := []string{"luksFormat", "--type", "luks" + strconv.Itoa(c.Version), "--uuid", c.UUID, "--cipher", c.Cipher, "--key-size", strconv.Itoa(c.KeyBits)}
	if c.KDF.Hash != "" {
		args = append(args, "--hash", c.KDF.Hash)
	}
	if c.Version == 2 {
		if c.Label != "" {
			args = append(args, "--label", c.Label)
		}
		if c.Subsystem != "" {
			args = append(args, "--subsystem", c.Subsystem)
		}
		if c.SectorSize > 0 {
			args = append(args, "--sector-size", strconv.FormatInt(int64(c.SectorSize), 10))
		}
	}
	args = append(args, cost(c)...)
	if c.Offset > 0 {
		args = append(args, "--offset", strconv.FormatInt(int64(c.Offset/sector), 10))
	}
	return run(ctx, r, "write a LUKS header on "+device, key, append(args, "--key-file=-", device)...)
}

// cost is the recorded key derivation function, as options.
func cost(c machine.Crypt) []string {
	k := c.KDF
	var args []string
	if c.Version == 2 && k.Kind != "" {
		args = append(args, "--pbkdf", k.Kind)
	}
	if k.Iterations > 0 {
		args = append(args, "--pbkdf-force-iterations", strconv.Itoa(k.Iterations))
	}
	if k.Memory > 0 {
		args = append(args, "--pbkdf-memory", strconv.Itoa(k.Memory))
	}
	if k.Threads > 0 {
		args = append(args, "--pbkdf-parallel", strconv.Itoa(k.Threads))
	}
	return args
}

// flags are the persistent flags of LUKS2 and the options that set them.
var flags = map[string]string{
	"allow-discards": "--allow-discards", "same-cpu-crypt": "--perf-same_cpu_crypt", "submit-from-crypt-cpus": "--perf-submit_from_crypt_cpus",
	"no-read-workqueue": "--perf-no_read_workqueue", "no-write-workqueue": "--perf-no_write_workqueue",
}

// Open opens a device as /dev/mapper/NAME. The flags, which may be none, are
// kept in its header.
func Open(ctx context.Context, r system.Runner, device, name string, persistent []string, key []byte) error {
	args := []string{"open", "--type", "luks"}
	for _, f := range persistent {
		if flags[f] != "" {
			args = append(args, flags[f])
		}
	}
	if len(args) > 3 {
		args = append(args, "--persistent")
	}
	return run(ctx, r, "open "+device+" as "+name, key, append(args, "--key-file=-", device, name)...)
}

// Test says whether a key opens a device, or a copy of a header. Nothing is opened.
func Test(ctx context.Context, r system.Runner, device string, key []byte) error {
	return run(ctx, r, "open "+device, key, "open", "--test-passphrase", "--type", "luks", "--key-file=-", device)
}

// TestFile is Test with a key that lies in a file.
func TestFile(ctx context.Context, r system.Runner, device, file string) error {
	return run(ctx, r, "open "+device+" by "+file, nil, "open", "--test-passphrase", "--type", "luks", "--key-file="+file, device)
}

// AddFile gives the key in a file a key slot of its own, by a key that opens
// the device.
func AddFile(ctx context.Context, r system.Runner, device string, c machine.Crypt, file string, key []byte) error {
	args := append([]string{"luksAddKey"}, cost(c)...)
	return run(ctx, r, "add the key file "+file+" to "+device, key, append(args, "--key-file=-", device, file)...)
}

// Close removes a mapping.
func Close(ctx context.Context, r system.Runner, name string) error {
	return run(ctx, r, "close "+name, nil, "close", name)
}

// BackupHeader copies the header and all key slots of a device into a file,
// which must not exist. Only root can read it.
func BackupHeader(ctx context.Context, r system.Runner, device, file string) error {
	return run(ctx, r, "copy the LUKS header of "+device, nil, "luksHeaderBackup", device, "--header-backup-file", file)
}

// RestoreHeader writes the copy of a header onto a device. cryptsetup does not
// look whether the device is large enough for the data.
func RestoreHeader(ctx context.Context, r system.Runner, device, file string) error {
	return run(ctx, r, "restore the LUKS header of "+device, nil, "luksHeaderRestore", device, "--header-backup-file", file)
}
