package doctor

import (
	"context"
	"fmt"
	"slices"
	"strings"

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

// makers are the programs that make and check a file system of a kind, with
// their package by family (Debian's name where it is not named).
var makers = map[machine.FSKind]struct {
	programs []string
	pkg      map[rescue.Family]string
}{
	"ext2":  {[]string{"mke2fs", "e2fsck", "tune2fs"}, map[rescue.Family]string{rescue.Debian: "e2fsprogs"}},
	"ext3":  {[]string{"mke2fs", "e2fsck", "tune2fs"}, map[rescue.Family]string{rescue.Debian: "e2fsprogs"}},
	"ext4":  {[]string{"mke2fs", "e2fsck", "tune2fs"}, map[rescue.Family]string{rescue.Debian: "e2fsprogs"}},
	"xfs":   {[]string{"mkfs.xfs", "xfs_repair"}, map[rescue.Family]string{rescue.Debian: "xfsprogs"}},
	"btrfs": {[]string{"mkfs.btrfs", "btrfs"}, map[rescue.Family]string{rescue.Debian: "btrfs-progs", rescue.SUSE: "btrfsprogs"}},
	"vfat":  {[]string{"mkfs.vfat", "fsck.vfat"}, map[rescue.Family]string{rescue.Debian: "dosfstools"}},
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
	add := func(what string, names []string, pkgs map[rescue.Family]string) {
		c := Check{Name: "tools for " + what, Status: Found, Needed: true, Detail: strings.Join(names, ", ")}
		for _, n := range names {
			if _, ok := rescue.Find(e.Root, rescue.Program{Name: n}); !ok {
				p := pkgs[e.family]
				if p == "" {
					p = pkgs[rescue.Debian]
				}
				c.Status, c.Packages, c.Detail = NotFound, []string{p}, fmt.Sprintf("%s is needed to make it again; install %s", n, p)
			}
		}
		all = append(all, c)
	}
	for _, k := range kinds {
		if m, ok := makers[k]; ok {
			add(string(k), m.programs, m.pkg)
		} else {
			all = append(all, Check{Name: "tools for " + string(k), Status: NotFound, Detail: "this version cannot make it again"})
		}
	}
	if len(e.Machine.VolumeGroups) > 0 {
		add("LVM", []string{"lvm"}, map[rescue.Family]string{rescue.Debian: "lvm2"})
	}
	return all
}
