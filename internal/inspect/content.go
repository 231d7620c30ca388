package inspect

import (
	"os"
	"slices"
	"sort"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/mkcdrec/mkcdrec/internal/machine"
	"github.com/mkcdrec/mkcdrec/internal/snapshot"
	"github.com/mkcdrec/mkcdrec/internal/tool/btrfs"
	"github.com/mkcdrec/mkcdrec/internal/tool/superblock"
	"github.com/mkcdrec/mkcdrec/internal/wording"
)

const excludeTodo = "take it out of the backup by this name"

// contents records what every device holds. Mounted ones go first by what the
// mount table says, then the others by their signatures.
func (in *inspector) contents(mounts []mounted) {
	in.m.FileSystems = []machine.FileSystem{}
	at := map[*node]mounted{}
	for _, m := range mounts {
		if _, ok := at[m.node]; !ok {
			at[m.node] = m
		}
	}
	var leaves []*node
	for _, n := range in.nodes {
		m, isMounted := at[n]
		switch {
		case n.ref != "" && (n.leaf || isMounted):
			leaves = append(leaves, n)
		case isMounted && n.parent == "" && kindOf(n, false) == isNothing:
			in.note("mount:"+m.target, "", "%s is mounted from %s (%s): what it lies on is recorded, not it", m.target, n.path, m.kind)
		case isMounted:
			in.blocking("mount:"+m.target, excludeTodo, "%s lies on %s, which cannot be recorded", m.target, n.path)
		}
	}
	sort.Slice(leaves, func(i, j int) bool { return natural(string(leaves[i].ref), string(leaves[j].ref)) })
	for _, n := range leaves {
		if m, ok := at[n]; ok {
			in.mountedContent(n, m)
			in.unreachable(n, m, mounts)
		}
	}
	for _, n := range leaves {
		if _, ok := at[n]; !ok && in.partOf[n.kname] == "" {
			in.otherContent(n)
		}
		in.held(n)
	}
	slices.SortStableFunc(in.m.FileSystems, func(a, b machine.FileSystem) int {
		switch {
		case natural(string(a.On), string(b.On)):
			return -1
		case natural(string(b.On), string(a.On)):
			return 1
		}
		return 0
	})
}

// mountedContent records a mounted file system.
func (in *inspector) mountedContent(n *node, m mounted) {
	if !superblock.Known(m.kind) {
		in.blocking(string(n.ref), fsTodo(string(m.kind), n.path), "%s is a file system of kind %s, mounted at %s, which cannot be made again", n.path, m.kind, m.target)
		return
	}
	fs := in.fileSystem(n, m.kind)
	if in.opts.Used != nil {
		fs.Used, _ = in.opts.Used(m.target)
	} else if in.opts.Root == "" {
		fs.Used = used(m.target)
	}
	in.quotas(n, fs, m)
	if fs.Kind == "btrfs" {
		subvols, err := btrfs.Subvolumes(in.ctx, in.run, in.path(m.target))
		if err != nil {
			in.blocking(string(n.ref), "install btrfs-progs and run as root", "the subvolumes of %s are not known: %v", m.target, err)
		}
		// Those of a backup that runs, or was killed, are no part of the machine.
		fs.Subvolumes = slices.DeleteFunc(subvols, snapshot.IsSubvolume)
	}
	in.m.FileSystems = append(in.m.FileSystems, fs)
}

// quotas names limits that lie within the file system, where no file shows them.
func (in *inspector) quotas(n *node, fs machine.FileSystem, m mounted) {
	on := slices.Contains(fs.Features, "quota")
	how := "repquota -a"
	if fs.Kind == "xfs" {
		how = "xfs_quota -x -c dump " + m.target
		on = slices.ContainsFunc(strings.Split(m.options, ","), func(o string) bool {
			return slices.Contains([]string{"usrquota", "grpquota", "prjquota", "uqnoenforce", "gqnoenforce", "pqnoenforce"}, o)
		})
	}
	if on {
		in.note("quota:"+n.ref.Body(), "keep what '"+how+"' says in a file, and set the limits anew after a restore",
			"the %s on %s has quotas: owners and projects of its files are in the backup, limits are not", fs.Kind, n.path)
	}
}

// unreachable names the subvolumes of a mounted btrfs that no mount leads to.
// Snapshots are copies of what is in the backup; other subvolumes are not.
func (in *inspector) unreachable(n *node, at mounted, mounts []mounted) {
	fs := in.m.FileSystemOn(n.ref)
	if fs == nil {
		return
	}
	snapshots := 0
	for _, s := range fs.Subvolumes {
		reached := false
		for _, m := range mounts {
			if m.node == n && (m.subvolume == "" || s.Path == m.subvolume || strings.HasPrefix(s.Path, m.subvolume+"/")) {
				reached = true
			}
		}
		switch {
		case reached:
		case s.Snapshot:
			snapshots++
		case in.holdsNothing(at.target, s):
			in.note("subvol:"+fs.On.Body()+"/"+s.Path, "", "btrfs subvolume %s on %s is not mounted, and holds nothing but directories: it is made again empty", s.Path, n.path)
		default:
			in.blocking("subvol:"+fs.On.Body()+"/"+s.Path, "mount it, or "+excludeTodo+": it is then made again without content",
				"btrfs subvolume %s on %s is not mounted: its content is not in the backup", s.Path, n.path)
		}
	}
	if snapshots > 0 {
		in.note("snapshots:"+fs.On.Body(), "", "below no mount point, so not in the backup: %s on %s", wording.Count(snapshots, "snapshot"), n.path)
	}
}

// used is what statfs(2) says of a mounted file system.
func used(target string) machine.Bytes {
	var st unix.Statfs_t
	if unix.Statfs(target, &st) != nil || st.Blocks < st.Bfree {
		return 0
	}
	return machine.Bytes(st.Blocks-st.Bfree) * machine.Bytes(st.Bsize)
}

// fileSystem reads the superblock, or where the device cannot be opened, takes
// what blkid and the mount table say.
func (in *inspector) fileSystem(n *node, kind machine.FSKind) machine.FileSystem {
	fs := machine.FileSystem{Kind: kind, UUID: n.probed.UUID, Label: n.probed.Label, Size: n.size}
	f, err := os.Open(in.path(n.path))
	if err == nil {
		defer f.Close()
		var read machine.FileSystem
		if read, err = superblock.Read(kind, f); err == nil {
			fs = read
		}
	}
	fs.On = n.ref
	if err != nil {
		in.note("superblock:"+n.kname, "run as root, outside of a container",
			"the features of the %s file system on %s are not known, it would be made with the defaults: %v", kind, n.path, err)
	}
	const single = "only btrfs can be recorded on more than one device; "
	switch {
	case fs.Kind == "btrfs":
		in.gather(n, &fs)
		in.profiles(n, &fs)
	case fs.Options["devices"] != "":
		in.blocking(string(n.ref), single+excludeTodo, "the %s file system on %s has %s devices", kind, n.path, fs.Options["devices"])
	case kind == "f2fs" && (slices.Contains(fs.Features, "blkzoned") || slices.Contains(fs.Features, "ro")):
		in.blocking(string(n.ref), excludeTodo, "the f2fs file system on %s is read-only by its format, or made for a zoned device: it cannot be made again", n.path)
	case fs.Options["journal"] == "external":
		// Nothing but the superblock names the device: no file has to be adapted.
		delete(fs.Options, "journal")
		in.note("journal:"+n.ref.Body(), "move it out again after a restore: tune2fs -O ^has_journal, then tune2fs -J device=...",
			"the %s file system on %s has its journal on another device; it is made again with one within", kind, n.path)
	case fs.Options["log"] == "external":
		in.blocking(string(n.ref), single+excludeTodo+"; an xfs cannot take its log back, it must be made anew", "the %s file system on %s has its log on another device", kind, n.path)
	case fs.Options["realtime"] != "":
		in.blocking(string(n.ref), single+excludeTodo, "the xfs file system on %s has a realtime device", n.path)
	}
	return fs
}

// members are the signatures of devices that belong to something larger, or
// hold something that has a name of its own.
var members = map[string]struct{ prefix, what string }{
	"linux_raid_member":         {"md", "part of a RAID array that does not run"},
	"zfs_member":                {"zfs", "part of a ZFS pool"},
	"bcache":                    {"bcache", "part of a bcache"},
	"bcachefs":                  {"bcachefs", "part of a bcachefs file system"},
	"mpath_member":              {"multipath", "a path of a multipath device"},
	"vdo":                       {"vdo", "a VDO volume"},
	"drbd":                      {"drbd", "part of a DRBD device"},
	"drbdmanage_control_volume": {"drbd", "part of a DRBD device"},
	"stratis":                   {"stratis", "part of a Stratis pool"},
	"DM_integrity":              {"integrity", "a dm-integrity device"},
	"DM_verity_hash":            {"verity", "the hashes of a dm-verity device"},
	"DM_snapshot_cow":           {"dm", "the changes of a snapshot of device mapper"},
	"BitLocker":                 {"bitlocker", "encrypted with BitLocker"},
	"ceph_bluestore":            {"ceph", "a Ceph volume"},
	"lvm1_member":               {"lvm", "a physical volume of LVM 1"},
	"apfs":                      {"apfs", "an Apple file system (APFS)"},
	"hfsplus":                   {"hfs", "an Apple file system (HFS+)"},
	"hfs":                       {"hfs", "an Apple file system (HFS)"},
	"VMFS":                      {"vmfs", "a datastore of VMware"},
	"VMFS_volume_member":        {"vmfs", "a datastore of VMware"},
	"xfs_external_log":          {"journal", "the log of an xfs on another device"},
}

// otherContent records or names what a device holds that is not mounted.
func (in *inspector) otherContent(n *node) {
	p := n.probed
	kind := machine.FSKind(p.Type)
	name := string(n.ref)
	member, isMember := members[p.Type]
	switch {
	case in.active[n.kname] || p.Type == "LVM2_member" || in.belowRandom(n):
	case p.Type == "swap" || p.Type == "swsuspend":
		in.swapOn(n)
	case p.Type == "crypto_LUKS":
		in.closed(n)
	case p.Type == "linux_raid_member" && in.runsWithout(p.UUID) != "":
		in.note(name, "add it again (mdadm --add), or wipe it (mdadm --zero-superblock)", "%s was a member of %s, which runs without it; it is made again empty", n.path, in.runsWithout(p.UUID))
	case p.Type == "jbd":
		in.note(name, "", "%s holds the journal of an ext file system on another device; it is made again empty", n.path)
	case isMember || strings.HasSuffix(p.Type, "_raid_member"):
		if !isMember {
			member = members["linux_raid_member"]
		}
		name = in.memberName(n, member.prefix)
		todo := todoFor(member.prefix)
		if p.Type == "linux_raid_member" {
			todo = "start the array (mdadm --assemble --scan), or wipe what is left of an old one (mdadm --zero-superblock " + n.path + "), or " + todo
		}
		in.find(machine.Finding{Name: name, Blocking: !in.detachable(n), Todo: todo, What: n.path + " is " + member.what + ", which cannot be recorded"})
	case kind == "btrfs" && in.formerDevice(p.UUID):
		in.note(name, "wipe it (wipefs -a), or add it again (btrfs device add)", "%s was a device of a btrfs that runs without it; it is made again empty", n.path)
	case superblock.Known(kind):
		in.m.FileSystems = append(in.m.FileSystems, in.fileSystem(n, kind))
		in.find(machine.Finding{
			Name: name, Blocking: !in.detachable(n), Todo: "mount it, or " + excludeTodo + ": it is then made again without content",
			What: n.path + " holds a file system (" + string(kind) + ") that is not mounted: its content is not in the backup",
		})
	case p.Type != "":
		in.find(machine.Finding{
			Name: name, Blocking: !in.detachable(n), Todo: fsTodo(p.Type, n.path),
			What: n.path + " holds " + p.Type + ", which cannot be recorded: its content is not in the backup",
		})
	case p.PTType != "" && n.parent == "" && n.dmName == "":
		// A disk whose table could not be read has its finding.
	case p.Type == "" && in.foreignType(n):
	case in.unknownData(n):
	case p.PTType != "" || p.Usage == "open":
		in.blocking(name, excludeTodo, "%s holds data that is not a file system (a virtual machine's disk, or a database's): it is not in the backup", n.path)
	case (n.number > 0 || n.dmName != "" && n.ref.Kind() != machine.RefDisk) && !in.emptyByType(n):
		in.note(name, "", "%s holds nothing that is known; it is made again empty", n.path)
	}
}

// memberName names the whole by the device that lies on a member, so that the
// array and each of its parts are one finding.
func (in *inspector) memberName(n *node, prefix string) string {
	dir := sysBlock + "/" + n.kname
	if n.parent != "" {
		dir = sysBlock + "/" + n.parent + "/" + n.kname
	}
	switch {
	case (prefix == "zfs" || prefix == "bcachefs") && n.probed.Label != "":
		return prefix + ":" + n.probed.Label
	case prefix == "bcachefs" && n.probed.UUID != "":
		return prefix + ":" + n.probed.UUID // one for all its devices
	case (prefix == "ldm" || prefix == "spaces") && n.parent != "":
		return prefix + ":" + n.parent // its partitions are one
	}
	list, _ := os.ReadDir(in.path(dir + "/holders"))
	for _, h := range list {
		if up := in.nodes[h.Name()]; up != nil && prefix == "stratis" && stratisPool(up) != "" {
			return "stratis:" + in.stratisName(up)
		} else if up != nil && up.dmName != "" {
			return prefix + ":" + up.dmName
		} else if up != nil {
			return prefix + ":" + up.kname
		}
	}
	return prefix + ":" + n.kname
}

// detachable says that a device is on a disk which may be plugged in for a
// while only. What lies on it unused does not keep a backup from being made.
func (in *inspector) detachable(n *node) bool {
	for _, d := range in.m.DisksUnder(n.ref) {
		if d.Removable || d.Transport == "usb" {
			return true
		}
	}
	return false
}

// emptyByType says that a partition's type explains that it has no signature.
func (in *inspector) emptyByType(n *node) bool {
	dev, err := in.m.Resolve(n.ref)
	if err != nil || dev.Partition == nil {
		return false
	}
	switch dev.Partition.Type {
	case machine.TypeBIOSBoot, machine.TypePReP, "E3C9E316-0B5C-4DB8-817D-F92DF00215AE", "41": // Microsoft reserved, PReP on MBR
		return true
	}
	return false
}
