// Package mdadm knows md RAID arrays: what the kernel says of them in sysfs
// (md(4), Documentation/admin-guide/md.rst) and mdadm(8) in its --export form,
// and the commands that make, start and stop them.
package mdadm

import (
	"context"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"sort"
	"strconv"
	"strings"

	"github.com/mkcdrec/mkcdrec/internal/machine"
	"github.com/mkcdrec/mkcdrec/internal/system"
)

// Exported is what only the superblock says of an array that runs.
type Exported struct {
	UUID    string // four groups of eight hex digits
	Name    string // "host:root"; "" with metadata 0.90
	DevName string // "root" where it is known as /dev/md/root
}

// Export runs mdadm --detail --export on an array.
func Export(ctx context.Context, r system.Runner, device string) (Exported, error) {
	res, err := r.Run(ctx, system.Command{Name: "mdadm", Args: []string{"--detail", "--export", device}})
	if err != nil {
		return Exported{}, fmt.Errorf("cannot read the superblock of array %s: %w", device, err)
	}
	return parseExport(res.Stdout), nil
}

func parseExport(b []byte) Exported {
	var e Exported
	fields := map[string]*string{"MD_UUID": &e.UUID, "MD_NAME": &e.Name, "MD_DEVNAME": &e.DevName}
	for line := range strings.Lines(string(b)) {
		key, value, ok := strings.Cut(strings.TrimSuffix(line, "\n"), "=")
		if f := fields[key]; ok && f != nil {
			*f = value
		}
	}
	return e
}

// State is an array as the kernel has it.
type State struct {
	Array    string // clean, active, readonly, inactive ...
	Level    string // raid1 ...; "" for a container
	Metadata string // 1.2; "external:..." for imsm and ddf
	Slots    int
	Chunk    machine.Bytes
	Layout   string // as machine.Array has it
	// Component is how much of each member is used; 0 for raid0 and linear.
	Component machine.Bytes
	Bitmap    string // "", internal, clustered, or the name of a file
	Policy    string // none, resync, bitmap, journal, ppl, unknown
	Reshaping bool
	Devices   []Device // by slot, then those without
}

// Device is one device of an array.
type Device struct {
	Name   string // kernel name
	Slot   int    // -1 for none
	Offset machine.Bytes
	Flags  []string // in_sync, faulty, spare, write_mostly, journal, replacement ...
}

// Is says whether a device has a flag.
func (d Device) Is(flag string) bool { return slices.Contains(d.Flags, flag) }

// ReadState reads /sys/block/NAME/md. What an array does not have is empty; the
// error names a number that cannot be read.
func ReadState(md fs.FS) (State, error) {
	text := func(name string) string {
		b, err := fs.ReadFile(md, name)
		if err != nil {
			return ""
		}
		return strings.TrimSpace(string(b))
	}
	var bad error
	num := func(name string) int64 {
		t := text(name)
		n, err := strconv.ParseInt(t, 10, 64)
		if err != nil && t != "" && bad == nil {
			bad = fmt.Errorf("cannot understand the state of an array: %s is %q", name, t)
		}
		return n
	}
	s := State{
		Array: text("array_state"), Level: text("level"), Metadata: text("metadata_version"),
		Chunk: machine.Bytes(num("chunk_size")), Component: machine.Bytes(num("component_size")) << 10, Policy: text("consistency_policy"),
	}
	// While an array is reshaped, both numbers are shown: "4 (3)".
	disks, was, _ := strings.Cut(text("raid_disks"), " ")
	s.Slots, _ = strconv.Atoi(disks)
	s.Reshaping = was != "" || text("reshape_position") != "none" && text("reshape_position") != ""
	if !s.Reshaping {
		s.Layout = layout(s.Level, int(num("layout")))
	}
	if loc := text("bitmap/location"); loc != "none" && loc != "" {
		s.Bitmap = "internal"
		if loc[0] != '+' && loc[0] != '-' {
			s.Bitmap = loc
		}
		if text("bitmap/metadata") == "clustered" {
			s.Bitmap = "clustered"
		}
	}
	dirs, err := fs.Glob(md, "dev-*")
	if err != nil {
		return s, err
	}
	for _, dir := range dirs {
		d := Device{Name: strings.TrimPrefix(dir, "dev-"), Slot: -1, Offset: machine.Bytes(num(path.Join(dir, "offset"))) * 512}
		if slot := text(path.Join(dir, "slot")); slot != "none" && slot != "" && slot != "journal" {
			d.Slot = int(num(path.Join(dir, "slot")))
		}
		for f := range strings.SplitSeq(text(path.Join(dir, "state")), ",") {
			if f != "" {
				d.Flags = append(d.Flags, f)
			}
		}
		s.Devices = append(s.Devices, d)
	}
	sort.SliceStable(s.Devices, func(i, j int) bool {
		a, b := s.Devices[i].Slot, s.Devices[j].Slot
		return a != b && b < 0 && a >= 0 || a >= 0 && b >= 0 && a < b
	})
	return s, bad
}

// Layouts of parity by the kernel's number (drivers/md/raid5.h).
var parity = map[int]string{
	0: "left-asymmetric", 1: "right-asymmetric", 2: "left-symmetric", 3: "right-symmetric", 4: "parity-first", 5: "parity-last",
}

// sixth are those that only raid6 has.
var sixth = map[int]string{
	8: "ddf-zero-restart", 9: "ddf-N-restart", 10: "ddf-N-continue", 16: "left-asymmetric-6", 17: "right-asymmetric-6",
	18: "left-symmetric-6", 19: "right-symmetric-6", 20: "parity-first-6",
}

// layout is the name of a layout, or its number where there is none.
func layout(level string, n int) string {
	switch level {
	case "raid5", "raid6":
		name := parity[n]
		if name == "" && level == "raid6" {
			name = sixth[n]
		}
		if name == "" {
			name = strconv.Itoa(n)
		}
		return name
	case "raid10":
		near, far, offset := n&0xff, n>>8&0xff, n&(1<<16) != 0
		switch {
		case offset && near == 1:
			return fmt.Sprintf("offset=%d", far)
		case !offset && far == 1:
			return fmt.Sprintf("near=%d", near)
		case !offset && near == 1:
			return fmt.Sprintf("far=%d", far)
		}
		return strconv.Itoa(n) // mdadm cannot make it
	}
	return ""
}
