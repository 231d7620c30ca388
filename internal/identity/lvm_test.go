package identity

import (
	"strings"
	"testing"
)

func TestVolumeLinks(t *testing.T) {
	const vg, lv = "kLmN0p-aaaa-bbbb-cccc-dddd-eeee-ffff01", "lVlVl0-aaaa-bbbb-cccc-dddd-eeee-ffff03"
	link := "/dev/disk/by-id/dm-uuid-LVM-" + strings.ReplaceAll(vg+lv, "-", "")
	names := map[string]string{vg + lv: "/dev/mapper/vg0-root"}
	in := link + " / ext4\n" + link[:len(link)-1] + "x /b ext4\n" + link + "x /c\n/dev/disk/by-id/dm-name-vg0-root /d\n"
	want := "/dev/mapper/vg0-root / ext4\n" + link[:len(link)-1] + "x /b ext4\n" + link + "x /c\n/dev/disk/by-id/dm-name-vg0-root /d\n"
	if got := string(VolumeLinks([]byte(in), names)); got != want {
		t.Errorf("got\n%swant\n%s", got, want)
	}
	// What is the same after a restore is no cause for alarm.
	if got := Pinned([]byte(want)); len(got) != 2 || !strings.Contains(got[0], "dm-uuid-LVM") {
		t.Errorf("pinned: %v", got)
	}
}

func TestLVMConf(t *testing.T) {
	const conf = "devices {\n\t# filter = [ \"a|/dev/sda|\" ]\n\tfilter = [ \"a|/dev/sda3|\", \"a|/dev/disk/by-id/ata-X|\", \"r|.*|\" ] # not /dev/sda1\n}\n"
	got, pinned := LVMConf([]byte(conf), map[string]string{"sda": "nvme0n1"})
	if want := strings.Replace(conf, "a|/dev/sda3|", "a|/dev/nvme0n1p3|", 1); string(got) != want || len(pinned) != 1 {
		t.Errorf("pinned %v, got\n%s", pinned, got)
	}
}

func TestForeignDevice(t *testing.T) {
	const file = "# LVM uses devices listed in this file.\nPRODUCT_UUID=1\nVERSION=1.1.4\nIDTYPE=sys_wwid IDNAME=naa.5000c50000000101 DEVNAME=/dev/sda3 PVID=x PART=3\n" +
		"IDTYPE=devname IDNAME=/dev/vdb DEVNAME=/dev/vdb PVID=y\n"
	for ids, want := range map[string]string{"0x5000c50000000101": "", "S1,0x5000C50000000101": "", "0x5000c50000000102": "naa.5000c50000000101", "": "naa.5000c50000000101"} {
		if got := ForeignDevice([]byte(file), strings.Split(ids, ",")); got != want {
			t.Errorf("with %q: %q, want %q", ids, got, want)
		}
	}
}
