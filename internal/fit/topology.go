package fit

import (
	"errors"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"

	"github.com/mkcdrec/mkcdrec/internal/fail"
	"github.com/mkcdrec/mkcdrec/internal/machine"
	"github.com/mkcdrec/mkcdrec/internal/plan"
)

const (
	// FlattenAll among Wishes.Flatten means every array.
	FlattenAll = "all"
	// MirrorAny as Wishes.Mirror takes the second disk that can be used here.
	MirrorAny = "any"
)

// topology changes how many disks a recorded machine stands on, as if the
// result had been recorded: arrays are flattened before it is known which disks
// are needed, disks are laid together and a disk is mirrored after that.
type topology struct {
	*applied
	f      *fitter
	wishes Wishes // without what was carried out here
	here   machine.Machine

	arrays  []plan.FlatArray
	moved   []plan.DeviceMove
	left    []machine.Ref // members of flattened arrays that nothing is on any more
	rest    int           // partitions that still need a place beside others
	halves  []string      // the names of the two disks of a mirror
	without map[string]string
	sizes   map[string]machine.Bytes // what recorded disks are matched by, where that is not their size
}

// topology says whether the number of disks is to be another one by wish.
func (w Wishes) topology() bool {
	return len(w.Flatten) > 0 || w.OntoOne || w.Mirror != "" || len(w.together()) > 0
}

// together are the recorded disks that are mapped to one disk here, by that.
func (w Wishes) together() map[string][]string {
	out := map[string][]string{}
	for _, from := range slices.Sorted(maps.Keys(w.Map)) {
		to := strings.TrimPrefix(w.Map[from], "/dev/")
		out[to] = append(out[to], from)
	}
	maps.DeleteFunc(out, func(_ string, from []string) bool { return len(from) < 2 })
	return out
}

// consistent refuses wishes about the number of disks that contradict each other.
func (w Wishes) consistent() error {
	switch {
	case len(w.Flatten) > 0 && w.Mirror != "":
		return fail.New(fail.Usage, "--flatten and --mirror contradict each other")
	case w.OntoOne && len(w.Map) > 1 && len(w.together()) != 1:
		return fail.New(fail.Usage, "--onto-one and --map to several disks contradict each other")
	}
	return nil
}

// shape makes the recorded machine f.m, to which the other wishes were applied,
// into one on other disks, and drops those that the backup does not need. It
// returns the disks as they are to be matched, and the wishes that are left.
func (w Wishes) shape(a *applied, f *fitter, here machine.Machine) (*topology, []machine.Disk, error) {
	t := &topology{applied: a, f: f, wishes: w, here: here, without: map[string]string{}, sizes: map[string]machine.Bytes{}}
	t.wishes.Map = maps.Clone(w.Map)
	if err := t.flatten(); err != nil {
		return nil, nil, err
	}
	_, left, err := keepNeeded(f.m)
	if err != nil {
		return nil, nil, err
	}
	for _, c := range left {
		if d, ok := strings.CutPrefix(c.Subject, "disk "); ok && t.without[d] != "" {
			c.Why = t.without[d]
		}
		f.choices = append(f.choices, c)
	}
	t.closeMembers()
	if err := t.merge(); err != nil {
		return nil, nil, err
	}
	at := len(f.choices)
	if err := f.otherFirmware(here.Firmware); err != nil {
		return nil, nil, err
	}
	// What it chose is said behind the disks that it chose it for.
	f.later = slices.Clone(f.choices[at:])
	f.choices = f.choices[:at]
	if err := t.mirror(); err != nil {
		return nil, nil, err
	}
	needed := slices.Clone(f.m.Disks)
	for i := range needed {
		if size := t.sizes[needed[i].Name]; size > 0 {
			needed[i].Size = size
		}
	}
	return t, needed, nil
}

// shapeChanges are what another number of disks means for the configuration.
func (w Wishes) shapeChanges(m *machine.Machine, a *applied, c *plan.Changes) error {
	if !w.topology() {
		return nil
	}
	f := newFitter(m, w)
	f.gaps = a.gaps
	t, _, err := w.shape(a, f, machine.Machine{})
	if err != nil {
		return err
	}
	c.Flattened, c.Moved, c.Mirrored = t.arrays, t.moved, len(t.halves) > 0
	return nil
}

// suggest adds to a refusal for want of disks what would make do with fewer.
// That is found by trying.
func (w Wishes) suggest(recorded, here machine.Machine, refused error) error {
	if !errors.Is(refused, errTooFew) || w.topology() {
		return refused
	}
	try := func(o Wishes) bool { _, _, err := onto(recorded, here, o); return err == nil }
	flat, one := w, w
	flat.Flatten, one.OntoOne = []string{FlattenAll}, true
	redundant := len(recorded.Arrays) > 0 && !slices.ContainsFunc(recorded.Arrays, func(a machine.Array) bool { return a.Redundant() == 0 })
	switch {
	case redundant && try(flat):
		return fail.Hint(refused, "fewer disks are enough for what the arrays hold, without their redundancy: --flatten")
	case try(one):
		return fail.Hint(refused, "what the disks hold fits onto one: --onto-one")
	}
	return refused
}

var errTooFew = errors.New("more disk(s) than can be used here")

// replace writes every reference anew that is a key of refs, wherever the model
// has one: whoever adds a kind of layer need not think of it here.
func replace(m *machine.Machine, refs map[machine.Ref]machine.Ref) {
	eachRef(reflect.ValueOf(m).Elem(), func(r machine.Ref) machine.Ref {
		if to, ok := refs[r]; ok {
			return to
		}
		return r
	})
}

var refType = reflect.TypeFor[machine.Ref]()

func eachRef(v reflect.Value, change func(machine.Ref) machine.Ref) {
	switch {
	case v.Type() == refType:
		v.SetString(string(change(machine.Ref(v.String()))))
	case v.Kind() == reflect.Pointer && !v.IsNil():
		eachRef(v.Elem(), change)
	case v.Kind() == reflect.Slice:
		for i := range v.Len() {
			eachRef(v.Index(i), change)
		}
	case v.Kind() == reflect.Struct && v.Type().PkgPath() == refType.PkgPath():
		for i := range v.NumField() {
			eachRef(v.Field(i), change)
		}
	}
}

// contentUUID is the UUID by which what is directly on a device is found; "" for
// physical volumes, and for what has none.
func contentUUID(m *machine.Machine, r machine.Ref) string {
	if fs := m.FileSystemOn(r); fs != nil {
		return fs.UUID
	}
	if s := m.SwapOn(r); s != nil {
		return s.UUID
	}
	if l, ok := m.LayerOn(r); ok && l.Crypt != nil {
		return l.Crypt.UUID
	}
	return ""
}

// holdsSomething says whether anything was recorded on a device.
func holdsSomething(m *machine.Machine, r machine.Ref) bool {
	_, layer := m.LayerOn(r)
	return layer || m.FileSystemOn(r) != nil || m.SwapOn(r) != nil
}

// readByFirmware says whether a vfat is what the firmware reads the boot loader from.
func readByFirmware(m *machine.Machine, r machine.Ref) bool {
	fs := m.FileSystemOn(r)
	if fs == nil || fs.Kind != "vfat" {
		return false
	}
	dev, err := m.Resolve(r)
	if err == nil && dev.Partition != nil && isESP(*dev.Disk, *dev.Partition) {
		return true
	}
	return slices.ContainsFunc(m.MountsOn(r), func(mt machine.Mount) bool { return slices.Contains([]string{"/boot/efi", "/efi", "/boot"}, mt.Target) })
}

// mbrTypes are the types of an MBR for those of a GPT.
var mbrTypes = map[string]string{
	machine.TypeESP: "ef", machine.TypeLVM: "8e", machine.TypeRAID: "fd", "0657FD6D-A4AB-43C4-84E5-0933C84B4F4F": "82", "EBD0A0A2-B9E5-4433-87C0-68B6B72699C7": "7",
}

// typeFor is the type of a partition by what is on it.
func typeFor(m *machine.Machine, r machine.Ref, table machine.TableKind) string {
	kind := typeLinuxData
	l, layer := m.LayerOn(r)
	switch {
	case layer && l.Array != nil:
		kind = machine.TypeRAID
	case layer && l.Crypt != nil:
		kind = machine.TypeLUKS
	case layer && l.Group != nil:
		kind = machine.TypeLVM
	case m.SwapOn(r) != nil:
		kind = "0657FD6D-A4AB-43C4-84E5-0933C84B4F4F"
	case readByFirmware(m, r):
		kind = machine.TypeESP
	}
	if table == machine.GPT {
		return kind
	}
	if t := mbrTypes[kind]; t != "" {
		return t
	}
	return "83"
}

// widen makes a partition of a recorded table larger, and the disk with it; what
// lies behind moves along.
func (f *fitter) widen(d *machine.Disk, n int, size machine.Bytes) {
	var pieces []piece
	at := -1
	for i := range d.Table.Partitions {
		p := &d.Table.Partitions[i]
		pieces = append(pieces, piece{p: p, start: d.Bytes(p.Start), size: d.Bytes(p.Size)})
		if p.Number == n {
			at = i
		}
	}
	delta := up(size-pieces[at].size, align)
	if delta <= 0 {
		return
	}
	edge := pieces[at].end()
	for i := range f.gaps[d.Name] {
		g := &f.gaps[d.Name][i]
		pieces = append(pieces, piece{p: g, start: d.Bytes(g.Start), size: d.Bytes(g.Size)})
	}
	move(pieces, at, edge, delta)
	for _, pc := range pieces {
		pc.p.Start, pc.p.Size = d.Sectors(pc.start), d.Sectors(pc.size)
	}
	f.enlarge(d, delta)
}

// enlarge makes a recorded disk larger than it was: it is a disk that never was,
// and its table is laid out for the one here.
func (f *fitter) enlarge(d *machine.Disk, by machine.Bytes) {
	d.Size += by
	if d.Table != nil && d.Table.LastLBA > 0 {
		d.Table.LastLBA += d.Sectors(by)
	}
	f.relaid[d.Name] = true
}

// mbrUUID is the PARTUUID that the kernel gives a partition of an MBR.
func mbrUUID(id string, n int) string {
	return fmt.Sprintf("%s-%02x", strings.ToLower(strings.TrimPrefix(id, "0x")), n)
}

// bootsFrom says whether GRUB reads its files directly from what is on a device.
func bootsFrom(m *machine.Machine, r machine.Ref) bool {
	boot := m.MountAt("/boot")
	if boot == nil {
		boot = m.MountAt("/")
	}
	return boot != nil && boot.On == r
}

// loaderAnew has GRUB for UEFI installed again, where it may know only by what
// stands no more how it comes to /boot. That of other distributions finds it by
// the UUID of its file system, and is not to be installed by a program.
func (t *topology) loaderAnew(why string) {
	bl := &t.f.m.BootLoader
	if bl.Kind != machine.GRUBEFI || bl.Anew || !grubOfDebian(t.f.m.OS) {
		return
	}
	bl.Anew = true
	t.f.say("boot loader", "installed anew", "%s", why)
}
