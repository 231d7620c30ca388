package inspect

import (
	"fmt"
	"os"
	"path/filepath"
	"sort"
	"strings"

	"github.com/moby/sys/mountinfo"
)

// DisksOf names the whole disks (kernel names) that hold the file system on
// which path lies: through partitions, volumes and loop devices down to the
// hardware. A network or memory file system has none. It fails rather than
// leave a disk out: restore protects what it names.
func DisksOf(path string) ([]string, error) {
	real, err := filepath.EvalSymlinks(path)
	if err != nil {
		return nil, fmt.Errorf("cannot find out which disk holds %s: %w", path, err)
	}
	mounts, err := mountinfo.GetMounts(mountinfo.ParentsFilter(real))
	if err != nil || len(mounts) == 0 {
		return nil, fmt.Errorf("cannot find out which disk holds %s: no mount (%v)", path, err)
	}
	best := mounts[0]
	for _, m := range mounts {
		if len(m.Mountpoint) >= len(best.Mountpoint) { // the last of equals lies on top
			best = m
		}
	}
	if !strings.HasPrefix(best.Source, "/dev/") {
		return nil, nil
	}
	dev, err := filepath.EvalSymlinks(best.Source)
	if err != nil {
		return nil, fmt.Errorf("cannot find out which disk holds %s: %w", path, err)
	}
	return WholeDisks("/sys", filepath.Base(dev))
}

// WholeDisks names the whole disks beneath the block device with this kernel
// name, by the sysfs tree at sys.
func WholeDisks(sys, name string) ([]string, error) {
	found := map[string]bool{}
	if err := wholeDisks(sys, name, found, 0); err != nil {
		return nil, err
	}
	var names []string
	for n := range found {
		names = append(names, n)
	}
	sort.Strings(names)
	return names, nil
}

func wholeDisks(sys, name string, found map[string]bool, depth int) error {
	if depth > 16 {
		return fmt.Errorf("block device %s: its layers have no end", name)
	}
	dir, err := filepath.EvalSymlinks(filepath.Join(sys, "class/block", name))
	if err != nil {
		return fmt.Errorf("cannot find block device %s in sysfs: %w", name, err)
	}
	if _, err := os.Stat(filepath.Join(dir, "partition")); err == nil {
		return wholeDisks(sys, filepath.Base(filepath.Dir(dir)), found, depth+1)
	}
	if backing, err := os.ReadFile(filepath.Join(dir, "loop/backing_file")); err == nil {
		below, err := DisksOf(strings.TrimSpace(string(backing)))
		for _, b := range below {
			found[b] = true
		}
		return err
	}
	// A multipath device is a disk by the name of its map; its paths are
	// protected with it.
	if b, err := os.ReadFile(filepath.Join(dir, "dm/uuid")); err == nil && strings.HasPrefix(string(b), mpath) {
		b, err := os.ReadFile(filepath.Join(dir, "dm/name"))
		if err != nil {
			return fmt.Errorf("cannot find out what the multipath device %s is called: %w", name, err)
		}
		found[strings.TrimSpace(string(b))] = true
	}
	slaves, err := os.ReadDir(filepath.Join(dir, "slaves"))
	if err != nil || len(slaves) == 0 {
		found[name] = true
		return nil
	}
	for _, s := range slaves {
		if err := wholeDisks(sys, s.Name(), found, depth+1); err != nil {
			return err
		}
	}
	return nil
}
