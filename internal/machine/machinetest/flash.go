package machinetest

import "github.com/mkcdrec/mkcdrec/internal/machine"

// FlashData has, beside its root, a f2fs, an exFAT, and a partition of Windows
// that is not recorded.
func FlashData() machine.Machine {
	m := base("media")
	const esp = "aaaaaaaa-1111-4111-8111-aaaaaaaaaa01"
	uefi(&m, esp)
	d := virtio("vda", "MKC-FLASH", 8*GiB)
	d.Table = gpt("aaaaaaaa-1111-4111-8111-aaaaaaaaaa00", &d)
	part := func(n int, path string, start, mib machine.Sectors, typ, uuid string) machine.Partition {
		return machine.Partition{Number: n, Path: path, Start: start, Size: mib * 2048, Type: typ, UUID: uuid}
	}
	const windows = "EBD0A0A2-B9E5-4433-87C0-68B6B72699C7"
	d.Table.Partitions = []machine.Partition{
		part(1, "/dev/vda1", 2048, 256, machine.TypeESP, esp),
		part(2, "/dev/vda2", 526336, 4096, linuxData, "aaaaaaaa-1111-4111-8111-aaaaaaaaaa02"),
		part(3, "/dev/vda3", 8914944, 1024, linuxData, "aaaaaaaa-1111-4111-8111-aaaaaaaaaa03"),
		part(4, "/dev/vda4", 11012096, 1024, windows, "aaaaaaaa-1111-4111-8111-aaaaaaaaaa04"),
		part(5, "/dev/vda5", 13109248, 1024, windows, "aaaaaaaa-1111-4111-8111-aaaaaaaaaa05"),
	}
	d.Table.Partitions[4].Holds = "ntfs"
	m.Disks = []machine.Disk{d}
	root, data, share := machine.PartRef("vda", 2), machine.PartRef("vda", 3), machine.PartRef("vda", 4)
	m.FileSystems = []machine.FileSystem{
		vfatESP(machine.PartRef("vda", 1), 256*MiB),
		ext4(root, "aaaaaaaa-aaaa-4aaa-8aaa-aaaaaaaaaa02", "root", 4*GiB, 1200*MiB),
		{On: data, Kind: "f2fs", UUID: "aaaaaaaa-aaaa-4aaa-8aaa-aaaaaaaaaa03", Label: "data", Size: GiB, Used: 300 * MiB, BlockSize: 4096,
			Features: []string{"extra_attr", "inode_checksum", "sb_checksum"}},
		{On: share, Kind: "exfat", UUID: "6B3C-11B0", Label: "SHARE", Size: GiB, Used: 100 * MiB, BlockSize: 32 << 10},
	}
	m.Mounts = []machine.Mount{
		{On: root, Target: "/", Options: "rw,relatime", InFstab: true},
		{On: machine.PartRef("vda", 1), Target: "/boot/efi", Options: "rw,relatime,umask=0077", InFstab: true},
		{On: data, Target: "/data", Options: "rw,relatime", InFstab: true},
		{On: share, Target: "/share", Options: "rw,relatime,uid=1000,gid=1000,fmask=0022,dmask=0022,iocharset=utf8,errors=remount-ro", InFstab: true},
	}
	return m
}
