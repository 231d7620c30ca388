package machine

// Disk is one whole disk.
type Disk struct {
	Name           string `json:"name"` // kernel name: vda, nvme0n1
	Path           string `json:"path"` // /dev/vda
	Size           Bytes  `json:"size"`
	LogicalSector  Bytes  `json:"logical_sector"`
	PhysicalSector Bytes  `json:"physical_sector,omitempty"`
	Serial         string `json:"serial,omitempty"`
	WWN            string `json:"wwn,omitempty"`
	Model          string `json:"model,omitempty"`
	Transport      string `json:"transport,omitempty"` // sata, nvme, usb, virtio ...
	Rotational     bool   `json:"rotational,omitempty"`
	Removable      bool   `json:"removable,omitempty"`
	ReadOnly       bool   `json:"read_only,omitempty"`
	// Paths are the kernel names of the paths of a multipath device, which has
	// the Name and Path of its map (mpatha, /dev/mapper/mpatha) and its WWID as
	// WWN. They are not disks of their own. Empty for all other disks.
	Paths []string        `json:"paths,omitempty"`
	Table *PartitionTable `json:"table,omitempty"` // nil: no partition table
	// Signatures are what wipefs sees on the whole disk: "gpt", "ext4", "LVM2_member" ...
	Signatures []string `json:"signatures,omitempty"`
}

// Multipath says that a disk is reached over several paths, by way of device mapper.
func (d *Disk) Multipath() bool { return len(d.Paths) > 0 }

// TableKind is a partition table format.
type TableKind string

// The partition table formats.
const (
	GPT TableKind = "gpt"
	MBR TableKind = "mbr"
)

// PartitionTable is a partition table as sfdisk -J reports it.
type PartitionTable struct {
	Kind     TableKind `json:"kind"`
	ID       string    `json:"id"`                  // disk GUID, or 0x... of an MBR
	FirstLBA Sectors   `json:"first_lba,omitempty"` // GPT
	LastLBA  Sectors   `json:"last_lba,omitempty"`  // GPT
	// Entries is how many partitions a GPT has room for; 0 is the usual 128.
	Entries int `json:"entries,omitempty"`
	// Hybrid has the four entries of the MBR beside a GPT as hex digits, where
	// they are more than the one that protects the GPT.
	Hybrid     string      `json:"hybrid,omitempty"`
	Partitions []Partition `json:"partitions"`
}

// Partition is one partition. A logical partition of an MBR has Number >= 5.
type Partition struct {
	Number   int     `json:"number"`
	Path     string  `json:"path"`
	Start    Sectors `json:"start"`
	Size     Sectors `json:"size"`
	Type     string  `json:"type"`           // GUID (upper case), or hex without 0x ("83", "f")
	UUID     string  `json:"uuid,omitempty"` // PARTUUID
	Name     string  `json:"name,omitempty"` // GPT
	Attrs    string  `json:"attrs,omitempty"`
	Bootable bool    `json:"bootable,omitempty"`
	// Holds is what was seen on it that has no place in the model, as blkid names
	// it ("ntfs"): a backup has nothing of it.
	Holds string `json:"holds,omitempty"`
	// Formerly is the PARTUUID that was recorded, where the table had to become
	// one of another kind.
	Formerly string `json:"formerly,omitempty"`
}

// Partition types that change what is done.
const (
	TypeESP      = "C12A7328-F81F-11D2-BA4B-00A0C93EC93B"
	TypeBIOSBoot = "21686148-6449-6E6F-744E-656564454649"
	TypePReP     = "9E1A2D38-C612-4316-AA26-8B49521E5A8B"
	TypeLVM      = "E6D6D379-F507-44C2-A23C-238F2A3DF928"
	TypeRAID     = "A19D880F-05FC-4D3B-A006-743F0F84911E"
	TypeLUKS     = "CA7D7CCB-63ED-4C53-861C-1742536059CC"
)

// Extended says that this is the container of an MBR's logical partitions.
func (p Partition) Extended() bool { return p.Type == "5" || p.Type == "f" || p.Type == "85" }

// FSKind is a file-system type as mount names it.
type FSKind string

// FileSystem is one file system, mounted or not.
type FileSystem struct {
	On        Ref    `json:"on"`
	Kind      FSKind `json:"kind"` // ext2 ext3 ext4 xfs btrfs f2fs vfat exfat
	UUID      string `json:"uuid,omitempty"`
	Label     string `json:"label,omitempty"`
	Size      Bytes  `json:"size"`
	Used      Bytes  `json:"used,omitempty"` // known when mounted
	Inodes    int64  `json:"inodes,omitempty"`
	BlockSize Bytes  `json:"block_size,omitempty"`
	InodeSize Bytes  `json:"inode_size,omitempty"`
	// Features are the feature flags as the file system's own tool names them
	// (tune2fs -l, xfs_info, btrfs inspect-internal dump-super).
	Features []string `json:"features,omitempty"`
	// Options are further parameters for making it: "reserved_percent",
	// "hash_seed", "default_mount_options", "fat_bits", "csum" ...
	Options    map[string]string `json:"options,omitempty"`
	Subvolumes []Subvolume       `json:"subvolumes,omitempty"`
	// Devices are all devices of a btrfs that has more than one, by their
	// numbers; On is the first. nil: On alone. Missing is how many more there
	// were to be when it was recorded.
	Devices []FSDevice `json:"devices,omitempty"`
	Missing int        `json:"missing,omitempty"`
}

// Subvolume is a btrfs subvolume.
type Subvolume struct {
	ID       uint64 `json:"id"`
	Path     string `json:"path"` // from the top level, without a leading slash
	ReadOnly bool   `json:"read_only,omitempty"`
	Snapshot bool   `json:"snapshot,omitempty"` // made as a snapshot of another
	Default  bool   `json:"default,omitempty"`
}

// Swap is a swap partition, volume or file.
type Swap struct {
	On    Ref    `json:"on,omitempty"`   // device, or "" for a file
	File  string `json:"file,omitempty"` // absolute path
	Size  Bytes  `json:"size"`
	UUID  string `json:"uuid,omitempty"`
	Label string `json:"label,omitempty"`
}

// Mount is where a recorded file system is mounted. Binds, network file
// systems and pseudo file systems are not in this list, fstab keeps those.
type Mount struct {
	On        Ref    `json:"on"`
	Target    string `json:"target"`              // absolute, "/" first in the list, parents before children
	Subvolume string `json:"subvolume,omitempty"` // btrfs: path from the top level
	Options   string `json:"options"`             // as mounted, comma separated
	InFstab   bool   `json:"in_fstab"`
	// Added says that the recorded machine did not have this mount: the new
	// hardware needs it.
	Added bool `json:"added,omitempty"`
}
