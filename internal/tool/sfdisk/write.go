package sfdisk

import (
	"context"
	"fmt"
	"strings"

	"github.com/mkcdrec/mkcdrec/internal/machine"
	"github.com/mkcdrec/mkcdrec/internal/system"
)

// Script writes a partition table as sfdisk's input (sfdisk(8), "Input
// formats"). Sizes and starts are in logical sectors.
func Script(t machine.PartitionTable) string {
	var b strings.Builder
	label := "gpt"
	if t.Kind == machine.MBR {
		label = "dos"
	}
	fmt.Fprintf(&b, "label: %s\n", label)
	if t.ID != "" {
		fmt.Fprintf(&b, "label-id: %s\n", t.ID)
	}
	b.WriteString("unit: sectors\n")
	if t.Kind == machine.GPT && t.FirstLBA > 0 {
		fmt.Fprintf(&b, "first-lba: %d\n", t.FirstLBA)
	}
	if t.Kind == machine.GPT && t.LastLBA > 0 {
		fmt.Fprintf(&b, "last-lba: %d\n", t.LastLBA)
	}
	if t.Kind == machine.GPT && t.Entries > 0 {
		fmt.Fprintf(&b, "table-length: %d\n", t.Entries)
	}
	b.WriteString("\n")
	for _, p := range t.Partitions {
		fmt.Fprintf(&b, "%d : start=%d, size=%d, type=%s", p.Number, p.Start, p.Size, p.Type)
		if t.Kind == machine.GPT {
			if p.UUID != "" {
				fmt.Fprintf(&b, ", uuid=%s", p.UUID)
			}
			if p.Name != "" {
				fmt.Fprintf(&b, ", name=%s", quote(p.Name))
			}
			if p.Attrs != "" {
				fmt.Fprintf(&b, ", attrs=%s", quote(p.Attrs))
			}
		}
		if p.Bootable {
			b.WriteString(", bootable")
		}
		b.WriteString("\n")
	}
	return b.String()
}

// quote puts a value into double quotes; sfdisk reads \xNN in it.
func quote(s string) string {
	var b strings.Builder
	b.WriteByte('"')
	for i := range len(s) {
		switch c := s[i]; {
		case c == '"' || c == '\\' || c < ' ':
			fmt.Fprintf(&b, `\x%02x`, c)
		default:
			b.WriteByte(c)
		}
	}
	b.WriteByte('"')
	return b.String()
}

// Write replaces the partition table of a disk. Old signatures within the new
// partitions are wiped; the kernel reads the table again afterwards.
func Write(ctx context.Context, r system.Runner, disk string, t machine.PartitionTable) error {
	_, err := r.Run(ctx, system.Command{
		Name:  "sfdisk",
		Args:  []string{"--wipe", "always", "--wipe-partitions", "always", disk},
		Stdin: strings.NewReader(Script(t)),
	})
	if err != nil {
		return fmt.Errorf("cannot write the partition table of %s: %w", disk, err)
	}
	if t.Kind == machine.GPT && t.Hybrid != "" {
		return WriteHybrid(ctx, r, disk, t.Hybrid)
	}
	return nil
}
