package inspect

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"github.com/moby/sys/mountinfo"

	"github.com/mkcdrec/mkcdrec/internal/machine"
	"github.com/mkcdrec/mkcdrec/internal/tool/dmsetup"
)

// outside are the block devices that are no storage of this machine's own, by
// the beginning of their kernel names, with the reason why they are left out.
// Whatever is not here, has a size and is not hidden is recorded or named
// (see accounted).
var outside = []struct{ prefix, why string }{
	{"loop", "a file that lies on a file system"},
	{"zram", "memory: made anew at every start"},
	{"ram", "memory"},
	{"sr", "a CD or DVD drive: its discs are no part of the machine"},
	{"fd", "a floppy drive"},
}

// isOutside says that a kernel name is a prefix of outside and a number.
func isOutside(name string) bool {
	return slices.ContainsFunc(outside, func(o struct{ prefix, why string }) bool {
		rest, ok := strings.CutPrefix(name, o.prefix)
		return ok && rest != "" && strings.Trim(rest, "0123456789") == ""
	})
}

// out is the end of what the administrator can do about a finding.
const out = "take it out of the backup by this name"

// stacks are the kinds of storage that have a name and a program of their own
// and that version 1 of the model does not hold, by what their findings begin
// with: what they are, and what the administrator can do.
var stacks = map[string]struct{ what, todo string }{
	"zfs":         {"ZFS", "save it by ZFS' own means (zfs snapshot, zfs send) and " + out + "; after a restore import the pool (zpool import), or make it anew and zfs receive"},
	"bcache":      {"bcache", "save its files by other means and " + out + "; after a restore make it anew (bcache make) and put them back"},
	"bcachefs":    {"bcachefs", "save its files by other means and " + out + "; after a restore make it anew (bcachefs format) and put them back"},
	"vdo":         {"VDO", "save what is on it by other means and " + out + "; after a restore make it anew (lvcreate --type vdo)"},
	"stratis":     {"Stratis", "save its files by other means and " + out + "; after a restore make the pool anew (stratis pool create) and put them back"},
	"drbd":        {"DRBD", out + "; after a restore let DRBD copy it from its peer (drbdadm create-md, drbdadm up), or save it by other means"},
	"dmraid":      {"RAID of the firmware", out + "; it must be made anew in the firmware's setup"},
	"nbd":         {"a network block device", "save its content where it lies and " + out + "; after a restore connect it again (nbd-client)"},
	"rbd":         {"a Ceph block device", "save it by Ceph's own means (rbd snap, rbd export) and " + out + "; after a restore map it again (rbd map)"},
	"iscsi":       {"an iSCSI disk", "save it where it lies (a snapshot of the target's), or log in by hand in the rescue system (iscsiadm) before a restore, and " + out},
	"nvme-of":     {"an NVMe disk over a network", "save it where it lies, or connect it by hand in the rescue system (nvme connect) before a restore, and " + out},
	"fcoe":        {"a Fibre Channel disk over Ethernet", "save it where it lies, or log in by hand in the rescue system (fcoeadm) before a restore, and " + out},
	"aoe":         {"an ATA-over-Ethernet disk", "save it where it lies and " + out},
	"integrity":   {"dm-integrity", "save what is on it by other means and " + out + "; after a restore make it anew (integritysetup format)"},
	"dm-cache":    {"a cache made by hand with dmsetup", "write the cache back and mount what it caches without it, or " + out + "; it must be made anew by hand"},
	"ldm":         {"Windows dynamic disks (LDM)", "save them with Windows' own means and " + out},
	"spaces":      {"Windows storage spaces", "save them with Windows' own means and " + out},
	"apfs":        {"an Apple file system (APFS)", "save it with macOS (Time Machine) and " + out},
	"hfs":         {"an Apple file system (HFS)", "save it with macOS (Time Machine) and " + out},
	"corestorage": {"Apple Core Storage or RAID", "save it with macOS (Time Machine) and " + out},
	"vmfs":        {"a datastore of VMware", "save it by VMware's own means and " + out},
	"ceph":        {"a Ceph volume", out + "; after a restore make the OSD anew (ceph-volume) and let Ceph fill it"},
	"mtd":         {"flash memory without a controller", "save it with the board's own programs (nanddump) and " + out},
}

// todoFor is what can be done about a kind of storage.
func todoFor(kind string) string {
	if s, ok := stacks[kind]; ok {
		return s.todo
	}
	return out + "; it must be made anew by hand"
}

// fsTodo is what can be done about a file system that cannot be made again.
func fsTodo(kind, path string) string {
	switch kind {
	case "zfs", "bcachefs", "apfs":
		return todoFor(kind)
	case "ntfs", "ntfs3", "fuseblk":
		return "save what it uses with 'ntfsclone --save-image -o FILE " + path + "' to a place that is in the backup, and " + out +
			"; after a restore: 'ntfsclone --restore-image --overwrite PARTITION FILE'"
	case "ocfs2", "gfs2", "gfs":
		return "it belongs to a cluster: save it from one of its nodes by other means, and " + out
	case "reiserfs", "reiser4", "jfs", "nilfs2", "ufs", "minix", "sysv", "udf", "hpfs", "befs":
		return "copy its files to ext4, xfs or btrfs, which can be recorded; or save them by other means and " + out
	}
	return excludeTodo
}

// networkDisk is the kind of a disk that comes over a network, by its
// transport or its place in sysfs; "" for all others.
func (in *inspector) networkDisk(kname, transport string) string {
	switch {
	case transport == "iscsi":
		return "iscsi"
	case transport == "fcoe":
		return "fcoe"
	case strings.HasPrefix(kname, "etherd!"):
		return "aoe"
	}
	// With native multipath the device is a subsystem that has the controllers.
	dir := in.path(sysBlock + "/" + kname + "/device")
	list, _ := filepath.Glob(filepath.Join(dir, "nvme*", "transport"))
	for _, f := range append(list, filepath.Join(dir, "transport")) {
		b, err := os.ReadFile(f)
		if err != nil || !strings.HasPrefix(kname, "nvme") {
			continue
		}
		if t := strings.TrimSpace(string(b)); t != "" && t != "pcie" && t != "apple-nvme" {
			return "nvme-of"
		}
	}
	return ""
}

// foreignMapper names a device of device mapper that no layer of the model is.
func (in *inspector) foreignMapper(n *node) {
	kind, _, _ := strings.Cut(n.dmUUID, "-")
	switch {
	case kind == "DMRAID":
		in.blocking("dmraid:"+n.dmName, todoFor("dmraid"), "%s is a RAID of the firmware (dmraid), which cannot be recorded", n.dmName)
		return
	case strings.HasPrefix(kind, "part"):
		return // of a device that has a finding, or is recorded; see accounted
	case stratisPool(n) != "":
		pool := in.stratisName(n)
		in.blocking("stratis:"+pool, todoFor("stratis"), "%s is a Stratis pool, which cannot be recorded", pool)
		return
	case kind == "VDO":
		in.blocking("vdo:"+n.dmName, todoFor("vdo"), "%s is a VDO volume, which cannot be recorded", n.dmName)
		return
	}
	targets, err := dmsetup.Targets(in.ctx, in.run, n.dmName)
	switch {
	case err != nil || len(targets) == 0:
		in.blocking("dm:"+n.dmName, todoFor("dm"), "%s is a device-mapper device of a kind that is not known (%s)", n.dmName, n.dmUUID)
	case slices.Contains(targets, "vdo"):
		in.blocking("vdo:"+n.dmName, todoFor("vdo"), "%s is a VDO volume, which cannot be recorded", n.dmName)
	case slices.Contains(targets, "integrity"):
		in.blocking("integrity:"+n.dmName, todoFor("integrity"), "%s is a dm-integrity device, which cannot be recorded", n.dmName)
	case slices.ContainsFunc(targets, func(t string) bool { return t == "cache" || t == "writecache" || t == "bcache" }):
		in.blocking("dm-cache:"+n.dmName, todoFor("dm-cache"), "%s is a cache that was made by hand (device mapper: %s), which cannot be recorded", n.dmName, strings.Join(targets, ", "))
	default:
		in.blocking("dm:"+n.dmName, todoFor("dm"), "%s is a device that device mapper makes by a table of %s, which no program that is known has made: it cannot be recorded", n.dmName, strings.Join(targets, ", "))
	}
}

// stratisNames are those of Stratis' devices; the digits are the pool.
var stratisNames = regexp.MustCompile(`^stratis-1-(?:private-)?([0-9a-f]{32})-`)

func stratisPool(n *node) string {
	if m := stratisNames.FindStringSubmatch(n.dmName); m != nil {
		return m[1]
	}
	return ""
}

// stratisName is the name that the administrator gave the pool of a device,
// by the links that Stratis makes for its file systems; else the pool's UUID.
func (in *inspector) stratisName(n *node) string {
	pool := stratisPool(n)
	links, _ := filepath.Glob(in.path("/dev/stratis/*/*"))
	slices.Sort(links)
	for _, l := range links {
		to, err := os.Readlink(l)
		if err != nil {
			continue
		}
		if o := in.nodes[filepath.Base(to)]; o != nil && stratisPool(o) == pool {
			return filepath.Base(filepath.Dir(l))
		}
	}
	return pool
}

// zvolPool is the pool of a ZFS volume, by udev's links; else its kernel name.
func (in *inspector) zvolPool(n *node) string {
	links, _ := filepath.Glob(in.path("/dev/zvol/*/*"))
	slices.Sort(links)
	for _, l := range links {
		if to, err := os.Readlink(l); err == nil && filepath.Base(to) == n.kname {
			return filepath.Base(filepath.Dir(l))
		}
	}
	return n.kname
}

// foreignDevice names a device whose driver makes it of others.
func (in *inspector) foreignDevice(n *node) {
	kind := strings.TrimRight(n.kname, "0123456789")
	switch {
	case kind == "zd":
		pool := in.zvolPool(n)
		in.blocking("zfs:"+pool, todoFor("zfs"), "%s is a ZFS volume (%s), which cannot be recorded", n.path, pool)
	case strings.HasPrefix(n.kname, "mtdblock") || strings.HasPrefix(n.kname, "ubiblock"):
		in.blocking("mtd:"+n.kname, todoFor("mtd"), "%s is flash memory without a controller, which cannot be recorded", n.path)
	default:
		what := kind
		if s, ok := stacks[kind]; ok {
			what = s.what
		}
		in.blocking(kind+":"+n.kname, todoFor(kind), "%s is on %s, which cannot be recorded", n.path, what)
	}
}

// foreignTypes are types of partitions (GPT, MBR) that belong to something
// larger than the partition and may have no signature: what their findings
// begin with. Source: the Discoverable Partitions and UEFI lists as fdisk(8)
// has them.
var foreignTypes = map[string]string{
	"5808C8AA-7E8F-42E0-85D2-E1E90434CFB3": "ldm", "AF9B60A0-1431-4F62-BC68-3311714A69AD": "ldm", "42": "ldm",
	"E75CAF8F-F680-4CEE-AFA3-B001E56EFC2D": "spaces",
	"53746F72-6167-11AA-AA11-00306543ECAC": "corestorage", "52414944-0000-11AA-AA11-00306543ECAC": "corestorage", "52414944-5F4F-11AA-AA11-00306543ECAC": "corestorage",
	"7C3457EF-0000-11AA-AA11-00306543ECAC": "apfs",
	"48465300-0000-11AA-AA11-00306543ECAC": "hfs", "AF": "hfs",
	"AA31E02A-400F-11DB-9590-000C2911D1B8": "vmfs", "FB": "vmfs",
	"6A898CC3-1DD2-11B2-99A6-080020736631": "zfs", "516E7CBA-6ECF-11D6-8FF8-00022D09712B": "zfs",
	"4FBD7E29-9D25-41B8-AFD0-062C0CEFF05D": "ceph", "4FBD7E29-9D25-41B8-AFD0-5EC00CEFF05D": "ceph", "45B0969E-9B03-4F30-B4C6-B4B80CEFF106": "ceph",
}

// foreignType names a partition without a signature whose type says that it
// belongs to something that cannot be recorded.
func (in *inspector) foreignType(n *node) bool {
	dev, err := in.m.Resolve(n.ref)
	if err != nil || dev.Partition == nil {
		return false
	}
	kind := foreignTypes[strings.ToUpper(dev.Partition.Type)]
	if kind == "" {
		return false
	}
	in.find(machine.Finding{
		Name: in.memberName(n, kind), Blocking: !in.detachable(n), Todo: todoFor(kind),
		What: n.path + " is a partition of " + stacks[kind].what + " by its type, which cannot be recorded: its content is not in the backup",
	})
	return true
}

// accounted is the net below all that went before: a block device that is
// neither recorded nor in a finding nor in the list of those outside stops the
// backup by a finding of its own.
func (in *inspector) accounted() {
	var names []string
	for name := range in.nodes {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		if n := in.nodes[name]; !in.explained(n, 0) {
			in.blocking("device:"+n.kname, "find out what it is; "+out,
				"%s is a block device that nothing of what was recorded or named explains: what is on it is not in the backup", n.path)
		}
	}
}

// unknownSource names a mount of local storage whose device is not known.
func (in *inspector) unknownSource(mi *mountinfo.Info) {
	switch kind := mi.FSType; {
	case kind == "ubifs" || kind == "jffs2" || kind == "yaffs2":
		in.blocking("mtd:"+mi.Source, todoFor("mtd"), "%s is a file system on flash memory (%s), which cannot be recorded", mi.Mountpoint, kind)
	case !strings.HasPrefix(mi.Source, "/dev/") || mi.Source == "/dev/root" || kind == "devtmpfs" || kind == "tmpfs" || kind == "ramfs":
	case strings.HasPrefix(kind, "fuse") && kind != "fuseblk": // the source of FUSE is any text
	case strings.HasPrefix(mi.Source, "/dev/loop"): // a partition of an image
		in.note("mount:"+mi.Mountpoint, "", "%s is mounted from %s (%s): what it lies on is recorded, not it", mi.Mountpoint, mi.Source, kind)
	default:
		in.blocking("mount:"+mi.Mountpoint, excludeTodo, "%s is mounted from %s (%s), a device that is not known: its content is not in the backup", mi.Mountpoint, mi.Source, kind)
	}
}

// explained says that a device is recorded, outside, or part of what was named.
func (in *inspector) explained(n *node, depth int) bool {
	if n.ref != "" {
		if _, err := in.m.Resolve(n.ref); err == nil {
			return true
		}
	}
	if n.parent == "" && kindOf(n, in.text(sysBlock+"/"+n.kname+"/hidden") == "1") == isNothing || n.size == 0 {
		return true
	}
	if in.named[string(n.ref)] || in.spokenOf(n) || depth > 16 {
		return depth <= 16
	}
	if n.parent != "" {
		return in.explained(in.nodes[n.parent], depth+1)
	}
	if up := in.mapOf(n); up != nil {
		return in.explained(up, depth+1)
	}
	switch kind, _, _ := strings.Cut(n.dmUUID, "-"); {
	case kind == "LVM":
		return in.explainedVolume(n)
	case kind == "CRYPT" && strings.HasPrefix(n.dmUUID, "CRYPT-SUBDEV-"), kind == "CRYPT" && stratisPool(n) != "", strings.HasPrefix(kind, "part"):
		below := in.below(n)
		return len(below) > 0 && !slices.ContainsFunc(below, func(b *node) bool { return !in.explained(b, depth+1) })
	}
	return false
}

// spokenOf says that a finding has a device's name or path in it.
func (in *inspector) spokenOf(n *node) bool {
	words := func(s string) []string {
		return strings.FieldsFunc(s, func(r rune) bool { return strings.ContainsRune(" ,:;()", r) })
	}
	for _, f := range in.m.Findings {
		_, body, _ := strings.Cut(f.Name, ":")
		if body == n.kname || n.dmName != "" && body == n.dmName || slices.Contains(words(f.What), n.path) {
			return true
		}
	}
	if stratisPool(n) != "" {
		return in.named["stratis:"+in.stratisName(n)]
	}
	return strings.HasPrefix(n.kname, "zd") && in.named["zfs:"+in.zvolPool(n)]
}

// explainedVolume says that a device-mapper device of LVM belongs to a group
// that is recorded or named: the parts that a volume is made of have no
// findings of their own.
func (in *inspector) explainedVolume(n *node) bool {
	vg := groupOf(n.dmName)
	if in.m.VolumeGroup(vg) != nil || in.named["lvm"] {
		return true
	}
	for name := range in.named {
		if rest, ok := strings.CutPrefix(name, "lvm:"); ok && (rest == vg || strings.HasPrefix(rest, vg+"/")) {
			return true
		}
	}
	return false
}

// groupOf is the volume group in the name of a device: hyphens within names
// are doubled, a single one stands between group and volume.
func groupOf(dmName string) string {
	for i := 0; i < len(dmName); i++ {
		if dmName[i] != '-' {
			continue
		}
		if i+1 < len(dmName) && dmName[i+1] == '-' {
			i++
			continue
		}
		return strings.ReplaceAll(dmName[:i], "--", "-")
	}
	return dmName
}
