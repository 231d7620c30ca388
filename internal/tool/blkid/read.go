// Package blkid asks blkid(8) what a block device holds, by low-level probing
// (-p): the cache and udev's database are not used, as they may be missing or
// out of date.
package blkid

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/mkcdrec/mkcdrec/internal/system"
)

// Probed is what a device holds. All fields are empty for one that holds
// nothing libblkid knows.
type Probed struct {
	Type   string // TYPE: ext4, LVM2_member, crypto_LUKS, swap ...
	UUID   string
	Label  string
	Usage  string // filesystem, raid, crypto, other
	PTType string // gpt, dos ...: a partition table
}

// ErrAmbivalent says that signatures contradict each other: more than one
// file system was found on a device.
var ErrAmbivalent = errors.New("more than one signature")

// Probe reads the signatures of a device or image. Holding nothing is not an
// error (exit code 2 of blkid, with nothing on standard error).
func Probe(ctx context.Context, r system.Runner, path string) (Probed, error) {
	res, err := r.Run(ctx, system.Command{Name: "blkid", Args: []string{"-p", "-o", "export", path}})
	if err != nil {
		switch {
		case res.ExitCode == 2 && len(bytes.TrimSpace(res.Stderr)) == 0:
			return Probed{}, nil
		case res.ExitCode == 8:
			return Probed{}, fmt.Errorf("cannot tell what %s holds: %w", path, ErrAmbivalent)
		}
		return Probed{}, fmt.Errorf("cannot probe %s: %w", path, err)
	}
	return Parse(res.Stdout), nil
}

// Parse reads KEY=value lines; a backslash keeps the character behind it.
func Parse(b []byte) Probed {
	var p Probed
	fields := map[string]*string{"TYPE": &p.Type, "UUID": &p.UUID, "LABEL": &p.Label, "USAGE": &p.Usage, "PTTYPE": &p.PTType}
	for line := range strings.SplitSeq(string(b), "\n") {
		key, value, ok := strings.Cut(line, "=")
		if f := fields[key]; ok && f != nil {
			*f = unescape(value)
		}
	}
	return p
}

func unescape(s string) string {
	var out strings.Builder
	for i := 0; i < len(s); i++ {
		if s[i] == '\\' && i+1 < len(s) {
			i++
		}
		out.WriteByte(s[i])
	}
	return strings.ToValidUTF8(out.String(), "\uFFFD")
}
