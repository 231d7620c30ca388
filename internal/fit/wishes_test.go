package fit

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/mkcdrec/mkcdrec/internal/fail"
	"github.com/mkcdrec/mkcdrec/internal/machine"
	"github.com/mkcdrec/mkcdrec/internal/machine/machinetest"
	"github.com/mkcdrec/mkcdrec/internal/plan"
	"pgregory.net/rapid"
)

// withData is UEFIPlain on a larger disk, with /scratch (partition 4, ext4)
// and /data (partition 5, xfs) behind the swap partition.
func withData() machine.Machine {
	m := machinetest.UEFIPlain()
	d := &m.Disks[0]
	d.Size = 16 * machinetest.GiB
	d.Table.LastLBA = machine.Sectors(d.Size/512) - 34
	add := func(n int, start, size machine.Bytes, fs machine.FileSystem, target, options string) {
		uuid := fmt.Sprintf("11111111-1111-4111-8111-11111111110%d", n)
		d.Table.Partitions = append(d.Table.Partitions, machine.Partition{Number: n, Path: fmt.Sprint("/dev/vda", n), Start: d.Sectors(start), Size: d.Sectors(size),
			Type: "0FC63DAF-8483-4772-8E79-3D69D8477DE4", UUID: uuid})
		fs.On, fs.Size, fs.BlockSize = machine.PartRef("vda", n), size, 4096
		fs.UUID = strings.Replace(uuid, "1111-4111-8111", "aaaa-4aaa-8aaa", 1)
		m.FileSystems = append(m.FileSystems, fs)
		m.Mounts = append(m.Mounts, machine.Mount{On: fs.On, Target: target, Options: options, InFstab: true})
	}
	add(4, 8192*mib, 4096*mib, machine.FileSystem{Kind: "ext4", Label: "a-long-label-xx", Used: 600 * mib, Inodes: 262144, InodeSize: 256, Features: append(machinetest.Ext4Features(), "project", "quota")},
		"/scratch", "rw,relatime,prjquota")
	add(5, 12288*mib, 4000*mib, machine.FileSystem{Kind: "xfs", Label: "data", Used: 900 * mib, Features: machinetest.XFSFeatures()}, "/data", "rw,relatime")
	return m
}

// fitted fits with wishes and plans; it fails the test when that is refused.
func fitted(t *testing.T, m, here machine.Machine, w Wishes) (machine.Machine, plan.Plan) {
	t.Helper()
	got, choices, err := Onto(m, here, w)
	if err != nil {
		t.Fatal(err)
	}
	changes, err := w.Changes(m)
	if err != nil {
		t.Fatal(err)
	}
	p, err := plan.Restore(got, choices, here, plan.Info{Changes: changes})
	if err != nil {
		t.Fatal(err)
	}
	return got, p
}

func said(p plan.Plan) string {
	var out []string
	for _, c := range p.Choices {
		out = append(out, c.Subject+": "+c.Chosen+" ("+c.Why+")")
	}
	return strings.Join(out, "\n")
}

func TestDroppedPartitionLeavesAGapOnTheSameDisk(t *testing.T) {
	m := withData()
	got, p := fitted(t, m, m, Wishes{Drop: []string{"/scratch/"}})
	var numbers []int
	for _, q := range got.Disks[0].Table.Partitions {
		numbers = append(numbers, q.Number)
		if was := m.Disks[0].Partition(q.Number); q != *was {
			t.Errorf("partition %d changed: %+v, was %+v", q.Number, q, *was)
		}
	}
	if !slices.Equal(numbers, []int{1, 2, 3, 5}) {
		t.Errorf("partitions %v are made", numbers)
	}
	if got.MountAt("/scratch") != nil || got.FileSystemOn(machine.PartRef("vda", 4)) != nil {
		t.Error("what is left out is made and mounted")
	}
	scope := p.Paths()
	for name, want := range map[string]bool{"scratch": false, "scratch/a/b": false, "scratchy": true, "data/x": true, "etc/fstab": true, ".": true, "boot/efi/EFI": true} {
		if scope.Holds(name) != want {
			t.Errorf("%s is unpacked: %v", name, !want)
		}
	}
	at := slices.IndexFunc(p.Steps, func(s plan.Step) bool { return s.Kind == plan.MountPoints })
	if at < 0 || !slices.Equal(p.Steps[at].Paths, []string{"/scratch"}) {
		t.Error("no mount point is left for what is left out")
	}
	if !strings.Contains(said(p), "/scratch: left out (told so: the ext4 on vda/4") {
		t.Errorf("not said:\n%s", said(p))
	}
	without, _ := plan.Restore(got, nil, m, plan.Info{})
	if without.Digest() == p.Digest() {
		t.Error("a journal of a plan that unpacks everything would be taken for this one's")
	}
}

func TestGapIsClosedOnASmallerDisk(t *testing.T) {
	m := withData()
	for _, smaller := range []machine.Bytes{1024, 4096, 6000} {
		got, p := fitted(t, m, blank(machine.Disk{Name: "vda", Size: m.Disks[0].Size - smaller*mib}), Wishes{Drop: []string{"/scratch"}})
		data := got.FileSystemOn(machine.PartRef("vda", 5))
		if kept := data.Size == 4000*mib; kept != (smaller <= 4096) {
			t.Errorf("%d MiB less: /data has %s", smaller, plan.Size(data.Size))
		}
		if got.Disks[0].Partition(5).UUID != m.Disks[0].Partition(5).UUID {
			t.Error("PARTUUID changed")
		}
		if !strings.Contains(said(p), "closed up") {
			t.Errorf("not said:\n%s", said(p))
		}
	}
}

func TestDroppedVolumeAndLogicalPartition(t *testing.T) {
	lvm := machinetest.UEFILVM()
	got, _ := fitted(t, lvm, lvm, Wishes{Drop: []string{"/home"}})
	if got.VolumeGroups[0].Volume("home") != nil || got.VolumeGroups[0].Volume("root") == nil {
		t.Error("the volume of what is left out is made")
	}
	mbr := machinetest.BIOSMBRLogical()
	got, _ = fitted(t, mbr, mbr, Wishes{Drop: []string{"/home"}})
	if n := len(got.Disks[0].Table.Partitions); n != 1 {
		t.Errorf("%d partitions are left; an extended one without logical ones is of no use", n)
	}
	// A logical partition in front of another stays: sda6 would become sda5.
	parts := mbr.Disks[0].Table.Partitions
	half := parts[2].Size / 2
	parts[2].Size = half - 2048
	mbr.Disks[0].Table.Partitions = append(parts, machine.Partition{Number: 6, Path: "/dev/sda6", Start: parts[2].Start + half, Size: half - 2048, Type: "83"})
	mbr.FileSystems[1].Size = mbr.Disks[0].Bytes(half - 2048)
	srv := mbr.FileSystems[1]
	srv.On, srv.UUID = machine.PartRef("sda", 6), "22222222-aaaa-4aaa-8aaa-222222222206"
	mbr.FileSystems = append(mbr.FileSystems, srv)
	mbr.Mounts = append(mbr.Mounts, machine.Mount{On: srv.On, Target: "/srv"})
	got, p := fitted(t, mbr, mbr, Wishes{Drop: []string{"/home"}})
	if got.Disks[0].Partition(5) == nil || got.FileSystemOn(machine.PartRef("sda", 5)) != nil {
		t.Error("sda5 has to stay, and empty")
	}
	if !strings.Contains(said(p), "would get other numbers") {
		t.Errorf("not said:\n%s", said(p))
	}
	if got, _ = fitted(t, mbr, mbr, Wishes{Drop: []string{"/home", "/srv"}}); len(got.Disks[0].Table.Partitions) != 1 {
		t.Error("both logical partitions are left out, and something of them stays")
	}
}

func TestDroppedLayersAndDisks(t *testing.T) {
	m := machinetest.LUKSLVM()
	m.Disks = append(m.Disks, machine.Disk{Name: "vdb", Path: "/dev/vdb", Size: 4 * machinetest.GiB, LogicalSector: 512, Serial: "B"})
	m.Crypts = append(m.Crypts, machine.Crypt{Name: "data", On: machine.DiskRef("vdb"), Version: 2, Offset: 16 * mib, Size: 4*machinetest.GiB - 16*mib})
	m.FileSystems = append(m.FileSystems, machine.FileSystem{On: machine.CryptRef("data"), Kind: "ext4", Size: 4*machinetest.GiB - 16*mib, Used: 100 * mib})
	m.Mounts = append(m.Mounts, machine.Mount{On: machine.CryptRef("data"), Target: "/data"})
	w := Wishes{Drop: []string{"/data"}}
	got, p := fitted(t, m, m, w)
	if got.Crypt("data") != nil || got.Disk("vdb") != nil {
		t.Error("a disk is overwritten though what it held is left out")
	}
	if !slices.Equal(p.Changes.Crypts, []string{"data"}) {
		t.Errorf("the changes are %+v", p.Changes)
	}
	raid := machinetest.RAID1LVM()
	fs := raid.FileSystemOn(machine.ArrayRef("md1"))
	raid.Mounts[1].Target = "/srv" // md1 is not /boot any more
	got, _ = fitted(t, raid, raid, Wishes{Drop: []string{"/srv"}})
	if got.Array("md1") != nil || got.FileSystemOn(fs.On) != nil || got.Disk("sda").Partition(2) != nil || got.Disk("sdb").Partition(2) != nil {
		t.Error("the array of what is left out, or a member's partition, is made")
	}
}

func TestNoSwap(t *testing.T) {
	for _, name := range machinetest.Names() {
		m := machinetest.Get(name)
		got, p := fitted(t, m, m, Wishes{NoSwap: true})
		if len(got.Swaps) > 0 || !p.Changes.NoSwap {
			t.Errorf("%s: swap is made", name)
		}
		for _, s := range p.Steps {
			if s.Kind == plan.MakeSwap || s.Kind == plan.SwapFile || s.LV != nil && strings.HasPrefix(s.LV.Name, "swap") {
				t.Errorf("%s: step %s", name, s.ID)
			}
		}
	}
}

func TestWishesThatAreRefused(t *testing.T) {
	btrfs := machinetest.BtrfsSubvols()
	btrfs.FileSystems[1].Subvolumes = append(btrfs.FileSystems[1].Subvolumes, machine.Subvolume{ID: 300, Path: "@srv"})
	nested := withData()
	nested.Mounts[3].Target = "/scratch/data"
	for _, tt := range []struct {
		name string
		m    machine.Machine
		w    Wishes
		want string
		kind fail.Kind
	}{
		{"root", withData(), Wishes{Drop: []string{"/"}}, "root of the system", fail.Refused},
		{"boot", machinetest.UEFILVM(), Wishes{Drop: []string{"/boot"}}, "boot loader needs it", fail.Refused},
		{"ESP", withData(), Wishes{Drop: []string{"/boot/efi"}}, "boot loader needs it", fail.Refused},
		{"unknown", withData(), Wishes{Drop: []string{"/nowhere"}}, "no file system was mounted there", fail.Usage},
		{"subvolume", btrfs, Wishes{Drop: []string{"/home"}}, "it is a subvolume of the btrfs that / lies on", fail.Refused},
		{"another in it", nested, Wishes{Drop: []string{"/scratch"}}, "/scratch/data is mounted in it", fail.Refused},
		{"dropped and sized", withData(), Wishes{Drop: []string{"/data"}, Sizes: map[string]machine.Bytes{"/data": 1 << 30}}, "contradict", fail.Usage},
		{"dropped and changed", withData(), Wishes{Drop: []string{"/data"}, Kinds: map[string]machine.FSKind{"/data": "ext4"}}, "contradict", fail.Usage},
		{"swap sized and not made", withData(), Wishes{NoSwap: true, Sizes: map[string]machine.Bytes{Swap: 1 << 30}}, "contradict", fail.Usage},
		{"vfat", withData(), Wishes{Kinds: map[string]machine.FSKind{"/data": "vfat"}}, "is no kind", fail.Usage},
		{"root as xfs", withData(), Wishes{Kinds: map[string]machine.FSKind{"/": "xfs"}}, "stays ext4", fail.Refused},
		{"subvolumes as ext4", func() machine.Machine {
			m := machinetest.BtrfsSubvols()
			m.FileSystems = append(m.FileSystems, machine.FileSystem{On: machine.DiskRef("vdb"), Kind: "btrfs", Size: 1 << 30, Used: 1 << 20, Subvolumes: []machine.Subvolume{{Path: "a"}, {Path: "b"}}})
			m.Disks = append(m.Disks, machine.Disk{Name: "vdb", Path: "/dev/vdb", Size: 1 << 30, LogicalSector: 512, Serial: "B"})
			m.Mounts = append(m.Mounts, machine.Mount{On: machine.DiskRef("vdb"), Target: "/a", Subvolume: "a"}, machine.Mount{On: machine.DiskRef("vdb"), Target: "/b", Subvolume: "b"})
			return m
		}(), Wishes{Kinds: map[string]machine.FSKind{"/a": "ext4"}}, "no other kind has subvolumes", fail.Refused},
		{"too small for btrfs", machinetest.UEFILVM(), Wishes{Drop: []string{}, Kinds: map[string]machine.FSKind{"/home": "btrfs"}, Content: map[string]machine.Bytes{"/home": 4 << 30}}, "as btrfs it needs at least", fail.Refused},
		{"ESP sized", withData(), Wishes{Sizes: map[string]machine.Bytes{"/boot/efi": 1 << 30}}, "keeps its size", fail.Refused},
		{"striped, too large", machinetest.TwoDisks(), Wishes{Sizes: map[string]machine.Bytes{"/srv": 800 << 30}}, "/srv cannot have", fail.Refused},
		{"too large", withData(), Wishes{Sizes: map[string]machine.Bytes{"/data": 1 << 40}}, "/data cannot have 1 TiB here: it can have ", fail.Refused},
		{"too small", withData(), Wishes{Sizes: map[string]machine.Bytes{"/data": 100 * mib}}, "/data cannot have 100 MiB here: it can have ", fail.Refused},
		{"too large volume", machinetest.UEFILVM(), Wishes{Sizes: map[string]machine.Bytes{"/home": 30 << 30}}, "/home cannot have 30 GiB here: it can have ", fail.Refused},
		{"swap of nothing", withData(), Wishes{Sizes: map[string]machine.Bytes{Swap: 10}}, "swap cannot have 10 bytes here: it can have ", fail.Refused},
		{"no swap to size", machinetest.NVMe4K(), Wishes{Sizes: map[string]machine.Bytes{Swap: 1 << 30}}, "has 0 swap areas", fail.Usage},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, _, err := Onto(tt.m, tt.m, tt.w)
			if err == nil || !strings.Contains(err.Error(), tt.want) || fail.KindOf(err) != tt.kind {
				t.Fatalf("got %v (kind %s), want %q (kind %s)", err, fail.KindOf(err).Name(), tt.want, tt.kind.Name())
			}
		})
	}
}

// The sizes that a refusal names are possible, and 2 MiB beyond them is not.
func TestNamedSizesArePossible(t *testing.T) {
	for _, tt := range []struct {
		m      machine.Machine
		target string
	}{{withData(), "/data"}, {withData(), "/"}, {withData(), Swap}, {machinetest.UEFILVM(), "/home"}, {machinetest.UEFILVM(), Swap}, {machinetest.UEFILVM(), "/boot"},
		{machinetest.LUKSLVM(), "/"}, {machinetest.BIOSMBRLogical(), "/home"}, {machinetest.BtrfsSubvols(), "/home"}} {
		with := func(n machine.Bytes) error {
			got, _, err := Onto(tt.m, tt.m, Wishes{Sizes: map[string]machine.Bytes{tt.target: n}})
			if err == nil {
				err = plannable(got)
			}
			return err
		}
		err := with(1 << 42)
		var least, most int64
		if _, serr := fmt.Sscanf(fail.HintOf(err), "--size "+tt.target+"=N, with N from %d to %d bytes", &least, &most); serr != nil || least >= most {
			t.Fatalf("%s %s: no sizes in %v (%q)", tt.m.Hostname, tt.target, err, fail.HintOf(err))
		}
		for n, possible := range map[machine.Bytes]bool{machine.Bytes(least): true, machine.Bytes(most): true, machine.Bytes(least+most) / 2: true,
			machine.Bytes(least) - 10*mib: false, machine.Bytes(most) + 10*mib: false} {
			if err := with(n); (err == nil) != possible {
				t.Errorf("%s %s: %d of %d to %d: %v", tt.m.Hostname, tt.target, n, least, most, err)
			}
		}
	}
}

func TestSizesOfPartitionsAndVolumes(t *testing.T) {
	m := withData()
	got, p := fitted(t, m, m, Wishes{Sizes: map[string]machine.Bytes{"/scratch": 2 << 30, Swap: 2 << 30}})
	if fs := got.FileSystemOn(machine.PartRef("vda", 4)); fs.Size != 2<<30 || fs.Inodes != 262144 {
		t.Errorf("/scratch: %+v", fs)
	}
	if got.Swaps[0].Size != 2<<30 || got.FileSystemOn(machine.PartRef("vda", 5)).Size != 4000*mib {
		t.Errorf("swap has %s, /data %s", plan.Size(got.Swaps[0].Size), plan.Size(got.FileSystemOn(machine.PartRef("vda", 5)).Size))
	}
	if !strings.Contains(said(p), "partition 4 of vda: 2 GiB (told so; it had 4 GiB)") {
		t.Errorf("not said:\n%s", said(p))
	}
	lvm := machinetest.UEFILVM()
	got, _ = fitted(t, lvm, blank(machine.Disk{Name: "sda", Size: 2 * lvm.Disks[0].Size}), Wishes{Sizes: map[string]machine.Bytes{"/home": 5<<30 + 1}})
	if lv := got.VolumeGroups[0].Volume("home"); lv.Size != 5<<30+4*mib || got.FileSystemOn(machine.LVRef("vg0", "home")).Size != lv.Size {
		t.Errorf("home has %d", lv.Size)
	}
	got, _ = fitted(t, m, blank(machine.Disk{Name: "vda", Size: 2 * m.Disks[0].Size}), Wishes{Sizes: map[string]machine.Bytes{"/data": 2 << 30}})
	if data, scratch := got.FileSystemOn(machine.PartRef("vda", 5)), got.FileSystemOn(machine.PartRef("vda", 4)); data.Size != 2<<30 || scratch.Size < 16<<30 {
		t.Errorf("on a larger disk /data has %s, and /scratch, which may grow, %s", plan.Size(data.Size), plan.Size(scratch.Size))
	}
	luks := machinetest.LUKSLVM()
	luks.VolumeGroups, luks.Swaps = nil, nil
	luks.FileSystems[2].On, luks.Mounts[0].On = machine.CryptRef("vda3_crypt"), machine.CryptRef("vda3_crypt")
	got, _ = fitted(t, luks, luks, Wishes{Sizes: map[string]machine.Bytes{"/": 6 << 30}})
	if got.Crypts[0].Size != 6<<30 || got.FileSystems[2].Size != 6<<30 {
		t.Errorf("the encrypted root has %s", plan.Size(got.Crypts[0].Size))
	}
}

func TestOtherKinds(t *testing.T) {
	m := withData()
	m.Kernel = "4.18.0-477.el8.x86_64"
	got, p := fitted(t, m, m, Wishes{Kinds: map[string]machine.FSKind{"/scratch": "xfs", "/data": "ext4"}})
	scratch, data := got.FileSystemOn(machine.PartRef("vda", 4)), got.FileSystemOn(machine.PartRef("vda", 5))
	if scratch.Kind != "xfs" || scratch.UUID != m.FileSystems[2].UUID || scratch.Label != "" || slices.Contains(scratch.Features, "bigtime") {
		t.Errorf("/scratch: %+v", scratch)
	}
	if data.Kind != "ext4" || data.Label != "data" || data.Inodes < 900*256 || !slices.Contains(data.Features, "extent") {
		t.Errorf("/data: %+v", data)
	}
	for _, want := range []string{"/scratch: xfs (told so; it was ext4)", "/scratch: without quotas", "/scratch: without its label", "/scratch: without chattr flags"} {
		if !strings.Contains(said(p), want) {
			t.Errorf("not said: %s; said:\n%s", want, said(p))
		}
	}
	if k := p.Changes.Kinds; len(k) != 2 || k[1].LostLabel != "a-long-label-xx" || p.Paths().KindAt("scratch/x") != "xfs" || p.Paths().KindAt("etc") != "" {
		t.Errorf("changes: %+v", p.Changes)
	}
	if kinds := []string{m.Kernel, "6.1.0-1", "5.10", "nonsense"}; sinceKernel(kinds[0], 5, 10) || !sinceKernel(kinds[1], 5, 10) || !sinceKernel(kinds[2], 5, 10) || sinceKernel(kinds[3], 5, 10) {
		t.Error("kernel versions are compared wrongly")
	}
}

// TestWishesArePlannedOrRefused is the promise for any wishes on any disks: a
// plan that is consistent and does what was wished, or a refusal.
func TestWishesArePlannedOrRefused(t *testing.T) {
	names := machinetest.Names()
	planned := map[string]int{}
	rapid.Check(t, func(t *rapid.T) {
		m := withData() // of which most can be wished
		if rapid.Bool().Draw(t, "a named machine") {
			m = machinetest.Get(rapid.SampledFrom(names).Draw(t, "machine"))
		}
		here := blank()
		w := Wishes{Map: map[string]string{}, NoSwap: rapid.Bool().Draw(t, "no-swap"), Sizes: map[string]machine.Bytes{}, Kinds: map[string]machine.FSKind{}}
		percent := rapid.SampledFrom([]machine.Bytes{60, 90, 100, 150}).Draw(t, "percent")
		for _, d := range m.Disks {
			here.Disks = append(here.Disks, blank(machine.Disk{Name: "n" + d.Name, Size: d.Size / 100 * percent / mib * mib, LogicalSector: d.LogicalSector}).Disks...)
			w.Map[d.Name] = "n" + d.Name
			if percent == 100 {
				here.Disks[len(here.Disks)-1].Size = d.Size
			}
		}
		here.Firmware.Kind = rapid.SampledFrom([]machine.FirmwareKind{"", machine.BIOS, machine.UEFI}).Draw(t, "firmware")
		exchanged := here.Firmware.Kind != "" && here.Firmware.Kind != m.Firmware.Kind
		var targets []string
		for _, mt := range m.Mounts {
			targets = append(targets, mt.Target)
		}
		for range rapid.IntRange(0, 2).Draw(t, "wishes") {
			target := rapid.SampledFrom(targets).Draw(t, "target")
			switch rapid.IntRange(0, 2).Draw(t, "kind of wish") {
			case 0:
				w.Drop = append(w.Drop, target)
			case 1:
				if len(m.Swaps) > 0 && rapid.Bool().Draw(t, "of swap") {
					target = Swap
				}
				w.Sizes[target] = sizeOf(m, target) / 100 * machine.Bytes(rapid.IntRange(20, 130).Draw(t, "size"))
			case 2:
				w.Kinds[target] = rapid.SampledFrom([]machine.FSKind{"ext4", "xfs", "btrfs"}).Draw(t, "kind")
			}
		}
		got, choices, err := Onto(m, here, w)
		if k := fail.KindOf(err); err != nil {
			if k != fail.Refused && k != fail.Usage && (k != fail.Unsupported || !exchanged) {
				t.Fatalf("kind %s: %v", k.Name(), err)
			}
			return
		}
		changes, err := w.Changes(m)
		if err != nil {
			t.Fatal(err)
		}
		p, err := plan.Restore(got, choices, here, plan.Info{Changes: changes})
		if err != nil {
			t.Fatal(err)
		}
		for _, d := range w.Drop {
			if planned["drop"]++; got.MountAt(d) != nil || p.Paths().Holds(d+"/x") {
				t.Fatalf("%s is made", d)
			}
		}
		for target, size := range w.Sizes {
			if is := sizeOf(got, target); is < size || is > size+32*mib {
				t.Fatalf("%s has %d, wished were %d", target, is, size)
			}
			planned["size"]++
		}
		for target, kind := range w.Kinds {
			if fs := got.FileSystemOn(got.MountAt(target).On); fs.Kind != kind {
				t.Fatalf("%s is %s", target, fs.Kind)
			}
			planned["fs"]++
		}
		for _, fs := range got.FileSystems {
			if held := machine.Capacity(fs.Options[machine.DataProfile], fs.Sizes()); len(got.MountsOn(fs.On)) > 0 && held < fs.Used+fs.Used/20 {
				t.Fatalf("%s holds %d bytes for %d used", fs.On, held, fs.Used)
			}
		}
		for _, d := range got.Disks {
			for _, q := range partitions(d) {
				var recorded machine.Disk
				for from, to := range w.Map {
					if to == d.Name {
						recorded = *m.Disk(from)
					}
				}
				if exchanged {
					break // a new partition, or another table
				}
				if was := recorded.Partition(q.Number); was == nil || was.UUID != q.UUID {
					t.Fatalf("partition %d of %s has another number or PARTUUID than recorded", q.Number, d.Name)
				}
			}
		}
	})
	for _, what := range []string{"drop", "size", "fs"} {
		if planned[what] == 0 {
			t.Errorf("no wish of %s was ever planned: the test checks nothing", what)
		}
	}
}
