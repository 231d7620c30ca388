package inspect

import (
	"fmt"
	"strings"
	"testing"

	"github.com/mkcdrec/mkcdrec/internal/machine"
)

// TestKindsOfVolumes is a machine with a volume of every kind, as LVM 2.03.16
// with Linux 6.1 reports it.
func TestKindsOfVolumes(t *testing.T) {
	v := newView(t)
	v.block("vdb", "254:16", "4194304", "vdb1/partition", "1", "vdb2/partition", "2")
	v.block("vdb/vdb1", "254:17", "2457600")
	v.block("vdb/vdb2", "254:18", "1732608")
	for i, d := range []string{"vdc", "vdd", "vde"} {
		v.block(d, fmt.Sprintf("254:%d", 32+16*i), "4194304")
		v.answer("blkid -p -o export /dev/"+d, "TYPE=LVM2_member\n")
	}
	v.answer("blkid -p -o export /dev/vdb", "PTTYPE=gpt\n")
	v.answer("blkid -p -o export /dev/vdb1", "TYPE=ext4\n")
	v.answer("blkid -p -o export /dev/vdb2", "TYPE=LVM2_member\n")
	v.answer("sfdisk --json /dev/vdb", `{"partitiontable":{"label":"gpt","id":"A","device":"/dev/vdb","unit":"sectors","firstlba":2048,"lastlba":4194270,"sectorsize":512,"partitions":[`+
		`{"node":"/dev/vdb1","start":2048,"size":2457600,"type":"0FC63DAF-8483-4772-8E79-3D69D8477DE4"},{"node":"/dev/vdb2","start":2459648,"size":1732608,"type":"E6D6D379-F507-44C2-A23C-238F2A3DF928"}]}}`)
	for _, what := range []string{"vgs", "pvs", "lvs"} {
		v.capture("lvm "+what+"*", "../tool/lvm/testdata/kinds-"+what+".json")
	}
	n := 0
	for _, lv := range strings.Fields("one:-1 cached cached2 ext extsnap home integ lin mir pool pool-tpool pool_tdata r0 r5 root rp snap srv str t2 wc") {
		name, group := lv, "vg0"
		if rest, ok := strings.CutSuffix(lv, ":-1"); ok {
			name, group = rest, "vg--1"
		}
		v.block(fmt.Sprintf("dm-%d", n), fmt.Sprintf("253:%d", n), "81920", "dm/name", group+"-"+name, "dm/uuid", "LVM-x")
		n++
	}
	v.file("/proc/self/mountinfo", "1 0 254:17 / / rw - ext4 /dev/vdb1 rw\n")
	m := v.inspect()
	if err := m.Validate(); err != nil {
		t.Errorf("not valid: %v", err)
	}
	var said []string
	for _, g := range m.VolumeGroups {
		for _, lv := range g.Logical {
			s := fmt.Sprintf("%s/%s %s %d", g.Name, lv.Name, lv.Kind, lv.Size>>20)
			if lv.Stripes > 0 {
				s += fmt.Sprintf(" stripes %d*%d", lv.Stripes, lv.StripeSize>>10)
			}
			if lv.Mirrors > 0 {
				s += fmt.Sprintf(" mirrors %d regions %d %s", lv.Mirrors, lv.RegionSize>>10, lv.Log)
			}
			if p := lv.Pool; p != nil {
				s += fmt.Sprintf(" %s chunk %d %s %v, metadata %s %d on %v", p.Data, p.Chunk>>10, p.Discards, p.Zero, p.Metadata.Kind, p.Metadata.Size>>20, p.Metadata.Devices)
			}
			said = append(said, strings.TrimSpace(fmt.Sprintf("%s in %s %v", s, lv.In, lv.Devices)))
		}
	}
	const want = `vg-1/one linear 100 in  []
vg0/cached linear 100 in  [disk:vdc]
vg0/cached2 linear 40 in  [disk:vdc]
vg0/ext linear 40 in  [disk:vdc]
vg0/lin linear 32 in  [disk:vdc]
vg0/mir mirror 52 mirrors 1 regions 2048 core in  [disk:vdc disk:vdd]
vg0/pool thin-pool 400 linear chunk 128 passdown true, metadata linear 8 on [part:vdb/2] in  [part:vdb/2]
vg0/r0 raid0 56 stripes 2*64 in  [disk:vdc disk:vdd]
vg0/r5 raid5 104 stripes 2*128 in  [disk:vdc disk:vdd part:vdb/2]
vg0/rp thin-pool 100 mirrors 1 regions 2048  raid1 chunk 64 nopassdown false, metadata raid1 8 on [disk:vdc disk:vdd] in  [disk:vdc disk:vdd]
vg0/srv raid1 100 mirrors 1 regions 512  in  [disk:vdc disk:vdd]
vg0/str striped 48 stripes 2*64 in  [disk:vdc disk:vdd]
vg0/wc linear 100 in  [disk:vdc]
vg0/home thin 2048 in pool []
vg0/root thin 1024 in pool []
vg0/t2 thin 300 in rp []`
	if got := strings.Join(said, "\n"); got != want {
		t.Errorf("recorded:\n%s\nwant:\n%s", got, want)
	}
	g := m.VolumeGroup("vg0")
	equal(t, "spare metadata", g.Spare, machine.Bytes(8<<20))
	equal(t, "tags", fmt.Sprint(g.Tags, g.Volume("lin").Tags), "[fixture prod] [a b]")
	// What it takes is what LVM says is not free, but for the caches, the snapshots
	// and the volume with integrity data, which are not made again.
	var used machine.Bytes
	for _, p := range g.Physical {
		used += p.Size - p.Free
	}
	const gone = 32 + 32 + 16 + 8 + 20 + 2*(40+4+8)
	if got := g.Takes() + gone<<20; got != used {
		t.Errorf("the volumes take %d MiB with what is gone, LVM says %d", got>>20, used>>20)
	}
	var names []string
	for _, f := range findings(m) {
		if strings.HasPrefix(f, "lvm:") || strings.HasPrefix(f, "cache:") {
			names = append(names, f)
		}
	}
	equal(t, "findings", names, []string{"cache:vg0/cached", "cache:vg0/cached2", "cache:vg0/wc", "lvm:vg0/extsnap!", "lvm:vg0/homesnap", "lvm:vg0/integ!", "lvm:vg0/snap!"})
}
