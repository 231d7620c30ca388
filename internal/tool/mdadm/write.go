package mdadm

import (
	"context"
	"fmt"
	"strconv"
	"strings"

	"github.com/mkcdrec/mkcdrec/internal/machine"
	"github.com/mkcdrec/mkcdrec/internal/system"
)

// Missing stands for a member that is not there (mdadm(8), "missing").
const Missing = "missing"

// Create makes and starts an array at node, /dev/md0. devices are the nodes of
// a.Members in their order.
//
// A new array of a level with redundancy is not in sync, and what it held
// before is not known: md makes it so in the background, after a restart from
// where it was. --assume-clean would save that, and would be a lie: parity of
// raid4, 5 and 6 would be wrong, and every check of a mirror would find
// differences. With --force a raid5 is not made as one that lacks a member and
// rebuilds it, which cannot be started again after a power cut.
func Create(ctx context.Context, r system.Runner, a machine.Array, node string, devices []string) error {
	if len(devices) != len(a.Members) {
		return fmt.Errorf("cannot make array %s: %d devices for %d members", node, len(devices), len(a.Members))
	}
	args := append([]string{"--create", node, "--run", "--force"}, shape(a)...)
	_, err := r.Run(ctx, system.Command{Name: "mdadm", Args: append(args, places(a, devices)...)})
	if err != nil {
		return fmt.Errorf("cannot make array %s: %w", node, err)
	}
	return nil
}

// shape are the options that say what an array is like.
func shape(a machine.Array) []string {
	args := []string{"--level=" + a.Level, "--metadata=" + a.Metadata, "--raid-devices=" + strconv.Itoa(a.Slots)}
	spares := 0
	for _, m := range a.Members {
		if m.Slot < 0 {
			spares++
		}
	}
	if spares > 0 {
		args = append(args, "--spare-devices="+strconv.Itoa(spares))
	}
	args = append(args, "--uuid="+a.UUID)
	if a.Metadata != "0.90" { // whose superblock has no name
		// mdadm puts both together again as HOST:NAME.
		host, name, ok := strings.Cut(a.Label, ":")
		if !ok {
			host, name = "<none>", a.Label
		}
		args = append(args, "--homehost="+host)
		if name != "" {
			args = append(args, "--name="+name)
		}
	}
	if a.Chunk > 0 && a.Level != "raid1" {
		args = append(args, "--chunk="+kib(a.Chunk))
	}
	if layout := layoutArgument(a); layout != "" {
		args = append(args, "--layout="+layout)
	}
	switch {
	case a.Policy != "":
		args = append(args, "--consistency-policy="+a.Policy)
	case a.Level == "linear" || a.Level == "raid0":
	case a.Bitmap == "":
		args = append(args, "--bitmap=none") // newer versions would ask
	default:
		args = append(args, "--bitmap="+a.Bitmap)
	}
	if a.Component > 0 && a.Level != "linear" && a.Level != "raid0" {
		args = append(args, "--size="+kib(a.Component))
	}
	if a.Offset > 0 && a.Metadata != "0.90" && a.Metadata != "1.0" { // whose data is at the start
		args = append(args, "--data-offset="+kib(a.Offset))
	}
	return args
}

// places are the members by slot, then the spares; mdadm goes by their order.
// --write-mostly holds for all that follow, up to --readwrite.
func places(a machine.Array, devices []string) []string {
	var args []string
	writeMostly := false
	put := func(device string, mostly bool) {
		if mostly != writeMostly {
			args = append(args, map[bool]string{true: "--write-mostly", false: "--readwrite"}[mostly])
			writeMostly = mostly
		}
		args = append(args, device)
	}
	for slot := range a.Slots {
		device, mostly := Missing, false
		for i, m := range a.Members {
			if m.Slot == slot {
				device, mostly = devices[i], m.WriteMostly
			}
		}
		put(device, mostly)
	}
	for i, m := range a.Members {
		if m.Slot < 0 {
			// mdadm 4.2 makes a spare behind --write-mostly a failed one.
			put(devices[i], false)
		}
	}
	return args
}

// layoutArgument is the layout as --create takes it: n2 for near=2. Of levels
// that have but one it is not given.
func layoutArgument(a machine.Array) string {
	switch a.Level {
	case "raid5", "raid6":
		return a.Layout
	case "raid10":
		if kind, copies, ok := strings.Cut(a.Layout, "="); ok && kind != "" {
			return kind[:1] + copies
		}
		return a.Layout
	}
	return ""
}

// kib writes a size so that mdadm takes it as KiB.
func kib(b machine.Bytes) string { return strconv.FormatInt(int64(b)>>10, 10) + "K" }

// Assemble starts an array at node from these devices, also without those of
// its members that are not there. Devices of another array are left alone.
func Assemble(ctx context.Context, r system.Runner, uuid, node string, devices []string) error {
	args := append([]string{"--assemble", node, "--run", "--uuid=" + uuid}, devices...)
	if _, err := r.Run(ctx, system.Command{Name: "mdadm", Args: args}); err != nil {
		return fmt.Errorf("cannot start array %s: %w", node, err)
	}
	return nil
}

// Stop stops an array, /dev/md0.
func Stop(ctx context.Context, r system.Runner, device string) error {
	if _, err := r.Run(ctx, system.Command{Name: "mdadm", Args: []string{"--stop", device}}); err != nil {
		return fmt.Errorf("cannot stop array %s: %w", device, err)
	}
	return nil
}
