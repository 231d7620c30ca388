package qemu

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// Firmware is what the machine starts with.
type Firmware string

// The firmwares. Secure boot has Microsoft's keys enrolled and enforces them.
const (
	BIOS           Firmware = "bios" // SeaBIOS
	UEFI           Firmware = "uefi" // OVMF
	UEFISecureBoot Firmware = "uefi-secure-boot"
)

// Bus is how a disk is attached; it decides the disk's name in the guest.
type Bus string

// The buses, with the name of the first disk under Linux.
const (
	Virtio Bus = "virtio" // vda
	SATA   Bus = "sata"   // sda
	NVMe   Bus = "nvme"   // nvme0n1
	USB    Bus = "usb"    // sda, as a USB stick
	SCSI   Bus = "scsi"   // sda, behind virtio-scsi
)

// Disk is one disk of the machine.
type Disk struct {
	Path       string
	Format     string // "raw" or "qcow2"; "" is qcow2
	Bus        Bus    // "" is Virtio
	Serial     string // at most 20 characters; "" leaves the bus's default
	SectorSize int    // logical sector size in bytes; 0 is 512
	ReadOnly   bool
	Snapshot   bool // writes go to a temporary file and are lost at the end
	Durable    bool // honour flushes; the default is cache=unsafe, right for scratch disks
}

// Share is a directory of this machine that the guest can mount by 9p
// (mount -t 9p -o trans=virtio TAG DIR). A machine with a share cannot be
// saved by SaveVM.
type Share struct {
	Path     string
	Tag      string
	ReadOnly bool
}

// Network is one network card on QEMU's user network: the guest gets
// 10.0.2.15 by DHCP and reaches out through this machine; nothing reaches it
// but the forwarded ssh port on 127.0.0.1.
type Network struct {
	Model    string // QEMU device; "" is virtio-net-pci
	MAC      string // "" is QEMU's default
	Isolated bool   // the guest cannot reach anything outside
	SSHPort  int    // port on 127.0.0.1 for the guest's port 22; 0 picks a free one
}

// Config describes a virtual machine.
type Config struct {
	Name     string   // for messages; "" is "vm"
	Memory   int      // MiB; 0 is 768
	CPUs     int      // 0 is 2
	Firmware Firmware // "" is BIOS
	// VarsPath keeps the UEFI variables (as qcow2) between starts; it is made
	// from the firmware's template when it does not exist. "" is a private
	// copy that is removed at the end.
	VarsPath string
	Machine  string // QEMU machine type; "" is q35

	Disks  []Disk   // disk0, disk1 ...
	CDROMs []string // ISO files, cd0, cd1 ...; "" is an empty drive
	Shares []Share
	// BootOrder names devices ("disk0", "cd0", "nic"); the firmware tries
	// them in this order. Empty: the disks, then the CDs.
	BootOrder []string

	Kernel string // direct boot, past the firmware's search for a boot loader
	Initrd string
	Append string // kernel command line

	Network *Network // nil: no network card

	// Accel is a QEMU -accel value; "" asks DetectAccel.
	Accel     string
	SerialLog string // the console is also written to this file
	NoReboot  bool   // end when the guest reboots
	LoadVM    string // start from this snapshot (see VM.SaveVM)
	ExtraArgs []string
}

func (c Config) withDefaults() Config {
	if c.Name == "" {
		c.Name = "vm"
	}
	if c.Memory == 0 {
		c.Memory = 768
	}
	if c.CPUs == 0 {
		c.CPUs = 2
	}
	if c.Firmware == "" {
		c.Firmware = BIOS
	}
	if c.Machine == "" {
		c.Machine = "q35"
	}
	c.Disks = slices.Clone(c.Disks)
	for i := range c.Disks {
		if c.Disks[i].Format == "" {
			c.Disks[i].Format = "qcow2"
		}
		if c.Disks[i].Bus == "" {
			c.Disks[i].Bus = Virtio
		}
	}
	if len(c.BootOrder) == 0 {
		for i := range c.Disks {
			c.BootOrder = append(c.BootOrder, "disk"+strconv.Itoa(i))
		}
		for i := range c.CDROMs {
			c.BootOrder = append(c.BootOrder, "cd"+strconv.Itoa(i))
		}
	}
	return c
}

// files are the paths that Start has prepared for the arguments.
type files struct {
	code string // firmware code, "" for SeaBIOS
	vars string // this machine's variables, qcow2
	qmp  string // control socket
}

// args are QEMU's arguments for c, which has its defaults filled in.
// The options are described in qemu(1).
func (c Config) args(f files) ([]string, error) {
	a := []string{"-name", escape(c.Name), "-nodefaults", "-no-user-config"}
	machine := c.Machine
	if c.Firmware == UEFISecureBoot {
		machine += ",smm=on"
	}
	a = append(a, "-machine", machine, "-accel", c.Accel, "-cpu", cpuFor(c.Accel),
		"-smp", strconv.Itoa(c.CPUs), "-m", strconv.Itoa(c.Memory),
		"-display", "none", "-vga", "std", "-rtc", "base=utc",
		"-device", "virtio-rng-pci",
		"-chardev", "stdio,id=console,signal=off", "-serial", "chardev:console",
		"-qmp", "unix:"+escape(f.qmp)+",server=on,wait=off")
	switch c.Firmware {
	case BIOS:
	case UEFI, UEFISecureBoot:
		if c.Firmware == UEFISecureBoot {
			a = append(a, "-global", "driver=cfi.pflash01,property=secure,value=on")
		}
		a = append(a, "-drive", "if=pflash,unit=0,format=raw,readonly=on,file="+escape(f.code),
			"-drive", "if=pflash,unit=1,format=qcow2,file="+escape(f.vars))
	default:
		return nil, fmt.Errorf("unknown firmware %q", c.Firmware)
	}
	devices, err := c.deviceArgs()
	if err != nil {
		return nil, err
	}
	a = append(a, devices...)
	if c.Kernel != "" {
		a = append(a, "-kernel", c.Kernel)
		if c.Initrd != "" {
			a = append(a, "-initrd", c.Initrd)
		}
		if c.Append != "" {
			a = append(a, "-append", c.Append)
		}
	}
	if c.NoReboot {
		a = append(a, "-no-reboot")
	}
	if c.LoadVM != "" {
		a = append(a, "-loadvm", c.LoadVM)
	}
	return append(a, c.ExtraArgs...), nil
}

// deviceArgs are the arguments for disks, CDs, shares and the network card.
func (c Config) deviceArgs() ([]string, error) {
	var a []string
	boot := func(name string) string {
		// QEMU gives a direct kernel the first place and refuses a second one.
		if i := slices.Index(c.BootOrder, name); i >= 0 && c.Kernel == "" {
			return ",bootindex=" + strconv.Itoa(i)
		}
		return ""
	}
	for _, name := range c.BootOrder {
		if !c.hasDevice(name) {
			return nil, fmt.Errorf("boot order names %q, which the machine does not have", name)
		}
	}
	for _, ctl := range []struct {
		bus    Bus
		device string
	}{{USB, "qemu-xhci,id=usb"}, {SCSI, "virtio-scsi-pci,id=scsi"}} {
		if slices.ContainsFunc(c.Disks, func(d Disk) bool { return d.Bus == ctl.bus }) {
			a = append(a, "-device", ctl.device)
		}
	}
	port := 0 // of the AHCI controller that q35 has; disks and CDs share its six
	for i, d := range c.Disks {
		id := "disk" + strconv.Itoa(i)
		device, err := d.device(id, &port)
		if err != nil {
			return nil, err
		}
		a = append(a, "-drive", d.drive(id), "-device", device+boot(id))
	}
	for i, iso := range c.CDROMs {
		id := "cd" + strconv.Itoa(i)
		drive := "if=none,id=" + id + ",media=cdrom,readonly=on"
		if iso != "" {
			drive += ",format=raw,file=" + escape(iso)
		}
		a = append(a, "-drive", drive, "-device", fmt.Sprintf("ide-cd,id=dev-%s,drive=%s,bus=ide.%d%s", id, id, port, boot(id)))
		port++
	}
	if port > 6 {
		return nil, fmt.Errorf("%d SATA disks and CDs: the machine has 6 ports", port)
	}
	for i, s := range c.Shares {
		v := fmt.Sprintf("local,id=share%d,path=%s,mount_tag=%s,security_model=none", i, escape(s.Path), escape(s.Tag))
		if s.ReadOnly {
			v += ",readonly=on"
		}
		a = append(a, "-virtfs", v)
	}
	if n := c.Network; n != nil {
		net := fmt.Sprintf("user,id=net0,hostfwd=tcp:127.0.0.1:%d-:22", n.SSHPort)
		if n.Isolated {
			net += ",restrict=on"
		}
		model := n.Model
		if model == "" {
			model = "virtio-net-pci"
		}
		device := model + ",id=nic,netdev=net0"
		if n.MAC != "" {
			device += ",mac=" + n.MAC
		}
		if !slices.Contains(c.BootOrder, "nic") {
			device += ",romfile=" // no network boot: the firmware need not try it
		}
		a = append(a, "-netdev", net, "-device", device+boot("nic"))
	}
	return a, nil
}

func (c Config) hasDevice(name string) bool {
	if name == "nic" {
		return c.Network != nil
	}
	for i := range c.Disks {
		if name == "disk"+strconv.Itoa(i) {
			return true
		}
	}
	for i := range c.CDROMs {
		if name == "cd"+strconv.Itoa(i) {
			return true
		}
	}
	return false
}

// drive is the disk's back end.
func (d Disk) drive(id string) string {
	v := "if=none,id=" + id + ",format=" + d.Format + ",discard=unmap,file=" + escape(d.Path)
	if !d.Durable {
		v += ",cache=unsafe"
	}
	if d.ReadOnly {
		v += ",readonly=on"
	}
	if d.Snapshot {
		v += ",snapshot=on"
	}
	return v
}

// device is what the guest sees of the disk.
func (d Disk) device(id string, sataPort *int) (string, error) {
	var v string
	switch d.Bus {
	case Virtio:
		v = "virtio-blk-pci,drive=" + id
	case SATA:
		v = fmt.Sprintf("ide-hd,drive=%s,bus=ide.%d", id, *sataPort)
		*sataPort++
	case NVMe:
		if d.Serial == "" {
			d.Serial = id // QEMU refuses an NVMe disk without one
		}
		v = "nvme,drive=" + id
	case USB:
		v = "usb-storage,bus=usb.0,removable=on,drive=" + id
	case SCSI:
		v = "scsi-hd,bus=scsi.0,drive=" + id
	default:
		return "", fmt.Errorf("unknown bus %q of disk %s", d.Bus, d.Path)
	}
	v += ",id=dev-" + id
	if d.Serial != "" {
		v += ",serial=" + escape(d.Serial)
	}
	if d.SectorSize != 0 {
		v += fmt.Sprintf(",logical_block_size=%d,physical_block_size=%d", d.SectorSize, d.SectorSize)
	}
	return v, nil
}

// cpuFor is the processor to show the guest: everything the accelerator has.
func cpuFor(accel string) string {
	if strings.HasPrefix(accel, "kvm") {
		return "host"
	}
	return "max"
}

// escape doubles commas, which separate QEMU's options.
func escape(s string) string { return strings.ReplaceAll(s, ",", ",,") }
