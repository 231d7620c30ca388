package fit

import (
	"crypto/sha256"
	"fmt"
	"strings"

	"github.com/mkcdrec/mkcdrec/internal/fail"
	"github.com/mkcdrec/mkcdrec/internal/machine"
	"github.com/mkcdrec/mkcdrec/internal/plan"
)

// mirror makes of a machine on one disk one on two: each partition that holds
// something becomes a RAID1 over both, all others are made on both.
func (t *topology) mirror() error {
	m := t.f.m
	if t.wishes.Mirror == "" {
		return nil
	}
	refuse := func(hint, format string, args ...any) error {
		err := fail.New(fail.Refused, "the machine cannot be mirrored: "+format, args...)
		if hint == "" {
			return err
		}
		return fail.Hint(err, "%s", hint)
	}
	switch {
	case len(m.Arrays) > 0:
		return refuse("", "it has RAID arrays already")
	case len(m.Disks) > 1:
		return refuse("lay them together first: --onto-one --mirror", "it stands on %d disks: %s", len(m.Disks), list(m.Disks))
	case m.Disks[0].Table == nil:
		return refuse("", "disk %s has no partition table, and no boot loader could be on its mirror", m.Disks[0].Name)
	}
	size := m.Disks[0].Size
	if was := t.sizes[m.Disks[0].Name]; was > 0 {
		size = was
	}
	base := &m.Disks[0]
	if err := t.mirrorPartitions(base); err != nil {
		return err
	}
	half := secondHalf(*base)
	for i := range m.Arrays {
		a := &m.Arrays[i]
		_, n, _ := a.Members[0].On.Part()
		a.Members = append(a.Members, machine.ArrayMember{On: machine.PartRef(half.Name, n), Slot: 1})
	}
	if len(m.BootLoader.Disks) > 0 {
		m.BootLoader.Disks = append(m.BootLoader.Disks, machine.DiskRef(half.Name))
	}
	t.halves = []string{base.Name, half.Name}
	t.sizes[base.Name], t.sizes[half.Name] = size, size
	t.f.relaid[half.Name] = true
	t.f.tight[base.Name], t.f.tight[half.Name] = "the mirrors need some room for themselves", "the mirrors need some room for themselves"
	if to := t.wishes.Mirror; to != MirrorAny {
		if t.wishes.Map == nil {
			t.wishes.Map = map[string]string{}
		}
		t.wishes.Map[half.Name] = to
	}
	m.Disks = append(m.Disks, half)
	t.f.say("mirror", fmt.Sprintf("%d arrays over two disks", len(m.Arrays)), "told so; mdadm of the restored system keeps them, and its initramfs is rebuilt to start them")
	return nil
}

// mirrorPartitions puts an array under all that lies on the partitions of a disk.
func (t *topology) mirrorPartitions(d *machine.Disk) error {
	m := t.f.m
	direct := false // GRUB reads its files from an array, and not from what stands on one
	refs := map[machine.Ref]machine.Ref{}
	for i := range d.Table.Partitions {
		p := &d.Table.Partitions[i]
		r := machine.PartRef(d.Name, p.Number)
		if p.Extended() || !holdsSomething(m, r) {
			continue
		}
		a := t.half(d, *p)
		direct = direct || bootsFrom(m, r)
		refs[r] = machine.ArrayRef(a.Name)
		was := []string{p.Path}
		if p.UUID != "" {
			was = append(was, "PARTUUID="+p.UUID, "/dev/disk/by-partuuid/"+strings.ToLower(p.UUID))
		}
		if p.Formerly != "" {
			was = append(was, "PARTUUID="+p.Formerly, "/dev/disk/by-partuuid/"+strings.ToLower(p.Formerly))
		}
		if p.Name != "" {
			was = append(was, "PARTLABEL="+p.Name, "/dev/disk/by-partlabel/"+p.Name)
		}
		t.moved = append(t.moved, plan.DeviceMove{Was: was, UUID: contentUUID(m, r)})
		if !readByFirmware(m, r) {
			p.Type = machine.TypeRAID
			if d.Table.Kind == machine.MBR {
				p.Type = "fd"
			}
		}
		t.f.say("partition "+r.Body(), fmt.Sprintf("becomes the mirror %s", a.Name), "told so; metadata %s%s", a.Metadata, map[string]string{"1.0": ", at its end: who starts the machine sees a plain file system"}[a.Metadata])
		size := a.Component + mib
		for size-mdSpace(size) < a.Component {
			size += mib
		}
		t.f.widen(d, p.Number, size)
		m.Arrays = append(m.Arrays, a)
	}
	// The members lie on the partitions, all else on the arrays.
	members := make([]machine.Ref, len(m.Arrays))
	for i := range m.Arrays {
		members[i] = m.Arrays[i].Members[0].On
	}
	replace(m, refs)
	for i := range m.Arrays {
		m.Arrays[i].Members[0].On = members[i]
	}
	if len(m.Arrays) == 0 {
		return fail.New(fail.Refused, "the machine cannot be mirrored: no partition of disk %s holds anything", d.Name)
	}
	if !direct {
		t.loaderAnew("what it reads /boot from stands on an array now")
	}
	return nil
}

// half is the array that a partition becomes, with its first member.
func (t *topology) half(d *machine.Disk, p machine.Partition) machine.Array {
	m := t.f.m
	r := machine.PartRef(d.Name, p.Number)
	n := len(m.Arrays)
	name := fmt.Sprintf("md%d", n)
	size := up(d.Bytes(p.Size), 64<<10)
	metadata, bitmap := "1.2", "internal"
	if readByFirmware(m, r) || bootsFrom(m, r) {
		metadata = "1.0"
	}
	if size < 128*mib {
		bitmap = ""
	}
	id := sha256.Sum256([]byte(strings.Join([]string{"array", d.Table.ID, fmt.Sprint(p.Number)}, "\x00")))
	return machine.Array{
		Disk:  machine.Disk{Name: name, Path: "/dev/" + name, Size: size, LogicalSector: d.LogicalSector, PhysicalSector: d.PhysicalSector},
		UUID:  fmt.Sprintf("%x:%x:%x:%x", id[:4], id[4:8], id[8:12], id[12:16]),
		Label: fmt.Sprintf("%s:%d", t.hostname(), n), Level: "raid1", Metadata: metadata, Slots: 2, Bitmap: bitmap, Component: size,
		Members: []machine.ArrayMember{{On: r}}, Added: true,
	}
}

// hostname is whose arrays they are: a superblock has 32 bytes for it and the name.
func (t *topology) hostname() string {
	host, _, _ := strings.Cut(t.f.m.Hostname, ".")
	if host == "" || len(host) > 24 {
		return "any"
	}
	return host
}

// secondHalf is the disk that mirrors another: the same table under IDs of its own.
func secondHalf(d machine.Disk) machine.Disk {
	half := d
	half.Name, half.Path = "mirror of "+d.Name, "/dev/"+d.Name
	half.Serial, half.WWN, half.Model, half.Signatures = "", "", "", nil
	table := *d.Table
	table.ID = derivedUUID("mirror", d.Table.ID)
	if table.Kind == machine.MBR {
		id := sha256.Sum256([]byte("mirror\x00" + d.Table.ID))
		table.ID = fmt.Sprintf("0x%x", id[:4])
	}
	table.Partitions = nil
	for _, p := range d.Table.Partitions {
		p.Formerly = ""
		if p.UUID = derivedUUID("mirror", fmt.Sprint(p.Number), table.ID); table.Kind == machine.MBR {
			p.UUID = mbrUUID(table.ID, p.Number)
		}
		table.Partitions = append(table.Partitions, p)
	}
	half.Table = &table
	return half
}
