package machinetest

import "github.com/mkcdrec/mkcdrec/internal/machine"

// BtrfsTwo has one btrfs over partitions of two disks, data and metadata on
// both, with the subvolumes of an openSUSE after a rollback: the root is a
// writable snapshot, the default subvolume, and @ is mounted nowhere.
func BtrfsTwo() machine.Machine {
	m := base("rolled-back")
	const esp = "aaaaaaaa-1111-4111-8111-aaaaaaaa0101"
	uefi(&m, esp)
	a, b := virtio("vda", "MKC-PAIR1", 8*GiB), virtio("vdb", "MKC-PAIR2", 8*GiB)
	a.Table = gpt("aaaaaaaa-1111-4111-8111-aaaaaaaa0100", &a)
	a.Table.Partitions = []machine.Partition{
		{Number: 1, Path: "/dev/vda1", Start: 2048, Size: 524288, Type: machine.TypeESP, UUID: esp},
		{Number: 2, Path: "/dev/vda2", Start: 526336, Size: 16248832, Type: linuxData, UUID: "aaaaaaaa-1111-4111-8111-aaaaaaaa0102"},
	}
	b.Table = gpt("aaaaaaaa-1111-4111-8111-aaaaaaaa0200", &b)
	b.Table.Partitions = []machine.Partition{
		{Number: 1, Path: "/dev/vdb1", Start: 2048, Size: 16773120, Type: linuxData, UUID: "aaaaaaaa-1111-4111-8111-aaaaaaaa0201"},
	}
	m.Disks = []machine.Disk{a, b}
	root, second, espRef := machine.PartRef("vda", 2), machine.PartRef("vdb", 1), machine.PartRef("vda", 1)
	m.FileSystems = []machine.FileSystem{
		vfatESP(espRef, 256*MiB),
		{
			On: root, Kind: "btrfs", UUID: "aaaaaaaa-aaaa-4aaa-8aaa-aaaaaaaaaa02", Label: "system",
			Size: 7934*MiB + 8190*MiB, Used: 1400 * MiB, BlockSize: 4096,
			Features: []string{"MIXED_BACKREF", "DEFAULT_SUBVOL", "BIG_METADATA", "EXTENDED_IREF", "SKINNY_METADATA", "NO_HOLES", "FREE_SPACE_TREE", "FREE_SPACE_TREE_VALID"},
			Options: map[string]string{
				"csum": "crc32c", "node_size": "16384", machine.DataProfile: "raid1", machine.MetadataProfile: "raid1", machine.SystemProfile: "raid1",
			},
			Devices: []machine.FSDevice{{On: root, ID: 1, Size: 7934 * MiB}, {On: second, ID: 2, Size: 8190 * MiB}},
			Subvolumes: []machine.Subvolume{
				{ID: 256, Path: "@"},
				{ID: 257, Path: "@/home"},
				{ID: 258, Path: "@/srv"},
				{ID: 259, Path: "@/.snapshots"},
				{ID: 272, Path: "@/.snapshots/2/snapshot", ReadOnly: true, Snapshot: true},
				{ID: 273, Path: "@/.snapshots/3/snapshot", Snapshot: true, Default: true},
				{ID: 274, Path: "@/.snapshots/3/snapshot/var/lib/machines"},
			},
		},
	}
	m.Mounts = []machine.Mount{
		{On: root, Target: "/", Subvolume: "@/.snapshots/3/snapshot", Options: "rw,relatime,space_cache=v2", InFstab: true},
		{On: root, Target: "/.snapshots", Subvolume: "@/.snapshots", Options: "rw,relatime,space_cache=v2", InFstab: true},
		{On: espRef, Target: "/boot/efi", Options: "rw,relatime", InFstab: true},
		{On: root, Target: "/home", Subvolume: "@/home", Options: "rw,relatime,space_cache=v2", InFstab: true},
		{On: root, Target: "/srv", Subvolume: "@/srv", Options: "rw,noatime,space_cache=v2", InFstab: true},
	}
	return m
}
