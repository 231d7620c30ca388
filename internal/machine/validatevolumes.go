package machine

func (v *validator) groups() {
	seen := map[string]bool{}
	for i := range v.m.VolumeGroups {
		g := &v.m.VolumeGroups[i]
		if g.Name == "" || seen[g.Name] {
			v.bad("volume group %q occurs twice, or has no name", g.Name)
		}
		seen[g.Name] = true
		if g.ExtentSize < 1 || g.Spare < 0 || g.Spare > maxVolume {
			v.bad("volume group %s has extents of %d bytes, and %d of spare metadata", g.Name, g.ExtentSize, g.Spare)
			continue
		}
		var room Bytes
		for _, p := range g.Physical {
			// The comparison is written so that no sum can overflow.
			if dev, ok := v.resolve("volume group "+g.Name, p.On); ok && (p.Size > dev.Size || p.Start < 0 || p.Start > dev.Size-p.Size) {
				v.bad("volume group %s uses %d bytes from %d of %s, which has %d", g.Name, p.Size, p.Start, p.On, dev.Size)
			}
			v.put(p.On, "a physical volume of "+g.Name)
			room += p.Size
		}
		if v.volumes(g) {
			if need := g.Takes(); need > room {
				v.bad("the volumes of group %s take %d bytes together, the group has %d", g.Name, need, room)
			}
		}
	}
}

// maxVolume keeps what a volume takes with all its copies below what an
// integer holds; maxThin is what may be promised.
const (
	maxVolume = Bytes(1) << 53
	maxThin   = Bytes(1) << 60
)

// volumes says whether each volume of a group is sound in itself.
func (v *validator) volumes(g *VolumeGroup) bool {
	before := len(v.problems)
	lvs := map[string]bool{}
	for _, l := range g.Logical {
		what := string(LVRef(g.Name, l.Name))
		if l.Name == "" || lvs[l.Name] {
			v.bad("%s occurs twice, or has no name", what)
		}
		lvs[l.Name] = true
		if l.Size < 1 || l.Size > maxThin {
			v.bad("%s has %d bytes", what, l.Size)
		}
		switch {
		case (l.Kind == ThinPoolKind) != (l.Pool != nil):
			v.bad("%s is %s, and whether it is a thin pool contradicts itself", what, l.Kind)
		case l.Kind == ThinKind:
			if p := g.Volume(l.In); p == nil || p.Pool == nil {
				v.bad("%s is thin, in %q, which is no pool of its group", what, l.In)
			}
		case l.In != "":
			v.bad("%s is %s, and lies in the pool %s", what, l.Kind, l.In)
		default:
			v.layout(g, what, l)
		}
		for _, p := range l.Parts() {
			for _, r := range p.Devices {
				if m, ok := v.resolve(what, r); ok && v.m.GroupOn(m.Ref) != g {
					v.bad("%s lies on %s, which is no member of its group", what, r)
				}
			}
		}
	}
	return len(v.problems) == before
}

// layout checks how the data of a volume lie, and of a thin pool its metadata.
func (v *validator) layout(g *VolumeGroup, what string, l LogicalVolume) {
	const most = 255 // lvcreate(8) makes no more stripes or copies
	for _, p := range l.Parts() {
		kind, ok := layouts[p.Layout()]
		switch {
		case !ok:
			v.bad("%s is %s, which is not known", what, p.Kind)
		case p.Size < 1 || p.Size > maxVolume || p.StripeSize < 0 || p.RegionSize < 0 || p.Stripes < 0 || p.Stripes > most || p.Mirrors < 0 || p.Mirrors > most:
			v.bad("%s has %d bytes in %d stripes of %d, %d copies more, regions of %d", what, p.Size, p.Stripes, p.StripeSize, p.Mirrors, p.RegionSize)
		case kind.copied && p.Mirrors < 1 || (p.Layout() == "striped" || kind.parity > 0) && p.Stripes < 2 || p.Legs() > len(g.Physical):
			v.bad("%s is %s over %d of %d physical volumes", what, p.Kind, p.Legs(), len(g.Physical))
		}
	}
	if p := l.Pool; p != nil {
		// lvmthin(7), "Chunk size", "Metadata".
		if p.Chunk < 64<<10 || p.Chunk > 1<<30 || p.Chunk%(64<<10) != 0 || p.Metadata.Size > 16<<30 {
			v.bad("the thin pool %s has chunks of %d bytes, and %d of metadata", what, p.Chunk, p.Metadata.Size)
		}
		if p.Discards != "passdown" && p.Discards != "nopassdown" && p.Discards != "ignore" {
			v.bad("the thin pool %s has discards %q", what, p.Discards)
		}
	}
}
