package inspect

import (
	"context"
	"os"
	"path/filepath"
	"reflect"
	"sort"
	"strings"
	"testing"
	"time"

	"github.com/mkcdrec/mkcdrec/internal/machine"
	"github.com/mkcdrec/mkcdrec/internal/system"
)

// view is a root with the files of /proc, /sys, /etc that a test needs.
type view struct {
	t    *testing.T
	root string
	run  *system.Recorder
}

func newView(t *testing.T) *view {
	v := &view{t: t, root: t.TempDir(), run: &system.Recorder{Strict: true, Answers: map[string]system.Answer{
		"lsblk*": {Stdout: `{"blockdevices":[]}`}, "wipefs*": {}, "blkid*": {ExitCode: 2},
	}}}
	v.file("/proc/sys/kernel/hostname", "box")
	v.file("/proc/self/mountinfo", "")
	v.file("/sys/block/loop0/size", "0")
	return v
}

func (v *view) file(path, content string) {
	v.t.Helper()
	p := filepath.Join(v.root, path)
	if err := os.MkdirAll(filepath.Dir(p), 0o777); err != nil {
		v.t.Fatal(err)
	}
	if err := os.WriteFile(p, []byte(content), 0o666); err != nil {
		v.t.Fatal(err)
	}
}

// block makes a device of sysfs; size is in sectors of 512 bytes.
func (v *view) block(dir, majmin, size string, more ...string) {
	v.file("/sys/block/"+dir+"/dev", majmin)
	v.file("/sys/block/"+dir+"/size", size)
	for i := 0; i < len(more); i += 2 {
		v.file("/sys/block/"+dir+"/"+more[i], more[i+1])
	}
}

func (v *view) answer(command, stdout string) { v.run.Answers[command] = system.Answer{Stdout: stdout} }

func (v *view) capture(command, file string) {
	v.t.Helper()
	b, err := os.ReadFile(file)
	if err != nil {
		v.t.Fatal(err)
	}
	v.answer(command, string(b))
}

func (v *view) inspect() machine.Machine {
	v.t.Helper()
	m, err := Machine(context.Background(), v.run, Options{Root: v.root, Now: func() time.Time { return time.Unix(1, 0) }})
	if err != nil {
		v.t.Fatal(err)
	}
	return m
}

// findings are the names, those that block with an exclamation mark.
func findings(m machine.Machine) []string {
	var out []string
	for _, f := range m.Findings {
		if strings.HasPrefix(f.Name, "superblock:") {
			continue // a view has no devices to read them from
		}
		name := f.Name
		if f.Blocking {
			name += "!"
		}
		out = append(out, name)
	}
	sort.Strings(out)
	return out
}

func equal(t *testing.T, what string, got, want any) {
	t.Helper()
	if !reflect.DeepEqual(got, want) {
		t.Errorf("%s:\n got %+v\nwant %+v", what, got, want)
	}
}

// TestCapturedLVM is a QEMU machine with GPT and MBR disks, a volume group
// over both, btrfs, a bind mount; the tools' words are captures from it.
func TestCapturedLVM(t *testing.T) {
	v := newView(t)
	v.block("vda", "254:0", "2097152", "vda1/partition", "1", "vda2/partition", "2", "vda3/partition", "3")
	v.block("vda/vda1", "254:1", "131072")
	v.block("vda/vda2", "254:2", "262144")
	v.block("vda/vda3", "254:3", "1699840")
	v.block("vdb", "254:16", "3072000")
	for n, size := range map[string]string{"1": "409600", "2": "2", "5": "614400", "6": "131072", "7": "1908736"} {
		v.block("vdb/vdb"+n, "254:1"+n+"0", size, "partition", n)
	}
	v.block("dm-0", "253:0", "1228800", "dm/name", "vg--0-root", "dm/uuid", "LVM-aaa")
	v.block("dm-1", "253:1", "819200", "dm/name", "vg--0-home", "dm/uuid", "LVM-bbb")
	v.block("dm-2", "253:2", "16384", "dm/name", "vg--0-raw", "dm/uuid", "LVM-ccc")
	v.block("dm-3", "253:3", "131072", "dm/name", "vg--0-swap", "dm/uuid", "LVM-ddd")
	for _, d := range []string{"vda", "vdb"} {
		v.answer("blkid -p -o export /dev/"+d, "PTTYPE=gpt\n")
	}
	v.answer("blkid -p -o export /dev/vda1", "TYPE=vfat\n")
	v.answer("blkid -p -o export /dev/vda2", "TYPE=ext4\n")
	v.answer("blkid -p -o export /dev/vdb7", "TYPE=LVM2_member\n")
	v.answer("blkid -p -o export /dev/mapper/vg--0-raw", "PTTYPE=dos\n")
	v.answer("blkid -p -o export /dev/mapper/vg--0-swap", "TYPE=swap\nUUID=u-1\n")
	v.capture("blkid -p -o export /dev/vda3", "../tool/blkid/testdata/lvm.txt")
	v.capture("blkid -p -o export /dev/vdb5", "../tool/blkid/testdata/btrfs.txt")
	v.capture("sfdisk --json /dev/vda", "../tool/sfdisk/testdata/gpt.json")
	v.capture("sfdisk --json /dev/vdb", "../tool/sfdisk/testdata/mbr-logical.json")
	v.capture("lvm vgs*", "../tool/lvm/testdata/vgs.json")
	v.capture("lvm pvs*", "../tool/lvm/testdata/pvs.json")
	v.capture("lvm lvs*", "../tool/lvm/testdata/lvs.json")
	v.capture("btrfs subvolume list -q*", "../tool/btrfs/testdata/list.txt")
	v.capture("btrfs subvolume list -r*", "../tool/btrfs/testdata/readonly.txt")
	v.capture("btrfs subvolume get-default*", "../tool/btrfs/testdata/default.txt")
	mountinfo, err := os.ReadFile("testdata/lvm-mountinfo.txt")
	if err != nil {
		t.Fatal(err)
	}
	// A bind of a directory of a subvolume, ahead of the subvolume's own mount.
	const bind = "24 25 0:22 /@home/b /early rw - btrfs /dev/vdb5 rw,subvolid=257,subvol=/@home\n"
	v.file("/proc/self/mountinfo", bind+string(mountinfo))
	v.file("/proc/swaps", "Filename Type Size Used Priority\n/dev/dm-3 partition 65532 0 -2\n")
	v.file("/etc/fstab", "# c\n/dev/x / ext4 defaults 0 1\n/home/b /mnt none bind 0 0\nLABEL=h /home xfs defaults 0 0\n")
	v.file("/sys/firmware/efi/fw_platform_size", "64")
	v.file("/boot/efi/EFI/debian/shimx64.efi", "")
	v.file("/boot/efi/EFI/Boot/BOOTX64.EFI", "")
	v.file("/etc/os-release", "ID=debian\n")

	m := v.inspect()
	if err := m.Validate(); err != nil {
		t.Errorf("not valid: %v", err)
	}
	var mounts []string
	for _, mt := range m.Mounts {
		mounts = append(mounts, strings.TrimSpace(mt.Target+" "+string(mt.On)+" "+mt.Subvolume))
		equal(t, mt.Target+" in fstab", mt.InFstab, mt.Target == "/" || mt.Target == "/home")
	}
	equal(t, "mounts", mounts, []string{"/ lv:vg-0/root", "/boot part:vda/2", "/boot/efi part:vda/1", "/home lv:vg-0/home", "/srv part:vdb/5 @home"})
	equal(t, "swaps", m.Swaps, []machine.Swap{{On: "lv:vg-0/swap", Size: 64 << 20, UUID: "u-1"}})
	equal(t, "home", *m.VolumeGroup("vg-0").Volume("home"), machine.LogicalVolume{
		Name: "home", UUID: "aNcU7x-Jkcy-Dw4z-CTcT-WFzz-U5tj-5fxkqJ", Size: 400 << 20, Kind: "striped", Stripes: 2, StripeSize: 65536,
		Devices: []machine.Ref{"part:vda/3", "part:vdb/7"},
	})
	equal(t, "boot loader", m.BootLoader, machine.BootLoader{Kind: machine.GRUBEFI, ID: "debian", Fallback: true})
	equal(t, "findings", findings(m), []string{
		"efivars", "lv:vg-0/raw!", "lvm:vg-0/pool!", "lvm:vg-0/snap!", "lvm:vg-0/thin!",
		"part:vdb/1", "part:vdb/6", "snapshots:vdb/5", "subvol:vdb/5/@!",
	})
}

// TestForeignStorage has one of each kind that cannot be recorded; each must
// be named once, whatever number of devices it has.
func TestForeignStorage(t *testing.T) {
	v := newView(t)
	v.block("vda", "254:0", "2097152")
	v.answer("blkid -p -o export /dev/vda", "TYPE=ext4\nUUID=a\n")
	members := map[string]string{
		"sda": "linux_raid_member", "sdb": "linux_raid_member", "sdc": "crypto_LUKS", "sdd": "zfs_member\nLABEL=tank",
		"sde": "bcache", "sdf": "mpath_member", "sdg": "ntfs", "sdh": "ext4", "sdi": "ext4",
	}
	for d, kind := range members {
		v.block(d, "8:"+d, "2097152")
		v.answer("blkid -p -o export /dev/"+d, "TYPE="+kind+"\n")
	}
	v.file("/sys/block/sdi/removable", "1")
	v.block("sdj", "8:144", "2097152") // an empty disk is no finding
	v.block("sdk", "8:160", "0")       // nor is an empty card reader
	v.block("md0", "9:0", "2097152")
	v.block("dm-0", "253:0", "2097152", "dm/name", "secret", "dm/uuid", "CRYPT-LUKS2-1")
	v.block("dm-1", "253:1", "2097152", "dm/name", "mpatha", "dm/uuid", "mpath-1", "slaves/sdf/x", "")
	v.block("bcache0", "252:0", "2097152")
	v.block("zram0", "251:0", "2097152")
	v.block("loop1", "7:1", "2048")
	for member, holder := range map[string]string{"sda": "md0", "sdb": "md0", "sdc": "dm-0", "sde": "bcache0", "sdf": "dm-1"} {
		v.file("/sys/block/"+member+"/holders/"+holder, "")
	}
	v.file("/proc/swaps", "Filename Type Size Used Priority\n/dev/zram0 partition 65532 0 100\n")
	v.file("/proc/self/mountinfo", `1 0 254:0 / / rw - ext4 /dev/vda rw
2 1 253:0 / /secret rw - ext4 /dev/mapper/secret rw
3 1 0:50 / /tank rw - zfs tank/data rw
4 1 7:1 / /snap/x ro - squashfs /dev/loop1 ro
5 1 0:51 / /net rw - nfs4 server:/x rw
`)
	m := v.inspect()
	equal(t, "findings", findings(m), []string{
		"bcache:bcache0!", "boot-loader", "disk:sdg!", "disk:sdh!", "disk:sdi", "luks:secret!", "md:md0!", "mount:/secret!", "mount:/snap/x",
		"swap:zram0", "zfs:tank!",
	})
	if err := m.Validate(); err != nil {
		t.Errorf("what was recorded is not valid: %v", err)
	}
}

// TestChroot is a process whose / is a directory of a file system.
func TestChroot(t *testing.T) {
	v := newView(t)
	v.block("vda", "254:0", "2097152")
	v.answer("blkid -p -o export /dev/vda", "TYPE=ext4\n")
	v.file("/proc/self/mountinfo", "1 0 254:0 /var/lib/box / rw - ext4 /dev/vda rw\n")
	m := v.inspect()
	equal(t, "findings", findings(m), []string{"boot-loader", "disk:vda!", "mount:/!"})
	equal(t, "mounts", len(m.Mounts), 0)
}

func TestGRUBBIOS(t *testing.T) {
	v := newView(t)
	v.block("sda", "8:0", "2097152")
	v.block("sdb", "8:16", "2097152")
	v.file("/boot/grub/grub.cfg", "")
	v.file("/dev/sda", strings.Repeat("x", 380)+"GRUB \x00Geom"+strings.Repeat("\x00", 130))
	v.file("/dev/sdb", strings.Repeat("x", 450)+"GRUB"+strings.Repeat("\x00", 130)) // in the table, not in the code
	equal(t, "boot loader", v.inspect().BootLoader, machine.BootLoader{Kind: machine.GRUBBIOS, Disks: []machine.Ref{"disk:sda"}})
}

func TestParsers(t *testing.T) {
	v2 := "fpu cx8 cmov fxsr mmx syscall sse sse2 cx16 lahf_lm popcnt pni sse4_1 sse4_2 ssse3"
	for flags, want := range map[string]int{"": 0, "fpu sse": 0, v2: 2, v2 + " avx avx2 bmi1 bmi2 f16c fma abm movbe xsave": 3} {
		equal(t, flags, parseCPU("model name\t: X\nflags\t\t: "+flags+"\n").Level, want)
	}
	equal(t, "os-release", parseOSRelease("# c\nID=ubuntu\nID_LIKE=\"debian  x\"\nPRETTY_NAME='U \"1\"'\n"),
		machine.OS{ID: "ubuntu", IDLike: []string{"debian", "x"}, Name: `U "1"`})
	dns, search := parseResolv("# c\nnameserver 127.0.0.53\nnameserver 10.0.0.1\nnameserver fe80::1%eth0\nnameserver x\nsearch a.example .\n")
	equal(t, "dns", dns, []string{"10.0.0.1", "fe80::1%eth0"})
	equal(t, "search", search, []string{"a.example"})
	equal(t, "octal", octal(`/a\040b\134c\9`), `/a b\c\9`)
	names := []string{"sdaa", "sdb", "nvme10n1", "nvme2n1", "sda"}
	sort.Slice(names, func(i, j int) bool { return natural(names[i], names[j]) })
	equal(t, "order", names, []string{"nvme2n1", "nvme10n1", "sda", "sdb", "sdaa"})
}
