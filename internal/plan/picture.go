package plan

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"unicode"

	"github.com/mkcdrec/mkcdrec/internal/machine"
	"github.com/mkcdrec/mkcdrec/internal/wording"
)

// Segment is one stretch of a disk as the pictures of a plan draw it.
type Segment struct {
	Number int           `json:"number,omitempty"` // of the partition; 0: the whole disk, or free space
	Start  machine.Bytes `json:"start"`
	Size   machine.Bytes `json:"size"`
	Use    Use           `json:"use"`
	Holds  string        `json:"holds"` // for people: "ext4 /boot", "LVM vg0: root 9 GiB"
}

// Use is what a stretch of a disk is for, as far as a picture tells it by colour.
type Use string

// The uses.
const (
	UseFree    Use = "free"    // in no partition
	UseBoot    Use = "boot"    // EFI system, BIOS boot, /boot
	UseFiles   Use = "files"   // a file system
	UseSwap    Use = "swap"    //
	UseLVM     Use = "lvm"     //
	UseArray   Use = "raid"    //
	UseCrypt   Use = "luks"    //
	UseUnknown Use = "unknown" // something that is not understood
)

// segments are the stretches of a disk in their order, without a hole. The
// container of an MBR's logical partitions is none: they are.
func segments(m machine.Machine, d machine.Disk) []Segment {
	if d.Table == nil {
		s := Segment{Size: d.Size}
		s.Use, s.Holds = content(m, machine.DiskRef(d.Name))
		if s.Holds == "" && len(d.Signatures) > 0 {
			s.Use, s.Holds = UseUnknown, strings.Join(d.Signatures, ", ")
		}
		if s.Holds == "" {
			s.Use, s.Holds = UseFree, "empty"
		}
		return []Segment{s}
	}
	parts := slices.DeleteFunc(slices.Clone(d.Table.Partitions), machine.Partition.Extended)
	slices.SortStableFunc(parts, func(a, b machine.Partition) int { return cmp.Compare(a.Start, b.Start) })
	var out []Segment
	var at machine.Bytes
	free := func(end machine.Bytes) {
		if end > at {
			out = append(out, Segment{Start: at, Size: end - at, Use: UseFree, Holds: "free"})
		}
	}
	for _, p := range parts {
		s := Segment{Number: p.Number, Start: d.Bytes(p.Start), Size: d.Bytes(p.Size)}
		if s.Use, s.Holds = content(m, machine.PartRef(d.Name, p.Number)); s.Holds == "" {
			s.Use, s.Holds = UseUnknown, purpose(m, d.Name, p)
		}
		if p.Type == machine.TypeESP || p.Type == machine.TypeBIOSBoot || p.Type == machine.TypePReP {
			s.Use = UseBoot
		}
		free(s.Start)
		out = append(out, s)
		at = max(at, s.Start+s.Size)
	}
	free(d.Size)
	return out
}

// content names what is on a device, with the sizes of volumes; "" where that
// is nothing that is known.
func content(m machine.Machine, r machine.Ref) (Use, string) { return contentIn(m, r, 0) }

func contentIn(m machine.Machine, r machine.Ref, depth int) (Use, string) {
	if l, ok := m.LayerOn(r); ok && depth < 16 { // a layout that stands on itself is refused elsewhere
		return layerContent(m, l, depth)
	}
	if fs := m.FileSystemOn(r); fs != nil {
		s, use := string(fs.Kind), UseFiles
		switch mounts := m.MountsOn(r); {
		case len(mounts) > 0:
			s += " " + mounts[0].Target
			if len(mounts) > 1 {
				s += fmt.Sprintf(" (%s)", wording.Count(len(mounts), "mount"))
			}
			if mounts[0].Target == "/boot" {
				use = UseBoot
			}
		case fs.Label != "":
			s += " " + fs.Label
		}
		return use, s
	}
	if m.SwapOn(r) != nil {
		return UseSwap, "swap"
	}
	return UseUnknown, ""
}

func layerContent(m machine.Machine, l machine.Layer, depth int) (Use, string) {
	var use Use
	var name string
	refs := l.Gives()
	switch {
	case l.Array != nil:
		use, name = UseArray, l.Array.Level+" "+l.Array.Name
		if l.Array.Table != nil && len(refs) > 1 {
			refs = refs[1:] // its partitions alone
		}
	case l.Crypt != nil:
		use, name = UseCrypt, fmt.Sprintf("LUKS%d %s", l.Crypt.Version, l.Crypt.Name)
	default:
		return UseLVM, groupContent(m, l.Group, depth)
	}
	var inside []string
	for _, in := range refs {
		if _, s := contentIn(m, in, depth+1); s != "" {
			inside = append(inside, s)
		}
	}
	if len(inside) == 0 {
		return use, name
	}
	return use, name + ": " + strings.Join(inside, ", ")
}

// groupContent names the volumes of a group, each with its size.
func groupContent(m machine.Machine, g *machine.VolumeGroup, depth int) string {
	var inside []string
	for _, lv := range g.Logical {
		s := lv.Name + " " + Size(lv.Size)
		if _, in := contentIn(m, machine.LVRef(g.Name, lv.Name), depth+1); in != "" && in != lv.Name {
			s += " (" + in + ")"
		}
		inside = append(inside, s)
	}
	if len(inside) == 0 {
		return "LVM " + g.Name
	}
	return "LVM " + g.Name + ": " + strings.Join(inside, ", ")
}

// harmless makes text that was found on a disk fit for a screen or a picture:
// a label may hold whatever somebody wrote there.
func harmless(s string) string {
	return strings.Map(func(r rune) rune {
		if !unicode.IsGraphic(r) || r == unicode.ReplacementChar {
			return '?'
		}
		return r
	}, s)
}

// text is the line about a segment below its bar.
func (s Segment) text() string {
	t := harmless(Size(s.Size) + " " + s.Holds)
	if s.Number > 0 {
		return fmt.Sprintf("%d: %s", s.Number, t)
	}
	return t
}

// Picture is one disk of a plan as it is and as it will be.
type Picture struct {
	Disk  machine.Disk
	Now   []Segment // nil: the disk was not seen
	After []Segment
}

// Pictures are the disks that the plan makes anew; of a plan for a single file
// system none, as it leaves the disk as it is.
func (p Plan) Pictures() []Picture {
	if p.Scope != nil {
		return nil
	}
	var out []Picture
	for _, e := range p.Erases {
		if d := p.Target.Disk(e.Device.Body()); d != nil && e.Device.Kind() == machine.RefDisk {
			out = append(out, Picture{Disk: *d, Now: e.Now, After: segments(p.Target, *d)})
		}
	}
	return out
}

// share gives each segment its part of width cells, by size, and none less than
// least asks for. It is nil where that cannot be.
func share(list []Segment, width int, least func(Segment) int) []int {
	out := make([]int, len(list)) // 0: to scale
	var left int
	var total float64
	scaled := func(s Segment) float64 { return float64(max(s.Size, 0)) / total * float64(left) }
	for changed := true; changed; {
		changed, left, total = false, width, 0
		for i, s := range list {
			if left -= out[i]; out[i] == 0 {
				total += float64(max(s.Size, 0))
			}
		}
		for i, s := range list {
			// One that is too small for the scale takes of the others' room.
			if out[i] == 0 && (total == 0 || scaled(s) < float64(least(s))) {
				out[i], changed = least(s), true
			}
		}
	}
	if left < 0 || total == 0 {
		return nil
	}
	var sum float64
	done := 0
	for i, s := range list {
		if out[i] == 0 {
			sum += scaled(s)
			out[i] = int(sum+0.5) - done
			done += out[i]
		}
	}
	return out
}
