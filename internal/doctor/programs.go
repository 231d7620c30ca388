package doctor

import (
	"context"
	"fmt"
	"os"
	"path"
	"slices"
	"strings"

	"github.com/moby/sys/mountinfo"

	"github.com/mkcdrec/mkcdrec/internal/machine"
	"github.com/mkcdrec/mkcdrec/internal/rescue"
)

// programs checks the table of programs by group. What is needed and missing
// has a check of its own; what is useful and missing is named in its group's.
func programs(_ context.Context, e *environment) []Check {
	type group struct {
		have    int
		missing []string
	}
	groups, order := map[string]*group{}, []string{}
	var all []Check
	for _, p := range rescue.TableFor(e.RestoreTools, nil) {
		g := groups[p.Group]
		if g == nil {
			g = &group{}
			groups[p.Group], order = g, append(order, p.Group)
		}
		_, ok := rescue.Find(e.Root, p)
		switch {
		case ok:
			g.have++
		case p.Needed:
			all = append(all, Check{Name: "program " + p.Name, Status: NotFound, Needed: true, Packages: []string{p.Package(e.family)},
				Detail: fmt.Sprintf("needed for %s; install %s", p.For, p.Package(e.family))})
		default:
			// Not installed behind the administrator's back: it is not missed here.
			g.missing = append(g.missing, p.Name)
		}
	}
	for _, name := range e.Programs {
		_, ok := rescue.Find(e.Root, rescue.Program{Name: name})
		all = append(all, Check{Name: "program " + name, Status: found(ok), Needed: true, Detail: "named in the settings"})
	}
	for _, name := range order {
		g := groups[name]
		c := Check{Name: "programs: " + name, Status: found(g.have > 0), Detail: fmt.Sprintf("%d", g.have)}
		if len(g.missing) > 0 {
			c.Detail += "; also useful: " + strings.Join(g.missing, " ")
		}
		all = append(all, c)
	}
	return all
}

func found(ok bool) Status {
	if ok {
		return Found
	}
	return NotFound
}

// ext are the programs of the ext family.
var ext = []string{"mke2fs", "e2fsck", "tune2fs"}

// makers are the programs that make and check a file system of a kind; their
// packages are in rescue's table.
var makers = map[machine.FSKind][]string{
	"ext2": ext, "ext3": ext, "ext4": ext,
	"xfs":   {"mkfs.xfs", "xfs_repair"},
	"btrfs": {"mkfs.btrfs", "btrfs"},
	"vfat":  {"mkfs.vfat", "fsck.vfat"},
	"exfat": {"mkfs.exfat", "tune.exfat"},
	"f2fs":  {"mkfs.f2fs"},
}

// fileSystems checks that every mounted kind can be made again.
func fileSystems(_ context.Context, e *environment) []Check {
	var kinds []machine.FSKind
	for _, f := range e.Machine.FileSystems {
		if !slices.Contains(kinds, f.Kind) {
			kinds = append(kinds, f.Kind)
		}
	}
	var all []Check
	for _, k := range kinds {
		if names, ok := makers[k]; ok {
			all = append(all, e.tools(string(k), "to make it again", true, names))
		} else {
			all = append(all, Check{Name: "tools for " + string(k), Status: NotFound, Detail: "this version cannot make it again"})
		}
	}
	if len(e.Machine.Arrays) > 0 {
		all = append(all, e.tools("RAID", "to make it again", true, []string{"mdadm"}))
	}
	if len(e.Machine.Crypts) > 0 {
		all = append(all, e.tools("LUKS", "to make it again", true, []string{"cryptsetup"}))
	}
	if len(e.Machine.VolumeGroups) > 0 {
		all = append(all, e.tools("LVM", "to make it again", true, []string{"lvm"}))
	}
	thin := func(g machine.VolumeGroup) bool {
		return slices.ContainsFunc(g.Logical, func(lv machine.LogicalVolume) bool { return lv.Pool != nil })
	}
	if slices.ContainsFunc(e.Machine.VolumeGroups, thin) {
		// Without them LVM warns, and starts a pool unchecked.
		all = append(all, e.tools("thin pools", "to check and repair them", false, []string{"thin_check", "thin_repair"}))
	}
	return all
}

// mounters are the programs that mount a kind of network file system.
var mounters = map[string][]string{
	"nfs": {"mount.nfs"}, "nfs4": {"mount.nfs4"}, "cifs": {"mount.cifs"}, "smb3": {"mount.cifs"}, "fuse.sshfs": {"sshfs", "fusermount3"},
	"ceph": {"mount.ceph"}, "fuse.glusterfs": {"mount.glusterfs"}, "lustre": {"mount.lustre"}, "beegfs": {"mount.beegfs"}, "ocfs2": {"mount.ocfs2"}, "gfs2": {"mount.gfs2"},
}

// network checks that the network file systems in use could be mounted in the
// rescue system: a backup may lie there.
func network(_ context.Context, e *environment) []Check {
	f, err := os.Open(e.path("/proc/self/mountinfo"))
	if err != nil {
		return nil // findings says that / is on no disk
	}
	defer f.Close()
	mounts, err := mountinfo.GetMountsFromReader(f, nil)
	if err != nil {
		return []Check{{Name: "tools for network file systems", Status: NotFound, Detail: fmt.Sprintf("the mount table cannot be read: %v", err)}}
	}
	var kinds []string
	for _, m := range mounts {
		if mounters[m.FSType] != nil && !slices.Contains(kinds, m.FSType) {
			kinds = append(kinds, m.FSType)
		}
	}
	slices.Sort(kinds)
	var all []Check
	for _, k := range kinds {
		all = append(all, e.tools(k, "to mount it in the rescue system", false, mounters[k]))
	}
	return all
}

// tools checks for programs by their rows in rescue's table, which names their
// packages. What has no row is on the medium only if the settings name it.
func (e *environment) tools(what, purpose string, needed bool, names []string) Check {
	c := Check{Name: "tools for " + what, Status: Found, Needed: needed, Detail: strings.Join(names, ", ")}
	table := rescue.TableFor(e.RestoreTools, e.Programs)
	for _, n := range names {
		i := slices.IndexFunc(table, func(p rescue.Program) bool { return path.Base(p.Name) == n })
		if i < 0 {
			c.Status, c.Detail = NotFound, fmt.Sprintf("%s is needed %s; name it in the settings (rescue.programs)", n, purpose)
			continue
		}
		if _, ok := rescue.Find(e.Root, table[i]); ok {
			continue
		}
		c.Status, c.Detail = NotFound, fmt.Sprintf("%s is needed %s", n, purpose)
		if p := table[i].Package(e.family); p != "" {
			c.Packages = append(c.Packages, p)
			c.Detail += "; install " + p
		}
	}
	return c
}
