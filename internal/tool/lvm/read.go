// Package lvm knows lvm(8): reports in JSON, and the commands that make
// physical volumes, volume groups and logical volumes.
package lvm

import (
	"context"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"

	"github.com/mkcdrec/mkcdrec/internal/machine"
	"github.com/mkcdrec/mkcdrec/internal/system"
)

// Group is one line of vgs.
type Group struct {
	Name       string
	UUID       string
	ExtentSize machine.Bytes
	Size       machine.Bytes
	Tags       []string
	// Lock is how several machines share the group ("sanlock", "dlm"), System the
	// ID of the only one that may use it; both are "" for most.
	Lock, System string
}

// Physical is one line of pvs. Path is "[unknown]" for a volume whose device
// is not there; Group is "" for one in no volume group.
type Physical struct {
	Path, UUID, Group string
	Size, Free        machine.Bytes
	Start             machine.Bytes // of the first extent
	Tags              []string
}

// Segment is one line of lvs --segments: a volume has at least one.
type Segment struct {
	Volume, UUID, Group string
	Size                machine.Bytes // of the volume
	Type                string        // linear, striped, thin, thin-pool, cache, raid1, vdo ...
	Stripes             int           // devices, those with copies or parity included
	DataStripes, Copies int           // of RAID: without parity; how often the data are there
	StripeSize          machine.Bytes
	RegionSize          machine.Bytes // of copies
	Log                 string        // volume with the log of a mirror
	Tags                []string
	// Devices are paths, or names of volumes within the group, without the extent
	// in parentheses.
	Devices []string
	Origin  string // of a snapshot; of a cached volume what is cached
	Open    bool   // something has its device open

	Pool             string // of a thin volume
	Data, Metadata   string // of a pool: the volumes that it consists of
	Chunk            machine.Bytes
	Discards         string
	Zero, FailOnFull bool
}

// Report is everything that LVM says about this machine. Parts are the
// segments of volumes that others consist of, and that nobody sees.
type Report struct {
	Groups   []Group
	Physical []Physical
	Segments []Segment
	Parts    []Segment
}

const (
	vgsColumns = "vg_name,vg_uuid,vg_extent_size,vg_size,vg_tags,vg_lock_type,vg_systemid"
	pvsColumns = "pv_name,pv_uuid,vg_name,pv_size,pv_free,pe_start,pv_tags"
	lvsColumns = "lv_name,lv_uuid,vg_name,lv_size,segtype,stripes,data_stripes,data_copies,stripe_size,region_size,mirror_log,lv_tags,devices,origin,lv_device_open," +
		"pool_lv,data_lv,metadata_lv,chunk_size,discards,zero,lv_when_full"
)

// Read runs vgs, pvs and lvs. No volume group at all is an empty Report.
func Read(ctx context.Context, r system.Runner) (Report, error) {
	var rep Report
	run := func(args ...string) ([]map[string]string, error) {
		return report(ctx, r, "cannot read the volume groups", args...)
	}
	vgs, err := run("vgs", "-o", vgsColumns)
	if err != nil {
		return rep, err
	}
	pvs, err := run("pvs", "-o", pvsColumns)
	if err != nil {
		return rep, err
	}
	lvs, err := run("lvs", "-a", "--segments", "-o", lvsColumns)
	if err != nil {
		return rep, err
	}
	return build(vgs, pvs, lvs)
}

// report runs one of lvm's reporting commands; what is what its failure means.
func report(ctx context.Context, r system.Runner, what string, args ...string) ([]map[string]string, error) {
	args = append(args, "--reportformat", "json", "--units", "b", "--nosuffix")
	res, err := r.Run(ctx, system.Command{Name: "lvm", Args: args, Env: []string{"LVM_SUPPRESS_FD_WARNINGS=1"}})
	if err != nil {
		return nil, fmt.Errorf("%s: %w", what, err)
	}
	return rows(res.Stdout)
}

// rows takes the lines out of {"report":[{"vg":[{...}]}]}, whatever the
// inner list is called.
func rows(b []byte) ([]map[string]string, error) {
	var doc struct {
		Report []map[string][]map[string]string `json:"report"`
	}
	if err := json.Unmarshal(b, &doc); err != nil {
		return nil, fmt.Errorf("cannot read the output of lvm: %w", err)
	}
	var out []map[string]string
	for _, section := range doc.Report {
		for _, list := range section {
			out = append(out, list...)
		}
	}
	return out, nil
}

func build(vgs, pvs, lvs []map[string]string) (Report, error) {
	var rep Report
	var bad error
	size := func(row map[string]string, key string) machine.Bytes {
		n, err := strconv.ParseInt(row[key], 10, 64)
		if (err != nil || n < 0) && bad == nil {
			bad = fmt.Errorf("cannot read the output of lvm: %s is %q", key, row[key])
		}
		return machine.Bytes(n)
	}
	// Columns that say nothing of some kinds of volumes are empty there.
	orNone := func(row map[string]string, key string) machine.Bytes {
		if row[key] == "" {
			return 0
		}
		return size(row, key)
	}
	for _, v := range vgs {
		rep.Groups = append(rep.Groups, Group{
			Name: v["vg_name"], UUID: v["vg_uuid"], ExtentSize: size(v, "vg_extent_size"),
			Size: size(v, "vg_size"), Tags: split(v["vg_tags"]), Lock: v["vg_lock_type"], System: v["vg_systemid"],
		})
	}
	for _, p := range pvs {
		rep.Physical = append(rep.Physical, Physical{
			Path: p["pv_name"], UUID: p["pv_uuid"], Group: p["vg_name"], Size: size(p, "pv_size"), Free: size(p, "pv_free"),
			Start: orNone(p, "pe_start"), Tags: split(p["pv_tags"]),
		})
	}
	for _, l := range lvs {
		s := Segment{
			Volume: plain(l["lv_name"]), UUID: l["lv_uuid"], Group: l["vg_name"], Size: size(l, "lv_size"), Type: l["segtype"],
			Stripes: int(size(l, "stripes")), DataStripes: int(orNone(l, "data_stripes")), Copies: int(orNone(l, "data_copies")), StripeSize: size(l, "stripe_size"),
			RegionSize: orNone(l, "region_size"), Log: plain(l["mirror_log"]), Tags: split(l["lv_tags"]),
			Origin: plain(l["origin"]), Open: l["lv_device_open"] == "open",
			Pool: plain(l["pool_lv"]), Data: plain(l["data_lv"]), Metadata: plain(l["metadata_lv"]), Chunk: orNone(l, "chunk_size"),
			Discards: l["discards"], Zero: yes(l["zero"], "zero"), FailOnFull: l["lv_when_full"] == "error",
		}
		for _, d := range split(l["devices"]) {
			if i := strings.LastIndexByte(d, '('); i > 0 {
				d = d[:i]
			}
			s.Devices = append(s.Devices, plain(d))
		}
		if s.Volume == l["lv_name"] {
			rep.Segments = append(rep.Segments, s)
		} else {
			rep.Parts = append(rep.Parts, s)
		}
	}
	return rep, bad
}

// plain takes the brackets off that lvs puts around what nobody sees.
func plain(name string) string {
	if strings.HasPrefix(name, "[") {
		return strings.TrimSuffix(strings.TrimPrefix(name, "["), "]")
	}
	return name
}

// yes reads a yes-or-no column: lvs writes its word unless --binary is given.
func yes(value, word string) bool { return value == word || value == "1" }

// Of are the segments of a volume, seen or not.
func (rep Report) Of(group, volume string) []Segment {
	var out []Segment
	for _, list := range [][]Segment{rep.Segments, rep.Parts} {
		for _, s := range list {
			if s.Group == group && s.Volume == volume {
				out = append(out, s)
			}
		}
	}
	return out
}

// Below are all segments that a volume's segments consist of, themselves first.
func (rep Report) Below(segs []Segment) []Segment {
	var out []Segment
	seen := map[string]bool{}
	var visit func(segs []Segment)
	visit = func(segs []Segment) {
		out = append(out, segs...)
		for _, s := range segs {
			for _, d := range s.Devices {
				if !strings.HasPrefix(d, "/") && !seen[d] {
					seen[d] = true
					visit(rep.Of(s.Group, d))
				}
			}
		}
	}
	visit(segs)
	return out
}

func split(s string) []string {
	if s == "" {
		return nil
	}
	return strings.Split(s, ",")
}
