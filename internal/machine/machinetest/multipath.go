package machinetest

import "github.com/mkcdrec/mkcdrec/internal/machine"

// UEFIMultipath has its one disk on two paths.
func UEFIMultipath() machine.Machine {
	m := UEFIPlain()
	m.Hostname = "san"
	d := &m.Disks[0]
	d.Name, d.Path, d.Serial, d.WWN = "mpatha", "/dev/mapper/mpatha", "LUN1", "3600140500000000000000000000000a1"
	d.Model, d.Transport, d.Paths = "VIRTUAL-DISK", "multipath", []string{"sda", "sdb"}
	renamed := func(r machine.Ref) machine.Ref {
		if _, n, ok := r.Part(); ok {
			return machine.PartRef(d.Name, n)
		}
		return r
	}
	for i := range d.Table.Partitions {
		p := &d.Table.Partitions[i]
		p.Path = "/dev/mapper/mpatha-part" + string(rune('0'+p.Number))
	}
	for i := range m.FileSystems {
		m.FileSystems[i].On = renamed(m.FileSystems[i].On)
	}
	for i := range m.Swaps {
		m.Swaps[i].On = renamed(m.Swaps[i].On)
	}
	for i := range m.Mounts {
		m.Mounts[i].On = renamed(m.Mounts[i].On)
	}
	return m
}
