// Package machinetest has named machines that every layer is tested on. They
// are values made anew on each call, so that a test may change its own. It
// holds no test helpers beyond that, and nothing but tests imports it.
package machinetest

import (
	"sort"
	"time"

	"github.com/mkcdrec/mkcdrec/internal/machine"
)

// Units of size.
const (
	MiB machine.Bytes = 1 << 20
	GiB machine.Bytes = 1 << 30
	TiB machine.Bytes = 1 << 40
)

var byName = map[string]func() machine.Machine{
	"uefi-plain":       UEFIPlain,
	"bios-mbr-logical": BIOSMBRLogical,
	"uefi-lvm":         UEFILVM,
	"btrfs-subvols":    BtrfsSubvols,
	"nvme-4k":          NVMe4K,
	"whole-disk-ext4":  WholeDiskExt4,
	"two-disks":        TwoDisks,
	"raid1-lvm":        RAID1LVM,
	"luks-lvm":         LUKSLVM,
	"lvm-thin":         LVMThin,
	"lvm-raid":         LVMRAID,
	"flash-data":       FlashData,
	"uefi-multipath":   UEFIMultipath,
	"btrfs-two":        BtrfsTwo,
}

// Names are the names of all machines, sorted.
func Names() []string {
	var out []string
	for n := range byName {
		out = append(out, n)
	}
	sort.Strings(out)
	return out
}

// Get makes a machine by its name and panics when there is none.
func Get(name string) machine.Machine {
	f, ok := byName[name]
	if !ok {
		panic("machinetest: no machine " + name)
	}
	return f()
}

// Ext4Features are those of mke2fs 1.47 on Debian 12 and the kernel's own.
func Ext4Features() []string {
	return []string{
		"has_journal", "ext_attr", "resize_inode", "dir_index", "filetype", "extent", "64bit",
		"flex_bg", "sparse_super", "large_file", "huge_file", "dir_nlink", "extra_isize", "metadata_csum",
	}
}

// XFSFeatures are those of mkfs.xfs 6.1 on Debian 12.
func XFSFeatures() []string {
	return []string{"crc", "ftype", "finobt", "sparse", "reflink", "bigtime", "inobtcount"}
}

func base(host string) machine.Machine {
	return machine.Machine{
		Version:   machine.Version,
		Recorded:  time.Date(2026, 11, 24, 4, 0, 0, 0, time.UTC),
		Hostname:  host,
		MachineID: "0123456789abcdef0123456789abcdef",
		Arch:      "amd64",
		Kernel:    "6.1.0-56-amd64",
		OS:        machine.OS{ID: "debian", VersionID: "12", Name: "Debian GNU/Linux 12 (bookworm)"},
		Product:   machine.Product{Vendor: "QEMU", Name: "Standard PC (Q35 + ICH9, 2009)"},
		CPU:       machine.CPU{Model: "QEMU TCG CPU version 2.5+", Level: 3},
		Memory:    2 * GiB,
		Network: machine.Network{
			Interfaces: []machine.Interface{{
				Name: "enp0s2", MAC: "52:54:00:12:34:56", Driver: "virtio_net",
				Addresses: []string{"10.0.2.15/24"}, DHCP: true, MTU: 1500, Up: true,
			}},
			Routes: []machine.Route{{To: "default", Via: "10.0.2.2", Dev: "enp0s2"}},
			DNS:    []string{"10.0.2.3"},
		},
	}
}

func uefi(m *machine.Machine, esp string) {
	m.Firmware = machine.Firmware{Kind: machine.UEFI, Entries: []machine.EFIEntry{{
		Number: "0001", Label: "debian", Loader: `\EFI\debian\shimx64.efi`, PartUUID: esp, Active: true,
	}}}
	m.BootLoader = machine.BootLoader{Kind: machine.GRUBEFI, ID: "debian", Fallback: true}
}

func virtio(name, serial string, size machine.Bytes) machine.Disk {
	return machine.Disk{
		Name: name, Path: "/dev/" + name, Size: size,
		LogicalSector: 512, PhysicalSector: 512, Serial: serial, Transport: "virtio",
	}
}

// gpt makes a table of 512-byte sectors (or others) with the usable range
// that a GPT of 128 entries leaves.
func gpt(id string, d *machine.Disk) *machine.PartitionTable {
	entries := machine.Sectors(16384 / d.LogicalSector)
	last := machine.Sectors(d.Size/d.LogicalSector) - 2 - entries
	d.Signatures = []string{"gpt", "PMBR"}
	return &machine.PartitionTable{Kind: machine.GPT, ID: id, FirstLBA: max(2+entries, 6), LastLBA: last}
}

const linuxData = "0FC63DAF-8483-4772-8E79-3D69D8477DE4"

const linuxSwap = "0657FD6D-A4AB-43C4-84E5-0933C84B4F4F"

func vfatESP(on machine.Ref, size machine.Bytes) machine.FileSystem {
	return machine.FileSystem{
		On: on, Kind: "vfat", UUID: "5A3C-11B0", Label: "ESP", Size: size, Used: 6 * MiB,
		BlockSize: 4096, Options: map[string]string{"fat_bits": "32", "sector_size": "512"},
	}
}

func ext4(on machine.Ref, uuid, label string, size, used machine.Bytes) machine.FileSystem {
	return machine.FileSystem{
		On: on, Kind: "ext4", UUID: uuid, Label: label, Size: size, Used: used,
		Inodes: int64(size / 16384), BlockSize: 4096, InodeSize: 256, Features: Ext4Features(),
		Options: map[string]string{
			"reserved_percent": "5", "default_mount_options": "user_xattr,acl",
			"hash_seed": "8b0c6f4e-61a1-4c3a-9c6e-7a1d7a2b9f10", "hash_alg": "half_md4",
		},
	}
}

func xfs(on machine.Ref, uuid, label string, size, used machine.Bytes) machine.FileSystem {
	return machine.FileSystem{
		On: on, Kind: "xfs", UUID: uuid, Label: label, Size: size, Used: used,
		BlockSize: 4096, InodeSize: 512, Features: XFSFeatures(),
		Options: map[string]string{"sector_size": "512", "agcount": "4"},
	}
}
