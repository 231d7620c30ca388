package machinetest

import "github.com/mkcdrec/mkcdrec/internal/machine"

// LVMThin has root and home as thin volumes, which promise more than their pool
// has, and /srv as a mirror over a partition and a whole disk.
func LVMThin() machine.Machine {
	m := base("thinbox")
	const esp = "aaaaaaaa-1111-4111-8111-aaaaaaaaaa01"
	uefi(&m, esp)
	a, b := virtio("vda", "MKC-THIN1", 12*GiB), virtio("vdb", "MKC-THIN2", 4*GiB)
	a.Table = gpt("aaaaaaaa-1111-4111-8111-aaaaaaaaaa00", &a)
	a.Table.Partitions = []machine.Partition{
		{Number: 1, Path: "/dev/vda1", Start: 2048, Size: 524288, Type: machine.TypeESP, UUID: esp},
		{Number: 2, Path: "/dev/vda2", Start: 526336, Size: 1048576, Type: linuxData, UUID: "aaaaaaaa-1111-4111-8111-aaaaaaaaaa02"},
		{Number: 3, Path: "/dev/vda3", Start: 1574912, Size: 23588864, Type: machine.TypeLVM, UUID: "aaaaaaaa-1111-4111-8111-aaaaaaaaaa03"},
	}
	b.Signatures = []string{"LVM2_member"}
	m.Disks = []machine.Disk{a, b}
	first, second := machine.PartRef("vda", 3), machine.DiskRef("vdb")
	m.VolumeGroups = []machine.VolumeGroup{{
		Name: "vg0", UUID: "vGvGv0-aaaa-aaaa-aaaa-aaaa-aaaa-aaaa01", ExtentSize: 4 * MiB, Tags: []string{"fixture"}, Spare: 8 * MiB,
		Physical: []machine.PhysicalVolume{
			{On: first, UUID: "pVpVp0-aaaa-aaaa-aaaa-aaaa-aaaa-aaaa02", Size: 11516 * MiB, Free: 2292 * MiB},
			{On: second, UUID: "pVpVp0-aaaa-aaaa-aaaa-aaaa-aaaa-aaaa03", Size: 4092 * MiB, Free: 2552 * MiB, Tags: []string{"fast"}},
		},
		Logical: []machine.LogicalVolume{
			{Name: "home", UUID: "lVlVl0-aaaa-aaaa-aaaa-aaaa-aaaa-aaaa04", Size: 20 * GiB, Kind: "thin", In: "pool", Tags: []string{"data", "nightly"}},
			{Name: "pool", UUID: "lVlVl0-aaaa-aaaa-aaaa-aaaa-aaaa-aaaa05", Size: 8 * GiB, Kind: "thin-pool", Devices: []machine.Ref{first}, Pool: &machine.ThinPool{
				Data: "linear", Chunk: 128 << 10, Discards: "nopassdown", Zero: true,
				Metadata: machine.PoolMetadata{Size: 8 * MiB, Kind: "linear", Devices: []machine.Ref{first}},
			}},
			{Name: "root", UUID: "lVlVl0-aaaa-aaaa-aaaa-aaaa-aaaa-aaaa06", Size: 6 * GiB, Kind: "thin", In: "pool"},
			{Name: "srv", UUID: "lVlVl0-aaaa-aaaa-aaaa-aaaa-aaaa-aaaa07", Size: 1 * GiB, Kind: "raid1", Mirrors: 1, RegionSize: 512 << 10, Devices: []machine.Ref{first, second}},
			{Name: "swap", UUID: "lVlVl0-aaaa-aaaa-aaaa-aaaa-aaaa-aaaa08", Size: 512 * MiB, Kind: "linear", Devices: []machine.Ref{second}},
		},
	}}
	boot, espRef := machine.PartRef("vda", 2), machine.PartRef("vda", 1)
	lv := func(name string) machine.Ref { return machine.LVRef("vg0", name) }
	m.FileSystems = []machine.FileSystem{
		vfatESP(espRef, 256*MiB),
		ext4(boot, "aaaaaaaa-aaaa-4aaa-8aaa-aaaaaaaaaa02", "boot", 512*MiB, 90*MiB),
		xfs(lv("home"), "aaaaaaaa-aaaa-4aaa-8aaa-aaaaaaaaaa04", "home", 20*GiB, 1500*MiB),
		ext4(lv("root"), "aaaaaaaa-aaaa-4aaa-8aaa-aaaaaaaaaa06", "root", 6*GiB, 1300*MiB),
		ext4(lv("srv"), "aaaaaaaa-aaaa-4aaa-8aaa-aaaaaaaaaa07", "srv", 1*GiB, 300*MiB),
	}
	m.Swaps = []machine.Swap{{On: lv("swap"), Size: 512 * MiB, UUID: "aaaaaaaa-aaaa-4aaa-8aaa-aaaaaaaaaa08"}}
	m.Mounts = []machine.Mount{
		{On: lv("root"), Target: "/", Options: "rw,relatime,errors=remount-ro", InFstab: true},
		{On: boot, Target: "/boot", Options: "rw,relatime", InFstab: true},
		{On: espRef, Target: "/boot/efi", Options: "rw,relatime,umask=0077", InFstab: true},
		{On: lv("home"), Target: "/home", Options: "rw,relatime,attr2,inode64,noquota", InFstab: true},
		{On: lv("srv"), Target: "/srv", Options: "rw,relatime", InFstab: true},
	}
	return m
}

// LVMRAID starts from a partition of a disk of its own; the data lie on four
// whole disks: a raid6, a raid10, and a thin pool whose data and metadata are
// mirrored.
func LVMRAID() machine.Machine {
	m := base("raidbox")
	const esp = "bbbbbbbb-1111-4111-8111-bbbbbbbbbb01"
	uefi(&m, esp)
	d := virtio("vda", "MKC-SYS", 8*GiB)
	d.Table = gpt("bbbbbbbb-1111-4111-8111-bbbbbbbbbb00", &d)
	d.Table.Partitions = []machine.Partition{
		{Number: 1, Path: "/dev/vda1", Start: 2048, Size: 524288, Type: machine.TypeESP, UUID: esp},
		{Number: 2, Path: "/dev/vda2", Start: 526336, Size: 16248832, Type: linuxData, UUID: "bbbbbbbb-1111-4111-8111-bbbbbbbbbb02"},
	}
	m.Disks = []machine.Disk{d}
	data := machine.VolumeGroup{Name: "data", UUID: "vGvGv0-bbbb-bbbb-bbbb-bbbb-bbbb-bbbb01", ExtentSize: 4 * MiB, Spare: 16 * MiB}
	var all []machine.Ref
	for i := range 5 {
		n := string(rune('1' + i))
		k := virtio("vd"+string(rune('b'+i)), "MKC-RAID"+n, 6*GiB)
		k.Signatures = []string{"LVM2_member"}
		m.Disks = append(m.Disks, k)
		all = append(all, machine.DiskRef(k.Name))
		data.Physical = append(data.Physical, machine.PhysicalVolume{On: machine.DiskRef(k.Name), UUID: "pVpVp0-bbbb-bbbb-bbbb-bbbb-bbbb-bbbb1" + n, Size: 6140 * MiB})
	}
	data.Physical[0].Start = 2 * MiB
	for i, free := range []machine.Bytes{4084, 4084, 4084, 1996, 3040} {
		data.Physical[i].Free = free * MiB
	}
	data.Logical = []machine.LogicalVolume{
		{Name: "fast", UUID: "lVlVl0-bbbb-bbbb-bbbb-bbbb-bbbb-bbbb21", Size: 2 * GiB, Kind: "raid10", Stripes: 2, StripeSize: 64 << 10, Mirrors: 1, RegionSize: 2 * MiB, Devices: all[:4]},
		{Name: "safe", UUID: "lVlVl0-bbbb-bbbb-bbbb-bbbb-bbbb-bbbb22", Size: 3 * GiB, Kind: "raid6", Stripes: 3, StripeSize: 128 << 10, RegionSize: 2 * MiB, Devices: all},
		{Name: "thin", UUID: "lVlVl0-bbbb-bbbb-bbbb-bbbb-bbbb-bbbb23", Size: 2 * GiB, Kind: "thin-pool", Mirrors: 1, RegionSize: 2 * MiB, Devices: all[3:], Pool: &machine.ThinPool{
			Data: "raid1", Chunk: 256 << 10, Discards: "passdown", ErrorWhenFull: true,
			Metadata: machine.PoolMetadata{Size: 16 * MiB, Kind: "raid1", Mirrors: 1, RegionSize: 2 * MiB, Devices: all[3:]},
		}},
		{Name: "vm", UUID: "lVlVl0-bbbb-bbbb-bbbb-bbbb-bbbb-bbbb24", Size: 8 * GiB, Kind: "thin", In: "thin"},
	}
	m.VolumeGroups = []machine.VolumeGroup{data}
	root, espRef := machine.PartRef("vda", 2), machine.PartRef("vda", 1)
	lv := func(name string) machine.Ref { return machine.LVRef("data", name) }
	m.FileSystems = []machine.FileSystem{
		vfatESP(espRef, 256*MiB),
		ext4(root, "bbbbbbbb-aaaa-4aaa-8aaa-bbbbbbbbbb02", "root", 16248832*512, 1300*MiB),
		xfs(lv("fast"), "bbbbbbbb-aaaa-4aaa-8aaa-bbbbbbbbbb21", "", 2*GiB, 700*MiB),
		ext4(lv("safe"), "bbbbbbbb-aaaa-4aaa-8aaa-bbbbbbbbbb22", "safe", 3*GiB, 800*MiB),
		ext4(lv("vm"), "bbbbbbbb-aaaa-4aaa-8aaa-bbbbbbbbbb24", "", 8*GiB, 900*MiB),
	}
	m.Mounts = []machine.Mount{
		{On: root, Target: "/", Options: "rw,relatime", InFstab: true},
		{On: espRef, Target: "/boot/efi", Options: "rw,relatime,umask=0077", InFstab: true},
		{On: lv("fast"), Target: "/srv/fast", Options: "rw,relatime,attr2,inode64,noquota", InFstab: true},
		{On: lv("safe"), Target: "/srv/safe", Options: "rw,relatime", InFstab: true},
		{On: lv("vm"), Target: "/srv/vm", Options: "rw,relatime", InFstab: true},
	}
	return m
}
