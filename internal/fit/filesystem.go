package fit

import (
	"crypto/sha256"
	"fmt"
	"path"
	"slices"
	"strings"

	"github.com/mkcdrec/mkcdrec/internal/fail"
	"github.com/mkcdrec/mkcdrec/internal/machine"
	"github.com/mkcdrec/mkcdrec/internal/plan"
)

// FSWishes say which single file system is to be restored, and onto what.
type FSWishes struct {
	Mount string // its mount point when it was recorded
	// Onto is the device here that takes it (see DeviceNames); "": the place
	// where it was recorded, which must still be there.
	Onto string
	// Keep takes the file system that is there instead of making it anew.
	Keep      bool
	Protected []string // see Wishes
}

// FileSystem finds the place of one recorded file system on this machine. The
// result has only the disks beneath that place, as they are here, and the file
// system fitted onto it. Errors are of kind fail.Usage (no such file system),
// or fail.Refused (place not here, not unique, protected, of the wrong kind,
// too small).
func FileSystem(recorded, here machine.Machine, w FSWishes) (machine.Machine, *plan.Scope, []plan.Choice, error) {
	none := func(err error) (machine.Machine, *plan.Scope, []plan.Choice, error) {
		return machine.Machine{}, nil, nil, err
	}
	recorded, err := clone(recorded)
	if err != nil {
		return none(err)
	}
	if here, err = clone(here); err != nil {
		return none(err)
	}
	asked, fs, err := recordedFS(recorded, w.Mount)
	if err != nil {
		return none(err)
	}
	onto := plan.Choice{}
	if len(fs.Devices) > 0 && !w.Keep {
		if fs, onto, err = onOneDevice(fs, w); err != nil {
			return none(err)
		}
	}
	p := placer{recorded: &recorded, here: &here, wishes: w, scope: scope(recorded, *asked, w.Keep)}
	if onto.Subject != "" {
		p.choices = append(p.choices, onto)
	}
	ref, err := p.find(fs)
	if err != nil {
		return none(err)
	}
	if err := p.usable(ref, fs); err != nil {
		return none(err)
	}
	out, err := p.target(ref, fs)
	if err != nil {
		return none(err)
	}
	return out, p.scope, p.choices, nil
}

// recordedFS is the mount that was asked for, and what was mounted there.
func recordedFS(recorded machine.Machine, target string) (*machine.Mount, machine.FileSystem, error) {
	mt := recorded.MountAt(path.Clean(target))
	if mt == nil || recorded.FileSystemOn(mt.On) == nil {
		var all []string
		for _, m := range recorded.Mounts {
			all = append(all, m.Target)
		}
		return nil, machine.FileSystem{}, fail.Hint(fail.New(fail.Usage, "no file system was mounted on %s when the backup was made", target),
			"the recorded mount points are: %s", strings.Join(all, ", "))
	}
	return mt, *recorded.FileSystemOn(mt.On), nil
}

// scope are the mount points of the file system. The subvolumes of a btrfs
// share one file system: made anew, all of them are.
func scope(recorded machine.Machine, asked machine.Mount, keep bool) *plan.Scope {
	s := &plan.Scope{Keep: keep}
	for _, m := range recorded.Mounts {
		if m.Target == asked.Target || m.On == asked.On && !keep {
			s.Mounts = append(s.Mounts, m.Target)
		} else {
			s.Others = append(s.Others, m.Target)
		}
	}
	return s
}

type placer struct {
	recorded, here *machine.Machine
	wishes         FSWishes
	scope          *plan.Scope
	choices        []plan.Choice
}

func (p *placer) say(subject, chosen, why string, args ...any) {
	p.choices = append(p.choices, plan.Choice{Subject: subject, Chosen: chosen, Why: fmt.Sprintf(why, args...)})
}

// usable refuses a device that must not, or cannot, hold this file system.
func (p *placer) usable(r machine.Ref, fs machine.FileSystem) error {
	dev, err := p.here.Resolve(r)
	if err != nil {
		return fail.New(fail.Refused, "%w", err)
	}
	refuse := func(format string, args ...any) error {
		return fail.New(fail.Refused, "%s %s", r.Body(), fmt.Sprintf(format, args...))
	}
	for _, d := range p.disks(r) {
		switch {
		case slices.Contains(p.wishes.Protected, d.Name):
			return refuse("lies on disk %s, which holds the medium or the backup: it is never overwritten", d.Name)
		case d.ReadOnly:
			return refuse("lies on disk %s, which is read-only", d.Name)
		}
	}
	if l, ok := p.here.LayerOn(r); ok {
		return refuse("is a part of %s", l.Name())
	}
	if there := p.here.FileSystemOn(r); there != nil && len(there.Devices) > 0 && !p.wishes.Keep {
		return fail.Hint(refuse("is one of the devices of a %s: without it the others are of no use", there.Kind),
			"take it out of there first (btrfs device remove), unpack over what is there with --no-format, or restore the whole machine")
	}
	if p.here.SwapOn(r) != nil {
		return fail.Hint(refuse("holds swap, not a file system"), "if it is not needed any more: wipefs -a %s", dev.Path)
	}
	switch q := dev.Partition; {
	case q == nil && dev.Disk != nil && dev.Disk.Table != nil:
		return fail.Hint(refuse("is a disk with a partition table"), "name one of its partitions")
	case q == nil:
	case q.Extended() && dev.Disk.Table.Kind == machine.MBR:
		return refuse("is an extended partition: others lie in it")
	case q.Type == machine.TypeBIOSBoot || q.Type == machine.TypePReP:
		return refuse("is for the boot loader's code, not for a file system")
	case isESP(*dev.Disk, *q) && fs.Kind != "vfat":
		return refuse("is an EFI system partition, and %s is a %s", p.wishes.Mount, fs.Kind)
	}
	return nil
}

func isESP(d machine.Disk, q machine.Partition) bool {
	return q.Type == machine.TypeESP || d.Table.Kind == machine.MBR && strings.EqualFold(q.Type, "ef")
}

// disks are all disks beneath a device: of a volume those of its whole group.
func (p *placer) disks(r machine.Ref) []machine.Disk {
	below := p.here.Below(r)
	return filter(p.here.Disks, func(d machine.Disk) bool { return slices.Contains(below, machine.DiskRef(d.Name)) })
}

// layers puts what lies between those disks and the device into out.
func (p *placer) layers(r machine.Ref, out *machine.Machine) {
	for _, b := range p.here.Below(r) {
		dev, err := p.here.Resolve(b)
		switch {
		case err != nil || dev.Partition != nil:
		case dev.Array != nil:
			out.Arrays = append(out.Arrays, *dev.Array)
		case dev.Crypt != nil:
			out.Crypts = append(out.Crypts, *dev.Crypt)
		case dev.Group != nil && out.VolumeGroup(dev.Group.Name) == nil:
			out.VolumeGroups = append(out.VolumeGroups, *dev.Group)
		}
	}
}

// target is what the plan is about: the disks beneath the place as they are,
// and the file system on it.
func (p *placer) target(r machine.Ref, fs machine.FileSystem) (machine.Machine, error) {
	dev, _ := p.here.Resolve(r)
	was, _ := p.recorded.Resolve(fs.On)
	rec := p.recorded
	out := machine.Machine{
		Version: rec.Version, Recorded: rec.Recorded, Hostname: rec.Hostname, MachineID: rec.MachineID,
		Arch: rec.Arch, Kernel: rec.Kernel, OS: rec.OS, Disks: p.disks(r),
	}
	for i := range out.Disks {
		out.Disks[i].Signatures = nil // they change while the plan is carried out
	}
	p.layers(r, &out)
	there := p.here.FileSystemOn(r)
	if p.wishes.Keep {
		if err := p.kept(r, fs, there); err != nil {
			return machine.Machine{}, err
		}
		fs = *there
	}
	fs.On = r
	out.FileSystems = []machine.FileSystem{fs}
	for _, m := range rec.Mounts {
		if slices.Contains(p.scope.Mounts, m.Target) {
			m.On = r
			out.Mounts = append(out.Mounts, m)
		}
	}
	for _, s := range rec.Swaps {
		switch {
		case s.File == "" || !p.scope.Holds(path.Dir(s.File)):
		case p.wishes.Keep:
			p.say("swap file "+s.File, "left as it is", "swap files are not in the backup")
		default:
			out.Swaps = append(out.Swaps, s)
		}
	}
	if p.wishes.Keep {
		return out, nil
	}
	return out, p.fitted(&out, was.Size, dev.Size)
}

// kept checks that what is there can take the files of the backup.
func (p *placer) kept(r machine.Ref, fs machine.FileSystem, there *machine.FileSystem) error {
	switch {
	case there == nil:
		return fail.Hint(fail.New(fail.Refused, "%s holds no file system that is known: there is nothing to unpack over", r.Body()), "have it made anew")
	case there.Kind != fs.Kind:
		return fail.Hint(fail.New(fail.Refused, "%s holds a %s, and %s was a %s: it cannot hold everything that the files have", r.Body(), there.Kind, p.wishes.Mount, fs.Kind),
			"have it made anew")
	case there.Size < fs.Used:
		return tooSmallFor(r, there.Size, fs.Used)
	}
	return nil
}

func tooSmallFor(r machine.Ref, size, least machine.Bytes) error {
	return fail.Hint(fail.New(fail.Refused, "%s is too small: it has %s, and what was recorded needs at least %s", r.Body(), plan.Size(size), plan.Size(least)),
		"use a device of at least %d bytes", least)
}

// fitted gives the file system of out the size of its new device, and an
// identity of its own where the recorded one is in use here.
func (p *placer) fitted(out *machine.Machine, was, now machine.Bytes) error {
	fs := &out.FileSystems[0]
	if least := leastFS(*fs, true); now < least {
		return tooSmallFor(fs.On, now, least)
	}
	f := fitter{m: out}
	if now != was || fs.Size > now {
		if resizable(*fs) {
			f.resizeFS(fs, fs.On, now)
		}
		delete(fs.Options, "fat_bits") // the width of a FAT goes by the size
		p.say("size of "+p.wishes.Mount, plan.Size(now), "it was recorded on a device of %s", plan.Size(was))
	}
	if err := f.fileSystems(); err != nil {
		return err
	}
	p.choices = append(p.choices, f.choices...)
	if len(p.scope.Mounts) > 1 {
		p.say("mount points", strings.Join(p.scope.Mounts, " and "), "they are subvolumes of one %s, which is made anew as a whole", fs.Kind)
	}
	snapshots := 0
	for _, s := range fs.Subvolumes {
		if out.IsCopy(fs.On, s) {
			snapshots++
		}
	}
	if snapshots > 0 {
		p.say("snapshots", fmt.Sprintf("%d, not made again", snapshots), "subvolumes that were recorded as snapshots of others do not come back as such")
	}
	for _, o := range p.here.FileSystems {
		if o.On != fs.On && fs.UUID != "" && strings.EqualFold(o.UUID, fs.UUID) {
			fs.UUID = ownUUID(*fs, *out)
			p.say("UUID of "+p.wishes.Mount, fs.UUID, "the recorded one is on %s still; put the new one into /etc/fstab to use this file system", o.On.Body())
			break
		}
	}
	return nil
}

// ownUUID makes a UUID from the recorded one and the device: the same each
// time, so that an interrupted restore is known again (RFC 9562, version 8).
// A FAT has a volume number of 32 bits.
func ownUUID(fs machine.FileSystem, m machine.Machine) string {
	dev, err := m.Resolve(fs.On)
	if err != nil {
		return fs.UUID
	}
	id := string(fs.On)
	switch {
	case dev.Partition != nil:
		id += dev.Disk.Serial + dev.Disk.WWN + dev.Partition.UUID
	case dev.Array != nil:
		id += dev.Array.UUID
	case dev.Crypt != nil:
		id += dev.Crypt.UUID
	case dev.Volume != nil:
		id += dev.Volume.UUID
	default:
		id += dev.Disk.Serial + dev.Disk.WWN
	}
	b := sha256.Sum256([]byte(fs.UUID + "\x00" + id))
	if fs.Kind == "vfat" {
		return fmt.Sprintf("%X-%X", b[:2], b[2:4])
	}
	b[6], b[8] = b[6]&0x0f|0x80, b[8]&0x3f|0x80
	return fmt.Sprintf("%x-%x-%x-%x-%x", b[:4], b[4:6], b[6:8], b[8:10], b[10:16])
}
