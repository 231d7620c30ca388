package inspect

import (
	"fmt"
	"os"
	"path"
	"slices"
	"sort"
	"strconv"
	"strings"

	"github.com/moby/sys/mountinfo"

	"github.com/mkcdrec/mkcdrec/internal/machine"
	"github.com/mkcdrec/mkcdrec/internal/tool/superblock"
)

// mounted is one mount of a block device that is not a bind.
type mounted struct {
	node      *node
	kind      machine.FSKind
	target    string
	subvolume string
	options   string
}

// readMounts reads the mount table and leaves the mounts of block devices,
// one for each file system or btrfs subvolume. Binds are known by their root:
// it is neither "/" nor a subvolume. fstab keeps those.
func (in *inspector) readMounts() ([]mounted, error) {
	in.fstab = parseFstab(in.text("/etc/fstab"))
	f, err := os.Open(in.path("/proc/self/mountinfo"))
	if err != nil {
		return nil, fmt.Errorf("cannot read the mount table: %w", err)
	}
	defer f.Close()
	list, err := mountinfo.GetMountsFromReader(f, nil)
	if err != nil {
		return nil, fmt.Errorf("cannot read the mount table: %w", err)
	}
	top := map[string]int{} // the last mount at a target hides those before
	for i, mi := range list {
		top[mi.Mountpoint] = i
	}
	var out []mounted
	for i, mi := range list {
		if top[mi.Mountpoint] != i {
			continue
		}
		m, ok := in.mounted(mi)
		if ok {
			out = append(out, m)
		}
	}
	return in.oneEach(out), nil
}

// mounted judges one line of the mount table.
func (in *inspector) mounted(mi *mountinfo.Info) (mounted, bool) {
	if mi.FSType == "zfs" {
		pool, _, _ := strings.Cut(mi.Source, "/")
		in.blocking("zfs:"+pool, "take it out of the backup by this name", "%s is on ZFS pool %s, which cannot be recorded", mi.Mountpoint, pool)
		return mounted{}, false
	}
	n := in.byNumber(fmt.Sprintf("%d:%d", mi.Major, mi.Minor))
	if n == nil && strings.HasPrefix(mi.Source, "/dev/") && mi.FSType != "devtmpfs" && mi.FSType != "tmpfs" {
		// btrfs has a device number of its own.
		// bcachefs names all its devices.
		first, _, _ := strings.Cut(mi.Source, ":")
		n = in.byPath(first)
	}
	if n == nil && mi.Source == "/dev/root" && mi.Mountpoint == "/" {
		in.blocking("mount:/", "run on the machine itself", "the device of / is not known (%s)", mi.Source)
	}
	if n == nil {
		in.unknownSource(mi)
		return mounted{}, false
	}
	kind := machine.FSKind(mi.FSType)
	if kind == "fuseblk" && n.probed.Type != "" {
		kind = machine.FSKind(n.probed.Type) // ntfs, exfat: by a program, not by the kernel
	}
	m := mounted{node: n, kind: kind, target: mi.Mountpoint, options: mountOptions(mi)}
	if mi.FSType == "btrfs" {
		m.subvolume = strings.TrimPrefix(option(mi.VFSOptions, "subvol"), "/")
		if mi.Root != "/"+m.subvolume {
			return mounted{}, false
		}
	} else if mi.Root != "/" {
		if mi.Mountpoint == "/" {
			in.blocking("mount:/", "run on the machine itself, outside of containers and chroots",
				"/ is the directory %s of the file system on %s", mi.Root, n.path)
		}
		return mounted{}, false
	}
	return m, true
}

// oneEach keeps one mount of each file system or subvolume: the one that
// fstab names, else the first; the others are as good as binds.
func (in *inspector) oneEach(list []mounted) []mounted {
	type key struct {
		n *node
		s string
	}
	best := map[key]mounted{}
	var order []key
	for _, m := range list {
		k := key{m.node, m.subvolume}
		old, ok := best[k]
		if !ok {
			order = append(order, k)
		}
		if !ok || m.target == "/" || old.target != "/" && in.inFstab(m.target) && !in.inFstab(old.target) {
			best[k] = m
		}
	}
	out := make([]mounted, 0, len(order))
	for _, k := range order {
		out = append(out, best[k])
	}
	// A parent's path is a prefix of its children's: sorting puts it first.
	sort.SliceStable(out, func(i, j int) bool { return path.Clean(out[i].target) < path.Clean(out[j].target) })
	return out
}

func (in *inspector) byNumber(majmin string) *node {
	for _, n := range in.nodes {
		if n.majmin == majmin {
			return n
		}
	}
	return nil
}

// mountOptions joins the options of the mount and of the file system.
func mountOptions(mi *mountinfo.Info) string {
	out := strings.Split(mi.Options, ",")
	for o := range strings.SplitSeq(mi.VFSOptions, ",") {
		if o == "" || o == "rw" || o == "ro" || strings.HasPrefix(o, "subvol=") || strings.HasPrefix(o, "subvolid=") || slices.Contains(out, o) {
			continue
		}
		out = append(out, o)
	}
	return strings.Join(out, ",")
}

func option(options, key string) string {
	for o := range strings.SplitSeq(options, ",") {
		if v, ok := strings.CutPrefix(o, key+"="); ok {
			return v
		}
	}
	return ""
}

// mounts records the mounts whose file system is recorded.
func (in *inspector) mounts(list []mounted) {
	in.m.Mounts = []machine.Mount{}
	for _, m := range list {
		if m.node.ref == "" {
			continue
		}
		if fs := in.m.FileSystemOn(m.node.ref); fs != nil {
			in.m.Mounts = append(in.m.Mounts, machine.Mount{
				On: fs.On, Target: m.target, Subvolume: m.subvolume, Options: m.options, InFstab: in.inFstab(m.target),
			})
		}
	}
}

type fstabLine struct{ spec, target, kind, options string }

// parseFstab reads fstab(5); \040 and the like stand for white space.
func parseFstab(s string) []fstabLine {
	var out []fstabLine
	for line := range strings.Lines(s) {
		f := strings.Fields(line)
		if len(f) < 3 || strings.HasPrefix(f[0], "#") {
			continue
		}
		l := fstabLine{spec: octal(f[0]), target: octal(f[1]), kind: f[2]}
		if len(f) > 3 {
			l.options = f[3]
		}
		out = append(out, l)
	}
	return out
}

func octal(s string) string {
	var out strings.Builder
	for i := 0; i < len(s); i++ {
		if s[i] == '\\' && i+3 < len(s) {
			if n, err := strconv.ParseUint(s[i+1:i+4], 8, 8); err == nil {
				out.WriteByte(byte(n))
				i += 3
				continue
			}
		}
		out.WriteByte(s[i])
	}
	return out.String()
}

func (in *inspector) inFstab(target string) bool {
	for _, l := range in.fstab {
		if path.Clean(l.target) == path.Clean(target) && !slices.Contains(strings.Split(l.options, ","), "bind") {
			return true
		}
	}
	return false
}

// swaps records active swap areas, and swap files that fstab names.
func (in *inspector) swaps() {
	in.active = map[string]bool{}
	files := map[string]bool{}
	for i, line := range slices.Collect(strings.Lines(in.text("/proc/swaps"))) {
		f := strings.Fields(line)
		if i == 0 || len(f) < 3 {
			continue
		}
		p := octal(strings.TrimSuffix(f[0], `\040(deleted)`))
		if f[1] == "file" {
			files[p] = true
			in.swapFile(p)
			continue
		}
		n := in.byPath(p)
		switch {
		case n == nil:
			in.blocking("swap:"+p, "take it out of the backup by this name", "swap is on %s, which is not known", p)
		case n.ref != "":
			in.active[n.kname] = true
			in.swapOn(n)
		case kindOf(n, false) == isNothing:
			in.note("swap:"+n.kname, "", "swap on %s is made by the system itself at start", p)
		}
	}
	for _, l := range in.fstab {
		if l.kind == "swap" && strings.HasPrefix(l.spec, "/") && !strings.HasPrefix(l.spec, "/dev/") && !files[l.spec] && in.exists(l.spec) {
			in.swapFile(l.spec)
		}
	}
}

func (in *inspector) swapFile(p string) {
	s := machine.Swap{File: p}
	f, err := os.Open(in.path(p))
	if err == nil {
		defer f.Close()
		if fi, err := f.Stat(); err == nil {
			s.Size = machine.Bytes(fi.Size())
		}
		if h, err := superblock.Swap(f); err == nil {
			s.UUID, s.Label = h.UUID, h.Label
		}
	}
	if s.Size == 0 {
		in.blocking("swap:"+p, "run as root", "the size of swap file %s is not known: %v", p, err)
		return
	}
	in.m.Swaps = append(in.m.Swaps, s)
}

func (in *inspector) swapOn(n *node) {
	s := machine.Swap{On: n.ref, Size: n.size, UUID: n.probed.UUID, Label: n.probed.Label}
	if f, err := os.Open(in.path(n.path)); err == nil {
		defer f.Close()
		if h, err := superblock.Swap(f); err == nil {
			s.UUID, s.Label = h.UUID, h.Label
		}
	}
	in.m.Swaps = append(in.m.Swaps, s)
}
