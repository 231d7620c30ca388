package restore

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/mkcdrec/mkcdrec/internal/machine"
	"github.com/mkcdrec/mkcdrec/internal/tool/dmsetup"
)

// dmUUID is what device mapper calls a device (kernel name), or "".
func (x *executor) dmUUID(name string) string {
	b, err := os.ReadFile(filepath.Join(x.Root, "/sys/block", name, "dm/uuid"))
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(b))
}

// mapPartitions are the partitions of a device of device mapper by number,
// which are such devices themselves: their UUID is partN- and the one of the
// whole (kpartx(8)).
func (x *executor) mapPartitions(disk string) map[int]string {
	out := map[int]string{}
	whole := x.dmUUID(disk)
	if whole == "" {
		return out
	}
	files, _ := filepath.Glob(filepath.Join(x.Root, "/sys/block/dm-*/dm/uuid"))
	for _, f := range files {
		name := filepath.Base(filepath.Dir(filepath.Dir(f)))
		rest, ok := strings.CutSuffix(x.dmUUID(name), "-"+whole)
		var n int
		if _, err := fmt.Sscanf(rest, "part%d", &n); ok && err == nil && n > 0 {
			out[n] = name
		}
	}
	return out
}

// unmapPartitions removes the partitions of a multipath device. The kernel
// does so itself for other disks, when their table changes.
func (x *executor) unmapPartitions(ctx context.Context, d machine.Disk, parts map[int]string) error {
	if !d.Multipath() {
		return nil
	}
	for _, kname := range sortedValues(parts) {
		b, err := os.ReadFile(filepath.Join(x.Root, "/sys/block", kname, "dm/name"))
		if err != nil {
			return fmt.Errorf("cannot find out what %s, a partition of %s, is called: %w", kname, d.Name, err)
		}
		if err := dmsetup.Remove(ctx, x.System, strings.TrimSpace(string(b))); err != nil {
			return err
		}
	}
	return nil
}
