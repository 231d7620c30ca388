package machine

import (
	"fmt"
	"strings"

	"github.com/mkcdrec/mkcdrec/internal/wording"
)

// layer writes the tree of what lies between disks and file systems.
func (d *describer) layer(l Layer) {
	switch {
	case l.Array != nil:
		d.array(l.Array)
	case l.Crypt != nil:
		d.crypt(l.Crypt)
	default:
		d.group(l.Group)
	}
}

func (d *describer) array(a *Array) {
	var on []string
	spares := 0
	for _, m := range a.Members {
		on = append(on, m.On.Body())
		if m.Slot < 0 {
			spares++
		}
	}
	what := a.Level + " on " + strings.Join(on, " ")
	state := ""
	if n := a.Missing(); n > 0 {
		state = fmt.Sprintf("DEGRADED: %s missing", wording.Count(n, "member"))
	}
	spare := ""
	if spares > 0 {
		spare = wording.Count(spares, "spare")
	}
	chunk := ""
	if a.Chunk > 0 {
		chunk = Human(a.Chunk) + " chunks"
	}
	d.title(a.Path, a.Size, join(", ", state, what, spare, chunk, "metadata "+a.Metadata))
	if a.Table != nil {
		d.partitions(&a.Disk)
		return
	}
	d.node("└─ ", "whole array", a.Size, ArrayRef(a.Name), d.onDevice(ArrayRef(a.Name), ""))
}

func (d *describer) crypt(c *Crypt) {
	tokens := ""
	if len(c.Tokens) > 0 {
		tokens = "tokens " + strings.Join(c.Tokens, " ")
	}
	d.title(c.Name, c.Size, join(", ", fmt.Sprintf("LUKS%d on %s", c.Version, c.On.Body()), c.Cipher, wording.Count(c.Slots, "key slot"), tokens))
	d.node("└─ ", "decrypted", c.Size, CryptRef(c.Name), d.onDevice(CryptRef(c.Name), ""))
}

func (d *describer) group(g *VolumeGroup) {
	var size, free Bytes
	var on []string
	for _, p := range g.Physical {
		size += p.Size
		free += p.Free
		on = append(on, p.On.Body())
	}
	d.title(g.Name, size, join(", ", "LVM volume group on "+strings.Join(on, " "), Human(free)+" free"))
	for i, l := range g.Logical {
		branch := "├─ "
		if i == len(g.Logical)-1 {
			branch = "└─ "
		}
		what := d.onDevice(LVRef(g.Name, l.Name), "")
		what.note = join(", ", l.note(), what.note)
		if l.Pool != nil {
			what.kind, what.note = "pool", l.note()
		}
		d.node(branch, l.Name, l.Size, LVRef(g.Name, l.Name), what)
	}
}

// heldByLayer says of a device which layer it is a part of.
func heldByLayer(l Layer, r Ref) held {
	switch {
	case l.Array != nil:
		h := held{kind: "RAID", where: l.Array.Name}
		for _, m := range l.Array.Members {
			if m.On == r && m.Slot < 0 {
				h.note = "spare"
			}
		}
		return h
	case l.Crypt != nil:
		return held{kind: "LUKS", where: l.Crypt.Name}
	}
	return held{kind: "LVM", where: l.Group.Name}
}

// note says what a volume is, where it is more than linear.
func (lv LogicalVolume) note() string {
	switch {
	case lv.Kind == "linear":
		return ""
	case lv.Kind == "striped":
		return wording.Count(lv.Stripes, "stripe")
	case lv.Kind == ThinKind:
		return "thin in " + lv.In
	case lv.Pool != nil && lv.Pool.Data == "linear":
		return "for thin volumes, " + Human(lv.Pool.Chunk) + " chunks"
	case lv.Pool != nil:
		return "for thin volumes, " + lv.Pool.Data + ", " + Human(lv.Pool.Chunk) + " chunks"
	}
	return fmt.Sprintf("%s on %d members", lv.Kind, lv.Legs())
}

// over says what a file system over several devices is made of; "" for others.
func (fs *FileSystem) over() string {
	if len(fs.Devices) == 0 {
		return ""
	}
	state := ""
	if fs.Missing > 0 {
		state = fmt.Sprintf("DEGRADED: %s missing", wording.Count(fs.Missing, "device"))
	}
	data, meta := fs.Options[DataProfile], fs.Options[MetadataProfile]
	how := data
	if data != meta && meta != "" {
		how = join(", ", data, "metadata "+meta)
	}
	return join(", ", state, join(" ", how, fmt.Sprintf("over %d", len(fs.Devices))))
}
