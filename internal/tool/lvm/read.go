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
}

// Physical is one line of pvs. Path is "[unknown]" for a volume whose device
// is not there; Group is "" for one in no volume group.
type Physical struct {
	Path, UUID, Group string
	Size, Free        machine.Bytes
}

// Segment is one line of lvs --segments: a volume has at least one.
type Segment struct {
	Volume, UUID, Group string
	Size                machine.Bytes // of the volume
	Type                string        // linear, striped, thin, thin-pool, cache, raid1, vdo ...
	Stripes             int
	StripeSize          machine.Bytes
	Tags                []string
	Devices             []string // paths without the extent in parentheses
	Origin              string   // of a snapshot
	Open                bool     // something has its device open
}

// Report is everything that LVM says about this machine.
type Report struct {
	Groups   []Group
	Physical []Physical
	Segments []Segment
}

const (
	vgsColumns = "vg_name,vg_uuid,vg_extent_size,vg_size,vg_tags"
	pvsColumns = "pv_name,pv_uuid,vg_name,pv_size,pv_free"
	lvsColumns = "lv_name,lv_uuid,vg_name,lv_size,segtype,stripes,stripe_size,lv_tags,devices,origin,lv_device_open"
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
	lvs, err := run("lvs", "--segments", "-o", lvsColumns)
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
	for _, v := range vgs {
		rep.Groups = append(rep.Groups, Group{
			Name: v["vg_name"], UUID: v["vg_uuid"], ExtentSize: size(v, "vg_extent_size"),
			Size: size(v, "vg_size"), Tags: split(v["vg_tags"]),
		})
	}
	for _, p := range pvs {
		rep.Physical = append(rep.Physical, Physical{
			Path: p["pv_name"], UUID: p["pv_uuid"], Group: p["vg_name"], Size: size(p, "pv_size"), Free: size(p, "pv_free"),
		})
	}
	for _, l := range lvs {
		s := Segment{
			Volume: l["lv_name"], UUID: l["lv_uuid"], Group: l["vg_name"], Size: size(l, "lv_size"), Type: l["segtype"],
			Stripes: int(size(l, "stripes")), StripeSize: size(l, "stripe_size"), Tags: split(l["lv_tags"]),
			Origin: l["origin"], Open: l["lv_device_open"] == "open",
		}
		for _, d := range split(l["devices"]) {
			if i := strings.LastIndexByte(d, '('); i > 0 {
				d = d[:i]
			}
			s.Devices = append(s.Devices, d)
		}
		rep.Segments = append(rep.Segments, s)
	}
	return rep, bad
}

func split(s string) []string {
	if s == "" {
		return nil
	}
	return strings.Split(s, ",")
}
