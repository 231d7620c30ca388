package inspect

import (
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/mkcdrec/mkcdrec/internal/machine"
	"github.com/mkcdrec/mkcdrec/internal/tool/mdadm"
	"github.com/mkcdrec/mkcdrec/internal/wording"
)

// isMember says that the device of a sysfs directory belongs to an md array,
// running or not.
func (in *inspector) isMember(dir string) bool {
	list, _ := os.ReadDir(in.path(dir + "/holders"))
	return slices.ContainsFunc(list, func(h os.DirEntry) bool { return strings.HasPrefix(h.Name(), "md") })
}

// arrays records the md arrays whose members are all known, those on other
// arrays after these. What a later layer gives comes by a later call; the last
// one names the arrays that are still not recorded.
func (in *inspector) arrays(last bool) {
	for more := true; more; {
		more = false
		var later []*node
		for _, n := range in.pending {
			s, err := mdadm.ReadState(os.DirFS(in.path(sysBlock + "/" + n.kname + "/md")))
			if err != nil {
				in.blocking("md:"+n.kname, excludeTodo, "%s cannot be recorded: %v", n.path, err)
				continue
			}
			if what, todo := unknownArray(s); what != "" {
				in.consume(s)
				in.blocking("md:"+n.kname, todo, "%s %s", n.path, what)
				continue
			}
			if unnamed := in.unnamed(s); unnamed != "" {
				later = append(later, n)
				if last {
					in.blocking("md:"+n.kname, excludeTodo, "%s is a RAID array on %s, which cannot be recorded", n.path, unnamed)
				}
				continue
			}
			in.array(n, s)
			more = true
		}
		in.pending = later
	}
}

// unknownArray says why an array cannot be made again, and what can be done.
func unknownArray(s mdadm.State) (what, todo string) {
	const byHand = excludeTodo + "; it must be made anew by hand"
	levels := []string{"linear", "raid0", "raid1", "raid4", "raid5", "raid6", "raid10"}
	journal := func(d mdadm.Device) bool { return d.Is("journal") }
	switch {
	case strings.HasPrefix(s.Metadata, "external:"):
		return "belongs to a RAID of the firmware (IMSM or DDF), which cannot be recorded", excludeTodo + "; it must be made anew in the firmware's setup"
	case !slices.Contains(levels, s.Level):
		return "is a RAID array of level " + s.Level + ", which cannot be recorded", byHand
	case s.Reshaping:
		return "is a RAID array that is being reshaped", "wait until that has ended (cat /proc/mdstat), and look again"
	case s.Policy == "journal" || slices.ContainsFunc(s.Devices, journal):
		return "is a RAID array with a journal on a device of its own, which cannot be recorded", "do without the journal (mdadm --grow --consistency-policy=resync), or " + byHand
	case s.Bitmap == "clustered":
		return "is a RAID array of a cluster, which cannot be recorded", byHand
	case s.Array == "inactive" || s.Array == "clear" || s.Array == "":
		return "is a RAID array that does not run", "start it, or stop it for good (mdadm --stop), or " + excludeTodo
	}
	return "", ""
}

// memberNode is the device of an array in this machine's tree, or nil.
func (in *inspector) memberNode(d mdadm.Device) *node { return in.nodes[d.Name] }

// unnamed is the first device of an array that the model cannot name, or "".
func (in *inspector) unnamed(s mdadm.State) string {
	for _, d := range s.Devices {
		if n := in.memberNode(d); !d.Is("faulty") && (n == nil || n.ref == "") {
			return "/dev/" + d.Name
		}
	}
	return ""
}

// consume says that the devices of an array hold nothing else. The failed ones
// that are still listed do not either.
func (in *inspector) consume(s mdadm.State) {
	for _, d := range s.Devices {
		if n := in.memberNode(d); n != nil {
			n.leaf = false
		}
	}
}

// array records one array with its partition table.
func (in *inspector) array(n *node, s mdadm.State) {
	name := "md:" + n.kname
	e, err := mdadm.Export(in.ctx, in.run, n.path)
	if err != nil || e.UUID == "" {
		in.consume(s)
		in.blocking(name, "install mdadm, and see that 'mdadm --detail "+n.path+"' works", "%s is a RAID array, and its superblock cannot be read: %v", n.path, err)
		return
	}
	a := machine.Array{
		Disk: in.geometry(n), UUID: e.UUID, Label: e.Name, Level: s.Level, Metadata: s.Metadata, Slots: s.Slots, Chunk: s.Chunk, Layout: s.Layout,
		Component: s.Component, Bitmap: s.Bitmap,
	}
	if e.DevName != "" {
		a.Path = "/dev/md/" + e.DevName
	}
	if s.Bitmap != "" && s.Bitmap != "internal" {
		in.note(name+"/bitmap", "", "the write-intent bitmap of %s is in the file %s; the array is made again with one in its superblock", n.path, s.Bitmap)
		a.Bitmap = "internal"
	}
	if s.Policy == "ppl" {
		a.Policy = s.Policy
	}
	in.consume(s)
	for i, d := range s.Devices {
		if d.Is("faulty") {
			continue
		}
		if d.Is("replacement") {
			d.Slot = -1 // of a member that is still there: it will be a spare
		}
		a.Members = append(a.Members, machine.ArrayMember{On: in.memberNode(d).ref, Slot: d.Slot, WriteMostly: d.Is("write_mostly")})
		switch {
		case i == 0:
			a.Offset = d.Offset
		case a.Offset != d.Offset:
			a.Offset = 0
		}
	}
	if a.Missing() > a.Redundant() {
		in.blocking(name, "replace the failed disks first, or "+excludeTodo, "%s (%s) lacks %d of %d members: it cannot be made again like that", n.path, a.Level, a.Missing(), a.Slots)
		return
	}
	if k := a.Missing(); k > 0 {
		in.note(name, "replace the failed disk: another failure may lose the data", "%s (%s) is degraded: it lacks %s of %d, and is made again without; add it then with 'mdadm --add'",
			n.path, a.Level, wording.Count(k, "member"), a.Slots)
	}
	n.ref = machine.ArrayRef(n.kname)
	in.probe(n)
	parts := in.sysPartitions(sysBlock+"/"+n.kname, n)
	if n.probed.PTType != "" && n.probed.Type == "" || len(parts) > 0 {
		a.Table = in.table(n, parts)
	}
	n.leaf = a.Table == nil && len(parts) == 0
	in.m.Arrays = append(in.m.Arrays, a)
	in.firmwareReads(&a)
}

// runsWithout is the recorded array that a device says it is a member of, or "".
func (in *inspector) runsWithout(uuid string) string {
	digits := func(s string) string { return strings.ToLower(strings.NewReplacer("-", "", ":", "").Replace(s)) }
	for _, a := range in.m.Arrays {
		if uuid != "" && digits(a.UUID) == digits(uuid) {
			return a.Path
		}
	}
	return ""
}

// firmwareReads says when the firmware cannot see a file system on an array
// whose superblock is at the start.
func (in *inspector) firmwareReads(a *machine.Array) {
	n := in.nodes[a.Name]
	if n.probed.Type != "vfat" || a.Metadata == "1.0" || a.Metadata == "0.90" {
		return
	}
	for _, m := range a.Members {
		if dev, err := in.m.Resolve(m.On); err == nil && dev.Partition != nil && dev.Partition.Type == machine.TypeESP {
			in.note("md:"+a.Name+"/esp", "make it with --metadata=1.0", "%s is an EFI system partition that firmware cannot read: metadata %s lies at the start of its members", filepath.Join("/dev", a.Name), a.Metadata)
			return
		}
	}
}
