package dmsetup

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/mkcdrec/mkcdrec/internal/system"
)

// Targets are the kinds of targets in the table of a device ("linear",
// "cache", "vdo"), each once, in the order of the table. Keys of encrypted
// devices are not asked for.
func Targets(ctx context.Context, r system.Runner, name string) ([]string, error) {
	res, err := r.Run(ctx, system.Command{Name: "dmsetup", Args: []string{"table", name}})
	if err != nil {
		return nil, fmt.Errorf("cannot read the table of device-mapper device %s: %w", name, err)
	}
	return ParseTable(res.Stdout), nil
}

// ParseTable reads lines of "START LENGTH TARGET PARAMETERS" (dmsetup(8)).
func ParseTable(b []byte) []string {
	var out []string
	for line := range strings.Lines(string(b)) {
		f := strings.Fields(line)
		if len(f) >= 3 && !slices.Contains(out, f[2]) {
			out = append(out, f[2])
		}
	}
	return out
}
