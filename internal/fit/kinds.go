package fit

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/mkcdrec/mkcdrec/internal/fail"
	"github.com/mkcdrec/mkcdrec/internal/machine"
	"github.com/mkcdrec/mkcdrec/internal/plan"
)

// newKinds are the kinds that a file system can be made as instead of the
// recorded one, with the longest label in bytes (e2label(8), xfs_admin(8),
// btrfs-filesystem(8)).
var newKinds = map[machine.FSKind]int{"ext4": 16, "xfs": 12, "btrfs": 255}

// CheckKind refuses what no file system can be made as. The error is of kind
// fail.Usage.
func CheckKind(kind machine.FSKind) error {
	if newKinds[kind] > 0 {
		return nil
	}
	hint := "they are: ext4, xfs, btrfs"
	if kind == "vfat" {
		hint = "owners, modes, links and attributes would be lost on it; the kinds are: ext4, xfs, btrfs"
	}
	return fail.Hint(fail.New(fail.Usage, "%q is no kind that a file system can be made as instead of the recorded one", kind), "%s", hint)
}

// changeKinds makes file systems as another kind.
func (a *applied) changeKinds(w Wishes) error {
	for _, target := range slices.Sorted(maps.Keys(w.Kinds)) {
		kind := w.Kinds[target]
		if err := CheckKind(kind); err != nil {
			return err
		}
		mt, err := mounted(a.m, "fs", target)
		if err != nil {
			return err
		}
		fs := a.m.FileSystemOn(mt.On)
		if fs.Kind == kind {
			a.say(mt.Target, string(kind), "told so, and as recorded")
			continue
		}
		if err := a.convertible(mt, *fs); err != nil {
			return err
		}
		a.convert(mt, fs, kind, w.Content[mt.Target])
	}
	return nil
}

// convertible refuses a file system that has to stay what it is.
func (a *applied) convertible(mt machine.Mount, fs machine.FileSystem) error {
	refuse := func(format string, args ...any) error {
		return fail.New(fail.Refused, "%s stays %s: %s", mt.Target, fs.Kind, fmt.Sprintf(format, args...))
	}
	if why := essential(a.m, mt); why != "" {
		return refuse("%s, and the recorded boot loader and initramfs read that kind", why)
	}
	if n := len(a.m.MountsOn(mt.On)); n > 1 {
		return refuse("%d of its subvolumes are mounted, and no other kind has subvolumes", n)
	}
	if n := len(fs.Devices); n > 0 {
		return refuse("it lies on %d devices, and no other kind does", n)
	}
	switch fs.Kind {
	case "ext2", "ext3", "ext4", "xfs", "btrfs":
		return nil
	}
	return refuse("only ext2, ext3, ext4, xfs and btrfs can be made as another kind")
}

// convert changes one file system and says what is lost by it.
func (a *applied) convert(mt machine.Mount, fs *machine.FileSystem, kind machine.FSKind, content machine.Bytes) {
	was := *fs
	*fs = machine.FileSystem{On: was.On, Kind: kind, UUID: was.UUID, Label: was.Label, Size: was.Size, Used: max(was.Used, content), BlockSize: 4096}
	c := plan.KindChange{Mount: mt.Target, From: was.Kind, To: kind, UUID: was.UUID}
	if len(was.Label) > newKinds[kind] {
		c.LostLabel, fs.Label = was.Label, ""
		a.say(mt.Target, "without its label", fmt.Sprintf("%s has labels of up to %d bytes, and it was %s", kind, newKinds[kind], was.Label))
	}
	if kind != "btrfs" {
		// A btrfs is mounted by its subvolume, others as a whole.
		for i := range a.m.Mounts {
			if a.m.Mounts[i].On == fs.On {
				a.m.Mounts[i].Subvolume = ""
			}
		}
	}
	defaults(fs, a.m.Kernel)
	a.kinds = append(a.kinds, c)
	a.say(mt.Target, string(kind), "told so; it was "+string(was.Kind))
	for _, l := range lost(mt, was, kind) {
		a.say(mt.Target, "without "+l.what, l.why)
	}
}

// defaults gives a file system of a new kind what any kernel since 4.16 reads,
// and times beyond 2038 where the recorded kernel knows them: the programs on
// the medium may be newer than the restored system.
func defaults(fs *machine.FileSystem, kernel string) {
	switch fs.Kind {
	case "ext4":
		fs.Features = []string{"has_journal", "ext_attr", "resize_inode", "dir_index", "filetype", "extent", "64bit", "flex_bg",
			"sparse_super", "large_file", "huge_file", "dir_nlink", "extra_isize", "metadata_csum"}
		fs.InodeSize = 256
		// One for 16 KiB as mke2fs.conf(5) has it. Other kinds make inodes as
		// they are needed; where files may be smaller there are more.
		fs.Inodes = int64(max(fs.Size/16384, min(fs.Used/4096, fs.Size/8192)))
	case "xfs":
		fs.Features = []string{"crc", "ftype", "finobt", "sparse", "reflink"}
		fs.InodeSize = 512
		if sinceKernel(kernel, 5, 10) {
			fs.Features = append(fs.Features, "bigtime", "inobtcount")
		}
	case "btrfs":
		fs.Features = []string{"MIXED_BACKREF", "BIG_METADATA", "EXTENDED_IREF", "SKINNY_METADATA", "NO_HOLES"}
		if sinceKernel(kernel, 5, 15) {
			fs.Features = append(fs.Features, "FREE_SPACE_TREE", "FREE_SPACE_TREE_VALID")
		}
		fs.Options = map[string]string{"csum": "crc32c", "node_size": "16384"}
	}
}

// sinceKernel compares what uname -r says with a version.
func sinceKernel(kernel string, major, minor int) bool {
	var x, y int
	if n, _ := fmt.Sscanf(kernel, "%d.%d", &x, &y); n < 2 {
		return false
	}
	return cmp.Or(cmp.Compare(x, major), cmp.Compare(y, minor)) >= 0
}

// loss is something that a file system of another kind does not have.
type loss struct{ what, why string }

// lost lists what the change of kind loses.
func lost(mt machine.Mount, was machine.FileSystem, kind machine.FSKind) []loss {
	var out []loss
	feature := func(names ...string) bool {
		return slices.ContainsFunc(was.Features, func(f string) bool { return slices.Contains(names, f) })
	}
	option := func(names ...string) bool {
		return slices.ContainsFunc(strings.Split(mt.Options, ","), func(o string) bool {
			key, _, _ := strings.Cut(o, "=")
			return slices.Contains(names, key)
		})
	}
	if feature("quota", "project") || option("usrquota", "grpquota", "prjquota", "quota", "uquota", "gquota", "pquota", "usrjquota", "grpjquota", "uqnoenforce", "gqnoenforce", "pqnoenforce") {
		out = append(out, loss{"quotas", "each kind keeps them in its own way: set limits and projects up anew"})
	}
	for _, f := range []struct{ feature, what string }{{"casefold", "directories that ignore case"}, {"encrypt", "encrypted directories (fscrypt)"}, {"verity", "fs-verity"}} {
		if feature(f.feature) {
			out = append(out, loss{f.what, "no other kind here has the feature " + f.feature + " of the " + string(was.Kind)})
		}
	}
	out = append(out, loss{"chattr flags that " + string(kind) + " does not have", "how many paths lose one, and the first of them, is said after unpacking"})
	if was.Kind == "btrfs" {
		if len(was.Subvolumes) > 0 {
			out = append(out, loss{"subvolumes", "they become directories"})
		}
		if option("compress", "compress-force") {
			out = append(out, loss{"compression", string(kind) + " has none: the files need more room than recorded"})
		}
	}
	if kind == "ext4" && (was.Kind == "btrfs" || was.Kind == "xfs") {
		out = append(out, loss{"shared blocks and attributes beyond 4 KiB", "copies that shared their blocks need room of their own, and a larger attribute is refused"})
	}
	return out
}

// holdable checks at the end that the file systems of another kind have the
// room that the new kind needs.
func (f *fitter) holdable(kinds []plan.KindChange) error {
	for _, k := range kinds {
		fs := f.m.FileSystemOn(f.m.MountAt(k.Mount).On)
		if least := needs(*fs); fs.Size < least {
			return fail.Hint(fail.New(fail.Refused, "%s has %s here, and as %s it needs at least %s", k.Mount, plan.Size(fs.Size), k.To, plan.Size(least)),
				"give it more: --size %s=%d", k.Mount, least)
		}
	}
	return nil
}
