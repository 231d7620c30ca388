package inspect

import (
	"fmt"
	"slices"
	"strings"

	"github.com/mkcdrec/mkcdrec/internal/machine"
	"github.com/mkcdrec/mkcdrec/internal/snapshot"
	"github.com/mkcdrec/mkcdrec/internal/tool/lvm"
	"github.com/mkcdrec/mkcdrec/internal/wording"
)

// logical records the volumes of a group: pools before what lies in them. A
// volume that cannot be made again is a finding.
func (in *inspector) logical(g *machine.VolumeGroup, rep lvm.Report) {
	var thin []lvm.Segment
	seen := map[string]bool{}
	for _, s := range rep.Segments {
		if s.Group != g.Name || seen[s.Volume] {
			continue
		}
		seen[s.Volume] = true
		finding := "lvm:" + g.Name + "/" + s.Volume
		switch {
		case snapshot.IsVolume(s.Volume, s.Origin, s.Tags):
			in.note(finding, "", "logical volume %s/%s is the snapshot of a backup that runs, or that was killed: the next one removes it", g.Name, s.Volume)
		case s.Type == machine.ThinKind:
			thin = append(thin, s)
		case s.Type == machine.ThinPoolKind:
			if lv, why := in.pool(g, rep, s); why != "" {
				in.blocking(finding, "take it out of the backup by this name; it must be made anew by hand", "the thin pool %s/%s cannot be recorded: %s", g.Name, s.Volume, why)
			} else {
				g.Logical = append(g.Logical, lv)
			}
		case s.Type == "cache-pool":
			in.note(finding, "", "logical volume %s/%s is a cache that caches nothing; it is not made again", g.Name, s.Volume)
		case snapshotted(s):
			in.oldSnapshot(finding, s)
		default:
			lv, why := in.laid(g, rep, rep.Of(g.Name, s.Volume))
			if why != "" {
				in.blocking(finding, cannotHelp(s.Type), "logical volume %s/%s %s", g.Name, s.Volume, why)
				continue
			}
			lv.Name, lv.UUID, lv.Tags = s.Volume, s.UUID, s.Tags
			g.Logical = append(g.Logical, lv)
			in.activeVolume(g.Name, s.Volume, s)
		}
	}
	for _, s := range thin {
		in.thin(g, rep, s)
	}
	for _, s := range rep.Parts {
		pool := func(lv machine.LogicalVolume) bool { return lv.Pool != nil }
		if s.Group == g.Name && strings.HasSuffix(s.Volume, "_pmspare") && slices.ContainsFunc(g.Logical, pool) {
			g.Spare = s.Size
		}
	}
}

// snapshotted says that a volume is a classic snapshot: what it is a snapshot
// of is called its origin, as is what a cached volume caches.
func snapshotted(s lvm.Segment) bool {
	return s.Origin != "" && s.Type != "cache" && s.Type != "writecache"
}

// oldSnapshot names a classic snapshot: it holds what differs from its origin
// only, and nothing brings that back.
func (in *inspector) oldSnapshot(finding string, s lvm.Segment) {
	todo := "remove the snapshot (lvremove %s/%s), or take it out of the backup by this name"
	if s.Open {
		todo = "copy what is needed of it to a volume of its own, or go back to it (lvconvert --merge %s/%s), or take it out of the backup by this name"
	}
	in.blocking(finding, fmt.Sprintf(todo, s.Group, s.Volume), "logical volume %s/%s is a snapshot of %s", s.Group, s.Volume, s.Origin)
}

// cannotHelp is what the administrator can do about a volume of a kind that
// cannot be made again.
func cannotHelp(kind string) string {
	const byName = "take it out of the backup by this name; it must be made anew by hand"
	switch {
	case strings.HasPrefix(kind, "vdo"):
		return "move its files to a volume without VDO, back them up as files on their own, or " + byName
	case strings.HasPrefix(kind, "raid"):
		return "take the integrity layer off (lvconvert --raidintegrity n), let a conversion end (lvs -o copy_percent), or " + byName
	}
	return byName
}

// thin records a thin volume. A snapshot that is in use is a volume like
// another one, with files of its own; one that is not is a copy of what its
// origin once was, and is left out.
func (in *inspector) thin(g *machine.VolumeGroup, rep lvm.Report, s lvm.Segment) {
	finding := "lvm:" + g.Name + "/" + s.Volume
	if p := g.Volume(s.Pool); p == nil || p.Pool == nil {
		in.blocking(finding, "take it out of the backup by this name; it must be made anew by hand", "logical volume %s/%s lies in the thin pool %q, which cannot be recorded", g.Name, s.Volume, s.Pool)
		return
	}
	if s.Origin != "" {
		of := rep.Of(g.Name, s.Origin)
		switch {
		case len(of) > 0 && (of[0].Type != machine.ThinKind || of[0].Pool != s.Pool):
			in.blocking(finding, "take its data into the pool (copy it to a volume without an external origin), or take it out of the backup by this name",
				"logical volume %s/%s has the external origin %s, which lies outside of its pool", g.Name, s.Volume, s.Origin)
			return
		case !s.Open:
			in.note(finding, "mount it to have its files in the backup", "logical volume %s/%s is a thin snapshot of %s that is not in use; it is not in the backup and not made again", g.Name, s.Volume, s.Origin)
			return
		}
		in.note(finding, "", "logical volume %s/%s is a thin snapshot of %s; it is made again as a volume of its own, and the blocks that both share need room twice", g.Name, s.Volume, s.Origin)
	}
	g.Logical = append(g.Logical, machine.LogicalVolume{Name: s.Volume, UUID: s.UUID, Size: s.Size, Kind: machine.ThinKind, Tags: s.Tags, In: s.Pool})
	in.activeVolume(g.Name, s.Volume, s)
}

// pool records a thin pool, or says why it cannot be.
func (in *inspector) pool(g *machine.VolumeGroup, rep lvm.Report, s lvm.Segment) (lv machine.LogicalVolume, why string) {
	data, md := rep.Of(g.Name, s.Data), rep.Of(g.Name, s.Metadata)
	if len(data) == 0 || len(md) == 0 {
		return lv, "lvs does not list the volumes that it consists of"
	}
	if lv, why = in.laid(g, rep, data); why != "" {
		return lv, "its data volume " + why
	}
	m, why := in.laid(g, rep, md)
	if why != "" {
		return lv, "its metadata volume " + why
	}
	p := &machine.ThinPool{
		Data: lv.Kind, Chunk: s.Chunk, Discards: s.Discards, Zero: s.Zero, ErrorWhenFull: s.FailOnFull,
		Metadata: machine.PoolMetadata{Size: m.Size, Kind: m.Kind, Mirrors: m.Mirrors, RegionSize: m.RegionSize, Devices: m.Devices},
	}
	if m.Kind != "linear" && m.Kind != "raid1" {
		in.note("lvm-metadata:"+g.Name+"/"+s.Volume, "", "the metadata of the thin pool %s/%s are %s; they are made linear", g.Name, s.Volume, m.Kind)
		p.Metadata = machine.PoolMetadata{Size: m.Size, Kind: "linear"}
	}
	lv.Name, lv.UUID, lv.Tags, lv.Kind, lv.Pool = s.Volume, s.UUID, s.Tags, machine.ThinPoolKind, p
	return lv, ""
}

// laid says how the segments of a volume lie on the members of its group;
// where that cannot be made again, why.
func (in *inspector) laid(g *machine.VolumeGroup, rep lvm.Report, segs []lvm.Segment) (lv machine.LogicalVolume, why string) {
	s := segs[0]
	if s.Type == "cache" || s.Type == "writecache" {
		in.note("cache:"+g.Name+"/"+s.Volume, "add a cache again after a restore (lvmcache(7))",
			"logical volume %s/%s is cached (%s); it is made again without the cache", g.Name, s.Volume, s.Type)
		if segs = rep.Of(g.Name, s.Origin); len(segs) == 0 {
			return lv, fmt.Sprintf("is cached, and lvs does not list what is (%s)", s.Origin)
		}
		return in.laid(g, rep, segs)
	}
	lv.Size, lv.Kind = s.Size, s.Type
	below := rep.Below(segs)
	for _, b := range below {
		if b.Type == "integrity" {
			return lv, "is " + s.Type + " with integrity data, which cannot be recorded"
		}
	}
	one := func(kind string) bool {
		return !slices.ContainsFunc(segs, func(o lvm.Segment) bool {
			return o.Type != kind || o.Stripes != s.Stripes || o.StripeSize != s.StripeSize
		})
	}
	lv.Devices = in.devices(below)
	switch {
	case slices.ContainsFunc(segs, func(o lvm.Segment) bool { return o.Type != "linear" && o.Type != "striped" }):
		if len(segs) > 1 || lv.Layout() == "" {
			return lv, "is of kind " + s.Type + ", which cannot be recorded"
		}
		if why := redundant(&lv, s); why != "" {
			return lv, why
		}
	case one("striped") && s.Stripes > 1:
		lv.Stripes, lv.StripeSize = s.Stripes, s.StripeSize
	default:
		if lv.Kind = "linear"; !one(s.Type) {
			in.note("lvm:"+g.Name+"/"+s.Volume, "", "logical volume %s/%s is striped in part only; it will be made linear", g.Name, s.Volume)
		}
	}
	if lv.Legs() > len(lv.Devices) {
		in.note("lvm:"+g.Name+"/"+s.Volume, "", "logical volume %s/%s is %s, and lies on %s only; it will be made linear",
			g.Name, s.Volume, s.Type, wording.Count(len(lv.Devices), "physical volume"))
		lv = machine.LogicalVolume{Size: s.Size, Kind: "linear", Devices: lv.Devices}
	}
	if lv.Kind == "linear" && len(lv.Devices) == len(g.Physical) {
		lv.Devices = nil // it may lie anywhere
	}
	return lv, ""
}

// redundant takes over stripes and copies of a volume of RAID or a mirror.
func redundant(lv *machine.LogicalVolume, s lvm.Segment) (why string) {
	lv.RegionSize = s.RegionSize
	switch lv.Layout() {
	case "raid1", "mirror":
		lv.Mirrors = s.Stripes - 1
	case "raid0":
		lv.Stripes, lv.StripeSize = s.Stripes, s.StripeSize
	case "raid10":
		copies := max(s.Copies, 2)
		lv.Mirrors, lv.Stripes, lv.StripeSize = copies-1, s.Stripes/copies, s.StripeSize
	default:
		lv.Stripes, lv.StripeSize = s.DataStripes, s.StripeSize
	}
	if lv.Layout() == "mirror" {
		if lv.Log = "core"; s.Log != "" {
			lv.Log = "disk"
		}
	}
	if lv.Legs() != s.Stripes || lv.Layout() != "raid0" && lv.Redundant() && (lv.Mirrors < 1 && lv.Stripes < 2) {
		return fmt.Sprintf("is %s of %d devices for the data of %d, on the way to another kind", s.Type, s.Stripes, s.DataStripes)
	}
	return ""
}

// devices are the physical volumes that segments lie on, each once.
func (in *inspector) devices(segs []lvm.Segment) []machine.Ref {
	var out []machine.Ref
	for _, s := range segs {
		for _, d := range s.Devices {
			if !strings.HasPrefix(d, "/") {
				continue
			}
			if n := in.byPath(d); n != nil && n.ref != "" && !slices.Contains(out, n.ref) {
				out = append(out, n.ref)
			}
		}
	}
	return out
}
