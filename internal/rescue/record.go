package rescue

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"path"
	"strings"

	"github.com/mkcdrec/mkcdrec/internal/machine"
	"github.com/mkcdrec/mkcdrec/internal/system"
)

// RecordDir holds the record of the machine in plain words and files.
const RecordDir = "/etc/recovery"

// recordedFiles are files of the machine that its record keeps. None of them
// holds a password on a machine set up as its distribution does.
var recordedFiles = []string{"/etc/fstab", "/etc/crypttab", "/etc/mdadm/mdadm.conf", "/etc/mdadm.conf", "/etc/default/grub", "/etc/hosts", "/etc/hostname",
	"/etc/resolv.conf", "/etc/multipath.conf", "/etc/exports", "/etc/machine-id", "/etc/default/locale", "/etc/locale.conf", "/etc/default/keyboard", "/etc/vconsole.conf", "/proc/cmdline", "/proc/mdstat", "/proc/swaps"}

// recordedCommands are what the administrator would look at; %s: once for each disk.
var recordedCommands = []struct{ file, command string }{
	{"sfdisk-%s.txt", "sfdisk -d %s"},
	{"lsblk.txt", "lsblk -o NAME,MAJ:MIN,SIZE,TYPE,FSTYPE,LABEL,UUID,PARTUUID,MOUNTPOINT,MODEL,SERIAL"},
	{"blkid.txt", "blkid"},
	{"df.txt", "df -hT -x tmpfs -x devtmpfs"},
	{"ip-address.txt", "ip address"},
	{"ip-route.txt", "ip route"},
	{"lvm.txt", "lvs -a -o +devices"},
	{"mdadm.txt", "mdadm --examine --scan --verbose"},
	{"efibootmgr.txt", "efibootmgr -v"},
	{"lspci.txt", "lspci -k"},
}

func (c *Contents) addRecord(ctx context.Context, r system.Runner, m machine.Machine) error {
	layout, err := json.MarshalIndent(m, "", "  ")
	if err != nil {
		return fmt.Errorf("cannot write the record of the machine: %w", err)
	}
	put := func(name string, b []byte) { c.Tree.AddData(path.Join(RecordDir, name), 0o644, b) }
	put("layout.json", append(layout, '\n'))
	put("README", []byte(describe(m)))
	for _, f := range recordedFiles {
		if isFile(c.Tree, f) {
			if b, err := readHost(c.Tree, f); err == nil {
				put(path.Base(f), b)
			}
		}
	}
	for _, rc := range recordedCommands {
		if !strings.Contains(rc.command, "%s") {
			put(rc.file, output(ctx, r, rc.command))
			continue
		}
		for _, d := range m.Disks {
			if d.Table != nil {
				put(fmt.Sprintf(rc.file, d.Name), output(ctx, r, fmt.Sprintf(rc.command, d.Path)))
			}
		}
	}
	return ctx.Err()
}

// output is what a command says, or why it says nothing: the record shows that too.
func output(ctx context.Context, r system.Runner, command string) []byte {
	f := strings.Fields(command)
	head := "# " + command + "\n"
	if r == nil {
		return []byte(head)
	}
	res, err := r.Run(ctx, system.Command{Name: f[0], Args: f[1:]})
	if errors.Is(err, system.ErrNotFound) {
		return []byte(head + "# not on this machine\n")
	}
	if err != nil {
		return append([]byte(head+"# "+err.Error()+"\n"), res.Stdout...)
	}
	return append([]byte(head), res.Stdout...)
}

// describe says in plain words what the machine was.
func describe(m machine.Machine) string {
	var b strings.Builder
	fmt.Fprintf(&b, "This is the record of %s, written by mkcdrec", m.Hostname)
	if !m.Recorded.IsZero() {
		fmt.Fprintf(&b, " on %s", m.Recorded.UTC().Format("2006-01-02 15:04 MST"))
	}
	fmt.Fprintf(&b, ".\nlayout.json has all of it in a form for programs.\n\n")
	line := func(k, format string, a ...any) { fmt.Fprintf(&b, "%-18s %s\n", k, fmt.Sprintf(format, a...)) }
	line("System", "%s, kernel %s, %s", m.OS.Name, m.Kernel, m.Arch)
	line("Hardware", "%s", strings.TrimSpace(m.Product.Vendor+" "+m.Product.Name+" "+m.Product.Serial))
	line("Processor", "%s", m.CPU.Model)
	line("Memory", "%d MiB", m.Memory>>20)
	line("Firmware", "%s, Secure Boot %s", m.Firmware.Kind, map[bool]string{true: "on", false: "off"}[m.Firmware.SecureBoot])
	line("Boot loader", "%s %s", m.BootLoader.Kind, m.BootLoader.ID)
	b.WriteString("\nDisks\n")
	for _, d := range m.Disks {
		fmt.Fprintf(&b, "  %-14s %12d MiB  %s %s, sectors of %d bytes\n", d.Path, d.Size>>20, d.Model, d.Serial, d.LogicalSector)
		if d.Table == nil {
			continue
		}
		fmt.Fprintf(&b, "    partition table %s %s\n", d.Table.Kind, d.Table.ID)
		for _, p := range d.Table.Partitions {
			fmt.Fprintf(&b, "    %-12s start %12d  sectors %12d  type %s  %s\n", p.Path, p.Start, p.Size, p.Type, p.Name)
		}
	}
	for _, a := range m.Arrays {
		fmt.Fprintf(&b, "\nArray %s (%s), %s, metadata %s, UUID %s, made for %d members\n", a.Name, a.Path, a.Level, a.Metadata, a.UUID, a.Slots)
		for _, mb := range a.Members {
			fmt.Fprintf(&b, "  on %s, slot %d\n", mb.On, mb.Slot)
		}
		if a.Table == nil {
			continue
		}
		for _, p := range a.Table.Partitions {
			fmt.Fprintf(&b, "    %-12s start %12d  sectors %12d  type %s  %s\n", p.Path, p.Start, p.Size, p.Type, p.Name)
		}
	}
	for _, c := range m.Crypts {
		fmt.Fprintf(&b, "\nEncrypted device %s: LUKS%d on %s, %s, data from byte %d, UUID %s, key slots: %d, tokens: %s\n",
			c.Name, c.Version, c.On, c.Cipher, c.Offset, c.UUID, c.Slots, strings.Join(c.Tokens, " "))
	}
	for _, vg := range m.VolumeGroups {
		fmt.Fprintf(&b, "\nVolume group %s, extents of %d MiB\n", vg.Name, vg.ExtentSize>>20)
		for _, pv := range vg.Physical {
			fmt.Fprintf(&b, "  on %s\n", pv.On)
		}
		for _, lv := range vg.Logical {
			fmt.Fprintf(&b, "  %-20s %10d MiB  %s%s\n", lv.Name, lv.Size>>20, lv.Kind, volumeDetails(lv))
		}
	}
	b.WriteString("\nFile systems\n")
	for _, f := range m.FileSystems {
		fmt.Fprintf(&b, "  %-20s %-6s %10d MiB, used %d MiB  UUID %s  label %q\n", f.On, f.Kind, f.Size>>20, f.Used>>20, f.UUID, f.Label)
	}
	for _, s := range m.Swaps {
		fmt.Fprintf(&b, "  %-20s swap   %10d MiB  UUID %s\n", string(s.On)+s.File, s.Size>>20, s.UUID)
	}
	b.WriteString("\nMounted\n")
	for _, mt := range m.Mounts {
		fmt.Fprintf(&b, "  %-20s on %-16s %s\n", mt.On, mt.Target, mt.Options)
	}
	b.WriteString("\nNetwork\n")
	for _, i := range m.Network.Interfaces {
		fmt.Fprintf(&b, "  %-10s %s %s\n", i.Name, i.MAC, strings.Join(i.Addresses, " "))
	}
	for _, r := range m.Network.Routes {
		fmt.Fprintf(&b, "  to %s via %s on %s\n", r.To, r.Via, r.Dev)
	}
	fmt.Fprintf(&b, "  name servers %s\n", strings.Join(m.Network.DNS, " "))
	for _, f := range m.Findings {
		fmt.Fprintf(&b, "\nNot recorded: %s: %s\n", f.Name, f.What)
	}
	return b.String()
}

// volumeDetails are what lvcreate would be told of a volume beside its size.
func volumeDetails(lv machine.LogicalVolume) string {
	var out []string
	add := func(is bool, format string, args ...any) {
		if is {
			out = append(out, fmt.Sprintf(format, args...))
		}
	}
	add(lv.In != "", "in pool %s", lv.In)
	add(lv.Stripes > 1, "%d stripes of %d KiB", lv.Stripes, lv.StripeSize>>10)
	add(lv.Mirrors > 0, "%d copies more", lv.Mirrors)
	add(lv.RegionSize > 0, "regions of %d KiB", lv.RegionSize>>10)
	if p := lv.Pool; p != nil {
		add(true, "data %s, metadata %s of %d MiB, chunks of %d KiB, discards %s, zeroing %v", p.Data, p.Metadata.Kind, p.Metadata.Size>>20, p.Chunk>>10, p.Discards, p.Zero)
	}
	add(len(lv.Devices) > 0, "on %v", lv.Devices)
	add(len(lv.Tags) > 0, "tags %s", strings.Join(lv.Tags, " "))
	if len(out) == 0 {
		return ""
	}
	return ", " + strings.Join(out, ", ")
}
