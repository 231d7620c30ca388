package inspect

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/mkcdrec/mkcdrec/internal/machine"
)

// link makes a symbolic link in the view.
func (v *view) link(path, to string) {
	v.t.Helper()
	p := filepath.Join(v.root, path)
	if err := os.MkdirAll(filepath.Dir(p), 0o777); err != nil {
		v.t.Fatal(err)
	}
	if err := os.Symlink(to, p); err != nil {
		v.t.Fatal(err)
	}
}

// rooted is a view with / on the ext4 that fills vda.
func rooted(t *testing.T, mounts ...string) *view {
	v := newView(t)
	v.block("vda", "254:0", "2097152")
	v.answer("blkid -p -o export /dev/vda", "TYPE=ext4\nUUID=a\n")
	lines := "1 0 254:0 / / rw - ext4 /dev/vda rw\n"
	for i, m := range mounts {
		lines += fmt.Sprintf("%d 1 %s\n", i+2, m)
	}
	v.file("/proc/self/mountinfo", lines)
	return v
}

// gpt gives sdz a table of partitions of these types.
func (v *view) gpt(types ...string) {
	v.block("sdz", "8:240", "2097152")
	v.answer("blkid -p -o export /dev/sdz", "PTTYPE=gpt\n")
	var parts []string
	for i, typ := range types {
		v.file(fmt.Sprintf("/sys/block/sdz/sdz%d/partition", i+1), fmt.Sprint(i+1))
		v.block(fmt.Sprintf("sdz/sdz%d", i+1), fmt.Sprintf("8:24%d", i+1), "2048")
		parts = append(parts, fmt.Sprintf(`{"node":"/dev/sdz%d","start":%d,"size":2048,"type":%q,"uuid":"00000000-0000-4000-8000-00000000000%d"}`, i+1, 2048*(i+1), typ, i+1))
	}
	v.answer("sfdisk --json /dev/sdz", `{"partitiontable":{"label":"gpt","id":"0","device":"/dev/sdz","unit":"sectors","firstlba":34,"lastlba":2097118,"partitions":[`+strings.Join(parts, ",")+`]}}`)
}

// What cannot be recorded is named by the name that its own programs give it,
// once for all its devices, and the text says what can be done.
func TestStacksByName(t *testing.T) {
	const pool, linux = "0123456789abcdef0123456789abcdef", "0FC63DAF-8483-4772-8E79-3D69D8477DE4"
	member := func(v *view, d, kind, holder string) {
		v.block(d, "8:"+d, "2097152")
		v.answer("blkid -p -o export /dev/"+d, "TYPE="+kind+"\n")
		if holder != "" {
			v.file("/sys/block/"+d+"/holders/"+holder, "")
		}
	}
	tests := map[string]struct {
		make func(t *testing.T) *view
		want []string // beside the boot loader
		todo string   // part of what can be done about the first one
	}{
		"zfs: pool, volume, its partition": {func(t *testing.T) *view {
			v := rooted(t, "0:50 / /tank rw - zfs tank/data rw", "230:1 / /vm rw - ext4 /dev/zd0p1 rw")
			member(v, "sda", "zfs_member\nLABEL=tank", "")
			member(v, "sdb", "zfs_member\nLABEL=tank", "")
			v.block("zd0", "230:0", "2048", "zd0p1/partition", "1", "zd0p1/dev", "230:1", "zd0p1/size", "1024")
			v.link("/dev/zvol/tank/vm", "../../zd0")
			return v
		}, []string{"mount:/vm!", "zfs:tank!"}, "lies on"},
		"bcache": {func(t *testing.T) *view {
			v := rooted(t, "252:0 / /c rw - ext4 /dev/bcache0 rw")
			member(v, "sda", "bcache", "bcache0")
			member(v, "sdb", "bcache", "bcache0")
			v.block("bcache0", "252:0", "2048")
			return v
		}, []string{"bcache:bcache0!", "mount:/c!"}, "bcache make"},
		"bcachefs over two": {func(t *testing.T) *view {
			v := rooted(t, "0:50 / /b rw - bcachefs /dev/sda:/dev/sdb rw")
			member(v, "sda", "bcachefs\nUUID=u-1", "")
			member(v, "sdb", "bcachefs\nUUID=u-1", "")
			return v
		}, []string{"bcachefs:u-1!", "disk:sda!"}, "bcachefs format"},
		"vdo of old": {func(t *testing.T) *view {
			v := rooted(t)
			member(v, "sda", "vdo", "dm-0")
			v.block("dm-0", "253:0", "2048", "dm/name", "vdo0", "dm/uuid", "VDO-1-2", "slaves/sda/x", "")
			return v
		}, []string{"vdo:vdo0!"}, "--type vdo"},
		"vdo by table": {func(t *testing.T) *view {
			v := rooted(t)
			member(v, "sda", "vdo", "dm-0")
			v.block("dm-0", "253:0", "2048", "dm/name", "store", "slaves/sda/x", "")
			v.answer("dmsetup table store", "0 2048 vdo V4 /dev/sda 1 4096 32768 16380\n")
			return v
		}, []string{"vdo:store!"}, "--type vdo"},
		"stratis": {func(t *testing.T) *view {
			v := rooted(t, "253:1 / /s rw - xfs /dev/dm-1 rw")
			member(v, "sda", "stratis", "dm-0")
			v.block("dm-0", "253:0", "2048", "dm/name", "stratis-1-private-"+pool+"-physical-originsub", "dm/uuid", "stratis-1-private-x")
			v.block("dm-1", "253:1", "2048", "dm/name", "stratis-1-"+pool+"-thin-fs-ff", "dm/uuid", "stratis-1-x")
			v.link("/dev/stratis/depot/home", "../../dm-1")
			return v
		}, []string{"mount:/s!", "stratis:depot!"}, "lies on"},
		"drbd": {func(t *testing.T) *view {
			v := rooted(t)
			member(v, "sda", "drbd", "drbd0")
			v.block("drbd0", "147:0", "2048")
			return v
		}, []string{"drbd:drbd0!"}, "drbdadm"},
		"integrity": {func(t *testing.T) *view {
			v := rooted(t)
			member(v, "sda", "DM_integrity", "dm-0")
			v.block("dm-0", "253:0", "2048", "dm/name", "safe", "dm/uuid", "CRYPT-INTEGRITY-safe")
			return v
		}, []string{"integrity:safe!"}, "by hand"},
		"cache by hand": {func(t *testing.T) *view {
			v := rooted(t)
			v.block("dm-0", "253:0", "2048", "dm/name", "fast")
			v.answer("dmsetup table fast", "0 2048 cache 8:0 8:1 8:2 128 1 writeback smq 0\n")
			return v
		}, []string{"dm-cache:fast!"}, "write the cache back"},
		"a table by hand": {func(t *testing.T) *view {
			v := rooted(t, "253:0 / /d rw - ext4 /dev/mapper/join rw")
			v.block("dm-0", "253:0", "2048", "dm/name", "join")
			v.answer("dmsetup table join", "0 1024 linear 8:0 0\n1024 1024 linear 8:16 0\n")
			return v
		}, []string{"dm:join!", "mount:/d!"}, "by hand"},
		"dmraid with partitions": {func(t *testing.T) *view {
			v := rooted(t)
			member(v, "sda", "isw_raid_member", "dm-0")
			v.block("dm-0", "253:0", "2048", "dm/name", "isw_x_Volume0", "dm/uuid", "DMRAID-isw_x_Volume0")
			v.block("dm-1", "253:1", "1024", "dm/name", "isw_x_Volume0p1", "dm/uuid", "part1-DMRAID-isw_x_Volume0", "slaves/dm-0/x", "")
			return v
		}, []string{"dmraid:isw_x_Volume0!", "md:isw_x_Volume0!"}, "firmware's setup"},
		"iSCSI, NVMe over TCP, AoE": {func(t *testing.T) *view {
			v := rooted(t)
			v.block("sda", "8:0", "2048")
			v.block("nvme0n1", "259:0", "2048", "device/transport", "tcp")
			v.block("nvme1n1", "259:1", "2048", "device/nvme1/transport", "rdma")
			v.block("nvme2n1", "259:2", "2048", "device/transport", "pcie")
			v.block("etherd!e0.0", "152:0", "2048")
			v.answer("lsblk*", `{"blockdevices":[{"kname":"sda","tran":"iscsi"}]}`)
			return v
		}, []string{"aoe:etherd!e0.0!", "iscsi:sda!", "nvme-of:nvme0n1!", "nvme-of:nvme1n1!"}, "where it lies"},
		"nbd and Ceph, with partitions": {func(t *testing.T) *view {
			v := rooted(t, "43:1 / /n rw - ext4 /dev/nbd0p1 rw")
			v.block("nbd0", "43:0", "2048", "nbd0p1/partition", "1", "nbd0p1/dev", "43:1", "nbd0p1/size", "1024")
			v.block("nbd1", "43:32", "0")
			v.block("rbd0", "250:0", "2048")
			return v
		}, []string{"mount:/n!", "nbd:nbd0!", "rbd:rbd0!"}, "lies on"},
		"other systems' partitions": {func(t *testing.T) *view {
			v := rooted(t)
			v.gpt("AF9B60A0-1431-4F62-BC68-3311714A69AD", "5808C8AA-7E8F-42E0-85D2-E1E90434CFB3", linux, linux, linux, linux)
			v.answer("blkid -p -o export /dev/sdz3", "TYPE=apfs\n")
			v.answer("blkid -p -o export /dev/sdz4", "TYPE=hfsplus\n")
			v.answer("blkid -p -o export /dev/sdz5", "TYPE=BitLocker\n")
			v.answer("blkid -p -o export /dev/sdz6", "TYPE=VMFS_volume_member\n")
			return v
		}, []string{"apfs:sdz3!", "bitlocker:sdz5!", "hfs:sdz4!", "ldm:sdz!", "vmfs:sdz6!"}, "macOS"},
		"file systems that cannot be made": {func(t *testing.T) *view {
			v := rooted(t, "8:241 / /1 rw - jfs /dev/sdz1 rw", "8:242 / /2 rw - nilfs2 /dev/sdz2 rw", "8:244 / /4 rw - gfs2 /dev/sdz4 rw")
			v.gpt(linux, linux, linux, linux, linux)
			for i, k := range []string{"jfs", "nilfs2", "reiserfs", "gfs2", "newfs"} {
				v.answer(fmt.Sprintf("blkid -p -o export /dev/sdz%d", i+1), "TYPE="+k+"\n")
			}
			return v
		}, []string{"part:sdz/1!", "part:sdz/2!", "part:sdz/3!", "part:sdz/4!", "part:sdz/5!"}, "copy its files to ext4"},
		"flash": {func(t *testing.T) *view {
			v := rooted(t, "0:60 / /u rw - ubifs ubi0:data rw")
			v.block("mtdblock0", "31:0", "2048")
			return v
		}, []string{"mtd:mtdblock0!", "mtd:ubi0:data!"}, "nanddump"},
		"mounts of what is not there": {func(t *testing.T) *view {
			return rooted(t, "99:9 / /x rw - ext4 /dev/gone rw", "0:5 / /dev rw - devtmpfs udev rw", "0:61 / /f rw - fuse.thing /dev/fuse rw", "259:1 / /i rw - ext4 /dev/loop0p1 rw")
		}, []string{"mount:/i", "mount:/x!"}, "take it out"},
		"on a stick": {func(t *testing.T) *view {
			v := rooted(t)
			member(v, "sda", "zfs_member\nLABEL=stick", "")
			v.file("/sys/block/sda/removable", "1")
			return v
		}, []string{"zfs:stick"}, "zpool import"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			v := tt.make(t)
			m := v.inspect()
			equal(t, "findings", findings(m), sorted(append(tt.want, "boot-loader")))
			if err := m.Validate(); err != nil {
				t.Error(err)
			}
			all := ""
			for _, f := range m.Findings {
				all += f.What + " " + f.Todo + "\n"
				if f.Blocking && (f.Todo == "" || !strings.Contains(f.Todo, "by this name")) {
					t.Errorf("%s: nothing says what can be done: %q", f.Name, f.Todo)
				}
			}
			if !strings.Contains(all, tt.todo) {
				t.Errorf("no finding says %q:\n%s", tt.todo, all)
			}
		})
	}
}

func sorted(s []string) []string { slices.Sort(s); return s }

// every are the block devices that lsblk would show of a view: all of sysfs,
// partitions included, but those without a size.
func (v *view) every() (names []string) {
	for _, pattern := range []string{"sys/block/*/dev", "sys/block/*/*/dev"} {
		found, _ := filepath.Glob(filepath.Join(v.root, pattern))
		for _, f := range found {
			if size, _ := os.ReadFile(filepath.Join(filepath.Dir(f), "size")); string(size) != "0" {
				names = append(names, filepath.Base(filepath.Dir(f)))
			}
		}
	}
	return names
}

// Every block device is in the model, in a finding, or of a kind that is in
// the list of those outside; what nothing explains has a finding of its own.
func TestEveryDeviceIsAccountedFor(t *testing.T) {
	v := rooted(t)
	ignored := []string{"loop7", "zram0", "ram3", "sr0", "fd0"}
	for i, n := range ignored {
		v.block(n, fmt.Sprintf("7:%d", i), "2048")
	}
	v.gpt("0FC63DAF-8483-4772-8E79-3D69D8477DE4", "21686148-6449-6E6F-744E-656564454649", "0FC63DAF-8483-4772-8E79-3D69D8477DE4")
	v.answer("blkid -p -o export /dev/sdz1", "TYPE=ntfs\n")
	v.answer("blkid -p -o export /dev/sdz3", "TYPE=newfs\n")
	v.block("newkind0", "240:0", "2048") // a driver that is not known: a disk
	v.block("sda", "8:0", "0")           // an empty card reader
	v.block("nvme9n1", "259:9", "2048", "hidden", "1")
	v.block("dm-0", "253:0", "2048", "dm/name", "odd", "dm/uuid", "ODD-1")
	v.block("dm-1", "253:1", "2048", "dm/name", "odd1", "dm/uuid", "part1-ODD-1", "slaves/dm-0/x", "")
	v.block("dm-2", "253:2", "2048", "dm/name", "vg-lone", "dm/uuid", "LVM-lone")                         // LVM does not tell of it
	v.block("dm-3", "253:3", "2048", "dm/name", "lost1", "dm/uuid", "part1-x")                            // of nothing
	v.block("dm-4", "253:4", "2048", "dm/name", "deep", "dm/uuid", "CRYPT-SUBDEV-x", "slaves/dm-3/x", "") // of that
	v.answer("lvm vgs*", `{"report":[{"vg":[]}]}`)
	v.answer("lvm pvs*", `{"report":[{"pv":[]}]}`)
	v.answer("lvm lvs*", `{"report":[{"lv":[]}]}`)
	m := v.inspect()
	named := findings(m)
	for _, n := range v.every() {
		recorded := m.Disk(n) != nil
		for _, d := range m.Disks {
			for _, p := range partitions(d) {
				recorded = recorded || p.Path == "/dev/"+n
			}
		}
		inFinding := slices.ContainsFunc(m.Findings, func(f machine.Finding) bool { return strings.Contains(f.What+" ", "/dev/"+n+" ") })
		switch {
		case recorded, inFinding, slices.Contains(ignored, n), n == "nvme9n1":
		case n == "dm-0" && slices.Contains(named, "dm:odd!"), n == "dm-1" && slices.Contains(named, "dm:odd!"):
		case n == "dm-4" && slices.Contains(named, "device:dm-3!"): // it stands on that alone
		default:
			t.Errorf("%s is in nothing: findings %q", n, named)
		}
	}
	equal(t, "findings", named, []string{"boot-loader", "device:dm-2!", "device:dm-3!", "dm:odd!", "part:sdz/1!", "part:sdz/3!"})
	if m.Disk("newkind0") == nil {
		t.Error("a disk of a driver that is not known is left out")
	}
}

func partitions(d machine.Disk) []machine.Partition {
	if d.Table == nil {
		return nil
	}
	return d.Table.Partitions
}

// What has no signature and is not empty is not called empty; zeros are, and
// what cannot be read.
func TestDataThatIsNotKnown(t *testing.T) {
	v := rooted(t)
	const linux = "0FC63DAF-8483-4772-8E79-3D69D8477DE4"
	v.gpt(linux, linux, linux, "21686148-6449-6E6F-744E-656564454649")
	v.file("/dev/sdz1", strings.Repeat("\x00", 5000)+"ORCLDISK")
	v.file("/dev/sdz2", strings.Repeat("\x00", 5000))
	v.file("/dev/sdz4", "GRUB's own")
	v.block("sda", "8:0", "2048")
	v.file("/dev/sda", "x")
	v.block("sdb", "8:16", "2048", "removable", "1")
	v.file("/dev/sdb", "x")
	v.block("sdc", "8:32", "2048")
	v.file("/dev/sdc", "\x00\x00")
	m := v.inspect()
	equal(t, "findings", findings(m), []string{"boot-loader", "disk:sda!", "disk:sdb", "part:sdz/1!", "part:sdz/2", "part:sdz/3"})
	equal(t, "held", m.Disk("sdz").Table.Partitions[0].Holds, "data of a kind that is not known")
}

// A partition whose content has no place in the model keeps what it is called.
func TestHeld(t *testing.T) {
	v := rooted(t)
	const linux = "0FC63DAF-8483-4772-8E79-3D69D8477DE4"
	v.gpt(linux, linux, linux, "AF9B60A0-1431-4F62-BC68-3311714A69AD")
	v.answer("blkid -p -o export /dev/sdz1", "TYPE=ntfs\n")
	v.answer("blkid -p -o export /dev/sdz2", "TYPE=ext4\n")
	v.answer("blkid -p -o export /dev/sdz3", "TYPE=swap\n")
	var held []string
	m := v.inspect()
	for _, p := range m.Disk("sdz").Table.Partitions {
		held = append(held, p.Holds)
	}
	equal(t, "held", held, []string{"ntfs", "", "", "ldm"})
}
