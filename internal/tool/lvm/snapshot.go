package lvm

import (
	"context"
	"fmt"
	"strconv"

	"github.com/mkcdrec/mkcdrec/internal/machine"
	"github.com/mkcdrec/mkcdrec/internal/system"
)

// Free is how much of a volume group no volume has.
func (rep Report) Free(group string) machine.Bytes {
	var n machine.Bytes
	for _, p := range rep.Physical {
		if p.Group == group {
			n += p.Free
		}
	}
	return n
}

// Snapshot is a logical volume that is a snapshot, or the pool of thin ones,
// with how full it is.
type Snapshot struct {
	Group, Name string
	Origin      string
	Pool        string // of a thin one
	Tags        []string
	Open        bool
	Fill        float64 // percent of its space; of a thin snapshot: what it holds of its own size
	// MetadataFill is how full the metadata of a pool are, in percent.
	MetadataFill float64
	Invalid      bool // a classic one that ran full: whatever is read from it is an error
}

const snapshotColumns = "lv_name,vg_name,origin,pool_lv,lv_tags,lv_device_open,data_percent,metadata_percent,lv_snapshot_invalid"

// Snapshots lists the volumes that can run full: snapshots and thin pools.
func Snapshots(ctx context.Context, r system.Runner) ([]Snapshot, error) {
	list, err := report(ctx, r, "cannot read the snapshots of logical volumes", "lvs", "-o", snapshotColumns)
	if err != nil {
		return nil, err
	}
	var out []Snapshot
	for _, l := range list {
		s := Snapshot{
			Group: l["vg_name"], Name: l["lv_name"], Origin: l["origin"], Pool: l["pool_lv"], Tags: split(l["lv_tags"]),
			Open: l["lv_device_open"] == "open",
			// lvs writes the words of a yes-or-no column unless --binary is given.
			Invalid: l["lv_snapshot_invalid"] == "snapshot invalid" || l["lv_snapshot_invalid"] == "1",
		}
		for column, fill := range map[string]*float64{"data_percent": &s.Fill, "metadata_percent": &s.MetadataFill} {
			if l[column] == "" {
				continue // it is not active, or has none
			}
			if *fill, err = strconv.ParseFloat(l[column], 64); err != nil {
				return nil, fmt.Errorf("cannot read the output of lvm: %s is %q", column, l[column])
			}
		}
		if s.Origin != "" || l["data_percent"] != "" {
			out = append(out, s)
		}
	}
	return out, nil
}

// TakeSnapshot makes an active snapshot of a mounted volume with a tag
// (lvcreate(8)). The kernel freezes its file system for that moment. size is
// what may be changed on either side before a classic one is full; 0: a
// snapshot of a thin volume, which takes its space from the pool.
func TakeSnapshot(ctx context.Context, r system.Runner, group, origin, name, tag string, size machine.Bytes) error {
	args := []string{"-y", "--autobackup", "n", "--snapshot", "-n", name, "--addtag", tag}
	if size > 0 {
		args = append(args, "-L", bytes(size))
	} else {
		args = append(args, "--setactivationskip", "n", "--activate", "y") // thin ones stay inactive otherwise
	}
	return run(ctx, r, "take a snapshot of volume "+group+"/"+origin, "lvcreate", append(args, group+"/"+origin)...)
}

// RemoveVolume removes a logical volume that nothing has open (lvremove(8)).
func RemoveVolume(ctx context.Context, r system.Runner, group, name string) error {
	return run(ctx, r, "remove volume "+group+"/"+name, "lvremove", "-y", "--autobackup", "n", group+"/"+name)
}
