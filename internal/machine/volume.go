package machine

import (
	"math"
	"slices"
	"strings"
)

// VolumeGroup is an LVM volume group.
type VolumeGroup struct {
	Name       string           `json:"name"`
	UUID       string           `json:"uuid"`
	ExtentSize Bytes            `json:"extent_size"`
	Tags       []string         `json:"tags,omitempty"`
	Physical   []PhysicalVolume `json:"physical"`
	Logical    []LogicalVolume  `json:"logical"`
	// Spare is the size of the volume that LVM keeps free to repair the
	// metadata of a thin pool into; 0 where there is none.
	Spare Bytes `json:"spare,omitempty"`
}

// PhysicalVolume is one member of a volume group.
type PhysicalVolume struct {
	On   Ref    `json:"on"`
	UUID string `json:"uuid"`
	Size Bytes  `json:"size"`
	Free Bytes  `json:"free,omitempty"`
	// Start is where the first extent begins; 0: where LVM puts it by itself.
	Start Bytes    `json:"start,omitempty"`
	Tags  []string `json:"tags,omitempty"`
}

// The kinds of logical volumes beside those that are called after how their
// data lie: linear, striped, mirror, and raid0 to raid10 as lvs(8) names them.
const (
	ThinPoolKind = "thin-pool"
	ThinKind     = "thin"
)

// LogicalVolume is a logical volume. Stripes to Devices say how its data lie
// on the members of the group; of a thin pool those of the pool; a thin volume
// has none of its own.
type LogicalVolume struct {
	Name string `json:"name"`
	UUID string `json:"uuid"`
	// Size is what is seen of it. That of a thin volume is only promised.
	Size Bytes  `json:"size"`
	Kind string `json:"kind"`
	// Stripes is over how many devices the data are spread, redundancy not
	// counted: striped, raid0, raid4 and above.
	Stripes    int   `json:"stripes,omitempty"`
	StripeSize Bytes `json:"stripe_size,omitempty"`
	// Mirrors is how many copies there are beside the first: mirror, raid1, raid10.
	Mirrors int `json:"mirrors,omitempty"`
	// RegionSize is the unit in which copies are brought in step: mirror, raid1 and above.
	RegionSize Bytes `json:"region_size,omitempty"`
	// Log is where a volume of the kind mirror notes which regions are in step: core, disk.
	Log  string   `json:"log,omitempty"`
	Tags []string `json:"tags,omitempty"`
	// Devices are the physical volumes that hold it, where that matters.
	Devices []Ref `json:"devices,omitempty"`

	Pool *ThinPool `json:"thin_pool,omitempty"` // of a thin pool
	In   string    `json:"in,omitempty"`        // of a thin volume: its pool
}

// ThinPool is what a thin pool is beside the volume of its data (lvmthin(7)).
type ThinPool struct {
	Data     string       `json:"data"` // how its data lie: linear, striped, raid1 ...
	Metadata PoolMetadata `json:"metadata"`
	Chunk    Bytes        `json:"chunk"`
	Discards string       `json:"discards"` // passdown, nopassdown, ignore
	// Zero says that new chunks are zeroed before they are used.
	Zero bool `json:"zero"`
	// ErrorWhenFull says that a full pool fails writes at once, and does not
	// let them wait for more space.
	ErrorWhenFull bool `json:"error_when_full,omitempty"`
}

// PoolMetadata is the volume with the metadata of a thin pool.
type PoolMetadata struct {
	Size       Bytes  `json:"size"`
	Kind       string `json:"kind"` // linear, raid1
	Mirrors    int    `json:"mirrors,omitempty"`
	RegionSize Bytes  `json:"region_size,omitempty"`
	Devices    []Ref  `json:"devices,omitempty"`
}

// layouts are the ways in which data may lie, by what lvs(8) calls them up to
// the first underscore (raid5_la), each with whether it has stripes, copies,
// and how many devices hold parity.
var layouts = map[string]struct {
	striped, copied bool
	parity          int
}{
	"linear": {}, "striped": {striped: true}, "raid0": {striped: true}, "mirror": {copied: true}, "raid1": {copied: true},
	"raid4": {striped: true, parity: 1}, "raid5": {striped: true, parity: 1}, "raid6": {striped: true, parity: 2}, "raid10": {striped: true, copied: true},
}

// Layout is how the data of a volume lie: linear, striped, mirror, raid0 ...
// without the variant behind an underscore. "" for a thin volume, which lies
// in its pool, and for what is not known.
func (lv LogicalVolume) Layout() string {
	kind := lv.Kind
	if lv.Pool != nil {
		kind = lv.Pool.Data
	}
	kind, _, _ = strings.Cut(kind, "_")
	if _, ok := layouts[kind]; !ok {
		return ""
	}
	return kind
}

// Parts are the volumes that take space for a volume: itself, of a thin pool
// the volumes of its data and of its metadata, of a thin volume none.
func (lv LogicalVolume) Parts() []LogicalVolume {
	if lv.Kind == ThinKind {
		return nil
	}
	if lv.Pool == nil {
		return []LogicalVolume{lv}
	}
	data, md := lv, lv.Pool.Metadata
	data.Kind, data.Pool, data.Tags = lv.Pool.Data, nil, nil
	return []LogicalVolume{data, {Kind: md.Kind, Size: md.Size, Mirrors: md.Mirrors, RegionSize: md.RegionSize, Devices: md.Devices}}
}

// Legs is how many physical volumes a volume lies on at least, each on one of
// its own: those of its stripes, copies and parity. 0 for a thin volume.
func (lv LogicalVolume) Legs() int {
	l, ok := layouts[lv.Layout()]
	if !ok {
		return 0
	}
	n := 1
	if l.striped {
		n = max(lv.Stripes, 1)
	}
	if l.copied {
		n *= max(lv.Mirrors, 0) + 1
	}
	return n + l.parity
}

// Redundant says that the volume survives the loss of a physical volume.
func (lv LogicalVolume) Redundant() bool {
	l := layouts[lv.Layout()]
	return l.copied || l.parity > 0
}

// Leg is what a volume of that size takes of each physical volume that it lies
// on, in whole extents. Of what has more than one leg it includes the notes of
// LVM about it.
func (lv LogicalVolume) Leg(extent Bytes) Bytes {
	data := lv.Size
	if layouts[lv.Layout()].striped {
		data /= Bytes(max(lv.Stripes, 1))
	}
	data = upTo(data, extent)
	layout := lv.Layout()
	if strings.HasPrefix(layout, "raid") && (layout != "raid0" || strings.HasSuffix(lv.Kind, "_meta")) {
		// A superblock, and one bit for each region (dm-raid, "rmeta").
		bits := Bytes(0)
		if lv.RegionSize > 0 {
			bits = data / lv.RegionSize / 8
		}
		data += upTo(8192+bits, extent)
	}
	return data
}

// Takes is what a volume takes of its group, redundancy and metadata included.
func (lv LogicalVolume) Takes(extent Bytes) Bytes {
	var n Bytes
	for _, p := range lv.Parts() {
		n += p.Leg(extent) * Bytes(p.Legs())
		if p.Kind == "mirror" && p.Log == "disk" {
			n += extent
		}
	}
	return n
}

// Extent is the size of the group's extents.
func (g *VolumeGroup) Extent() Bytes {
	if g.ExtentSize > 0 {
		return g.ExtentSize
	}
	return 4 << 20
}

// Takes is what all volumes of the group take together.
func (g *VolumeGroup) Takes() Bytes {
	n := g.Spare
	for _, lv := range g.Logical {
		if n += lv.Takes(g.Extent()); n < 0 {
			return math.MaxInt64 // a layout that was tampered with
		}
	}
	return n
}

// ThinIn are the thin volumes of a pool.
func (g *VolumeGroup) ThinIn(pool string) []LogicalVolume {
	var out []LogicalVolume
	for _, lv := range g.Logical {
		if lv.Kind == ThinKind && lv.In == pool {
			out = append(out, lv)
		}
	}
	return out
}

// pinned are the only devices that a volume lies on, or none where it may lie
// on every member of its group. A thin volume lies where its pool does.
func (g *VolumeGroup) pinned(lv LogicalVolume) []Ref {
	if lv.Kind == ThinKind {
		pool := g.Volume(lv.In)
		if pool == nil || pool.Kind == ThinKind {
			return nil
		}
		lv = *pool
	}
	var out []Ref
	for _, p := range lv.Parts() {
		if len(p.Devices) == 0 {
			return nil
		}
		for _, r := range p.Devices {
			// What is no member cannot hold it: guards go by this, and a plan may
			// have been tampered with.
			if !slices.ContainsFunc(g.Physical, func(pv PhysicalVolume) bool { return pv.On == r }) {
				return nil
			}
			out = append(out, r)
		}
	}
	return out
}

// Order is the order in which the volumes of the group can be made: first those
// that need several physical volumes, then those that lie on certain ones, so
// that what may lie anywhere takes no room from them; thin volumes last.
func (g *VolumeGroup) Order() []LogicalVolume {
	rank := func(lv LogicalVolume) int {
		switch {
		case lv.Kind == ThinKind:
			return 3
		case slices.ContainsFunc(lv.Parts(), func(p LogicalVolume) bool { return p.Legs() > 1 }):
			return 0
		case len(lv.Devices) > 0:
			return 1
		}
		return 2
	}
	out := slices.Clone(g.Logical)
	slices.SortStableFunc(out, func(a, b LogicalVolume) int { return rank(a) - rank(b) })
	return out
}

func upTo(b, unit Bytes) Bytes {
	if unit <= 0 {
		return b
	}
	return (b + unit - 1) / unit * unit
}
