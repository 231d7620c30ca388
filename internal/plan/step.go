// Package plan says what a restore or clone will do, as a value: a list of
// typed steps, each with why, on which device, and what it destroys. A plan
// can be printed, stored as JSON and compared. Nothing here touches a machine.
package plan

import (
	"strings"

	"github.com/mkcdrec/mkcdrec/internal/machine"
)

// Kind is what a step does.
type Kind string

// The kinds of steps, in the order in which a plan has them.
const (
	Release        Kind = "release"     // deactivate what holds the disk (VGs, arrays, swap, mounts)
	Wipe           Kind = "wipe"        // remove signatures from the disk and its old partitions
	PartitionDisk  Kind = "partition"   // write the partition table of a disk or array
	MakeArray      Kind = "array"       // create and start a RAID array
	MakeCrypt      Kind = "luks"        // write a LUKS header and open the device
	CreatePV       Kind = "pvcreate"    //
	CreateVG       Kind = "vgcreate"    //
	CreateLV       Kind = "lvcreate"    //
	MakeFS         Kind = "mkfs"        //
	MakeSwap       Kind = "mkswap"      //
	MountFS        Kind = "mount"       // below the target root
	MountPoints    Kind = "mountpoints" // the directories that other file systems are mounted on
	Subvolumes     Kind = "subvolumes"  // create btrfs subvolumes, set the default one
	Unpack         Kind = "unpack"      // the files
	SwapFile       Kind = "swapfile"    // make swap files anew
	Identity       Kind = "identity"    // fstab, crypttab, hostname, machine-id ...
	Initramfs      Kind = "initramfs"   // rebuild where the hardware needs it
	InstallLoader  Kind = "boot-loader" //
	VerifyRestored Kind = "verify"      // compare with the catalogue
	UnmountAll     Kind = "unmount"     //
)

// Plan is the whole of it. Target is the machine as it will be: the recorded
// one fitted onto the disks that are here, with the new names and sizes; all
// refs in the steps are refs into Target.
type Plan struct {
	Version int             `json:"version"`
	Backup  string          `json:"backup"` // ID of the backup
	Host    string          `json:"host"`
	Clone   bool            `json:"clone,omitempty"`
	Scope   *Scope          `json:"scope,omitempty"`   // nil: the whole machine
	Changes *Changes        `json:"changes,omitempty"` // nil: as recorded
	Images  []Image         `json:"images,omitempty"`  // not empty: the disks are image files
	Target  machine.Machine `json:"target"`
	Choices []Choice        `json:"choices"` // why each disk was chosen
	Erases  []Erased        `json:"erases"`  // what will be gone, for the question
	Steps   []Step          `json:"steps"`
}

// Choice explains one decision of fit.
type Choice struct {
	Subject string `json:"subject"` // "disk vda"
	Chosen  string `json:"chosen"`  // "nvme0n1"
	Why     string `json:"why"`     // "same serial number S4X..."
}

// Erased is one device that the plan overwrites, as it is now: a disk, or the
// partition or volume of a single file system.
type Erased struct {
	Device machine.Ref  `json:"device"`
	Disk   machine.Disk `json:"disk"`  // the device itself, or the (first) disk that it lies on
	Holds  []string     `json:"holds"` // "part 1: vfat EFI (512 MiB)", "LVM volume group old" ...
	// Now are the stretches of the disk for a picture; nil for a single
	// partition or volume, and where the disk was not seen.
	Now []Segment `json:"now,omitempty"`
}

// Name is the device's name for people and for the question: vda, vda3, vg0/home.
func (e Erased) Name(m machine.Machine) string {
	if dev, err := m.Resolve(e.Device); err == nil && dev.Partition != nil {
		return strings.TrimPrefix(dev.Path, "/dev/")
	}
	return e.Device.Body()
}

// Step is one step. Only the fields that its Kind needs are set.
type Step struct {
	ID       string      `json:"id"` // "03-mkfs-lv-vg0-root"; stable for the same plan, the journal goes by it
	Kind     Kind        `json:"kind"`
	Device   machine.Ref `json:"device,omitempty"`
	Why      string      `json:"why"`
	Destroys string      `json:"destroys,omitempty"` // "" where nothing is lost

	Table      *machine.PartitionTable `json:"table,omitempty"`       // partition
	Array      *machine.Array          `json:"array,omitempty"`       // array
	Crypt      *machine.Crypt          `json:"crypt,omitempty"`       // luks
	PV         *machine.PhysicalVolume `json:"pv,omitempty"`          // pvcreate
	VG         *machine.VolumeGroup    `json:"vg,omitempty"`          // vgcreate, lvcreate
	LV         *machine.LogicalVolume  `json:"lv,omitempty"`          // lvcreate
	FS         *machine.FileSystem     `json:"fs,omitempty"`          // mkfs, subvolumes
	Swap       *machine.Swap           `json:"swap,omitempty"`        // mkswap, swapfile
	Mount      *machine.Mount          `json:"mount,omitempty"`       // mount; Target is relative to the target root
	BootLoader *machine.BootLoader     `json:"boot_loader,omitempty"` // boot-loader
	Clone      *CloneWishes            `json:"clone,omitempty"`       // identity
	Paths      []string                `json:"paths,omitempty"`       // mountpoints; absolute
}

// CloneWishes say how a clone differs from the original.
type CloneWishes struct {
	Hostname  string   `json:"hostname,omitempty"`
	Addresses []string `json:"addresses,omitempty"` // CIDR for the first interface; empty: DHCP
	Gateway   string   `json:"gateway,omitempty"`
}
