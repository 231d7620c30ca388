package plan

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/mkcdrec/mkcdrec/internal/fail"
	"github.com/mkcdrec/mkcdrec/internal/machine"
	"github.com/mkcdrec/mkcdrec/internal/wording"
)

// Version is the version of a plan's JSON form.
const Version = 1

// Info is what a plan has to know about the backup and the wishes.
type Info struct {
	Backup  string        // ID of the backup
	Host    string        // whose backup it is
	Entries int64         // paths in the backup
	Content machine.Bytes // bytes of content to unpack
	Clone   *CloneWishes  // not nil: this becomes another machine
	Changes *Changes      // what was wished otherwise than recorded (fit.Wishes.Changes); nil: nothing
	Images  []Image       // the disks of here, where they are image files
}

// Restore makes the plan that turns the disks of fitted (see fit.Onto) into
// the recorded machine. here is the machine as it is now: what its disks hold
// is what will be lost. The error is of kind fail.Unsupported where the result
// could not start here.
func Restore(fitted machine.Machine, choices []Choice, here machine.Machine, info Info) (Plan, error) {
	if err := firmwareFits(fitted, here); err != nil {
		return Plan{}, err
	}
	b := builder{p: Plan{Version: Version, Backup: info.Backup, Host: info.Host, Clone: info.Clone != nil, Images: info.Images, Target: fitted, Choices: choices}}
	if !info.Changes.none() {
		b.p.Changes = info.Changes
	}
	for _, d := range fitted.Disks {
		b.p.Erases = append(b.p.Erases, erased(here, d))
	}
	b.disks()
	if err := b.layers(); err != nil {
		return Plan{}, err
	}
	b.fileSystems()
	b.mounts()
	b.system(info)
	if err := Validate(b.p); err != nil {
		return Plan{}, err
	}
	return b.p, nil
}

// firmwareFits refuses a machine whose firmware cannot start the result.
func firmwareFits(fitted, here machine.Machine) error {
	was, is := fitted.Firmware.Kind, here.Firmware.Kind
	if was == "" || is == "" || was == is || fitted.BootLoader.Kind == machine.NoBootLoader {
		return nil
	}
	return fail.Hint(fail.New(fail.Unsupported, "the plan is for a machine that starts by %s, and this one was started by %s", was, is),
		"start this medium by %s (a firmware setting), or use a machine that can", was)
}

// LoaderPackage is the Debian package with what grub-install needs for a boot
// loader that the recorded machine did not have, and LoaderFiles the directory
// in which it shows; "" for loaders that are not installed that way.
func LoaderPackage(k machine.BootLoaderKind) string {
	return map[machine.BootLoaderKind]string{machine.GRUBEFI: "grub-efi-amd64-bin", machine.GRUBBIOS: "grub-pc-bin"}[k]
}

// LoaderFiles: see LoaderPackage. The path is relative to the root.
func LoaderFiles(k machine.BootLoaderKind) string {
	return map[machine.BootLoaderKind]string{machine.GRUBEFI: "usr/lib/grub/x86_64-efi", machine.GRUBBIOS: "usr/lib/grub/i386-pc"}[k]
}

type builder struct{ p Plan }

// add appends a step and numbers it.
func (b *builder) add(subject string, s Step) {
	s.ID = fmt.Sprintf("%02d-%s", len(b.p.Steps)+1, s.Kind)
	if subject != "" {
		s.ID += "-" + slug(subject)
	}
	b.p.Steps = append(b.p.Steps, s)
}

// slug makes a subject fit for a step's ID.
func slug(s string) string {
	var w strings.Builder
	for _, r := range strings.ToLower(s) {
		if r >= 'a' && r <= 'z' || r >= '0' && r <= '9' {
			w.WriteRune(r)
		} else if t := w.String(); t != "" && !strings.HasSuffix(t, "-") {
			w.WriteByte('-')
		}
	}
	return strings.TrimSuffix(w.String(), "-")
}

func (b *builder) disks() {
	for i, d := range b.p.Target.Disks {
		b.add(d.Name, Step{Kind: Release, Device: machine.DiskRef(d.Name), Why: "nothing may use the disk while it is rewritten"})
		b.add(d.Name, Step{Kind: Wipe, Device: machine.DiskRef(d.Name), Why: "leftover signatures would be found again",
			Destroys: strings.Join(b.p.Erases[i].Holds, "; ")})
		if d.Table != nil {
			b.add(d.Name, Step{Kind: PartitionDisk, Device: machine.DiskRef(d.Name), Table: d.Table, Why: "as recorded"})
		}
	}
}

// layers adds what lies between disks and file systems, each layer after those
// that it stands on.
func (b *builder) layers() error {
	layers, err := b.p.Target.Layers()
	if err != nil {
		return fail.New(fail.Damaged, "the recorded layout contradicts itself: %w", err)
	}
	for _, l := range layers {
		switch {
		case l.Array != nil:
			b.array(l.Array)
		case l.Crypt != nil:
			why := "as recorded, with a new header and a new key"
			if l.Crypt.Header != "" {
				why = "with the recorded header: all its keys open it"
			}
			b.add(l.Crypt.Name, Step{Kind: MakeCrypt, Device: machine.CryptRef(l.Crypt.Name), Crypt: l.Crypt, Why: why})
		default:
			b.group(l.Group)
		}
	}
	return nil
}

func (b *builder) array(a *machine.Array) {
	why := "as recorded"
	if a.Added {
		why = "told so: one half on each disk"
	}
	if n := a.Missing(); n > 0 {
		why = "as recorded, without the " + wording.Count(n, "member") + " that it lacked"
	}
	b.add(a.Name, Step{Kind: MakeArray, Device: machine.ArrayRef(a.Name), Array: a, Why: why})
	if a.Table != nil {
		b.add(a.Name, Step{Kind: PartitionDisk, Device: machine.ArrayRef(a.Name), Table: a.Table, Why: "as recorded"})
	}
}

func (b *builder) group(g *machine.VolumeGroup) {
	for _, pv := range g.Physical {
		b.add(string(pv.On), Step{Kind: CreatePV, Device: pv.On, PV: &pv, Why: "member of volume group " + g.Name})
	}
	b.add(g.Name, Step{Kind: CreateVG, VG: g, Why: wording.Count(len(g.Physical), "member")})
	for _, lv := range g.Order() {
		b.add(g.Name+"/"+lv.Name, Step{Kind: CreateLV, Device: machine.LVRef(g.Name, lv.Name), VG: g, LV: &lv, Why: "as recorded"})
	}
}

func (b *builder) fileSystems() {
	for _, fs := range b.p.Target.FileSystems {
		why := "not mounted when recorded; made empty"
		if m := b.p.Target.MountsOn(fs.On); len(m) > 0 {
			why = "for " + m[0].Target
		}
		b.add(string(fs.On), Step{Kind: MakeFS, Device: fs.On, FS: &fs, Why: why})
		if fs.Kind == "btrfs" && slices.ContainsFunc(fs.Subvolumes, func(s machine.Subvolume) bool { return !b.p.Target.IsCopy(fs.On, s) }) {
			b.add(string(fs.On), Step{Kind: Subvolumes, Device: fs.On, FS: &fs, Why: "as recorded; snapshots are not made again"})
		}
	}
	for _, s := range b.p.Target.Swaps {
		if s.File == "" {
			b.add(string(s.On), Step{Kind: MakeSwap, Device: s.On, Swap: &s, Why: "as recorded"})
		}
	}
}

// mounts adds the mounts, parents before children.
func (b *builder) mounts() {
	mounts := slices.Clone(b.p.Target.Mounts)
	slices.SortStableFunc(mounts, func(x, y machine.Mount) int { return depth(x.Target) - depth(y.Target) })
	for _, m := range mounts {
		b.add(m.Target, Step{Kind: MountFS, Device: m.On, Mount: &m, Why: "to unpack into it"})
	}
}

func depth(target string) int {
	if target == "/" {
		return 0
	}
	return strings.Count(target, "/")
}

func (b *builder) system(info Info) {
	if b.p.Changes != nil {
		if at := b.p.Changes.mountPoints(); len(at) > 0 {
			b.add("", Step{Kind: MountPoints, Paths: at, Why: "what was mounted there is left out"})
		}
	}
	b.unpack(info)
	b.swapFiles()
	why := "device names, where they changed"
	if info.Clone != nil {
		why = "a name, machine-id and ssh host keys of its own"
	}
	initramfs := "only if it lacks a driver that this machine needs"
	if b.p.Changes != nil {
		why += "; what was wished otherwise than recorded"
		switch {
		case b.p.Changes.Mirrored:
			initramfs = "which starts the mirrors"
		case b.p.Changes.Reshaped():
			initramfs = "which looks for nothing that is not there any more"
		case b.p.Changes.NoSwap:
			initramfs = "which waits for no swap any more"
		}
	}
	b.add("", Step{Kind: Identity, Clone: info.Clone, Why: why})
	b.add("", Step{Kind: Initramfs, Why: initramfs})
	if bl := b.p.Target.BootLoader; bl.Kind != machine.NoBootLoader && bl.Kind != "" && !bl.Foreign() {
		why := "so that the disk starts"
		switch {
		case bl.Anew && !bl.Exchanged:
			why = "anew: it may know its own files by what is not as recorded"
		case bl.Exchanged:
			why = "this machine's firmware does not start the recorded one"
		}
		b.add(string(bl.Kind), Step{Kind: InstallLoader, BootLoader: &bl, Why: why})
	}
	b.end()
}

func (b *builder) unpack(info Info) {
	why := "the files"
	if info.Entries > 0 {
		why = wording.Count(info.Entries, "path") + ", " + Size(info.Content)
	}
	b.add("", Step{Kind: Unpack, Why: why})
}

func (b *builder) swapFiles() {
	for _, s := range b.p.Target.Swaps {
		if s.File != "" {
			b.add(s.File, Step{Kind: SwapFile, Swap: &s, Why: "swap files are not in the backup"})
		}
	}
}

func (b *builder) end() {
	b.add("", Step{Kind: VerifyRestored, Why: "against the catalogue of the backup"})
	b.add("", Step{Kind: UnmountAll, Why: "so that everything is on the disk"})
}

// erased says what a target disk holds now.
func erased(here machine.Machine, target machine.Disk) Erased {
	e := Erased{Device: machine.DiskRef(target.Name), Disk: target}
	e.Disk.Table = nil
	d := here.Disk(target.Name)
	if d == nil {
		e.Holds = []string{"unknown: the disk was not seen here"}
		return e
	}
	e.Disk, e.Now = *d, segments(here, *d)
	if d.Table == nil {
		if s := holds(here, machine.DiskRef(d.Name)); s != "" {
			e.Holds = append(e.Holds, s)
		} else if len(d.Signatures) > 0 {
			e.Holds = append(e.Holds, strings.Join(d.Signatures, ", "))
		}
		return e
	}
	for _, p := range d.Table.Partitions {
		if p.Extended() {
			continue
		}
		s := holds(here, machine.PartRef(d.Name, p.Number))
		if s == "" {
			s = "nothing that is known"
		}
		e.Holds = append(e.Holds, fmt.Sprintf("part %d: %s (%s)", p.Number, s, Size(d.Bytes(p.Size))))
	}
	if len(e.Holds) == 0 {
		e.Holds = []string{"an empty partition table"}
	}
	return e
}

// holds describes what is on a device, or "".
func holds(m machine.Machine, r machine.Ref) string {
	if l, ok := m.LayerOn(r); ok {
		return holdsLayer(m, l)
	}
	if fs := m.FileSystemOn(r); fs != nil {
		s := string(fs.Kind)
		if fs.Label != "" {
			s += " " + fs.Label
		}
		if mt := m.MountsOn(r); len(mt) > 0 {
			s += " mounted on " + mt[0].Target
		}
		return s
	}
	if m.SwapOn(r) != nil {
		return "swap"
	}
	if dev, err := m.Resolve(r); err == nil && dev.Partition != nil {
		return dev.Partition.Holds
	}
	return ""
}

// holdsLayer describes a layer by what would be lost with it.
func holdsLayer(m machine.Machine, l machine.Layer) string {
	what, inside := "", []string{}
	switch {
	case l.Array != nil:
		what = fmt.Sprintf("member of the %s array %s", l.Array.Level, l.Array.Name)
		refs := []machine.Ref{machine.ArrayRef(l.Array.Name)}
		if l.Array.Table != nil {
			refs = refs[:0]
			for _, p := range l.Array.Table.Partitions {
				refs = append(refs, machine.PartRef(l.Array.Name, p.Number))
			}
		}
		for _, r := range refs {
			inside = append(inside, holds(m, r))
		}
	case l.Crypt != nil:
		what = fmt.Sprintf("LUKS%d %s", l.Crypt.Version, l.Crypt.Name)
		inside = append(inside, holds(m, machine.CryptRef(l.Crypt.Name)))
	default:
		what = "LVM volume group " + l.Group.Name
		for _, lv := range l.Group.Logical {
			if lv.Pool == nil || len(l.Group.ThinIn(lv.Name)) == 0 {
				inside = append(inside, lv.Name)
			}
		}
	}
	if inside = slices.DeleteFunc(inside, func(s string) bool { return s == "" }); len(inside) == 0 {
		return what
	}
	return what + " with " + strings.Join(inside, ", ")
}

// Confirmation is what has to be typed before the plan is carried out.
func (p Plan) Confirmation() string {
	words := []string{"erase"}
	if p.Scope != nil && p.Scope.Keep {
		words[0] = "overwrite"
	}
	for _, e := range p.Erases {
		words = append(words, e.Name(p.Target))
	}
	return strings.Join(words, " ")
}

// Digest identifies what the plan does: the same for two plans with the same
// backup, target and steps, whatever the disks held before. The journal of an
// interrupted restore goes by it.
func (p Plan) Digest() string {
	p.Choices, p.Erases = nil, nil
	p.Steps = slices.Clone(p.Steps)
	for i := range p.Steps {
		p.Steps[i].Destroys = ""
	}
	b, err := json.Marshal(p)
	if err != nil { // a plan is plain data; this cannot happen
		return ""
	}
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:16])
}

// Renames maps the kernel names of recorded disks to those here, where they differ.
func (p Plan) Renames() map[string]string {
	out := map[string]string{}
	if len(p.Images) > 0 {
		return out // what they are called here, nobody calls them later
	}
	for _, c := range p.Choices {
		was, ok := strings.CutPrefix(c.Subject, "disk ")
		if ok && was != c.Chosen && p.Target.Disk(c.Chosen) != nil {
			out[was] = c.Chosen
		}
	}
	return out
}
