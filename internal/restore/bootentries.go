package restore

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/mkcdrec/mkcdrec/internal/fail"
	"github.com/mkcdrec/mkcdrec/internal/machine"
	"github.com/mkcdrec/mkcdrec/internal/tool/bootctl"
	"github.com/mkcdrec/mkcdrec/internal/tool/efibootmgr"
	"github.com/mkcdrec/mkcdrec/internal/tool/efivars"
)

// bootEntry is a boot entry that leads to a partition of the restored machine.
// Its PartUUID is that of the partition as it is now.
type bootEntry struct {
	machine.EFIEntry
	disk      string
	partition int
}

// entryChanges are what is to be done to the firmware's boot entries. order is
// nil where it stays as it is.
type entryChanges struct {
	remove []string // numbers
	create []bootEntry
	order  []string
}

// sameStart says whether two entries start the same, whatever they are called.
func sameStart(a, b machine.EFIEntry) bool {
	return a.Loader != "" && strings.EqualFold(a.Loader, b.Loader) && strings.EqualFold(a.PartUUID, b.PartUUID) && bytes.Equal(a.Data, b.Data)
}

// changeEntries decides what makes the firmware's entries lead to the restored
// machine: the wanted ones, in their order. What is there already is used; what
// leads elsewhere stays, and keeps the place that it was recorded with. recorded
// are all entries of the recorded machine, here those of the firmware, both in
// boot order.
func changeEntries(wanted []bootEntry, recorded, here []machine.EFIEntry) entryChanges {
	var c entryChanges
	numbers := map[string]bool{}
	used := map[string]bool{}
	for _, h := range here {
		numbers[h.Number] = true
	}
	find := func(w machine.EFIEntry, label bool) string {
		for _, h := range here {
			if h.Active && !used[h.Number] && sameStart(h, w) && (!label || h.Label == w.Label) {
				return h.Number
			}
		}
		return ""
	}
	for i, w := range wanted {
		if wanted[i].Number = find(w.EFIEntry, true); wanted[i].Number != "" {
			used[wanted[i].Number] = true
		}
	}
	for i, w := range wanted {
		if w.Number != "" {
			continue
		}
		if n := find(w.EFIEntry, false); n != "" {
			wanted[i].Number, used[n] = n, true
			continue
		}
		for _, h := range here { // one that the firmware does not try
			if !h.Active && !used[h.Number] && sameStart(h, w.EFIEntry) && h.Label == w.Label {
				c.remove, used[h.Number] = append(c.remove, h.Number), true
			}
		}
		n := 0
		for numbers[fmt.Sprintf("%04X", n)] {
			n++
		}
		wanted[i].Number = fmt.Sprintf("%04X", n)
		numbers[wanted[i].Number] = true
		c.create = append(c.create, wanted[i])
	}
	c.order = newOrder(wanted, recorded, here, c)
	return c
}

// newOrder is the boot order with the wanted entries in it, or nil where the
// present one has them all, in their order.
func newOrder(wanted []bootEntry, recorded, here []machine.EFIEntry, c entryChanges) []string {
	var now, own []string
	for _, h := range here {
		if !h.Unlisted && !slices.Contains(c.remove, h.Number) {
			now = append(now, h.Number)
		}
	}
	for _, w := range wanted {
		if !w.Unlisted {
			own = append(own, w.Number)
		}
	}
	kept := slices.DeleteFunc(slices.Clone(now), func(n string) bool { return !slices.Contains(own, n) })
	if slices.Equal(kept, own) {
		return nil
	}
	// What led elsewhere and stood before the first of the own ones stays there.
	var out []string
	for _, r := range recorded {
		if slices.ContainsFunc(wanted, func(w bootEntry) bool { return sameStart(w.EFIEntry, r) }) {
			break
		}
		for _, h := range here {
			same := h.Label == r.Label && strings.EqualFold(h.Loader, r.Loader) && strings.EqualFold(h.PartUUID, r.PartUUID)
			if same && slices.Contains(now, h.Number) && !slices.Contains(own, h.Number) && !slices.Contains(out, h.Number) {
				out = append(out, h.Number)
				break
			}
		}
	}
	out = append(out, own...)
	for _, n := range now {
		if !slices.Contains(out, n) {
			out = append(out, n)
		}
	}
	return out
}

// wantedEntries are the recorded entries that lead to partitions of this machine,
// once each, and where none does, one for the loader on each place of the ESP.
func (x *executor) wantedEntries(places []machine.Device, bl machine.BootLoader, win string) (wanted []bootEntry) {
	add := func(at int, e machine.EFIEntry, dev machine.Device) {
		e.PartUUID = dev.Partition.UUID
		if !slices.ContainsFunc(wanted, func(w bootEntry) bool { return w.Label == e.Label && sameStart(w.EFIEntry, e) }) {
			wanted = slices.Insert(wanted, at, bootEntry{EFIEntry: e, disk: dev.Disk.Path, partition: dev.Partition.Number})
		}
	}
	for _, e := range x.m.Firmware.Entries {
		dev, ok := x.partitionOf(e.PartUUID)
		switch {
		case e.Loader == "" || !ok: // the network, or a disk that is not restored
		case !e.Active:
			x.change("", "firmware boot entry %q was switched off, and was not made", e.Label)
		default:
			add(len(wanted), e, dev)
		}
	}
	for i, dev := range places {
		at, there := 0, false
		for k, w := range wanted {
			if strings.EqualFold(w.Loader, win) {
				at = k + 1
				there = there || strings.EqualFold(w.PartUUID, dev.Partition.UUID)
			}
		}
		if !there {
			add(at, machine.EFIEntry{Label: x.label(bl, win, dev, i), Loader: win, Active: true}, dev)
		}
	}
	return wanted
}

// partitionOf is the partition of a recorded PARTUUID.
func (x *executor) partitionOf(uuid string) (machine.Device, bool) {
	for _, d := range x.m.Disks {
		if d.Table == nil || uuid == "" {
			continue
		}
		for _, p := range d.Table.Partitions {
			if !strings.EqualFold(p.UUID, uuid) && !strings.EqualFold(p.Formerly, uuid) {
				continue
			}
			if dev, err := x.m.Resolve(machine.PartRef(d.Name, p.Number)); err == nil {
				return dev, true
			}
		}
	}
	return machine.Device{}, false
}

// entries makes the firmware's boot entries: those that were recorded, and at
// least one for each disk that has the loader.
func (x *executor) entries(ctx context.Context, esp *machine.Mount, bl machine.BootLoader, loader string) error {
	vars := filepath.Join(x.Root, "/sys/firmware/efi/efivars")
	here, _, err := efivars.Read(os.DirFS(vars))
	if err != nil && len(here) == 0 {
		return fail.New(fail.Failed, "the firmware's boot entries cannot be reached here: %w", err)
	}
	places := x.places(esp)
	if len(places) == 0 {
		return fail.New(fail.Failed, "the EFI system partition is not a partition")
	}
	wanted := x.wantedEntries(places, bl, `\`+strings.ReplaceAll(loader, "/", `\`))
	c := changeEntries(wanted, x.m.Firmware.Entries, here)
	for _, n := range c.remove {
		if err := efibootmgr.Delete(ctx, x.System, n); err != nil {
			return err
		}
	}
	for _, e := range c.create {
		err := efibootmgr.Create(ctx, x.System, efibootmgr.Entry{Number: e.Number, Label: e.Label, Disk: e.disk, Partition: e.partition, Loader: e.Loader, Data: e.Data})
		if err != nil {
			return err
		}
		x.change("", "firmware boot entry %q made", e.Label)
	}
	if c.order == nil {
		return nil
	}
	return efibootmgr.Order(ctx, x.System, c.order)
}

// label names the entry of place number i: as recorded, or after the loader.
func (x *executor) label(bl machine.BootLoader, win string, dev machine.Device, i int) string {
	label := bl.ID
	if bl.Kind == machine.SystemdBoot {
		label = bootctl.Label
	}
	for _, e := range x.m.Firmware.Entries {
		if !strings.EqualFold(e.Loader, win) || e.Label == "" {
			continue
		}
		if strings.EqualFold(e.PartUUID, dev.Partition.UUID) {
			return e.Label
		}
		label = e.Label
	}
	if label == "" {
		label = "Linux"
	}
	if i > 0 {
		label = fmt.Sprintf("%s (disk %d)", label, i+1)
	}
	return label
}
