package inspect

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sort"
	"strconv"
	"strings"

	"github.com/mkcdrec/mkcdrec/internal/machine"
	"github.com/mkcdrec/mkcdrec/internal/tool/blkid"
	"github.com/mkcdrec/mkcdrec/internal/tool/lsblk"
	"github.com/mkcdrec/mkcdrec/internal/tool/sfdisk"
	"github.com/mkcdrec/mkcdrec/internal/tool/wipefs"
)

// node is one block device of sysfs.
type node struct {
	kname  string
	path   string // /dev/...
	majmin string
	size   machine.Bytes
	dmName string
	dmUUID string
	ref    machine.Ref // "" for what the model cannot name
	probed blkid.Probed
	parent string // disk of a partition
	number int    // of a partition
	leaf   bool   // may hold a file system, swap or a physical volume
}

const sysBlock = "/sys/block"

// blockDevices reads all block devices and records the disks among them.
func (in *inspector) blockDevices() error {
	list, err := os.ReadDir(in.path(sysBlock))
	if err != nil {
		return fmt.Errorf("cannot list the block devices: %w", err)
	}
	udev := map[string]lsblk.Device{}
	if known, err := lsblk.List(in.ctx, in.run); err != nil {
		in.note("lsblk", "install util-linux", "serial numbers of disks may be missing: %v", err)
	} else {
		for _, d := range known {
			udev[d.KName] = d
		}
	}
	in.nodes = map[string]*node{}
	var names []string
	for _, e := range list {
		n := in.node(sysBlock+"/"+e.Name(), e.Name())
		in.nodes[n.kname] = n
		names = append(names, n.kname)
	}
	sort.Slice(names, func(i, j int) bool { return natural(names[i], names[j]) })
	for _, name := range names {
		switch kindOf(in.nodes[name], in.text(sysBlock+"/"+name+"/hidden") == "1") {
		case isDisk:
			if in.mapOf(in.nodes[name]) == nil {
				in.disk(in.nodes[name], udev[name])
			}
		case isForeign:
			in.sysPartitions(sysBlock+"/"+name, in.nodes[name])
			in.foreign(in.nodes[name], udev)
		case isArray:
			in.sysPartitions(sysBlock+"/"+name, in.nodes[name])
			in.pending = append(in.pending, in.nodes[name])
		}
	}
	return nil
}

func (in *inspector) node(dir, kname string) *node {
	sectors, _ := strconv.ParseInt(in.text(dir+"/size"), 10, 64)
	return &node{
		kname: kname, path: "/dev/" + strings.ReplaceAll(kname, "!", "/"), majmin: in.text(dir + "/dev"),
		size: machine.Bytes(sectors) * 512, dmName: in.text(dir + "/dm/name"), dmUUID: in.text(dir + "/dm/uuid"),
	}
}

type deviceKind int

const (
	isNothing deviceKind = iota // no storage of its own (see outside), or an empty reader
	isDisk
	isForeign // storage that the model cannot hold, or a logical volume (device mapper)
	isArray   // an md RAID array
)

func kindOf(n *node, hidden bool) deviceKind {
	name := n.kname
	if isOutside(name) {
		return isNothing
	}
	// mmcblk0boot0 and mmcblk0rpmb belong to the controller, not to Linux.
	if hidden || n.size == 0 || strings.HasPrefix(name, "mmcblk") && (strings.Contains(name, "boot") || strings.Contains(name, "rpmb")) {
		return isNothing
	}
	if strings.HasPrefix(name, "md") {
		return isArray
	}
	for _, p := range []string{"dm-", "bcache", "zd", "nbd", "rbd", "drbd", "vdo", "mtdblock", "ubiblock"} {
		if strings.HasPrefix(name, p) {
			return isForeign
		}
	}
	return isDisk
}

// foreign names storage that lies between disks and file systems and that
// version 1 of the model cannot hold. Logical volumes are told by LVM.
func (in *inspector) foreign(n *node, udev map[string]lsblk.Device) {
	switch kind, _, _ := strings.Cut(n.dmUUID, "-"); {
	case kind == "LVM":
	case kind == "CRYPT":
		in.foreignCrypt(n)
	case kind == "mpath":
		in.multipath(n, udev)
	case n.dmName != "":
		in.foreignMapper(n)
	default:
		in.foreignDevice(n)
	}
}

// geometry is what sysfs says of any disk or array.
func (in *inspector) geometry(n *node) machine.Disk {
	dir := sysBlock + "/" + n.kname
	num := func(f string) machine.Bytes {
		v, _ := strconv.ParseInt(in.text(dir+f), 10, 64)
		return machine.Bytes(v)
	}
	d := machine.Disk{
		Name: n.kname, Path: n.path, Size: n.size, LogicalSector: num("/queue/logical_block_size"),
		PhysicalSector: num("/queue/physical_block_size"), Rotational: num("/queue/rotational") == 1,
		Removable: num("/removable") == 1, ReadOnly: num("/ro") == 1,
	}
	if d.LogicalSector == 0 {
		d.LogicalSector = 512
	}
	return d
}

// disk records one disk with its partition table.
func (in *inspector) disk(n *node, u lsblk.Device) {
	dir := sysBlock + "/" + n.kname
	d := in.geometry(n)
	d.Serial = first(u.Serial, in.text(dir+"/device/serial"), in.text(dir+"/serial"))
	d.WWN = first(u.WWN, in.text(dir+"/wwid"), in.text(dir+"/device/wwid"))
	d.Model, d.Transport = first(u.Model, in.text(dir+"/device/model")), u.Transport
	if d.Transport == "" {
		d.Transport = in.transport(n.kname)
	}
	n.ref = machine.DiskRef(n.kname)
	if kind := in.networkDisk(n.kname, d.Transport); kind != "" {
		in.blocking(kind+":"+n.kname, todoFor(kind), "%s is %s, which the rescue system does not connect to", n.path, stacks[kind].what)
	}
	in.probe(n)
	if sigs, err := wipefs.List(in.ctx, in.run, n.path); err == nil {
		d.Signatures = sigs
	} else if n.probed.Type != "" {
		d.Signatures = []string{n.probed.Type}
	}
	if in.isMember(dir) {
		// With its superblock at the end, a disk that is a member as a whole
		// shows the table that is on the array (and old partitions of the
		// kernel may be left): that is read there.
		in.m.Disks = append(in.m.Disks, d)
		return
	}
	parts := in.sysPartitions(dir, n)
	if n.probed.PTType != "" && n.probed.Type == "" || len(parts) > 0 {
		d.Table = in.table(n, parts)
	}
	n.leaf = d.Table == nil && len(parts) == 0
	in.m.Disks = append(in.m.Disks, d)
}

func first(list ...string) string {
	for _, s := range list {
		if s != "" {
			return s
		}
	}
	return ""
}

// transport goes by the place of the device in sysfs, where udev is silent.
func (in *inspector) transport(kname string) string {
	dir, err := filepath.EvalSymlinks(in.path(sysBlock + "/" + kname))
	if err != nil {
		return ""
	}
	for _, t := range [][2]string{{"/virtio", "virtio"}, {"/nvme", "nvme"}, {"/usb", "usb"}, {"/session", "iscsi"}, {"/ata", "sata"}, {"/mmc_host", "mmc"}} {
		if strings.Contains(dir, t[0]) {
			return t[1]
		}
	}
	return ""
}

// sysPartitions are the partitions that the kernel sees, by number.
func (in *inspector) sysPartitions(dir string, disk *node) map[int]*node {
	out := map[int]*node{}
	list, _ := os.ReadDir(in.path(dir))
	for _, e := range list {
		num, err := strconv.Atoi(in.text(dir + "/" + e.Name() + "/partition"))
		if err != nil {
			continue
		}
		p := in.node(dir+"/"+e.Name(), e.Name())
		p.parent, p.number = disk.kname, num
		in.nodes[p.kname] = p
		out[num] = p
	}
	return out
}

// table reads a partition table and compares it with what the kernel sees.
func (in *inspector) table(n *node, parts map[int]*node) *machine.PartitionTable {
	t, err := sfdisk.Read(in.ctx, in.run, n.path)
	if err != nil {
		todo := "find out what is on this disk; take it out of the backup by this name"
		if errors.Is(err, errors.ErrUnsupported) {
			todo = "only GPT and MBR can be recorded; take the disk out of the backup by this name"
		}
		in.blocking("disk:"+n.kname, todo, "the partition table of %s cannot be read: %v", n.path, err)
		return nil
	}
	in.hybrid(n, t)
	for i, p := range t.Partitions {
		k := parts[p.Number]
		if k == nil {
			in.note(string(machine.PartRef(n.ref.Body(), p.Number)), "run partprobe, or reboot, and look again",
				"partition %d of %s is in the table, and the kernel does not know it", p.Number, n.path)
			continue
		}
		delete(parts, p.Number)
		k.ref = machine.PartRef(n.ref.Body(), p.Number)
		if k.dmName == "" {
			k.path = p.Path
		} else {
			t.Partitions[i].Path = k.path // sfdisk does not know what udev calls it
		}
		k.leaf = !p.Extended()
		if k.leaf {
			in.probe(k)
		}
	}
	for num, p := range parts {
		in.blocking(fmt.Sprintf("part:%s/%d", n.kname, num), "run partprobe, or reboot, and look again",
			"%s is in use by the kernel, and not in the partition table", p.path)
	}
	return t
}

// probe asks what a device holds. A device that this process may not open
// can still be recorded from what the mount table says.
func (in *inspector) probe(n *node) {
	p, err := blkid.Probe(in.ctx, in.run, n.path)
	n.probed = p
	if errors.Is(err, blkid.ErrAmbivalent) {
		in.blocking(string(n.ref), "remove the old signature with wipefs", "%s holds more than one kind of signature", n.path)
	} else if err != nil {
		in.note("probe:"+n.kname, "run as root, outside of a container",
			"what is on %s is known from the mount table only: %v", n.path, err)
	}
}

// natural sorts sda before sdaa, and nvme2n1 before nvme10n1.
func natural(a, b string) bool {
	if len(a) != len(b) && strings.TrimRight(a, "0123456789abcdefghijklmnopqrstuvwxyz") == strings.TrimRight(b, "0123456789abcdefghijklmnopqrstuvwxyz") {
		if pre := min(2, len(a), len(b)); a[:pre] == b[:pre] {
			return len(a) < len(b)
		}
	}
	return a < b
}
