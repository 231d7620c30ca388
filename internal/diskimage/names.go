package diskimage

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/mkcdrec/mkcdrec/internal/fail"
	"github.com/mkcdrec/mkcdrec/internal/machine"
	"github.com/mkcdrec/mkcdrec/internal/system"
	"github.com/mkcdrec/mkcdrec/internal/tool/lvm"
	"github.com/mkcdrec/mkcdrec/internal/tool/mdadm"
)

// Names are those that this machine uses now, and of which the kernel or its
// programs cannot have two.
type Names struct {
	Groups   []lvm.Group // with their names and UUIDs
	Physical []string    // UUIDs of physical volumes
	Mappers  []string    // names of device mapper
	Crypts   []string    // UUIDs of open LUKS devices, without hyphens
	Arrays   []Array
	Btrfs    []string // UUIDs of mounted btrfs
}

// Array is an md array that this machine has.
type Array struct{ Name, UUID, Label string }

// Used asks this machine. Only what the recorded machine has is asked for: a
// machine without LVM needs no lvm here. An error means that it is not known.
func Used(ctx context.Context, r system.Runner, sys string, recorded machine.Machine) (Names, error) {
	var n Names
	if len(recorded.VolumeGroups) > 0 {
		rep, err := lvm.Read(ctx, r)
		if err != nil {
			return n, fail.New(fail.Unsupported, "cannot see which volume groups this machine has: %w", err)
		}
		n.Groups = rep.Groups
		for _, p := range rep.Physical {
			n.Physical = append(n.Physical, p.UUID)
		}
	}
	maps, _ := filepath.Glob(filepath.Join(sys, "block/dm-*/dm"))
	for _, dir := range maps {
		n.Mappers = append(n.Mappers, text(filepath.Join(dir, "name")))
		if f := strings.SplitN(text(filepath.Join(dir, "uuid")), "-", 4); len(f) == 4 && f[0] == "CRYPT" {
			n.Crypts = append(n.Crypts, f[2])
		}
	}
	arrays, _ := filepath.Glob(filepath.Join(sys, "block/md*/md"))
	for _, dir := range arrays {
		name := filepath.Base(filepath.Dir(dir))
		a := Array{Name: name}
		if len(recorded.Arrays) > 0 {
			e, err := mdadm.Export(ctx, r, "/dev/"+name)
			if err != nil {
				return n, fail.New(fail.Unsupported, "cannot see which array %s is: %w", name, err)
			}
			a.UUID, a.Label = e.UUID, e.Name
		}
		n.Arrays = append(n.Arrays, a)
	}
	mounted, _ := os.ReadDir(filepath.Join(sys, "fs/btrfs"))
	for _, e := range mounted {
		if strings.Count(e.Name(), "-") == 4 {
			n.Btrfs = append(n.Btrfs, e.Name())
		}
	}
	return n, nil
}

func text(file string) string {
	b, _ := os.ReadFile(file)
	return strings.TrimSpace(string(b))
}

// Clash refuses a machine of which something has a name or UUID that is in use
// here: programs of both would take one for the other.
func Clash(m machine.Machine, n Names) error {
	var found []string
	say := func(format string, args ...any) { found = append(found, fmt.Sprintf(format, args...)) }
	for _, g := range m.VolumeGroups {
		for _, h := range n.Groups {
			if h.Name == g.Name {
				say("volume group %s", g.Name)
			} else if g.UUID != "" && h.UUID == g.UUID {
				say("the UUID of volume group %s, which is %s here", g.Name, h.Name)
			}
		}
		for _, p := range g.Physical {
			if p.UUID != "" && slices.Contains(n.Physical, p.UUID) {
				say("the physical volume %s of %s", p.UUID, g.Name)
			}
		}
		for _, v := range g.Logical {
			if name := filepath.Base(machine.MapperPath(g.Name, v.Name)); slices.Contains(n.Mappers, name) {
				say("the mapped device %s", name)
			}
		}
	}
	for _, c := range m.Crypts {
		switch {
		case slices.Contains(n.Mappers, c.Name):
			say("the mapped device %s", c.Name)
		case c.UUID != "" && slices.ContainsFunc(n.Crypts, func(u string) bool { return strings.EqualFold(u, strings.ReplaceAll(c.UUID, "-", "")) }):
			say("the encrypted device of UUID %s", c.UUID)
		}
	}
	for _, a := range m.Arrays {
		for _, h := range n.Arrays {
			if a.UUID != "" && strings.EqualFold(a.UUID, h.UUID) || a.Label != "" && a.Label == h.Label {
				say("array %s (here %s)", a.Name, h.Name)
			}
		}
	}
	for _, f := range m.FileSystems {
		if f.Kind == "btrfs" && slices.ContainsFunc(n.Btrfs, func(u string) bool { return strings.EqualFold(u, f.UUID) }) {
			say("the mounted btrfs %s", f.UUID)
		}
	}
	if len(found) == 0 {
		return nil
	}
	return fail.Hint(fail.New(fail.Refused, "this machine uses what the image will hold under the same name: %s; there cannot be two of it", strings.Join(found, ", ")),
		"make the image on another machine, in a virtual machine, or in the rescue system")
}

// Twins are the file systems of m that are mounted here under the same UUID,
// by their mount points here: names by UUID mean both of them until the image
// is made. ext4 and xfs get on with that.
func Twins(m, here machine.Machine) []string {
	var out []string
	for _, f := range m.FileSystems {
		for _, h := range here.FileSystems {
			if mt := here.MountsOn(h.On); f.UUID != "" && strings.EqualFold(f.UUID, h.UUID) && len(mt) > 0 {
				out = append(out, mt[0].Target)
			}
		}
	}
	slices.Sort(out)
	return slices.Compact(out)
}
