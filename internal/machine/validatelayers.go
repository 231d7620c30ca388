package machine

import (
	"slices"
	"strings"
)

// The md levels that the model knows, with the least number of members.
var levels = map[string]int{"linear": 1, "raid0": 1, "raid1": 1, "raid4": 2, "raid5": 2, "raid6": 4, "raid10": 2}

func (v *validator) arrays() {
	for i := range v.m.Arrays {
		a := &v.m.Arrays[i]
		what := "array " + a.Name
		switch {
		case a.Name == "" || strings.Contains(a.Name, "/"):
			v.bad("array %d has the name %q", i+1, a.Name)
		case v.m.Disk(a.Name) != nil || v.m.Array(a.Name) != a:
			// A name that means two devices would make every guard by name a lie.
			v.bad("%s has the name of another array or disk", what)
		}
		least, known := levels[a.Level]
		if !known || a.Slots < least || a.Slots > 4096 {
			v.bad("%s is of level %q with %d members", what, a.Level, a.Slots)
		}
		if a.Size < 1 || a.LogicalSector < 512 || a.LogicalSector > 65536 || a.LogicalSector&(a.LogicalSector-1) != 0 {
			v.bad("%s has %d bytes in sectors of %d", what, a.Size, a.LogicalSector)
			continue
		}
		if a.Component < 0 || a.Chunk < 0 || known && a.Level != "linear" && a.Level != "raid0" && a.Capacity(a.Component) < a.Size {
			v.bad("%s has %d bytes, and its members hold %d", what, a.Size, a.Capacity(a.Component))
		}
		if a.Offset < 0 || a.Offset%512 != 0 || a.Policy != "" && (a.Policy != "ppl" || a.Level != "raid5" || a.Bitmap != "") {
			v.bad("%s begins at byte %d of its members, and has the policy %q", what, a.Offset, a.Policy)
		}
		v.members(a)
		v.unique(a.UUID, what)
		if a.Table != nil {
			v.table(&a.Disk)
		}
	}
}

func (v *validator) members(a *Array) {
	what := "array " + a.Name
	slots := map[int]bool{}
	for _, m := range a.Members {
		// The comparison is written so that no sum can overflow.
		if dev, ok := v.resolve(what, m.On); ok && (a.Component > dev.Size || a.Offset > dev.Size-a.Component) {
			v.bad("%s uses %d bytes from %d of %s, which has %d", what, a.Component, a.Offset, m.On, dev.Size)
		}
		v.put(m.On, "a member of "+what)
		if m.Slot >= a.Slots || m.Slot < -1 || m.Slot >= 0 && slots[m.Slot] {
			v.bad("%s has %s in slot %d of %d, or two there", what, m.On, m.Slot, a.Slots)
		}
		slots[m.Slot] = true
	}
	if a.Missing() > a.Redundant() {
		v.bad("%s lacks %d of %d members", what, a.Missing(), a.Slots)
	}
}

func (v *validator) crypts() {
	seen := map[string]bool{}
	for i := range v.m.Crypts {
		c := &v.m.Crypts[i]
		what := "encrypted device " + c.Name
		if c.Name == "" || strings.ContainsAny(c.Name, "/ ") || c.Name == "control" || seen[c.Name] {
			v.bad("encrypted device %q occurs twice, or has no valid name", c.Name)
		}
		seen[c.Name] = true
		if c.Version != 1 && c.Version != 2 {
			v.bad("%s is LUKS%d", what, c.Version)
		}
		if !slices.Contains([]Bytes{0, 512, 1024, 2048, 4096}, c.SectorSize) {
			v.bad("%s has sectors of %d bytes", what, c.SectorSize)
		}
		dev, ok := v.resolve(what, c.On)
		// The comparison is written so that no sum can overflow.
		if ok && (c.Size < 1 || c.Offset < 0 || c.Offset > dev.Size || c.Size > dev.Size-c.Offset) {
			v.bad("%s has %d bytes from %d, its device %d", what, c.Size, c.Offset, dev.Size)
		}
		v.put(c.On, what)
		v.unique(c.UUID, what)
	}
}
