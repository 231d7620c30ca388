package inspect

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/mkcdrec/mkcdrec/internal/machine"
)

const wwid = "3600140500000000000000000000000a1"

// twoPaths is a machine with two paths to one disk, and the map over them with
// two partitions: / on the first, LVM on the second.
func twoPaths(t *testing.T) *view {
	v := newView(t)
	for i, d := range []string{"sda", "sdb"} {
		// The kernel has scanned the paths for partitions, too.
		v.block(d, fmt.Sprintf("8:%d", 16*i), "2097152", d+"1/partition", "1", d+"1/dev", fmt.Sprintf("8:%d", 16*i+1), d+"1/size", "1024000", "holders/dm-0/x", "")
	}
	v.answer("lsblk*", `{"blockdevices":[{"kname":"sda","serial":"LUN1","wwn":"0x60014050","model":"VIRTUAL-DISK","tran":"fc"},{"kname":"sdb","serial":"LUN1","wwn":"0x60014050","tran":"fc"}]}`)
	v.block("dm-0", "253:0", "2097152", "dm/name", "mpatha", "dm/uuid", "mpath-"+wwid, "slaves/sda/x", "", "slaves/sdb/x", "", "queue/logical_block_size", "512")
	v.block("dm-1", "253:1", "1024000", "dm/name", "mpatha-part1", "dm/uuid", "part1-mpath-"+wwid, "slaves/dm-0/x", "")
	v.block("dm-2", "253:2", "1024000", "dm/name", "mpatha-part2", "dm/uuid", "part2-mpath-"+wwid, "slaves/dm-0/x", "")
	v.answer("blkid -p -o export /dev/mapper/mpatha", "PTTYPE=gpt\n")
	v.answer("blkid -p -o export /dev/mapper/mpatha-part1", "TYPE=ext4\nUUID=r\n")
	v.answer("blkid -p -o export /dev/mapper/mpatha-part2", "TYPE=swap\nUUID=s\n")
	v.answer("sfdisk --json /dev/mapper/mpatha", `{"partitiontable":{"label":"gpt","id":"0","device":"/dev/mapper/mpatha","unit":"sectors","firstlba":34,"lastlba":2097118,"partitions":[
		{"node":"/dev/mapper/mpatha1","start":2048,"size":1024000,"type":"0FC63DAF-8483-4772-8E79-3D69D8477DE4","uuid":"00000000-0000-4000-8000-000000000001"},
		{"node":"/dev/mapper/mpatha2","start":1026048,"size":1024000,"type":"0657FD6D-A4AB-43C4-84E5-0933C84B4F4F","uuid":"00000000-0000-4000-8000-000000000002"}]}}`)
	v.file("/proc/self/mountinfo", "1 0 253:1 / / rw - ext4 /dev/mapper/mpatha-part1 rw\n")
	return v
}

func TestMultipathIsOneDisk(t *testing.T) {
	m := twoPaths(t).inspect()
	if err := m.Validate(); err != nil {
		t.Error(err)
	}
	equal(t, "findings", findings(m), []string{"boot-loader"})
	if len(m.Disks) != 1 {
		t.Fatalf("disks: %+v", m.Disks)
	}
	d := m.Disks[0]
	equal(t, "disk", []any{d.Name, d.Path, d.WWN, d.Serial, d.Model, d.Transport, d.Paths, d.Size},
		[]any{"mpatha", "/dev/mapper/mpatha", wwid, "LUN1", "VIRTUAL-DISK", "multipath", []string{"sda", "sdb"}, machine.Bytes(1 << 30)})
	equal(t, "partitions", []string{d.Table.Partitions[0].Path, d.Table.Partitions[1].Path}, []string{"/dev/mapper/mpatha-part1", "/dev/mapper/mpatha-part2"})
	equal(t, "root", m.MountAt("/").On, machine.PartRef("mpatha", 1))
	equal(t, "swap", m.SwapOn(machine.PartRef("mpatha", 2)) != nil, true)
}

func TestMultipathWithoutPathsOrOverANetwork(t *testing.T) {
	v := twoPaths(t)
	v.answer("lsblk*", `{"blockdevices":[{"kname":"sda","tran":"iscsi"},{"kname":"sdb","tran":"iscsi"}]}`)
	equal(t, "over iSCSI", findings(v.inspect()), []string{"boot-loader", "iscsi:mpatha!"})
	if err := os.RemoveAll(filepath.Join(v.root, "sys/block/dm-0/slaves")); err != nil {
		t.Fatal(err)
	}
	if got := findings(v.inspect()); !slices.Contains(got, "multipath:mpatha!") || !slices.Contains(got, "mount:/!") {
		t.Errorf("without paths: %v", got)
	}
}

// The disk that holds the medium or the backup is protected by the name of its
// map, and so are its paths.
func TestWholeDisksOfMultipath(t *testing.T) {
	sys := t.TempDir()
	mk := func(dir string, files map[string]string) {
		p := filepath.Join(sys, "devices", dir)
		for f, text := range files {
			if err := os.MkdirAll(filepath.Dir(filepath.Join(p, f)), 0o755); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(filepath.Join(p, f), []byte(text+"\n"), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		_ = os.MkdirAll(p, 0o755)
		_ = os.MkdirAll(filepath.Join(sys, "class/block"), 0o755)
		_ = os.Symlink(p, filepath.Join(sys, "class/block", filepath.Base(dir)))
	}
	mk("sda", nil)
	mk("sdb", nil)
	mk("dm-0", map[string]string{"dm/uuid": "mpath-" + wwid, "dm/name": "mpatha", "slaves/sda": "", "slaves/sdb": ""})
	mk("dm-1", map[string]string{"dm/uuid": "part1-mpath-" + wwid, "dm/name": "mpatha-part1", "slaves/dm-0": ""})
	for _, name := range []string{"dm-0", "dm-1"} {
		got, err := WholeDisks(sys, name)
		if err != nil || !slices.Equal(got, []string{"mpatha", "sda", "sdb"}) {
			t.Errorf("%s: %v, %v", name, got, err)
		}
	}
}
