// Package sfdisk knows sfdisk(8) of util-linux: how a partition table is read
// (sfdisk --json) and written.
package sfdisk

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sort"
	"strconv"
	"strings"

	"github.com/mkcdrec/mkcdrec/internal/machine"
	"github.com/mkcdrec/mkcdrec/internal/system"
)

// ErrNoTable says that the device has no partition table that sfdisk knows.
var ErrNoTable = errors.New("no partition table")

// Read reads the partition table of a disk or image file.
func Read(ctx context.Context, r system.Runner, path string) (*machine.PartitionTable, error) {
	res, err := r.Run(ctx, system.Command{Name: "sfdisk", Args: []string{"--json", path}})
	if err != nil {
		if strings.Contains(string(res.Stderr), "does not contain a recognized partition table") {
			return nil, fmt.Errorf("%s: %w", path, ErrNoTable)
		}
		return nil, fmt.Errorf("cannot read the partition table of %s: %w", path, err)
	}
	return Parse(res.Stdout)
}

// usualEntries is how many partitions a GPT has room for as programs make it.
const usualEntries = 128

type dump struct {
	Table struct {
		Label      string
		ID         string
		Device     string
		Unit       string
		FirstLBA   machine.Sectors
		LastLBA    machine.Sectors
		Length     json.RawMessage `json:"table-length"` // as a string, in util-linux 2.38
		Partitions []struct {
			Node     string
			Start    machine.Sectors
			Size     machine.Sectors
			Type     string
			UUID     string
			Name     string
			Attrs    string
			Bootable bool
		}
	} `json:"partitiontable"`
}

// Parse reads the output of sfdisk --json. Partitions come sorted by number;
// those of an MBR get the PARTUUID that the kernel and udev derive. The error
// wraps errors.ErrUnsupported for kinds of tables other than GPT and MBR.
func Parse(b []byte) (*machine.PartitionTable, error) {
	var d dump
	if err := json.Unmarshal(b, &d); err != nil {
		return nil, fmt.Errorf("cannot read the output of sfdisk: %w", err)
	}
	t := &machine.PartitionTable{ID: d.Table.ID, FirstLBA: d.Table.FirstLBA, LastLBA: d.Table.LastLBA, Partitions: []machine.Partition{}}
	switch d.Table.Label {
	case "gpt":
		t.Kind = machine.GPT
	case "dos":
		t.Kind = machine.MBR
		t.ID = strings.ToLower(t.ID)
	default:
		return nil, fmt.Errorf("cannot read a partition table of kind %q: %w", d.Table.Label, errors.ErrUnsupported)
	}
	if d.Table.Unit != "" && d.Table.Unit != "sectors" {
		return nil, fmt.Errorf("cannot read the output of sfdisk: unit %q", d.Table.Unit)
	}
	if l := strings.Trim(string(d.Table.Length), `"`); l != "" && t.Kind == machine.GPT {
		n, err := strconv.Atoi(l)
		if err != nil || n < 1 {
			return nil, fmt.Errorf("cannot read the output of sfdisk: table-length %q", l)
		}
		if n != usualEntries {
			t.Entries = n
		}
	}
	for _, p := range d.Table.Partitions {
		n, err := number(d.Table.Device, p.Node)
		if err != nil {
			return nil, err
		}
		part := machine.Partition{
			Number: n, Path: p.Node, Start: p.Start, Size: p.Size, Type: p.Type,
			UUID: strings.ToLower(p.UUID), Name: p.Name, Attrs: p.Attrs, Bootable: p.Bootable,
		}
		if t.Kind == machine.GPT {
			part.Type = strings.ToUpper(p.Type)
		} else {
			part.Type = strings.ToLower(p.Type)
			part.UUID = fmt.Sprintf("%08s-%02x", strings.TrimPrefix(t.ID, "0x"), n)
		}
		t.Partitions = append(t.Partitions, part)
	}
	sort.Slice(t.Partitions, func(i, j int) bool { return t.Partitions[i].Number < t.Partitions[j].Number })
	return t, nil
}

// number takes the partition number off a node: what follows the device's
// name, and a "p" where that ends in a digit (nvme0n1p2).
func number(device, node string) (int, error) {
	rest, ok := strings.CutPrefix(node, device)
	if !ok || rest == "" {
		return 0, fmt.Errorf("cannot read the output of sfdisk: partition %q is not on %q", node, device)
	}
	n, err := strconv.Atoi(strings.TrimPrefix(strings.TrimPrefix(rest, "-part"), "p"))
	if err != nil || n < 1 {
		return 0, fmt.Errorf("cannot read the output of sfdisk: partition %q has no number", node)
	}
	return n, nil
}
