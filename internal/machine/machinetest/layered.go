package machinetest

import "github.com/mkcdrec/mkcdrec/internal/machine"

// RAID1LVM has three mirrors over two disks: the ESP (metadata at the end, so
// that the firmware sees a plain vfat), /boot, and a volume group with root
// (ext4) and swap.
func RAID1LVM() machine.Machine {
	m := base("mirrored")
	const esp = "88888888-1111-4111-8111-888888880101"
	uefi(&m, esp)
	for i, name := range []string{"sda", "sdb"} {
		n := string(rune('1' + i))
		d := machine.Disk{
			Name: name, Path: "/dev/" + name, Size: 16 * GiB, LogicalSector: 512, PhysicalSector: 4096,
			Serial: "MIR000" + n, WWN: "0x5000c5000000010" + n, Model: "ST16000NM", Transport: "sata", Rotational: true,
		}
		id := "88888888-1111-4111-8111-88888888" + "0" + n
		d.Table = gpt(id+"00", &d)
		d.Table.Partitions = []machine.Partition{
			{Number: 1, Path: d.Path + "1", Start: 2048, Size: 1048576, Type: machine.TypeESP, UUID: id + "01"},
			{Number: 2, Path: d.Path + "2", Start: 1050624, Size: 2097152, Type: machine.TypeRAID, UUID: id + "02"},
			{Number: 3, Path: d.Path + "3", Start: 3147776, Size: 30404608, Type: machine.TypeRAID, UUID: id + "03"},
		}
		m.Disks = append(m.Disks, d)
	}
	mirror := func(n int, path, label, metadata, bitmap string, size, component machine.Bytes) machine.Array {
		name := "md" + string(rune('0'+n))
		return machine.Array{
			Disk: machine.Disk{Name: name, Path: path, Size: size, LogicalSector: 512, PhysicalSector: 4096},
			UUID: "88888888:aaaaaaaa:bbbbbbbb:0000000" + name[2:], Label: label, Level: "raid1", Metadata: metadata,
			Slots: 2, Bitmap: bitmap, Component: component,
			Members: []machine.ArrayMember{{On: machine.PartRef("sda", n+1), Slot: 0}, {On: machine.PartRef("sdb", n+1), Slot: 1}},
		}
	}
	m.Arrays = []machine.Array{
		mirror(0, "/dev/md/esp", "mirrored:esp", "1.0", "", 512*MiB-64<<10, 512*MiB-64<<10),
		mirror(1, "/dev/md/boot", "mirrored:boot", "1.2", "", 1023*MiB, 1023*MiB),
		mirror(2, "/dev/md/lvm", "mirrored:lvm", "1.2", "internal", 14837*MiB, 14837*MiB),
	}
	m.VolumeGroups = []machine.VolumeGroup{{
		Name: "vg0", UUID: "vGvGv0-8888-8888-8888-8888-8888-888801", ExtentSize: 4 * MiB,
		Physical: []machine.PhysicalVolume{{On: machine.ArrayRef("md2"), UUID: "pVpVp0-8888-8888-8888-8888-8888-888802", Size: 14836 * MiB, Free: 4*GiB + 500*MiB}},
		Logical: []machine.LogicalVolume{
			{Name: "root", UUID: "lVlVl0-8888-8888-8888-8888-8888-888803", Size: 9 * GiB, Kind: "linear"},
			{Name: "swap", UUID: "lVlVl0-8888-8888-8888-8888-8888-888804", Size: 1 * GiB, Kind: "linear"},
		},
	}}
	boot, root := machine.ArrayRef("md1"), machine.LVRef("vg0", "root")
	m.FileSystems = []machine.FileSystem{
		vfatESP(machine.ArrayRef("md0"), 512*MiB-64<<10),
		ext4(boot, "88888888-aaaa-4aaa-8aaa-888888888801", "boot", 1023*MiB, 150*MiB),
		ext4(root, "88888888-aaaa-4aaa-8aaa-888888888803", "", 9*GiB, 2*GiB),
	}
	m.Swaps = []machine.Swap{{On: machine.LVRef("vg0", "swap"), Size: 1 * GiB, UUID: "88888888-aaaa-4aaa-8aaa-888888888804"}}
	m.Mounts = []machine.Mount{
		{On: root, Target: "/", Options: "rw,relatime", InFstab: true},
		{On: boot, Target: "/boot", Options: "rw,relatime", InFstab: true},
		{On: machine.ArrayRef("md0"), Target: "/boot/efi", Options: "rw,relatime,umask=0077", InFstab: true},
	}
	return m
}

// LUKSLVM is Debian's "encrypted LVM": ESP, /boot in the clear, and LUKS2 with
// a volume group for root and swap.
func LUKSLVM() machine.Machine {
	m := base("vault")
	const esp = "99999999-1111-4111-8111-999999999901"
	uefi(&m, esp)
	d := virtio("vda", "MKC-LUKS", 12*GiB)
	d.Table = gpt("99999999-1111-4111-8111-999999999900", &d)
	d.Table.Partitions = []machine.Partition{
		{Number: 1, Path: "/dev/vda1", Start: 2048, Size: 524288, Type: machine.TypeESP, UUID: esp},
		{Number: 2, Path: "/dev/vda2", Start: 526336, Size: 1048576, Type: linuxData, UUID: "99999999-1111-4111-8111-999999999902"},
		{Number: 3, Path: "/dev/vda3", Start: 1574912, Size: 23588864, Type: machine.TypeLUKS, UUID: "99999999-1111-4111-8111-999999999903"},
	}
	m.Disks = []machine.Disk{d}
	m.Crypts = []machine.Crypt{{
		Name: "vda3_crypt", On: machine.PartRef("vda", 3), Version: 2, UUID: "99999999-aaaa-4aaa-8aaa-9999999999c3",
		Cipher: "aes-xts-plain64", KeyBits: 512, SectorSize: 512, Offset: 16 * MiB, Size: 11502 * MiB,
		KDF: machine.KDF{Kind: "argon2id", Iterations: 4, Memory: 1 << 20, Threads: 4}, Slots: 2, Tokens: []string{"systemd-tpm2"}, Flags: []string{"allow-discards"},
	}}
	m.VolumeGroups = []machine.VolumeGroup{{
		Name: "vault-vg", UUID: "vGvGv0-9999-9999-9999-9999-9999-999901", ExtentSize: 4 * MiB,
		Physical: []machine.PhysicalVolume{{On: machine.CryptRef("vda3_crypt"), UUID: "pVpVp0-9999-9999-9999-9999-9999-999902", Size: 11500 * MiB, Free: 11500*MiB - 9*GiB}},
		Logical: []machine.LogicalVolume{
			{Name: "root", UUID: "lVlVl0-9999-9999-9999-9999-9999-999903", Size: 8 * GiB, Kind: "linear"},
			{Name: "swap_1", UUID: "lVlVl0-9999-9999-9999-9999-9999-999904", Size: 1 * GiB, Kind: "linear"},
		},
	}}
	boot, root := machine.PartRef("vda", 2), machine.LVRef("vault-vg", "root")
	m.FileSystems = []machine.FileSystem{
		vfatESP(machine.PartRef("vda", 1), 256*MiB),
		ext4(boot, "99999999-aaaa-4aaa-8aaa-999999999902", "", 512*MiB, 120*MiB),
		ext4(root, "99999999-aaaa-4aaa-8aaa-999999999903", "", 8*GiB, 2*GiB),
	}
	m.Swaps = []machine.Swap{{On: machine.LVRef("vault-vg", "swap_1"), Size: 1 * GiB, UUID: "99999999-aaaa-4aaa-8aaa-999999999904"}}
	m.Mounts = []machine.Mount{
		{On: root, Target: "/", Options: "rw,relatime,errors=remount-ro", InFstab: true},
		{On: boot, Target: "/boot", Options: "rw,relatime", InFstab: true},
		{On: machine.PartRef("vda", 1), Target: "/boot/efi", Options: "rw,relatime,umask=0077", InFstab: true},
	}
	return m
}
