package machine

import (
	"fmt"
	"io"
	"strings"
	"unicode/utf8"
)

// DescribeOptions say how Describe writes.
type DescribeOptions struct {
	Colour bool // ANSI colours
	Width  int  // columns; 0: 80
}

// Human writes a size for people, in binary units with at most three digits:
// "512 MiB", "7.45 GiB".
func Human(b Bytes) string {
	units := []string{"B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"}
	f, i := float64(b), 0
	// 1023.5 would be rounded to 1024 of the smaller unit.
	for f >= 1023.5 && i < len(units)-1 {
		f /= 1024
		i++
	}
	digits := 0
	if i > 0 && f < 99.95 {
		digits = 1
	}
	s := fmt.Sprintf("%.*f", digits, f)
	return strings.TrimSuffix(s, ".0") + " " + units[i]
}

// Describe writes a machine for people: what it is, how it starts, then a tree
// from disks down to mount points, the network, and the findings.
func Describe(w io.Writer, m *Machine, o DescribeOptions) error {
	if o.Width <= 0 {
		o.Width = 80
	}
	d := &describer{m: m, o: o}
	d.head()
	for i := range m.Disks {
		d.disk(&m.Disks[i])
	}
	for _, l := range m.all() {
		d.layer(l)
	}
	d.swapFiles()
	d.network()
	d.findings()
	_, err := io.WriteString(w, d.out.String())
	return err
}

type describer struct {
	m   *Machine
	o   DescribeOptions
	out strings.Builder
}

// The colours: bold, dim, the colour of mount points, warnings, refusals.
const (
	bold   = "1"
	dim    = "2"
	cyan   = "36"
	yellow = "33"
	red    = "31"
)

func (d *describer) paint(code, s string) string {
	if !d.o.Colour || s == "" {
		return s
	}
	return "\x1b[" + code + "m" + s + "\x1b[0m"
}

func (d *describer) line(s string) { d.out.WriteString(strings.TrimRight(s, " ") + "\n") }

// pad fills up to n columns; longer text is cut and marked.
func pad(s string, n int) string {
	l := utf8.RuneCountInString(s)
	if l > n {
		return string([]rune(s)[:max(n-1, 0)]) + "…"
	}
	return s + strings.Repeat(" ", n-l)
}

// plain makes text from labels, models and the like harmless for a terminal.
func plain(s string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' || r >= 0x7f && r < 0xa0 {
			return '?'
		}
		return r
	}, s)
}

// join puts the parts that are not empty together.
func join(sep string, parts ...string) string {
	var out []string
	for _, p := range parts {
		if p != "" {
			out = append(out, p)
		}
	}
	return strings.Join(out, sep)
}

func (d *describer) head() {
	m := d.m
	d.line(d.paint(bold, plain(m.Hostname)) + "  " + plain(join(", ", m.OS.Name, m.Kernel, m.Arch)))
	cpu := ""
	if m.CPU.Level > 0 {
		cpu = fmt.Sprintf("x86-64-v%d", m.CPU.Level)
	}
	d.fact("hardware", join(", ", join(" ", m.Product.Vendor, m.Product.Name), join(" ", m.CPU.Model, cpu), Human(m.Memory)+" of memory"))
	fw := strings.ToUpper(string(m.Firmware.Kind))
	if m.Firmware.SecureBoot {
		fw += " with Secure Boot"
	}
	boot := string(m.BootLoader.Kind)
	switch {
	case m.BootLoader.Kind == NoBootLoader:
		boot = "no boot loader (started from outside)"
	case m.BootLoader.ID != "":
		boot += ` in \EFI\` + m.BootLoader.ID
	case m.BootLoader.Path != "":
		boot += " in " + m.BootLoader.Path
	}
	for i, r := range m.BootLoader.Disks {
		boot += map[bool]string{true: " on ", false: ", "}[i == 0] + r.Body()
	}
	if m.BootLoader.Fallback {
		boot += ", with fallback"
	}
	d.fact("start", fw+", "+boot)
}

// fact is one line "name  text", with the text wrapped below itself.
func (d *describer) fact(name, text string) {
	const indent = 12
	for i, l := range wrap(plain(text), d.o.Width-indent) {
		if i > 0 {
			name = ""
		}
		d.line("  " + d.paint(dim, pad(name, indent-2)) + l)
	}
}

// wrap breaks at spaces; a word longer than the width stays whole.
func wrap(s string, width int) []string {
	var out []string
	line := ""
	for word := range strings.FieldsSeq(s) {
		if line != "" && utf8.RuneCountInString(line)+1+utf8.RuneCountInString(word) > width {
			out = append(out, line)
			line = ""
		}
		line = join(" ", line, word)
	}
	return append(out, line)
}

func (d *describer) disk(k *Disk) {
	table := "no partition table"
	if k.Table != nil {
		table = strings.ToUpper(string(k.Table.Kind))
	}
	sector := ""
	if k.LogicalSector != 512 {
		sector = fmt.Sprintf("%d-byte sectors", k.LogicalSector)
	}
	serial := ""
	if k.Serial != "" {
		serial = "serial " + k.Serial
	}
	d.title(k.Path, k.Size, join(", ", k.Model, k.Transport, serial, table, sector))
	switch {
	case k.Table != nil:
		d.partitions(k)
	default:
		d.node("└─ ", "whole disk", k.Size, DiskRef(k.Name), d.onDevice(DiskRef(k.Name), ""))
	}
}

// title begins the tree of a disk or layer.
func (d *describer) title(name string, size Bytes, what string) {
	d.line("")
	d.line(d.paint(bold, pad(plain(name), 19)) + fmt.Sprintf("%10s  ", Human(size)) + d.fit(what, d.o.Width-31))
}

func (d *describer) partitions(k *Disk) {
	parts := k.Table.Partitions
	// Logical partitions hang below the extended one, which is not always
	// the last with a number below five.
	isLogical := func(p Partition) bool { return k.Table.Kind == MBR && p.Number >= 5 }
	var side, logical []Partition
	for _, p := range parts {
		if isLogical(p) {
			logical = append(logical, p)
		} else {
			side = append(side, p)
		}
	}
	for i, p := range side {
		branch, below := "├─ ", "│  "
		if i == len(side)-1 {
			branch, below = "└─ ", "   "
		}
		extended := k.Table.Kind == MBR && p.Extended()
		d.partition(k, p, branch, extended)
		for j, l := range logical {
			if extended {
				inner := "├─ "
				if j == len(logical)-1 {
					inner = "└─ "
				}
				d.partition(k, l, below+inner, false)
			}
		}
	}
}

func (d *describer) partition(k *Disk, p Partition, branch string, extended bool) {
	ref := PartRef(k.Name, p.Number)
	empty := map[string]string{TypeBIOSBoot: "boot code of GRUB", TypePReP: "PReP boot code"}[p.Type]
	if extended {
		empty = "extended partition"
	} else if p.Holds != "" {
		empty = p.Holds + " (not recorded)"
	}
	d.node(branch, strings.TrimPrefix(p.Path, "/dev/"), k.Bytes(p.Size), ref, d.onDevice(ref, empty))
}

// held is what lies on a device, in the columns of the tree.
type held struct {
	kind, where, note string
	fs                *FileSystem
}

func (d *describer) onDevice(r Ref, empty string) held {
	if fs := d.m.FileSystemOn(r); fs != nil {
		if fs.On != r {
			return held{kind: string(fs.Kind), note: fmt.Sprintf("device %d of %s", fs.Device(r).ID, fs.On.Body())}
		}
		h := held{kind: string(fs.Kind), fs: fs}
		mounts := d.m.MountsOn(r)
		if len(mounts) > 0 && len(fs.Subvolumes) == 0 {
			h.where = mounts[0].Target
		}
		if len(mounts) == 0 {
			h.where = "not mounted"
		}
		used := ""
		if fs.Used > 0 {
			used = Human(fs.Used) + " used"
		}
		label := ""
		if fs.Label != "" {
			label = fmt.Sprintf("%q", fs.Label)
		}
		h.note = join(", ", fs.over(), used, label)
		return h
	}
	if s := d.m.SwapOn(r); s != nil {
		return held{kind: "swap", note: s.Label}
	}
	if l, ok := d.m.LayerOn(r); ok {
		return heldByLayer(l, r)
	}
	if empty == "" {
		empty = "nothing known"
	}
	return held{note: empty}
}

// node writes one device of the tree: name, size, kind, mount point, note.
func (d *describer) node(branch, name string, size Bytes, r Ref, h held) {
	left := d.paint(dim, branch) + pad(plain(name), 19-utf8.RuneCountInString(branch)) + fmt.Sprintf("%10s  ", Human(size))
	if h.kind == "" {
		d.line(left + d.paint(dim, d.fit(h.note, d.o.Width-31)))
		return
	}
	where := pad(plain(h.where), 17)
	if utf8.RuneCountInString(h.where) > 17 {
		where = plain(h.where)
	}
	d.line(left + pad(h.kind, 6) + d.paint(cyan, where) + " " + d.fit(h.note, d.o.Width-37-utf8.RuneCountInString(where)-1))
	if h.fs != nil && len(h.fs.Subvolumes) > 0 {
		d.subvolumes(h.fs, strings.HasPrefix(branch, "├"), d.m.MountsOn(r))
	}
}

// maxSubvolumes is how many subvolumes the tree shows: snapshots may be
// hundreds, and the JSON has them all.
const maxSubvolumes = 12

func (d *describer) subvolumes(fs *FileSystem, more bool, mounts []Mount) {
	bar := "   "
	if more {
		bar = "│  "
	}
	for i, s := range fs.Subvolumes {
		branch := "├─ "
		if i == len(fs.Subvolumes)-1 || i == maxSubvolumes {
			branch = "└─ "
		}
		if i == maxSubvolumes {
			d.line(d.paint(dim, bar+branch+fmt.Sprintf("and %d more", len(fs.Subvolumes)-i)))
			return
		}
		where := ""
		for _, mt := range mounts {
			if mt.Subvolume == s.Path {
				where = mt.Target
			}
		}
		var notes []string
		for _, n := range []struct {
			is   bool
			name string
		}{{s.Default, "default"}, {s.Snapshot, "snapshot"}, {s.ReadOnly, "read-only"}} {
			if n.is {
				notes = append(notes, n.name)
			}
		}
		d.line(d.paint(dim, bar+branch) + pad(plain(s.Path), 31) + d.paint(cyan, pad(plain(where), 17)) + " " + strings.Join(notes, ", "))
	}
}

func (d *describer) swapFiles() {
	for _, s := range d.m.Swaps {
		if s.File != "" {
			d.line("")
			d.line(pad(plain(s.File), 19) + fmt.Sprintf("%10s  swap file", Human(s.Size)))
		}
	}
}

func (d *describer) network() {
	if len(d.m.Network.Interfaces) == 0 {
		return
	}
	d.line("")
	for _, i := range d.m.Network.Interfaces {
		state := ""
		if !i.Up {
			state = "down"
		}
		dhcp := ""
		if i.DHCP {
			dhcp = "(DHCP)"
		}
		d.line(d.paint(bold, pad(plain(i.Name), 14)) + d.fit(join(", ", i.MAC, join(" ", strings.Join(i.Addresses, " "), dhcp), join(" ", i.Kind, i.Driver), state), d.o.Width-14))
	}
	for _, r := range d.m.Network.Routes {
		via := ""
		if r.Via != "" {
			via = " via " + r.Via
		}
		d.fact("route", r.To+via+" on "+r.Dev)
	}
	if len(d.m.Network.DNS) > 0 {
		d.fact("DNS", strings.Join(d.m.Network.DNS, " "))
	}
}

func (d *describer) findings() {
	for i, f := range d.m.Findings {
		if i == 0 {
			d.line("")
		}
		mark, colour := "note", yellow
		if f.Blocking {
			mark, colour = "STOPS", red
		}
		d.line(d.paint(colour, pad(mark, 7)) + d.paint(bold, plain(f.Name)))
		for _, t := range []string{f.What, f.Todo} {
			if t == "" {
				continue
			}
			for _, l := range wrap(plain(t), d.o.Width-7) {
				d.line("       " + l)
			}
		}
	}
}

// fit cuts text to the columns that are left.
func (d *describer) fit(s string, n int) string {
	return strings.TrimRight(pad(plain(s), max(n, 8)), " ")
}
