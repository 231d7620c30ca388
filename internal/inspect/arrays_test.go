package inspect

import (
	"os"
	"path"
	"strings"
	"testing"

	"github.com/mkcdrec/mkcdrec/internal/machine"
	"github.com/mkcdrec/mkcdrec/internal/system"
)

const arrayCaptures = "../tool/mdadm/testdata/"

// array puts a captured array into the view; holders of its members included.
func (v *view) array(name, capture string) {
	v.t.Helper()
	b, err := os.ReadFile(path.Join(arrayCaptures, capture, "sysfs.txt"))
	if err != nil {
		v.t.Fatal(err)
	}
	v.file("/sys/block/"+name+"/dev", "9:"+strings.TrimPrefix(name, "md"))
	for line := range strings.Lines(string(b)) {
		key, value, ok := strings.Cut(line, ":")
		if !ok {
			continue
		}
		v.file("/sys/block/"+name+"/"+key, strings.TrimPrefix(value, " "))
		if dev, rest, ok := strings.Cut(strings.TrimPrefix(key, "md/dev-"), "/"); ok && rest == "slot" {
			v.file("/sys/block/"+dev+"/holders/"+name, "")
		}
	}
	v.capture("mdadm --detail --export /dev/"+name, path.Join(arrayCaptures, capture, "export.txt"))
}

// disks makes whole disks of 128 MiB that are members of something.
func (v *view) disks(kind string, names ...string) {
	for i, d := range names {
		v.block(d, "254:"+string(rune('0'+i)), "262144")
		v.answer("blkid -p -o export /dev/"+d, "TYPE="+kind+"\n")
	}
}

// The disks look partitioned, as the table of the array is where theirs would
// be: it is recorded once, on the array.
func TestTableOnMirrorWithMetadataAtTheEnd(t *testing.T) {
	v := newView(t)
	v.disks("linux_raid_member", "vdb", "vdc")
	v.block("vdb", "254:0", "262144", "vdb1/partition", "1", "vdb1/size", "40960") // left by the kernel
	v.array("md0", "raid1-10-gpt")
	v.block("md0", "9:0", "262016", "md0p1/partition", "1", "md0p1/size", "40960", "md0p2/partition", "2", "md0p2/size", "61440")
	v.answer("blkid -p -o export /dev/md0", "PTTYPE=gpt\n")
	v.answer("blkid -p -o export /dev/md0p1", "TYPE=ext4\nUUID=x\n")
	v.capture("sfdisk --json /dev/md0", "testdata/md0-gpt.json")
	v.file("/proc/self/mountinfo", "1 0 259:1 / / rw - ext4 /dev/md0p1 rw\n")
	v.file("/sys/block/md0/md0p1/dev", "259:1")
	m := v.inspect()
	if err := m.Validate(); err != nil {
		t.Errorf("not valid: %v", err)
	}
	equal(t, "findings", findings(m), []string{"boot-loader", "part:md0/2"})
	if m.Disk("vdb").Table != nil || m.Disk("vdc").Table != nil || len(m.Arrays) != 1 || m.Arrays[0].Table == nil {
		t.Fatalf("disks %+v\narrays %+v", m.Disks, m.Arrays)
	}
	a := m.Arrays[0]
	equal(t, "partitions", len(a.Table.Partitions), 2)
	a.Table = nil
	equal(t, "array", a, machine.Array{
		Disk: machine.Disk{Name: "md0", Path: "/dev/md0", Size: 262016 * 512, LogicalSector: 512},
		UUID: "556d2494:2af4e0c4:d620c9a7:26c64d7e", Label: "fixture:0", Level: "raid1", Metadata: "1.0", Slots: 2, Component: 131008 << 10,
		Members: []machine.ArrayMember{{On: "disk:vdb", Slot: 0}, {On: "disk:vdc", Slot: 1}},
	})
	equal(t, "mount", m.Mounts[0].On, machine.PartRef("md0", 1))
}

// One that lacks a member is recorded and said; it does not stop the backup.
// Neither does the failed member, wherever it is now.
func TestDegradedArray(t *testing.T) {
	v := newView(t)
	v.disks("linux_raid_member\nUUID=2313b35a-8b7b-47ba-c282-7431c7d622d0", "vdb", "vdc", "vdd")
	v.array("md1", "raid1-12-failed") // vdd has failed and is still listed, vdc was taken out
	v.answer("blkid -p -o export /dev/md1", "TYPE=ext4\n")
	v.file("/proc/self/mountinfo", "1 0 9:1 / / rw - ext4 /dev/md1 rw\n")
	m := v.inspect()
	if err := m.Validate(); err != nil {
		t.Errorf("not valid: %v", err)
	}
	equal(t, "findings", findings(m), []string{"boot-loader", "disk:vdc", "md:md1"})
	if len(m.Arrays) != 1 || m.Arrays[0].Missing() != 1 || m.Arrays[0].Bitmap != "internal" || m.Arrays[0].Offset != 1<<20 {
		t.Errorf("%+v", m.Arrays)
	}
}

// Arrays on arrays, whichever has the lower number.
func TestArrayOnArrays(t *testing.T) {
	v := newView(t)
	v.disks("linux_raid_member", "vdb", "vdc", "vdd", "vde")
	v.array("md1", "raid1-10-esp")
	v.array("md2", "raid1-090")
	for k, f := range map[string]string{"b": "d", "c": "e"} { // of md2
		for _, x := range []string{"offset", "slot", "state"} {
			b, err := os.ReadFile(v.root + "/sys/block/md2/md/dev-vd" + k + "/" + x)
			if err != nil {
				t.Fatal(err)
			}
			v.file("/sys/block/md2/md/dev-vd"+f+"/"+x, string(b))
		}
		if err := os.RemoveAll(v.root + "/sys/block/md2/md/dev-vd" + k); err != nil {
			t.Fatal(err)
		}
	}
	v.array("md0", "raid0")
	for k, f := range map[string]string{"b": "1", "c": "2"} {
		if err := os.Rename(v.root+"/sys/block/md0/md/dev-vd"+k, v.root+"/sys/block/md0/md/dev-md"+f); err != nil {
			t.Fatal(err)
		}
	}
	v.answer("blkid -p -o export /dev/md1", "TYPE=linux_raid_member\n")
	v.answer("blkid -p -o export /dev/md2", "TYPE=linux_raid_member\n")
	v.answer("blkid -p -o export /dev/md0", "TYPE=ext4\n")
	v.file("/proc/self/mountinfo", "1 0 9:0 / / rw - ext4 /dev/md0 rw\n")
	m := v.inspect()
	equal(t, "findings", findings(m), []string{"boot-loader"})
	equal(t, "members", m.Array("md0").Members, []machine.ArrayMember{{On: "md:md1", Slot: 0}, {On: "md:md2", Slot: 1}})
	if _, err := m.Layers(); err != nil {
		t.Error(err)
	}
}

// A replacement that is being written shares its slot with the member that it
// replaces.
func TestReplacementIsASpare(t *testing.T) {
	v := newView(t)
	v.disks("linux_raid_member", "vdb", "vdc", "vdd")
	v.array("md1", "raid1-10-esp")
	v.file("/sys/block/md1/md/dev-vdd/slot", "1")
	v.file("/sys/block/md1/md/dev-vdd/state", "spare,replacement")
	v.answer("blkid -p -o export /dev/md1", "TYPE=ext4\n")
	v.file("/proc/self/mountinfo", "1 0 9:1 / / rw - ext4 /dev/md1 rw\n")
	m := v.inspect()
	if err := m.Validate(); err != nil {
		t.Error(err)
	}
	equal(t, "members", m.Array("md1").Members, []machine.ArrayMember{{On: "disk:vdb", Slot: 0}, {On: "disk:vdc", Slot: 1}, {On: "disk:vdd", Slot: -1}})
}

// What cannot be made again is named once, with what can be done.
func TestArraysThatCannotBeRecorded(t *testing.T) {
	tests := map[string]struct {
		capture, says string
		spoil         func(v *view)
	}{
		"firmware RAID": {"ddf-md126", "firmware", nil},
		"journal":       {"raid5-journal", "journal", nil},
		"reshaping":     {"raid5", "reshaped", func(v *view) { v.file("/sys/block/md5/md/reshape_position", "2048") }},
		"inactive":      {"raid5", "does not run", func(v *view) { v.file("/sys/block/md5/md/array_state", "inactive") }},
		"other level":   {"raid5", "level multipath", func(v *view) { v.file("/sys/block/md5/md/level", "multipath") }},
		"on nothing":    {"raid5", "/dev/vdx", func(v *view) { v.file("/sys/block/md5/md/dev-vdx/slot", "2") }},
		"no mdadm": {"raid5", "superblock", func(v *view) {
			v.run.Answers["mdadm --detail --export /dev/md5"] = system.Answer{ExitCode: 1}
		}},
		"too many failed": {"raid5", "lacks 2 of 3", func(v *view) {
			v.file("/sys/block/md5/md/dev-vdb/state", "faulty")
			v.file("/sys/block/md5/md/dev-vdc/state", "faulty")
		}},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			v := newView(t)
			v.disks("linux_raid_member", "vdb", "vdc", "vdd", "vde")
			v.array("md5", tt.capture)
			if tt.spoil != nil {
				tt.spoil(v)
			}
			if !strings.Contains(tt.capture, "journal") {
				if err := os.RemoveAll(v.root + "/sys/block/vde"); err != nil {
					t.Fatal(err)
				}
			}
			if strings.Contains(tt.capture, "ddf") {
				if err := os.RemoveAll(v.root + "/sys/block/vdd"); err != nil {
					t.Fatal(err)
				}
			}
			m := v.inspect()
			equal(t, "findings", findings(m), []string{"boot-loader", "md:md5!"})
			for _, f := range m.Findings {
				if f.Blocking && (!strings.Contains(f.What, tt.says) || f.Todo == "") {
					t.Errorf("%s: %s", f.What, f.Todo)
				}
			}
		})
	}
}
