package inspect

import (
	"fmt"
	"os"
	"slices"
	"strings"

	"github.com/mkcdrec/mkcdrec/internal/machine"
	"github.com/mkcdrec/mkcdrec/internal/tool/lsblk"
	"github.com/mkcdrec/mkcdrec/internal/tool/wipefs"
)

// mpath begins what device mapper calls a multipath device; the WWID follows.
const mpath = "mpath-"

// mapOf is the multipath device that a disk is a path of, or nil.
func (in *inspector) mapOf(n *node) *node {
	list, _ := os.ReadDir(in.path(sysBlock + "/" + n.kname + "/holders"))
	for _, h := range list {
		if up := in.nodes[h.Name()]; up != nil && strings.HasPrefix(up.dmUUID, mpath) {
			return up
		}
	}
	return nil
}

// multipath records a multipath device as the one disk that it is, by its
// WWID. Its paths are no disks of their own: what is on them is the same.
func (in *inspector) multipath(n *node, udev map[string]lsblk.Device) {
	name := "multipath:" + n.dmName
	paths := in.below(n)
	if len(paths) == 0 {
		in.blocking(name, "see what 'multipath -ll' says; "+out, "%s is a multipath device without any path", n.dmName)
		return
	}
	d := in.geometry(n)
	d.Name, d.Path, d.Transport = n.dmName, "/dev/mapper/"+n.dmName, "multipath"
	d.WWN = strings.TrimPrefix(n.dmUUID, mpath)
	for _, p := range paths {
		u, dir := udev[p.kname], sysBlock+"/"+p.kname
		d.Paths = append(d.Paths, p.kname)
		d.Serial = first(d.Serial, u.Serial, in.text(dir+"/device/serial"))
		d.Model = first(d.Model, u.Model, in.text(dir+"/device/model"))
		if kind := in.networkDisk(p.kname, first(u.Transport, in.transport(p.kname))); kind != "" {
			in.blocking(kind+":"+n.dmName, todoFor(kind), "%s (a path of %s) is %s, which the rescue system does not connect to", p.path, n.dmName, stacks[kind].what)
		}
	}
	slices.Sort(d.Paths)
	n.ref, n.path = machine.DiskRef(d.Name), d.Path
	in.probe(n)
	if sigs, err := wipefs.List(in.ctx, in.run, n.path); err == nil {
		d.Signatures = sigs
	} else if n.probed.Type != "" {
		d.Signatures = []string{n.probed.Type}
	}
	parts := in.mapPartitions(n)
	switch {
	case in.isMember(sysBlock + "/" + n.kname): // see disk
	case n.probed.PTType != "" && n.probed.Type == "" || len(parts) > 0:
		d.Table = in.table(n, parts)
	default:
		n.leaf = true
	}
	in.m.Disks = append(in.m.Disks, d)
}

// mapPartitions are the partitions of a multipath device, which are devices of
// device mapper, too (kpartx(8)): their UUID is partN- and the one of the whole.
func (in *inspector) mapPartitions(disk *node) map[int]*node {
	parts := map[int]*node{}
	for _, p := range in.nodes {
		rest, ok := strings.CutSuffix(p.dmUUID, "-"+disk.dmUUID)
		var num int
		if _, err := fmt.Sscanf(rest, "part%d", &num); !ok || err != nil || num < 1 {
			continue
		}
		p.number, p.path = num, "/dev/mapper/"+p.dmName
		parts[num] = p
	}
	return parts
}
