package restore

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/moby/sys/mountinfo"

	"github.com/mkcdrec/mkcdrec/internal/machine"
)

// device is the node of a device now. Partitions are asked of the kernel,
// which alone knows how it called them; so are arrays, see findArrays.
func (x *executor) device(r machine.Ref) (string, error) {
	if d, n, ok := r.Part(); ok {
		name, err := x.whole(d)
		if err != nil {
			return "", err
		}
		parts, err := x.partitions(name)
		if err != nil {
			return "", err
		}
		if name := parts[n]; name != "" {
			return "/dev/" + name, nil
		}
		return "", fmt.Errorf("disk %s has no partition %d", d, n)
	}
	dev, err := x.m.Resolve(r)
	if err != nil {
		return "", err
	}
	if dev.Array != nil {
		name, err := x.whole(dev.Array.Name)
		return "/dev/" + name, err
	}
	return dev.Path, nil
}

// whole is what the kernel calls a disk or an array of the plan now.
func (x *executor) whole(name string) (string, error) {
	if d := x.m.Disk(name); d != nil && d.Multipath() {
		return x.mapped(d.Path)
	}
	if x.m.Array(name) == nil {
		return name, nil
	}
	if now := x.arrays[name]; now != "" {
		return now, nil
	}
	return "", fmt.Errorf("array %s does not run", name)
}

// partitions maps the partition numbers of a disk to kernel names
// (/sys/block/DISK/NAME/partition).
func (x *executor) partitions(disk string) (map[int]string, error) {
	if mapped := x.Images.Partitions(disk); mapped != nil {
		return mapped, nil
	}
	files, err := filepath.Glob(filepath.Join(x.Root, "/sys/block", disk, "*", "partition"))
	if err != nil {
		return nil, fmt.Errorf("cannot read the partitions of %s: %w", disk, err)
	}
	out := x.mapPartitions(disk)
	for _, f := range files {
		b, err := os.ReadFile(f)
		if err != nil {
			continue // it went away meanwhile
		}
		if n, err := strconv.Atoi(strings.TrimSpace(string(b))); err == nil {
			out[n] = filepath.Base(filepath.Dir(f))
		}
	}
	return out, nil
}

// holder is a device that stands on a disk or its partitions.
type holder struct {
	Name   string // kernel name: dm-0, md127
	Mapper string // device-mapper name, "" for others
	// Partition says that it is a partition of a multipath device.
	Partition bool
}

// kernelName is what the kernel calls a device now: vda, vda3, dm-0.
func (x *executor) kernelName(r machine.Ref) (string, error) {
	if r.Kind() == machine.RefDisk {
		return x.whole(r.Body())
	}
	dev, err := x.device(r)
	if err != nil {
		return "", err
	}
	if !strings.HasPrefix(dev, "/dev/mapper/") {
		return strings.TrimPrefix(dev, "/dev/"), nil
	}
	return x.mapped(dev)
}

// mapped is the kernel name of a device of device mapper.
func (x *executor) mapped(dev string) (string, error) {
	names, _ := filepath.Glob(filepath.Join(x.Root, "/sys/block/dm-*/dm/name"))
	for _, f := range names {
		if b, err := os.ReadFile(f); err == nil && "/dev/mapper/"+strings.TrimSpace(string(b)) == dev {
			return filepath.Base(filepath.Dir(filepath.Dir(f))), nil
		}
	}
	return "", fmt.Errorf("%s is not active", strings.TrimPrefix(dev, "/dev/mapper/"))
}

// sysDir is where sysfs shows a block device: a partition lies in its disk.
func (x *executor) sysDir(name string) string {
	if found, _ := filepath.Glob(filepath.Join(x.Root, "/sys/block/*", name, "partition")); len(found) > 0 {
		return filepath.Dir(found[0])
	}
	return filepath.Join(x.Root, "/sys/block", name)
}

// holders are the devices that stand on a disk and its partitions, or on one
// partition or volume, those on top first: the order in which they can be
// removed. Devices go by their kernel names, here and below.
func (x *executor) holders(device string) []holder {
	var out []holder
	var visit func(dir string, depth int)
	visit = func(dir string, depth int) {
		names, _ := filepath.Glob(filepath.Join(dir, "holders", "*"))
		for _, n := range names {
			name := filepath.Base(n)
			if depth > 16 || slices.ContainsFunc(out, func(h holder) bool { return h.Name == name }) {
				continue
			}
			up := filepath.Join(x.Root, "/sys/block", name)
			visit(up, depth+1)
			parts, _ := x.partitions(name) // an array may have some
			for _, p := range sortedValues(parts) {
				visit(filepath.Join(up, p), depth+1)
			}
			h := holder{Name: name}
			if b, err := os.ReadFile(filepath.Join(x.Root, "/sys/block", name, "dm", "name")); err == nil {
				h.Mapper = strings.TrimSpace(string(b))
				h.Partition = strings.Contains(x.dmUUID(name), "-mpath-") && strings.HasPrefix(x.dmUUID(name), "part")
			}
			out = append(out, h)
		}
	}
	base := x.sysDir(device)
	visit(base, 0)
	parts, _ := x.partitions(device)
	for _, n := range sortedValues(parts) {
		visit(filepath.Join(base, n), 0)
	}
	return out
}

func sortedValues(m map[int]string) []string {
	keys := make([]int, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	out := make([]string, 0, len(m))
	for _, k := range keys {
		out = append(out, m[k])
	}
	return out
}

// mountinfo is what is mounted, as the kernel of Root tells.
func (x *executor) mountinfo() ([]*mountinfo.Info, error) {
	f, err := os.Open(filepath.Join(x.Root, "/proc/self/mountinfo"))
	if err != nil {
		return nil, fmt.Errorf("cannot see what is mounted: %w", err)
	}
	defer f.Close()
	list, err := mountinfo.GetMountsFromReader(f, nil)
	if err != nil {
		return nil, fmt.Errorf("cannot see what is mounted: %w", err)
	}
	return list, nil
}

// mounts lists what is mounted of a device: MAJ:MIN of a disk, its partitions
// and everything that stands on them, or a source of that name.
func (x *executor) mounts(device string) ([]*mountinfo.Info, error) {
	all, err := x.mountinfo()
	if err != nil {
		return nil, err
	}
	numbers := map[string]bool{}
	names := x.nodes(device)
	stack := x.stack(device)
	for _, name := range x.together(stack) {
		stack = append(stack, name)
		for n := range x.nodes(name) {
			names[n] = true
		}
	}
	for _, name := range stack {
		if b, err := os.ReadFile(filepath.Join(x.sysDir(name), "dev")); err == nil {
			numbers[strings.TrimSpace(string(b))] = true
		}
	}
	return slices.DeleteFunc(all, func(m *mountinfo.Info) bool {
		return !numbers[fmt.Sprintf("%d:%d", m.Major, m.Minor)] && !names[m.Source]
	}), nil
}

// stack is a device, its partitions and its holders with theirs, by kernel name.
func (x *executor) stack(device string) []string {
	names := []string{device}
	for _, h := range x.holders(device) {
		names = append(names, h.Name)
	}
	var out []string
	for _, n := range names {
		parts, _ := x.partitions(n)
		out = append(append(out, n), sortedValues(parts)...)
	}
	return out
}

// nodes are the names in /dev of a device and all that stands on it.
func (x *executor) nodes(device string) map[string]bool {
	out := map[string]bool{}
	for _, n := range x.stack(device) {
		out["/dev/"+n] = true
		if b, err := os.ReadFile(filepath.Join(x.sysDir(n), "dm/name")); err == nil {
			out["/dev/mapper/"+strings.TrimSpace(string(b))] = true
		}
	}
	return out
}

// swaps are the active swap areas on a device, from /proc/swaps.
func (x *executor) swaps(device string) []string {
	b, err := os.ReadFile(filepath.Join(x.Root, "/proc/swaps"))
	if err != nil {
		return nil // a kernel without swap
	}
	mine := x.nodes(device)
	var out []string
	for line := range strings.SplitSeq(string(b), "\n") {
		if f := strings.Fields(line); len(f) > 0 && mine[f[0]] {
			out = append(out, f[0])
		}
	}
	return out
}

// drivers are the modules behind a disk: of its own driver and of every
// controller and bus up to the root of the device tree.
func (x *executor) drivers(disk string) []string {
	dir, err := filepath.EvalSymlinks(filepath.Join(x.Root, "/sys/block", disk, "device"))
	if err != nil {
		return nil
	}
	stop := filepath.Join(x.Root, "/sys")
	var out []string
	for ; strings.HasPrefix(dir, stop) && dir != stop; dir = filepath.Dir(dir) {
		target, err := os.Readlink(filepath.Join(dir, "driver", "module"))
		if err != nil {
			continue
		}
		if name := strings.ReplaceAll(filepath.Base(target), "-", "_"); !slices.Contains(out, name) {
			out = append(out, name)
		}
	}
	return out
}
