package inspect

import (
	"path/filepath"
	"strings"

	"github.com/mkcdrec/mkcdrec/internal/machine"
	"github.com/mkcdrec/mkcdrec/internal/snapshot"
	"github.com/mkcdrec/mkcdrec/internal/tool/blkid"
	"github.com/mkcdrec/mkcdrec/internal/tool/lvm"
)

// hasLVM says that some device is a physical or logical volume.
func (in *inspector) hasLVM() bool {
	for _, n := range in.nodes {
		if n.probed.Type == "LVM2_member" || strings.HasPrefix(n.dmUUID, "LVM-") {
			return true
		}
	}
	return false
}

// volumeGroups records LVM. A group that lies on something that cannot be
// recorded is a finding as a whole, and so is a volume of another kind than
// linear and striped.
func (in *inspector) volumeGroups() {
	if !in.hasLVM() {
		return
	}
	rep, err := lvm.Read(in.ctx, in.run)
	if err != nil {
		in.blocking("lvm", "install lvm2, and see that 'lvm vgs' works", "there are LVM volumes, and they cannot be read: %v", err)
		return
	}
	for _, p := range rep.Physical {
		if n := in.byPath(p.Path); p.Group == "" && n != nil {
			in.note("lvm:"+n.kname, "", "%s is an LVM physical volume that no volume group uses; it is not made again", p.Path)
		}
	}
	for _, g := range rep.Groups {
		vg := machine.VolumeGroup{Name: g.Name, UUID: g.UUID, ExtentSize: g.ExtentSize, Tags: g.Tags}
		ok := true
		for _, p := range rep.Physical {
			if p.Group != g.Name {
				continue
			}
			n := in.byPath(p.Path)
			if n == nil || n.ref == "" {
				in.blocking("lvm:"+g.Name, "take it out of the backup by this name",
					"volume group %s lies on %s, which is missing or cannot be recorded", g.Name, p.Path)
				ok = false
				continue
			}
			vg.Physical = append(vg.Physical, machine.PhysicalVolume{On: n.ref, UUID: p.UUID, Size: p.Size, Free: p.Free})
		}
		if ok {
			vg.Logical = in.logical(g.Name, rep.Segments)
			in.m.VolumeGroups = append(in.m.VolumeGroups, vg)
		}
	}
}

// logical puts the segments of a group's volumes together.
func (in *inspector) logical(vg string, segments []lvm.Segment) []machine.LogicalVolume {
	var out []machine.LogicalVolume
	byName := map[string][]lvm.Segment{}
	var order []string
	for _, s := range segments {
		if s.Group != vg {
			continue
		}
		if byName[s.Volume] == nil {
			order = append(order, s.Volume)
		}
		byName[s.Volume] = append(byName[s.Volume], s)
	}
	for _, name := range order {
		segs := byName[name]
		finding := "lvm:" + vg + "/" + name
		if snapshot.IsVolume(name, segs[0].Origin, segs[0].Tags) {
			in.note(finding, "", "logical volume %s/%s is the snapshot of a backup that runs, or that was killed: the next one removes it", vg, name)
			continue
		}
		if kind := otherSegment(segs); kind != "" {
			in.blocking(finding, "take it out of the backup by this name; it must be made anew by hand",
				"logical volume %s/%s is of kind %s: only linear and striped volumes can be recorded", vg, name, kind)
			continue
		}
		if segs[0].Origin != "" {
			in.blocking(finding, "remove the snapshot, or take it out of the backup by this name",
				"logical volume %s/%s is a snapshot of %s", vg, name, segs[0].Origin)
			continue
		}
		lv := machine.LogicalVolume{Name: name, UUID: segs[0].UUID, Size: segs[0].Size, Kind: "linear", Tags: segs[0].Tags}
		seen := map[machine.Ref]bool{}
		striped := 0
		for _, s := range segs {
			if s.Type == "striped" && s.Stripes > 1 {
				striped++
			}
			for _, d := range s.Devices {
				if n := in.byPath(d); n != nil && n.ref != "" && !seen[n.ref] {
					seen[n.ref] = true
					lv.Devices = append(lv.Devices, n.ref)
				}
			}
		}
		switch {
		case striped == len(segs):
			lv.Kind, lv.Stripes, lv.StripeSize = "striped", segs[0].Stripes, segs[0].StripeSize
		case striped > 0:
			in.note(finding, "", "logical volume %s/%s is striped in part only; it will be made linear", vg, name)
		}
		out = append(out, lv)
		in.activeVolume(vg, name, segs[0])
	}
	return out
}

// otherSegment is the first kind of segment that the model does not hold.
func otherSegment(segs []lvm.Segment) string {
	for _, s := range segs {
		if s.Type != "linear" && s.Type != "striped" {
			return s.Type
		}
	}
	return ""
}

// activeVolume connects a volume with its device-mapper device.
func (in *inspector) activeVolume(vg, lv string, s lvm.Segment) {
	want := strings.TrimPrefix(machine.MapperPath(vg, lv), "/dev/mapper/")
	for _, n := range in.nodes {
		if n.dmName != want {
			continue
		}
		n.ref = machine.LVRef(vg, lv)
		n.path = machine.MapperPath(vg, lv)
		n.leaf = true
		in.probe(n)
		if n.probed == (blkid.Probed{}) && s.Open {
			n.probed.Usage = "open"
		}
		return
	}
	in.note("lvm:"+vg+"/"+lv, "activate it with 'lvchange -ay'", "logical volume %s/%s is not active: what it holds is not known", vg, lv)
}

// byPath finds a device by any of its names in /dev: kernel name, mapper
// name, /dev/VG/LV, or a symbolic link.
func (in *inspector) byPath(p string) *node {
	if n := in.nodes[strings.ReplaceAll(strings.TrimPrefix(p, "/dev/"), "/", "!")]; n != nil {
		return n
	}
	vg, lv, _ := strings.Cut(strings.TrimPrefix(p, "/dev/"), "/")
	for _, n := range in.nodes {
		if n.path == p || n.dmName != "" && ("/dev/mapper/"+n.dmName == p || lv != "" && machine.MapperPath(vg, lv) == "/dev/mapper/"+n.dmName) {
			return n
		}
	}
	if real, err := filepath.EvalSymlinks(in.path(p)); err == nil {
		return in.nodes[filepath.Base(real)]
	}
	return nil
}
