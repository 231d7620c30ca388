package mdadm

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
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
	a = stepIn(a)
	args := []string{"--create", node, "--run"}
	if a.Level != "raid6" || a.Missing() != 1 {
		// Such a one md does not start unless one more member is rebuilt; mdadm
		// puts that into the empty slot, and leaves another one empty.
		args = append(args, "--force")
	}
	args = append(args, shape(a)...)
	_, err := r.Run(ctx, system.Command{Name: "mdadm", Args: append(args, places(a, devices)...)})
	if err != nil {
		return fmt.Errorf("cannot make array %s: %w", node, err)
	}
	return nil
}

// stepIn gives the slots of missing members to spares, as md would at once.
func stepIn(a machine.Array) machine.Array {
	a.Members = slices.Clone(a.Members)
	for slot := range a.Slots {
		if slices.ContainsFunc(a.Members, func(m machine.ArrayMember) bool { return m.Slot == slot }) {
			continue
		}
		if i := slices.IndexFunc(a.Members, func(m machine.ArrayMember) bool { return m.Slot < 0 }); i >= 0 {
			a.Members[i].Slot, a.Members[i].WriteMostly = slot, false
		}
	}
	return a
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
// Which are write-mostly is said later: with --create that would hold for all
// that follow, and mdadm 4.2 makes a spare among them a failed one.
func places(a machine.Array, devices []string) []string {
	var args []string
	for slot := range a.Slots {
		i := slices.IndexFunc(a.Members, func(m machine.ArrayMember) bool { return m.Slot == slot })
		if i < 0 {
			args = append(args, Missing)
		} else {
			args = append(args, devices[i])
		}
	}
	for i, m := range a.Members {
		if m.Slot < 0 {
			args = append(args, devices[i])
		}
	}
	return args
}

// SetWriteMostly says of a member of a running array that it is read only when
// no other can be. sys is /sys; array and member are kernel names.
func SetWriteMostly(sys, array, member string) error {
	f := filepath.Join(sys, "block", array, "md", "dev-"+member, "state")
	if err := os.WriteFile(f, []byte("writemostly\n"), 0); err != nil {
		return fmt.Errorf("cannot make %s of array %s write-mostly: %w", member, array, err)
	}
	return nil
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
