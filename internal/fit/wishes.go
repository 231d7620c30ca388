package fit

import (
	"cmp"
	"maps"
	"path"
	"reflect"
	"slices"
	"strings"

	"github.com/mkcdrec/mkcdrec/internal/fail"
	"github.com/mkcdrec/mkcdrec/internal/machine"
	"github.com/mkcdrec/mkcdrec/internal/plan"
)

// Swap is the key for the machine's swap among the sizes that are wished.
const Swap = "swap"

// Changes are what the wishes change in the files and the configuration of the
// restored system; nil where they change nothing. The errors are those of Onto.
func (w Wishes) Changes(recorded machine.Machine) (*plan.Changes, error) {
	after, err := clone(recorded)
	if err != nil {
		return nil, err
	}
	a, err := w.apply(&after)
	if err != nil {
		return nil, err
	}
	c := &plan.Changes{NoSwap: w.NoSwap, Kinds: a.kinds}
	for _, m := range recorded.Mounts {
		if after.MountAt(m.Target) == nil {
			c.LeftOut = append(c.LeftOut, m.Target)
		}
	}
	for _, e := range recorded.Crypts {
		if after.Crypt(e.Name) == nil {
			c.Crypts = append(c.Crypts, e.Name)
		}
	}
	if err := w.shapeChanges(&after, a, c); err != nil {
		return nil, err
	}
	if reflect.DeepEqual(*c, plan.Changes{}) {
		return nil, nil
	}
	return c, nil
}

// Check refuses wishes that cannot be followed for a recorded machine, whatever
// disks it will be restored onto. The errors are those of Onto.
func (w Wishes) Check(recorded machine.Machine) error {
	after, err := clone(recorded)
	if err != nil {
		return err
	}
	a, err := w.apply(&after)
	if err != nil {
		return err
	}
	if err := w.shapeChanges(&after, a, &plan.Changes{}); err != nil {
		return err
	}
	_, err = w.pins(&after)
	return err
}

// applied is what wishes have made of a recorded machine.
type applied struct {
	m       *machine.Machine
	choices []plan.Choice
	emptied []machine.Ref // partitions that hold nothing any more
	// gaps are the partitions that are left out, by recorded disk or array.
	gaps  map[string][]machine.Partition
	kinds []plan.KindChange
}

func (a *applied) say(subject, chosen, why string) {
	a.choices = append(a.choices, plan.Choice{Subject: subject, Chosen: chosen, Why: why})
}

// apply makes a recorded machine into the one that is wished, as if that had
// been recorded; sizes are given later, when everything is laid out. Errors are of kind fail.Usage (no such
// mount point, wishes that contradict each other) or fail.Refused.
func (w Wishes) apply(m *machine.Machine) (*applied, error) {
	a := &applied{m: m, gaps: map[string][]machine.Partition{}}
	if err := w.Consistent(); err != nil {
		return nil, err
	}
	if err := a.drop(w.Drop); err != nil {
		return nil, err
	}
	if w.NoSwap {
		if err := a.noSwap(); err != nil {
			return nil, err
		}
	}
	a.closeTables()
	return a, a.changeKinds(w)
}

// Consistent refuses wishes of which only one can be followed. The error is of
// kind fail.Usage.
func (w Wishes) Consistent() error {
	contradict := func(x, y string) error {
		return fail.New(fail.Usage, "%s and %s contradict each other", x, y)
	}
	if err := w.consistent(); err != nil {
		return err
	}
	if _, ok := w.Sizes[Swap]; ok && w.NoSwap {
		return contradict("--no-swap", "--size swap")
	}
	for _, d := range w.Drop {
		for t := range w.Sizes {
			if path.Clean(t) == path.Clean(d) {
				return contradict("--drop "+d, "--size "+t)
			}
		}
		for t := range w.Kinds {
			if path.Clean(t) == path.Clean(d) {
				return contradict("--drop "+d, "--fs "+t)
			}
		}
	}
	return nil
}

// mounted is the recorded mount of a target that a wish names.
func mounted(m *machine.Machine, flag, target string) (machine.Mount, error) {
	if mt := m.MountAt(path.Clean(target)); mt != nil && m.FileSystemOn(mt.On) != nil {
		return *mt, nil
	}
	var all []string
	for _, mt := range m.Mounts {
		all = append(all, mt.Target)
	}
	return machine.Mount{}, fail.Hint(fail.New(fail.Usage, "--%s %s: no file system was mounted there when the backup was made", flag, target),
		"the recorded mount points are: %s", strings.Join(all, ", "))
}

// essential says why a mount point must be there, and as recorded, for the
// system to start; "" where it need not.
func essential(m *machine.Machine, mt machine.Mount) string {
	under := func(dirs ...string) bool {
		return slices.ContainsFunc(dirs, func(d string) bool { return mt.Target == d || strings.HasPrefix(mt.Target, d+"/") })
	}
	dev, err := m.Resolve(mt.On)
	switch {
	case mt.Target == "/":
		return "it is the root of the system"
	case under("/boot", "/efi"), err == nil && dev.Partition != nil && isESP(*dev.Disk, *dev.Partition):
		return "the boot loader needs it"
	case under("/usr") && !under("/usr/local", "/usr/src"), under("/etc", "/bin", "/sbin", "/lib", "/lib64"):
		return "the system does not start without it"
	}
	return ""
}

// drop leaves out file systems by their mount points, with all that was made
// for them alone.
func (a *applied) drop(targets []string) error {
	wished := map[string]bool{}
	for _, t := range targets {
		mt, err := mounted(a.m, "drop", t)
		if err != nil {
			return err
		}
		if why := essential(a.m, mt); why != "" {
			return fail.New(fail.Refused, "%s cannot be left out: %s", mt.Target, why)
		}
		wished[mt.Target] = true
	}
	for _, t := range slices.Sorted(maps.Keys(wished)) {
		mt := a.m.MountAt(t)
		if mt == nil {
			continue // it went with another mount point of its file system
		}
		if err := a.dropFS(*mt, wished); err != nil {
			return err
		}
	}
	return nil
}

// dropFS leaves one file system out. Its subvolumes are one file system: those
// that are mounted elsewhere would be lost with it.
func (a *applied) dropFS(mt machine.Mount, wished map[string]bool) error {
	below := func(t, of string) bool { return strings.HasPrefix(t, of+"/") }
	fs := *a.m.FileSystemOn(mt.On)
	var gone, others, inside []string
	for _, o := range a.m.MountsOn(mt.On) {
		if wished[o.Target] || below(o.Target, mt.Target) {
			gone = append(gone, o.Target)
		} else {
			others = append(others, o.Target)
		}
	}
	if len(others) > 0 {
		return fail.Hint(fail.New(fail.Refused, "%s cannot be left out alone: it is a subvolume of the %s that %s lies on, too", mt.Target, fs.Kind, strings.Join(others, ", ")),
			"leave all of them out, or leave files out when the backup is made")
	}
	for _, o := range a.m.Mounts {
		within := slices.ContainsFunc(gone, func(g string) bool { return below(o.Target, g) })
		if within && o.On != mt.On && !wished[o.Target] {
			inside = append(inside, o.Target)
		}
	}
	if len(inside) > 0 {
		return fail.Hint(fail.New(fail.Refused, "%s cannot be left out: %s is mounted in it", mt.Target, strings.Join(inside, ", ")),
			"leave that out, too: --drop %s", strings.Join(inside, " --drop "))
	}
	a.m.Mounts = filter(a.m.Mounts, func(o machine.Mount) bool { return o.On != mt.On })
	a.m.FileSystems = filter(a.m.FileSystems, func(o machine.FileSystem) bool { return o.On != mt.On })
	for _, s := range a.m.Swaps {
		if s.File != "" && slices.ContainsFunc(gone, func(g string) bool { return below(s.File, g) }) {
			a.say("swap file "+s.File, "left out", "it lay on "+mt.Target)
		}
	}
	a.m.Swaps = filter(a.m.Swaps, func(s machine.Swap) bool {
		return s.File == "" || !slices.ContainsFunc(gone, func(g string) bool { return below(s.File, g) })
	})
	a.say(strings.Join(gone, " and "), "left out", "told so: the "+string(fs.Kind)+" on "+mt.On.Body()+" is not made, its files are not unpacked")
	for _, r := range fs.Refs() {
		if err := a.vacate(r); err != nil {
			return err
		}
	}
	return nil
}

// noSwap leaves all swap out.
func (a *applied) noSwap() error {
	all := a.m.Swaps
	a.m.Swaps = nil
	for _, s := range all {
		subject := "swap file " + s.File
		if s.File == "" {
			subject = "swap on " + s.On.Body()
			if err := a.vacate(s.On); err != nil {
				return err
			}
		}
		a.say(subject, "left out", "told so")
	}
	return nil
}

// vacate takes a device that holds nothing any more out of the machine, and
// what was made for it alone: its encrypted device, its array with the members.
func (a *applied) vacate(r machine.Ref) error {
	if slices.Contains(a.m.BootLoader.Disks, r) {
		return fail.New(fail.Refused, "%s cannot be left out: the boot loader lies on it", r.Body())
	}
	dev, err := a.m.Resolve(r)
	if err != nil {
		return fail.New(fail.Damaged, "the recorded layout contradicts itself: %w", err)
	}
	var below []machine.Ref
	switch {
	case dev.Volume != nil:
		name, pool := dev.Volume.Name, dev.Volume.In
		dev.Group.Logical = filter(dev.Group.Logical, func(lv machine.LogicalVolume) bool { return lv.Name != name })
		if pool != "" && len(dev.Group.ThinIn(pool)) == 0 {
			if err := a.vacate(machine.LVRef(dev.Group.Name, pool)); err != nil {
				return err
			}
			if !slices.ContainsFunc(dev.Group.Logical, func(lv machine.LogicalVolume) bool { return lv.Pool != nil }) {
				dev.Group.Spare = 0
			}
		}
	case dev.Crypt != nil:
		name := dev.Crypt.Name
		below = append(below, dev.Crypt.On)
		a.m.Crypts = filter(a.m.Crypts, func(c machine.Crypt) bool { return c.Name != name })
	case dev.Partition != nil:
		a.emptied = append(a.emptied, r)
	case dev.Array != nil:
		name := dev.Array.Name
		below = machine.Layer{Array: dev.Array}.On()
		a.m.Arrays = filter(a.m.Arrays, func(x machine.Array) bool { return x.Name != name })
	}
	for _, b := range below {
		if err := a.vacate(b); err != nil {
			return err
		}
	}
	return nil
}

// closeTables takes the emptied partitions out of their tables; their places
// become gaps. The logical partitions of an MBR are numbered by their order: one
// with others behind it stays, empty, so that those keep their numbers.
func (a *applied) closeTables() {
	number := func(r machine.Ref) int { _, n, _ := r.Part(); return n }
	slices.SortStableFunc(a.emptied, func(x, y machine.Ref) int { return cmp.Compare(number(y), number(x)) })
	for _, r := range a.emptied {
		dev, err := a.m.Resolve(r)
		if err != nil {
			continue
		}
		name, t := dev.Disk.Name, dev.Disk.Table
		p := *dev.Partition
		logical := func(q machine.Partition) bool { return t.Kind == machine.MBR && q.Number >= 5 }
		if logical(p) && slices.ContainsFunc(t.Partitions, func(q machine.Partition) bool { return q.Number > p.Number }) {
			a.say("partition "+r.Body(), "made empty", "without it the logical partitions behind it would get other numbers")
			continue
		}
		remove := func(p machine.Partition) {
			t.Partitions = filter(t.Partitions, func(q machine.Partition) bool { return q.Number != p.Number })
			a.gaps[name] = append(a.gaps[name], p)
		}
		remove(p)
		a.say("partition "+r.Body(), "not made", "what it held is left out; its place stays free, unless the disk is too small for the rest")
		if !logical(p) || slices.ContainsFunc(t.Partitions, logical) {
			continue
		}
		for _, q := range t.Partitions {
			if q.Extended() {
				a.gaps[name] = filter(a.gaps[name], func(g machine.Partition) bool { return !logical(g) })
				remove(q)
				a.say("partition "+machine.PartRef(name, q.Number).Body(), "not made", "no logical partition is left in it")
			}
		}
	}
}
