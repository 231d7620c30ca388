// Package machine is the model of a machine as mkcdrec records it: disks,
// partition tables, volume groups, file systems, mounts, firmware, boot
// loader, network. It is pure data with validation and a versioned JSON form;
// it neither looks at a machine (inspect) nor changes one (restore).
package machine

import "time"

// Version is the version of the JSON form (layout.json).
const Version = 1

// Bytes is a size or offset in bytes.
type Bytes int64

// Sectors is a size or offset in logical sectors of the disk concerned.
type Sectors int64

// Ref names a block device within one Machine, whatever /dev calls it:
// "disk:vda", "part:vda/1", "md:md0", "part:md0/1", "luks:root", "lv:vg0/root".
// The first part of a ref's body is the name of a disk, array, encrypted
// device or volume group.
type Ref string

// Machine is everything that is recorded about one machine.
type Machine struct {
	Version      int           `json:"version"`
	Recorded     time.Time     `json:"recorded"`
	Hostname     string        `json:"hostname"`
	MachineID    string        `json:"machine_id,omitempty"`
	Arch         string        `json:"arch"`    // as Go names it: amd64, arm64
	Kernel       string        `json:"kernel"`  // uname -r
	OS           OS            `json:"os"`      // from os-release
	Product      Product       `json:"product"` // from DMI
	CPU          CPU           `json:"cpu"`
	Memory       Bytes         `json:"memory"`
	Firmware     Firmware      `json:"firmware"`
	BootLoader   BootLoader    `json:"boot_loader"`
	Disks        []Disk        `json:"disks"`
	Arrays       []Array       `json:"arrays,omitempty"`
	Crypts       []Crypt       `json:"crypts,omitempty"`
	VolumeGroups []VolumeGroup `json:"volume_groups,omitempty"`
	FileSystems  []FileSystem  `json:"file_systems"`
	Swaps        []Swap        `json:"swaps,omitempty"`
	Mounts       []Mount       `json:"mounts"`
	Network      Network       `json:"network"`
	Findings     []Finding     `json:"findings,omitempty"`
}

// OS is the operating system, from /etc/os-release.
type OS struct {
	ID        string   `json:"id"`
	IDLike    []string `json:"id_like,omitempty"`
	VersionID string   `json:"version_id,omitempty"`
	Name      string   `json:"name"` // PRETTY_NAME
}

// Product identifies the hardware, from /sys/class/dmi/id.
type Product struct {
	Vendor string `json:"vendor,omitempty"`
	Name   string `json:"name,omitempty"`
	Serial string `json:"serial,omitempty"`
	UUID   string `json:"uuid,omitempty"`
}

// CPU says what the recorded kernel and programs may rely on.
type CPU struct {
	Model string `json:"model,omitempty"`
	Level int    `json:"level,omitempty"` // x86-64-v1 ... v4 (psABI); 0: unknown
}

// FirmwareKind is how the machine starts.
type FirmwareKind string

// The kinds of firmware.
const (
	BIOS FirmwareKind = "bios"
	UEFI FirmwareKind = "uefi"
)

// Firmware is the firmware and its boot entries.
type Firmware struct {
	Kind       FirmwareKind `json:"kind"`
	SecureBoot bool         `json:"secure_boot,omitempty"`
	Entries    []EFIEntry   `json:"entries,omitempty"` // in boot order
}

// EFIEntry is one Boot#### variable.
type EFIEntry struct {
	Number   string `json:"number"` // four hex digits
	Label    string `json:"label"`
	Loader   string `json:"loader,omitempty"`    // path on the ESP with backslashes
	PartUUID string `json:"part_uuid,omitempty"` // of the ESP
	Active   bool   `json:"active"`
	// Data is what the loader is given, as it is in the variable: the command line
	// of a kernel that the firmware starts by itself.
	Data []byte `json:"data,omitempty"`
	// Unlisted says that BootOrder does not name it: it starts when it is asked for.
	Unlisted bool `json:"unlisted,omitempty"`
}

// BootLoaderKind names a boot loader family.
type BootLoaderKind string

// The boot loaders that are told apart.
const (
	GRUBBIOS     BootLoaderKind = "grub-bios"
	GRUBEFI      BootLoaderKind = "grub-efi"
	SystemdBoot  BootLoaderKind = "systemd-boot"
	UKI          BootLoaderKind = "uki" // the firmware starts a kernel itself, mostly a unified image
	EFIProgram   BootLoaderKind = "efi" // any other program on the ESP with a boot entry that leads to it
	EXTLINUX     BootLoaderKind = "extlinux"
	OtherLoader  BootLoaderKind = "other" // what restore cannot install; a finding says what it is
	NoBootLoader BootLoaderKind = "none"  // started from outside: direct kernel boot, container host
)

// BootLoader is what starts the installed kernel.
type BootLoader struct {
	Kind BootLoaderKind `json:"kind"`
	// Disks hold the BIOS boot code (GRUBBIOS), or lead to it (EXTLINUX, OtherLoader).
	Disks []Ref `json:"disks,omitempty"`
	// ID is the directory below \EFI on the ESP (GRUBEFI), e.g. "debian".
	ID string `json:"id,omitempty"`
	// Path is the program on the ESP (SystemdBoot, UKI, EFIProgram), with slashes and as it is
	// written there; of EXTLINUX the directory of ldlinux.sys, from the root.
	Path string `json:"path,omitempty"`
	// Fallback says that \EFI\BOOT\BOOTX64.EFI exists.
	Fallback bool `json:"fallback,omitempty"`
	// Exchanged says that the recorded machine had another: this one comes from
	// the packages of the restored system.
	Exchanged bool `json:"exchanged,omitempty"`
	// Anew says that it is installed from those packages though the backup has
	// it: it may know its own files by what is made otherwise than recorded.
	Anew bool `json:"anew,omitempty"`
}

// Foreign says that the machine starts by something that restore cannot install.
func (b BootLoader) Foreign() bool {
	return b.Kind == OtherLoader || b.Kind == EXTLINUX && b.Path == "" // as backups had it that are older
}

// Network is the network as it was configured while recorded.
type Network struct {
	Interfaces []Interface `json:"interfaces,omitempty"`
	Routes     []Route     `json:"routes,omitempty"`
	DNS        []string    `json:"dns,omitempty"`
	Search     []string    `json:"search,omitempty"`
}

// Interface is one network interface; loopback is left out.
type Interface struct {
	Name      string   `json:"name"`
	MAC       string   `json:"mac,omitempty"`
	Kind      string   `json:"kind,omitempty"` // "" for a real one, else vlan, bond, bridge ...
	Driver    string   `json:"driver,omitempty"`
	Addresses []string `json:"addresses,omitempty"` // CIDR, link-local left out
	DHCP      bool     `json:"dhcp,omitempty"`      // an address with a finite lifetime
	MTU       int      `json:"mtu,omitempty"`
	Up        bool     `json:"up"`
}

// Route is one static route of the main table.
type Route struct {
	To  string `json:"to"` // CIDR or "default"
	Via string `json:"via,omitempty"`
	Dev string `json:"dev"`
}

// Finding is something that was seen and cannot be recorded or rebuilt.
// backup refuses while a finding is Blocking and not excluded by its Name.
type Finding struct {
	Name     string `json:"name"` // what to write behind --exclude, e.g. "zfs:tank"
	What     string `json:"what"` // one sentence
	Todo     string `json:"todo"` // what the administrator can do
	Blocking bool   `json:"blocking"`
}
