package inspect

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/mkcdrec/mkcdrec/internal/machine"
	"github.com/mkcdrec/mkcdrec/internal/testtree"
)

const pairUUID = "5b1e6c1e-2491-46fb-98bb-1231a190bbbb"

// btrfsPair are two disks with the superblocks of a real btrfs over both (-m
// raid1 -d raid0), and what the kernel shows of it.
func btrfsPair(t *testing.T) *view {
	v := newView(t)
	for i, d := range []string{"vdb", "vdc"} {
		v.block(d, "254:"+string(rune('1'+i)), "1228800")
		v.answer("blkid -p -o export /dev/"+d, "TYPE=btrfs\nUUID="+pairUUID+"\n")
		b, err := os.ReadFile("testdata/btrfs-pair-" + string(rune('1'+i)) + ".superblock")
		if err != nil {
			t.Fatal(err)
		}
		v.file("/dev/"+d, string(make([]byte, 0x10000))+string(b))
	}
	v.capture("btrfs subvolume list -q*", "../tool/btrfs/testdata/list.txt")
	v.capture("btrfs subvolume list -r*", "../tool/btrfs/testdata/readonly.txt")
	v.capture("btrfs subvolume get-default*", "../tool/btrfs/testdata/default.txt")
	return v
}

// running mounts it, with these devices in use.
func (v *view) running(devices ...string) {
	const sys = "/sys/fs/btrfs/" + pairUUID
	for _, d := range devices {
		v.file(sys+"/devices/"+d+"/x", "")
	}
	v.file(sys+"/allocation/data/total_bytes", "67108864")
	v.file(sys+"/allocation/data/raid0/total_bytes", "67108864")
	v.file(sys+"/allocation/metadata/raid1/total_bytes", "62914560")
	v.file(sys+"/allocation/system/raid1/total_bytes", "8388608")
	v.file("/proc/self/mountinfo", "42 1 0:38 / / rw,relatime - btrfs /dev/"+devices[len(devices)-1]+" rw,subvolid=5,subvol=/\n")
}

func TestBtrfsOverTwoDevices(t *testing.T) {
	v := btrfsPair(t)
	v.running("vdb", "vdc")
	m := v.inspect()
	if err := m.Validate(); err != nil {
		t.Errorf("not valid: %v", err)
	}
	equal(t, "findings", findings(m), []string{"boot-loader"})
	if len(m.FileSystems) != 1 {
		t.Fatalf("file systems %+v", m.FileSystems)
	}
	fs := m.FileSystems[0]
	equal(t, "devices", fs.Devices, []machine.FSDevice{{On: "disk:vdb", ID: 1, Size: 600 << 20}, {On: "disk:vdc", ID: 2, Size: 600 << 20}})
	equal(t, "options", fs.Options, map[string]string{"csum": "crc32c", "node_size": "16384", "data": "raid0", "metadata": "raid1", "system": "raid1"})
	equal(t, "size and label", []any{fs.Size, fs.Label, fs.Missing}, []any{machine.Bytes(1200 << 20), "pair", 0})
	equal(t, "mounts", []machine.Ref{m.Mounts[0].On}, []machine.Ref{"disk:vdb"}) // the second one was named as its source
}

// One that is missing is counted and said; it does not stop the backup, nor
// does the device that came back without being used.
func TestDegradedBtrfs(t *testing.T) {
	v := btrfsPair(t)
	v.running("vdc")
	m := v.inspect()
	if err := m.Validate(); err != nil {
		t.Errorf("not valid: %v", err)
	}
	equal(t, "findings", findings(m), []string{"boot-loader", "btrfs:vdc", "disk:vdb"})
	fs := m.FileSystems[0]
	equal(t, "devices", fs.Devices, []machine.FSDevice{{On: "disk:vdc", ID: 2, Size: 600 << 20}})
	equal(t, "missing", fs.Missing, 1)
}

// Not mounted, it is one finding, and still one file system.
func TestBtrfsOverTwoDevicesNotMounted(t *testing.T) {
	v := btrfsPair(t)
	m := v.inspect()
	equal(t, "findings", findings(m), []string{"boot-loader", "disk:vdb!"})
	if len(m.FileSystems) != 1 || len(m.FileSystems[0].Devices) != 2 || m.FileSystems[0].Options["metadata"] != "raid1" {
		t.Errorf("file systems %+v", m.FileSystems)
	}
}

func TestBtrfsConversionAndQuota(t *testing.T) {
	v := btrfsPair(t)
	v.running("vdb", "vdc")
	v.file("/sys/fs/btrfs/"+pairUUID+"/allocation/data/single/total_bytes", "900000000")
	v.file("/sys/fs/btrfs/"+pairUUID+"/qgroups/enabled", "1")
	m := v.inspect()
	equal(t, "findings", findings(m), []string{"boot-loader", "profile:vdb/data", "quota:vdb"})
	equal(t, "profile", m.FileSystems[0].Options["data"], "single")
}

// A device that the model cannot name, or that cannot be read, stops the backup.
func TestBtrfsOnADeviceThatCannotBeRecorded(t *testing.T) {
	v := btrfsPair(t)
	v.running("vdb", "vdc")
	v.file("/dev/vdb", "")
	m := v.inspect()
	equal(t, "findings", findings(m), []string{"boot-loader", "disk:vdc!"})
}

// An ext4 whose journal lies on another device is made again with one within;
// an xfs would need its mount options adapted, and stops the backup.
func TestJournalsOnOtherDevices(t *testing.T) {
	testtree.Need(t, "mke2fs", "mkfs.xfs")
	dir := t.TempDir()
	testtree.Shell(t, `cd "$1"; truncate -s 64M journal ext4; truncate -s 512M log xfs
		mke2fs -q -b 4096 -O journal_dev -U 6fc2a0c6-1c1f-4a7e-9d7e-0123456789ab journal
		mkfs.xfs -q -l logdev=log,size=64m xfs`, dir)
	v := newView(t)
	for i, d := range []struct{ name, kind, image string }{{"vdb", "ext4", "ext4"}, {"vdc", "jbd", "journal"}, {"vdd", "xfs", "xfs"}, {"vde", "xfs_external_log", "log"}} {
		v.block(d.name, "254:"+string(rune('1'+i)), "1048576")
		v.answer("blkid -p -o export /dev/"+d.name, "TYPE="+d.kind+"\nUUID=u"+d.name+"\n")
		if d.image == "xfs" {
			testtree.Shell(t, `mkdir -p "$2/dev"; head -c 4096 "$1" > "$2/dev/vdd"`, filepath.Join(dir, d.image), v.root)
		}
	}
	// mke2fs takes block devices alone for journals: the field is set by hand.
	testtree.Shell(t, `cd "$1"; mke2fs -q -F -O has_journal ext4; head -c 4096 ext4 > "$2/dev/vdb"
		printf '\040\000\000\000' | dd of="$2/dev/vdb" bs=1 seek=$((1024 + 0xe4)) conv=notrunc status=none`, dir, v.root)
	v.file("/proc/self/mountinfo", "1 0 254:1 / / rw - ext4 /dev/vdb rw\n2 1 254:3 / /srv rw - xfs /dev/vdd rw\n")
	m := v.inspect()
	equal(t, "findings", findings(m), []string{"boot-loader", "disk:vdc", "disk:vdd!", "journal:vdb", "journal:vde!"})
}

func TestQuotaLimitsAreNamed(t *testing.T) {
	v := newView(t)
	v.block("vdb", "254:1", "1048576")
	v.answer("blkid -p -o export /dev/vdb", "TYPE=xfs\nUUID=u\n")
	for options, want := range map[string][]string{"rw": {"boot-loader"}, "rw,noquota": {"boot-loader"}, "rw,prjquota": {"boot-loader", "quota:vdb"}} {
		v.file("/proc/self/mountinfo", "1 0 254:1 / / rw - xfs /dev/vdb "+options+"\n")
		equal(t, options, findings(v.inspect()), want)
	}
}
