package inspect

import (
	"path/filepath"
	"strings"

	"github.com/mkcdrec/mkcdrec/internal/machine"
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

// usualStart is where LVM puts the first extent of a physical volume by itself
// (lvm.conf(5), default_data_alignment).
const usualStart = machine.Bytes(1 << 20)

// volumeGroups records LVM. A group that lies on something that cannot be
// recorded is a finding as a whole.
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
			pv := machine.PhysicalVolume{On: n.ref, UUID: p.UUID, Size: p.Size, Free: p.Free, Tags: p.Tags}
			if p.Start != usualStart {
				pv.Start = p.Start
			}
			vg.Physical = append(vg.Physical, pv)
		}
		if g.Lock != "" && g.Lock != "none" {
			in.blocking("lvm:"+g.Name, "take it out of the backup by this name, and back it up where its lock manager runs",
				"volume group %s is shared with other machines (%s)", g.Name, g.Lock)
			ok = false
		}
		if g.System != "" {
			in.note("lvm-system:"+g.Name, "after a restore: vgchange --systemid "+g.System+" "+g.Name,
				"volume group %s belongs to the machine with the system ID %s; it is made again without", g.Name, g.System)
		}
		if ok {
			in.logical(&vg, rep)
			in.m.VolumeGroups = append(in.m.VolumeGroups, vg)
		}
	}
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
