package machinetest

import "github.com/mkcdrec/mkcdrec/internal/machine"

// UEFIPlain is a virtual machine with ESP, ext4 root and a swap partition.
func UEFIPlain() machine.Machine {
	m := base("plain")
	const esp = "11111111-1111-4111-8111-111111111101"
	uefi(&m, esp)
	d := virtio("vda", "MKC-PLAIN", 8*GiB)
	d.Table = gpt("11111111-1111-4111-8111-111111111100", &d)
	d.Table.Partitions = []machine.Partition{
		{Number: 1, Path: "/dev/vda1", Start: 2048, Size: 1048576, Type: machine.TypeESP, UUID: esp, Name: "EFI system"},
		{Number: 2, Path: "/dev/vda2", Start: 1050624, Size: 13629440, Type: linuxData, UUID: "11111111-1111-4111-8111-111111111102", Name: "root"},
		{Number: 3, Path: "/dev/vda3", Start: 14680064, Size: 2095104, Type: linuxSwap, UUID: "11111111-1111-4111-8111-111111111103"},
	}
	m.Disks = []machine.Disk{d}
	root := machine.PartRef("vda", 2)
	m.FileSystems = []machine.FileSystem{
		vfatESP(machine.PartRef("vda", 1), 512*MiB),
		ext4(root, "11111111-aaaa-4aaa-8aaa-111111111102", "root", 6655*MiB, 1200*MiB),
	}
	m.Swaps = []machine.Swap{{On: machine.PartRef("vda", 3), Size: 1023 * MiB, UUID: "11111111-aaaa-4aaa-8aaa-111111111103"}}
	m.Mounts = []machine.Mount{
		{On: root, Target: "/", Options: "rw,relatime,errors=remount-ro", InFstab: true},
		{On: machine.PartRef("vda", 1), Target: "/boot/efi", Options: "rw,relatime,umask=0077", InFstab: true},
	}
	return m
}

// BIOSMBRLogical starts by BIOS from an MBR; home is a logical partition, and
// swap is a file.
func BIOSMBRLogical() machine.Machine {
	m := base("oldbox")
	m.Firmware.Kind = machine.BIOS
	m.BootLoader = machine.BootLoader{Kind: machine.GRUBBIOS, Disks: []machine.Ref{machine.DiskRef("sda")}}
	d := machine.Disk{
		Name: "sda", Path: "/dev/sda", Size: 6 * GiB, LogicalSector: 512, PhysicalSector: 512,
		Serial: "QM00001", Model: "QEMU HARDDISK", Transport: "sata", Rotational: true,
		Signatures: []string{"dos"},
		Table: &machine.PartitionTable{Kind: machine.MBR, ID: "0x2b3c4d5e", Partitions: []machine.Partition{
			{Number: 1, Path: "/dev/sda1", Start: 2048, Size: 8388608, Type: "83", UUID: "2b3c4d5e-01", Bootable: true},
			{Number: 2, Path: "/dev/sda2", Start: 8390656, Size: 4192256, Type: "5", UUID: "2b3c4d5e-02"},
			{Number: 5, Path: "/dev/sda5", Start: 8392704, Size: 4190208, Type: "83", UUID: "2b3c4d5e-05"},
		}},
	}
	m.Disks = []machine.Disk{d}
	root, home := machine.PartRef("sda", 1), machine.PartRef("sda", 5)
	m.FileSystems = []machine.FileSystem{
		ext4(root, "22222222-aaaa-4aaa-8aaa-222222222201", "", 4*GiB, 1100*MiB),
		ext4(home, "22222222-aaaa-4aaa-8aaa-222222222205", "home", 2046*MiB, 120*MiB),
	}
	m.Swaps = []machine.Swap{{File: "/swapfile", Size: 512 * MiB, UUID: "22222222-aaaa-4aaa-8aaa-2222222222ff"}}
	m.Mounts = []machine.Mount{
		{On: root, Target: "/", Options: "rw,relatime", InFstab: true},
		{On: home, Target: "/home", Options: "rw,nosuid,nodev,relatime", InFstab: true},
	}
	return m
}

// UEFILVM has ESP, /boot, and a volume group with root (ext4), home (xfs) and swap.
func UEFILVM() machine.Machine {
	m := base("lvmbox")
	const esp = "33333333-1111-4111-8111-333333333301"
	uefi(&m, esp)
	d := virtio("vda", "MKC-LVM", 10*GiB)
	d.Table = gpt("33333333-1111-4111-8111-333333333300", &d)
	d.Table.Partitions = []machine.Partition{
		{Number: 1, Path: "/dev/vda1", Start: 2048, Size: 524288, Type: machine.TypeESP, UUID: esp},
		{Number: 2, Path: "/dev/vda2", Start: 526336, Size: 1048576, Type: linuxData, UUID: "33333333-1111-4111-8111-333333333302"},
		{Number: 3, Path: "/dev/vda3", Start: 1574912, Size: 19394560, Type: machine.TypeLVM, UUID: "33333333-1111-4111-8111-333333333303"},
	}
	m.Disks = []machine.Disk{d}
	m.VolumeGroups = []machine.VolumeGroup{{
		Name: "vg0", UUID: "kLmN0p-aaaa-bbbb-cccc-dddd-eeee-ffff01", ExtentSize: 4 * MiB,
		Physical: []machine.PhysicalVolume{{On: machine.PartRef("vda", 3), UUID: "pVpVp0-aaaa-bbbb-cccc-dddd-eeee-ffff02", Size: 9468 * MiB, Free: 2300 * MiB}},
		Logical: []machine.LogicalVolume{
			{Name: "root", UUID: "lVlVl0-aaaa-bbbb-cccc-dddd-eeee-ffff03", Size: 4 * GiB, Kind: "linear"},
			{Name: "home", UUID: "lVlVl0-aaaa-bbbb-cccc-dddd-eeee-ffff04", Size: 2560 * MiB, Kind: "linear"},
			{Name: "swap", UUID: "lVlVl0-aaaa-bbbb-cccc-dddd-eeee-ffff05", Size: 512 * MiB, Kind: "linear"},
		},
	}}
	root, home := machine.LVRef("vg0", "root"), machine.LVRef("vg0", "home")
	boot, espRef := machine.PartRef("vda", 2), machine.PartRef("vda", 1)
	m.FileSystems = []machine.FileSystem{
		vfatESP(espRef, 256*MiB),
		ext4(boot, "33333333-aaaa-4aaa-8aaa-333333333302", "boot", 512*MiB, 90*MiB),
		ext4(root, "33333333-aaaa-4aaa-8aaa-333333333303", "root", 4*GiB, 1300*MiB),
		xfs(home, "33333333-aaaa-4aaa-8aaa-333333333304", "home", 2560*MiB, 60*MiB),
	}
	m.Swaps = []machine.Swap{{On: machine.LVRef("vg0", "swap"), Size: 512 * MiB, UUID: "33333333-aaaa-4aaa-8aaa-333333333305"}}
	m.Mounts = []machine.Mount{
		{On: root, Target: "/", Options: "rw,relatime", InFstab: true},
		{On: boot, Target: "/boot", Options: "rw,relatime", InFstab: true},
		{On: espRef, Target: "/boot/efi", Options: "rw,relatime,umask=0077", InFstab: true},
		{On: home, Target: "/home", Options: "rw,relatime,attr2,inode64,logbufs=8,logbsize=32k,noquota", InFstab: true},
	}
	return m
}

// BtrfsSubvols starts by UEFI from btrfs with subvolumes @ (default), @home
// and a snapshot.
func BtrfsSubvols() machine.Machine {
	m := base("snapper")
	const esp = "44444444-1111-4111-8111-444444444401"
	uefi(&m, esp)
	d := virtio("vda", "MKC-BTRFS", 8*GiB)
	d.Table = gpt("44444444-1111-4111-8111-444444444400", &d)
	d.Table.Partitions = []machine.Partition{
		{Number: 1, Path: "/dev/vda1", Start: 2048, Size: 524288, Type: machine.TypeESP, UUID: esp},
		{Number: 2, Path: "/dev/vda2", Start: 526336, Size: 16248832, Type: linuxData, UUID: "44444444-1111-4111-8111-444444444402"},
	}
	m.Disks = []machine.Disk{d}
	root, espRef := machine.PartRef("vda", 2), machine.PartRef("vda", 1)
	m.FileSystems = []machine.FileSystem{
		vfatESP(espRef, 256*MiB),
		{
			On: root, Kind: "btrfs", UUID: "44444444-aaaa-4aaa-8aaa-444444444402", Label: "system",
			Size: 7934 * MiB, Used: 1400 * MiB, BlockSize: 4096,
			Features: []string{"MIXED_BACKREF", "BIG_METADATA", "EXTENDED_IREF", "SKINNY_METADATA", "NO_HOLES", "FREE_SPACE_TREE", "FREE_SPACE_TREE_VALID"},
			Options:  map[string]string{"csum": "crc32c", "node_size": "16384"},
			Subvolumes: []machine.Subvolume{
				{ID: 256, Path: "@", Default: true},
				{ID: 257, Path: "@home"},
				{ID: 258, Path: "@snapshots/1/snapshot", ReadOnly: true, Snapshot: true},
			},
		},
	}
	m.Mounts = []machine.Mount{
		{On: root, Target: "/", Subvolume: "@", Options: "rw,relatime,space_cache=v2", InFstab: true},
		{On: espRef, Target: "/boot/efi", Options: "rw,relatime", InFstab: true},
		{On: root, Target: "/home", Subvolume: "@home", Options: "rw,relatime,space_cache=v2", InFstab: true},
	}
	return m
}

// NVMe4K has an NVMe disk with 4096-byte logical sectors, its partitions
// named nvme0n1pN.
func NVMe4K() machine.Machine {
	m := base("nvmebox")
	const esp = "55555555-1111-4111-8111-555555555501"
	uefi(&m, esp)
	m.Firmware.SecureBoot = true
	d := machine.Disk{
		Name: "nvme0n1", Path: "/dev/nvme0n1", Size: 16 * GiB, LogicalSector: 4096, PhysicalSector: 4096,
		Serial: "S4XNVME0001", WWN: "eui.0025385b01400000", Model: "QEMU NVMe Ctrl", Transport: "nvme",
	}
	d.Table = gpt("55555555-1111-4111-8111-555555555500", &d)
	d.Table.Partitions = []machine.Partition{
		{Number: 1, Path: "/dev/nvme0n1p1", Start: 256, Size: 131072, Type: machine.TypeESP, UUID: esp},
		{Number: 2, Path: "/dev/nvme0n1p2", Start: 131328, Size: 4062720, Type: linuxData, UUID: "55555555-1111-4111-8111-555555555502", Name: "root"},
	}
	m.Disks = []machine.Disk{d}
	root, espRef := machine.PartRef("nvme0n1", 2), machine.PartRef("nvme0n1", 1)
	fat := vfatESP(espRef, 512*MiB)
	fat.Options["sector_size"] = "4096"
	x := xfs(root, "55555555-aaaa-4aaa-8aaa-555555555502", "", 15870*MiB, 3*GiB)
	x.Options["sector_size"] = "4096"
	m.FileSystems = []machine.FileSystem{fat, x}
	m.Mounts = []machine.Mount{
		{On: root, Target: "/", Options: "rw,relatime", InFstab: true},
		{On: espRef, Target: "/boot/efi", Options: "rw,relatime", InFstab: true},
	}
	return m
}

// WholeDiskExt4 is a small cloud machine: ext4 on a disk without a partition
// table, started from outside, nothing in fstab.
func WholeDiskExt4() machine.Machine {
	m := base("microvm")
	m.Firmware.Kind = machine.BIOS
	m.BootLoader.Kind = machine.NoBootLoader
	d := virtio("vda", "", 4*GiB)
	d.Signatures = []string{"ext4"}
	m.Disks = []machine.Disk{d}
	root := machine.DiskRef("vda")
	m.FileSystems = []machine.FileSystem{ext4(root, "66666666-aaaa-4aaa-8aaa-666666666600", "", 4*GiB, 900*MiB)}
	m.Mounts = []machine.Mount{{On: root, Target: "/", Options: "rw,relatime"}}
	return m
}

// TwoDisks has GRUB on both BIOS/GPT disks, a volume group over both with a
// striped and a pinned volume, and ext3 /boot.
func TwoDisks() machine.Machine {
	m := base("server")
	m.Firmware.Kind = machine.BIOS
	m.BootLoader = machine.BootLoader{Kind: machine.GRUBBIOS, Disks: []machine.Ref{machine.DiskRef("sda"), machine.DiskRef("sdb")}}
	for i, name := range []string{"sda", "sdb"} {
		n := string(rune('1' + i))
		d := machine.Disk{
			Name: name, Path: "/dev/" + name, Size: 20 * GiB, LogicalSector: 512, PhysicalSector: 4096,
			Serial: "SRV000" + n, WWN: "0x5000c5000000000" + n, Model: "ST20000NM", Transport: "sas", Rotational: true,
		}
		id := "77777777-1111-4111-8111-77777777" + n + "00"
		d.Table = gpt(id+"0", &d)
		d.Table.Partitions = []machine.Partition{
			{Number: 1, Path: d.Path + "1", Start: 2048, Size: 2048, Type: machine.TypeBIOSBoot, UUID: id + "1"},
			{Number: 2, Path: d.Path + "2", Start: 4096, Size: 1048576, Type: linuxData, UUID: id + "2"},
			{Number: 3, Path: d.Path + "3", Start: 1052672, Size: 40888320, Type: machine.TypeLVM, UUID: id + "3"},
		}
		m.Disks = append(m.Disks, d)
	}
	pv := func(disk, uuid string) machine.PhysicalVolume {
		return machine.PhysicalVolume{On: machine.PartRef(disk, 3), UUID: uuid, Size: 19964 * MiB, Free: 9 * GiB}
	}
	pvs := []machine.Ref{machine.PartRef("sda", 3), machine.PartRef("sdb", 3)}
	m.VolumeGroups = []machine.VolumeGroup{{
		Name: "vg-data", UUID: "vGvGv0-7777-7777-7777-7777-7777-777701", ExtentSize: 4 * MiB, Tags: []string{"prod"},
		Physical: []machine.PhysicalVolume{pv("sda", "pVpVp0-7777-7777-7777-7777-7777-777702"), pv("sdb", "pVpVp0-7777-7777-7777-7777-7777-777703")},
		Logical: []machine.LogicalVolume{
			{Name: "root", UUID: "lVlVl0-7777-7777-7777-7777-7777-777704", Size: 6 * GiB, Kind: "linear", Devices: pvs[:1]},
			{Name: "srv-fast", UUID: "lVlVl0-7777-7777-7777-7777-7777-777705", Size: 10 * GiB, Kind: "striped", Stripes: 2, StripeSize: 64 << 10, Devices: pvs},
		},
	}}
	boot, root, srv := machine.PartRef("sda", 2), machine.LVRef("vg-data", "root"), machine.LVRef("vg-data", "srv-fast")
	bootFS := ext4(boot, "77777777-aaaa-4aaa-8aaa-777777777702", "boot", 512*MiB, 100*MiB)
	bootFS.Kind = "ext3"
	bootFS.Features = []string{"has_journal", "ext_attr", "resize_inode", "dir_index", "filetype", "sparse_super", "large_file"}
	m.FileSystems = []machine.FileSystem{
		bootFS,
		ext4(root, "77777777-aaaa-4aaa-8aaa-777777777704", "", 6*GiB, 2*GiB),
		xfs(srv, "77777777-aaaa-4aaa-8aaa-777777777705", "srv", 10*GiB, 4*GiB),
	}
	m.Swaps = []machine.Swap{{On: machine.PartRef("sdb", 2), Size: 512 * MiB, UUID: "77777777-aaaa-4aaa-8aaa-777777777706"}}
	m.Mounts = []machine.Mount{
		{On: root, Target: "/", Options: "rw,relatime", InFstab: true},
		{On: boot, Target: "/boot", Options: "rw,relatime", InFstab: true},
		{On: srv, Target: "/srv", Options: "rw,relatime", InFstab: true},
	}
	return m
}
