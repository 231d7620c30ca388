package plan

import (
	"fmt"
	"io"
	"strings"

	"github.com/mkcdrec/mkcdrec/internal/machine"
	"github.com/mkcdrec/mkcdrec/internal/wording"
)

// width is the line length of the text form.
const width = 80

// Describe writes the plan for people, at most 80 columns wide: what will be
// erased, each disk as it is and as it will be, why these disks, then every
// step.
func Describe(w io.Writer, p Plan) error {
	var out strings.Builder
	what := "Restore " + p.Host
	switch {
	case p.Clone:
		what = "Clone " + p.Host
	case p.Scope != nil:
		what = fmt.Sprintf("Restore the file system of %s of %s", p.Scope.Text(), p.Host)
	}
	wrap(&out, "", what+" from backup "+p.Backup)
	erases := p.Erases
	switch {
	case len(p.Images) > 0:
		p.describeImages(&out)
		erases = nil
	case p.Scope != nil && p.Scope.Keep:
		out.WriteString("\nFiles of the same names will be OVERWRITTEN on:\n")
	default:
		out.WriteString("\nThis will be ERASED:\n")
	}
	for _, e := range erases {
		wrap(&out, "  ", e.Text(p.Target))
		for _, h := range e.Holds {
			wrap(&out, "      ", h)
		}
		if len(e.Holds) == 0 {
			wrap(&out, "      ", "empty")
		}
	}
	bars(&out, p)
	if len(p.Choices) > 0 {
		out.WriteString("\nWhy:\n")
		for _, c := range p.Choices {
			wrap(&out, "  ", fmt.Sprintf("%s: %s (%s)", c.Subject, c.Chosen, c.Why))
		}
	}
	out.WriteString("\nSteps:\n")
	for i, s := range p.Steps {
		wrap(&out, fmt.Sprintf("  %2d  ", i+1), s.Text(p.Target))
		for _, l := range s.details(p.Target) {
			wrap(&out, "        ", l)
		}
	}
	_, err := io.WriteString(w, out.String())
	return err
}

// Text says which device this is: name, size, disk, model, serial number.
func (e Erased) Text(m machine.Machine) string {
	var out strings.Builder
	out.WriteString(e.Name(m))
	if dev, err := m.Resolve(e.Device); err == nil && e.Device.Kind() != machine.RefDisk {
		fmt.Fprintf(&out, ", %s, on", Size(dev.Size))
		for i, d := range m.DisksUnder(e.Device) {
			if i > 0 {
				out.WriteString(" and")
			}
			out.WriteString(" disk " + diskText(d))
		}
		return out.String()
	}
	return diskText(e.Disk)
}

func diskText(d machine.Disk) string {
	s := fmt.Sprintf("%s, %s", d.Name, Size(d.Size))
	if d.Model != "" {
		s += ", " + d.Model
	}
	if d.Serial != "" {
		s += ", serial " + d.Serial
	}
	return s
}

// wrap writes text behind a prefix, broken at words; further lines are
// indented below the first.
func wrap(out *strings.Builder, prefix, text string) {
	line := prefix
	empty := true
	for word := range strings.FieldsSeq(text) {
		word = harmless(word)
		if !empty && len(line)+1+len(word) > width {
			out.WriteString(line + "\n")
			line, empty = strings.Repeat(" ", len(prefix)+2), true
		}
		if !empty {
			line += " "
		}
		line += word
		empty = false
	}
	out.WriteString(line + "\n")
}

// Text is one line about a step.
func (s Step) Text(m machine.Machine) string {
	on := s.Device.Body()
	if d, err := m.Resolve(s.Device); err == nil {
		on = d.Path
		if d.Volume != nil {
			on = "/dev/" + d.Group.Name + "/" + d.Volume.Name
		}
	}
	switch s.Kind {
	case Release:
		return "release " + on
	case Wipe:
		return "wipe all signatures from " + on
	case PartitionDisk:
		return fmt.Sprintf("write a partition table (%s) with %s to %s", strings.ToUpper(string(s.Table.Kind)), wording.Count(len(s.Table.Partitions), "partition"), on)
	case MakeArray:
		return fmt.Sprintf("make the %s array %s, %s, of %s", s.Array.Level, on, Size(s.Array.Size), members(m, s.Array))
	case MakeCrypt:
		under := s.Crypt.On.Body()
		if d, err := m.Resolve(s.Crypt.On); err == nil {
			under = d.Path
		}
		return fmt.Sprintf("encrypt %s with LUKS%d and open it as %s", under, s.Crypt.Version, s.Crypt.Name)
	case CreatePV:
		return "make LVM physical volume " + on
	case CreateVG:
		return "make volume group " + s.VG.Name
	case CreateLV:
		return fmt.Sprintf("make %s %s, %s%s", volumeKind(*s.LV), on, Size(s.LV.Size), volumePlace(m, *s.LV))
	case MakeFS:
		if len(s.FS.Devices) > 0 {
			on = devices(m, *s.FS)
		}
		return fmt.Sprintf("make %s on %s, %s, %s", s.FS.Kind, on, Size(s.FS.Size), s.Why)
	case MakeSwap:
		return fmt.Sprintf("make swap on %s, %s", on, Size(s.Swap.Size))
	case Subvolumes:
		return fmt.Sprintf("make the subvolumes of %s", on)
	case MountFS:
		return fmt.Sprintf("mount %s for %s", on, s.Mount.Target)
	case MountPoints:
		return "make the mount points " + strings.Join(s.Paths, ", ")
	case Unpack:
		return "unpack " + s.Why
	case SwapFile:
		return fmt.Sprintf("make swap file %s, %s", s.Swap.File, Size(s.Swap.Size))
	case Identity:
		return "adapt the system's configuration: " + s.Why
	case Initramfs:
		return "rebuild the initramfs, " + s.Why
	case InstallLoader:
		return fmt.Sprintf("install the boot loader (%s)", s.BootLoader.Kind)
	case VerifyRestored:
		return "verify " + s.Why
	case UnmountAll:
		return "unmount everything"
	}
	return string(s.Kind) + " " + on
}

// details are further lines about a step: the partitions of a table.
func (s Step) details(m machine.Machine) []string {
	if s.Kind != PartitionDisk {
		return nil
	}
	dev, err := m.Resolve(s.Device)
	if err != nil || dev.Disk == nil {
		return nil
	}
	var out []string
	for _, p := range s.Table.Partitions {
		out = append(out, fmt.Sprintf("%d  %-10s %s", p.Number, Size(dev.Disk.Bytes(p.Size)), purpose(m, dev.Disk.Name, p)))
	}
	return out
}

// members lists the devices of an array.
func members(m machine.Machine, a *machine.Array) string {
	var out []string
	for _, member := range a.Members {
		name := member.On.Body()
		if d, err := m.Resolve(member.On); err == nil {
			name = d.Path
		}
		if member.Slot < 0 {
			name += " (spare)"
		}
		out = append(out, name)
	}
	for range a.Missing() {
		out = append(out, "missing")
	}
	return strings.Join(out, " ")
}

// devices lists those of a file system over several, and how it uses them.
func devices(m machine.Machine, fs machine.FileSystem) string {
	var out []string
	for _, r := range fs.Refs() {
		name := r.Body()
		if d, err := m.Resolve(r); err == nil {
			name = d.Path
		}
		out = append(out, name)
	}
	s := strings.Join(out, " ")
	for _, key := range []string{machine.DataProfile, machine.MetadataProfile} {
		if p := fs.Options[key]; p != "" {
			s += ", " + key + " " + p
		}
	}
	return s
}

func purpose(m machine.Machine, disk string, p machine.Partition) string {
	if p.Extended() {
		return "extended"
	}
	if s := holds(m, machine.PartRef(disk, p.Number)); s != "" {
		return s
	}
	switch p.Type {
	case machine.TypeESP:
		return "EFI system partition"
	case machine.TypeBIOSBoot:
		return "BIOS boot partition"
	}
	return "type " + p.Type
}

// volumeKind says what a logical volume is, where it is more than a volume.
func volumeKind(lv machine.LogicalVolume) string {
	switch {
	case lv.Pool != nil && lv.Pool.Data != "linear":
		return "thin pool (" + lv.Pool.Data + ")"
	case lv.Pool != nil:
		return "thin pool"
	case lv.Kind == machine.ThinKind:
		return "thin volume"
	case lv.Legs() > 1:
		return lv.Kind + " volume"
	}
	return "volume"
}

// volumePlace says where a logical volume lies, where that matters.
func volumePlace(m machine.Machine, lv machine.LogicalVolume) string {
	if lv.In != "" {
		return " at most, in the pool " + lv.In
	}
	if lv.Legs() < 2 || len(lv.Devices) == 0 {
		return ""
	}
	var on []string
	for _, r := range lv.Devices {
		name := r.Body()
		if d, err := m.Resolve(r); err == nil {
			name = d.Path
		}
		on = append(on, name)
	}
	return ", on " + strings.Join(on, " ")
}
