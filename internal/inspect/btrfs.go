package inspect

import (
	"cmp"
	"os"
	"path"
	"slices"
	"strconv"
	"strings"

	"github.com/mkcdrec/mkcdrec/internal/machine"
	"github.com/mkcdrec/mkcdrec/internal/tool/btrfs"
	"github.com/mkcdrec/mkcdrec/internal/tool/superblock"
	"github.com/mkcdrec/mkcdrec/internal/wording"
)

// sysBtrfs is where the kernel shows each mounted btrfs by its UUID: its
// devices, profiles and quota groups.
const sysBtrfs = "/sys/fs/btrfs"

// gather puts the devices of a btrfs over several together, the one with the
// superblock that was read among them. Those that are not here are counted.
func (in *inspector) gather(n *node, fs *machine.FileSystem) {
	total, err := strconv.Atoi(fs.Options["devices"])
	if err != nil {
		return
	}
	delete(fs.Options, "devices")
	name := string(n.ref)
	fs.Devices = nil
	unknown := 0
	for _, member := range in.devicesOf(fs.UUID) {
		in.partOf[member.kname] = fs.UUID
		d, err := in.deviceOf(member, fs.UUID)
		if err != nil || member.ref == "" {
			in.blocking(name, excludeTodo, "the btrfs file system on %s has a device that cannot be recorded, %s: %v", n.path, member.path, err)
			unknown++
			continue
		}
		fs.Devices = append(fs.Devices, d)
	}
	slices.SortFunc(fs.Devices, func(a, b machine.FSDevice) int { return cmp.Compare(a.ID, b.ID) })
	if len(fs.Devices) == 0 {
		in.blocking(name, excludeTodo, "the btrfs file system on %s has %d devices, which are not known", n.path, total)
		return
	}
	fs.On = fs.Devices[0].On
	fs.Missing = max(total-len(fs.Devices), 0)
	if fs.Missing > unknown {
		in.note("btrfs:"+fs.On.Body(), "replace what is missing: btrfs replace, or btrfs device add and btrfs device remove missing",
			"the btrfs file system on %s is degraded: it lacks %s of %d, and is made again without", n.path, wording.Count(fs.Missing-unknown, "device"), total)
	}
}

// devicesOf are the devices of a btrfs: those that the kernel uses where it is
// mounted, else those with its UUID.
func (in *inspector) devicesOf(uuid string) []*node {
	var out []*node
	list, _ := os.ReadDir(in.path(path.Join(sysBtrfs, uuid, "devices")))
	for _, e := range list {
		if n := in.nodes[e.Name()]; n != nil {
			out = append(out, n)
		}
	}
	if len(out) > 0 {
		return out
	}
	for _, n := range in.nodes {
		if n.probed.Type == "btrfs" && strings.EqualFold(n.probed.UUID, uuid) {
			out = append(out, n)
		}
	}
	slices.SortFunc(out, func(a, b *node) int { return cmp.Compare(a.kname, b.kname) })
	return out
}

// deviceOf is what a device's own superblock says of its place in the whole.
func (in *inspector) deviceOf(n *node, uuid string) (machine.FSDevice, error) {
	f, err := os.Open(in.path(n.path))
	if err != nil {
		return machine.FSDevice{}, err
	}
	defer f.Close()
	fs, err := superblock.Read("btrfs", f)
	switch {
	case err != nil:
		return machine.FSDevice{}, err
	case !strings.EqualFold(fs.UUID, uuid) || len(fs.Devices) != 1:
		return machine.FSDevice{}, superblock.ErrNot // a seed, or something written just now
	}
	d := fs.Devices[0]
	d.On = n.ref
	return d, nil
}

// profiles records how data and metadata are kept. The kernel tells it of a
// mounted file system; of others the superblock has that of its system chunks.
func (in *inspector) profiles(n *node, fs *machine.FileSystem) {
	if fs.Options == nil {
		fs.Options = map[string]string{}
	}
	for _, kind := range []string{machine.DataProfile, machine.MetadataProfile, machine.SystemProfile, "mixed"} {
		all := in.profilesOf(fs.UUID, kind)
		if len(all) == 0 {
			continue
		}
		if kind == "mixed" {
			fs.Options[machine.DataProfile], fs.Options[machine.MetadataProfile] = all[0], all[0]
		} else {
			fs.Options[kind] = all[0]
		}
		if len(all) > 1 {
			in.note("profile:"+fs.On.Body()+"/"+kind, "end the conversion: btrfs balance start", "the %s of the btrfs on %s are kept as %s: a conversion has not ended; all are made %s",
				kind, n.path, strings.Join(all, " and "), all[0])
		}
	}
	if s := fs.Options[machine.SystemProfile]; s != "" && fs.Options[machine.MetadataProfile] == "" {
		fs.Options[machine.MetadataProfile] = s
	}
	if in.exists(path.Join(sysBtrfs, fs.UUID, "qgroups")) {
		in.note("quota:"+fs.On.Body(), "after a restore: btrfs quota enable, and set the limits anew (see them with: btrfs qgroup show -re)",
			"the btrfs on %s has quotas: its quota groups and their limits are not in the backup", n.path)
	}
}

// profilesOf are the profiles of one kind of block groups, the one with most
// bytes first.
func (in *inspector) profilesOf(uuid, kind string) []string {
	dir := path.Join(sysBtrfs, uuid, "allocation", kind)
	list, _ := os.ReadDir(in.path(dir))
	var out []string
	size := map[string]int64{}
	for _, e := range list {
		if machine.KnownProfile(e.Name()) {
			out = append(out, e.Name())
			size[e.Name()], _ = strconv.ParseInt(in.text(path.Join(dir, e.Name(), "total_bytes")), 10, 64)
		}
	}
	slices.SortStableFunc(out, func(a, b string) int { return cmp.Compare(size[b], size[a]) })
	return out
}

// holdsNothing says that a subvolume which no mount leads to has no file: as the
// one that the subvolumes of an openSUSE lie in.
func (in *inspector) holdsNothing(target string, s machine.Subvolume) bool {
	if in.opts.Root != "" {
		return false
	}
	only, err := btrfs.OnlyDirectories(target, s.ID)
	return err == nil && only
}

// formerDevice says that a btrfs of this UUID is recorded, on other devices.
func (in *inspector) formerDevice(uuid string) bool {
	return slices.ContainsFunc(in.m.FileSystems, func(fs machine.FileSystem) bool {
		return uuid != "" && strings.EqualFold(fs.UUID, uuid) && len(fs.Devices) > 0
	})
}
