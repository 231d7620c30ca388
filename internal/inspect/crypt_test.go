package inspect

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/mkcdrec/mkcdrec/internal/machine"
)

const cryptUUID = "11111111-2222-4333-8444-555555555555"

// luks writes a real LUKS2 header where the view has a device.
func (v *view) luks(dev string) {
	v.t.Helper()
	tool, err := exec.LookPath("cryptsetup")
	if err != nil {
		v.t.Skip("cryptsetup is not installed")
	}
	p := filepath.Join(v.root, dev)
	v.file(dev, "")
	if err := os.Truncate(p, 32<<20); err != nil {
		v.t.Fatal(err)
	}
	cmd := exec.Command(tool, "luksFormat", "-q", "--type", "luks2", "--uuid", cryptUUID, "--pbkdf", "pbkdf2", "--pbkdf-force-iterations", "1000", "--offset", "32768", "--key-file=-", p)
	cmd.Stdin = strings.NewReader("secret")
	if out, err := cmd.CombinedOutput(); err != nil {
		v.t.Fatalf("%v: %s", err, out)
	}
}

// vault is a disk with a LUKS2 partition that is open as "secret".
func vault(t *testing.T) *view {
	v := newView(t)
	v.block("vda", "254:0", "204800", "vda1/partition", "1")
	v.block("vda/vda1", "254:1", "65536")
	v.answer("blkid -p -o export /dev/vda", "PTTYPE=dos\n")
	v.answer("sfdisk --json /dev/vda", `{"partitiontable":{"label":"dos","id":"0x1","device":"/dev/vda","unit":"sectors","sectorsize":512,
		"partitions":[{"node":"/dev/vda1","start":2048,"size":65536,"type":"83"}]}}`)
	v.answer("blkid -p -o export /dev/vda1", "TYPE=crypto_LUKS\nUSAGE=crypto\n")
	v.block("dm-0", "253:0", "32768", "dm/name", "secret", "dm/uuid", "CRYPT-LUKS2-"+strings.ReplaceAll(cryptUUID, "-", "")+"-secret", "slaves/vda1/x", "")
	v.file("/sys/block/vda/vda1/holders/dm-0", "")
	v.answer("blkid -p -o export /dev/mapper/secret", "TYPE=ext4\nUUID=u\n")
	v.file("/proc/self/mountinfo", "1 0 253:0 / / rw - ext4 /dev/mapper/secret rw\n")
	return v
}

func TestOpenLUKS(t *testing.T) {
	v := vault(t)
	v.luks("/dev/vda1")
	m := v.inspect()
	if err := m.Validate(); err != nil {
		t.Fatal(err)
	}
	equal(t, "findings", findings(m), []string{"boot-loader"})
	if len(m.Crypts) != 1 || m.MountAt("/") == nil {
		t.Fatalf("crypts %+v, mounts %+v", m.Crypts, m.Mounts)
	}
	c := m.Crypts[0]
	equal(t, "place", []any{c.Name, c.On, c.Size, c.UUID, m.MountAt("/").On}, []any{"secret", machine.PartRef("vda", 1), machine.Bytes(16 << 20), cryptUUID, machine.CryptRef("secret")})
}

// A volume group on LUKS, and LUKS on a volume of it.
func TestLUKSBelowAndAboveLVM(t *testing.T) {
	v := vault(t)
	v.luks("/dev/vda1")
	v.answer("blkid -p -o export /dev/mapper/secret", "TYPE=LVM2_member\n")
	v.block("dm-1", "253:1", "65536", "dm/name", "vg-lv", "dm/uuid", "LVM-x", "slaves/dm-0/x", "")
	v.block("dm-2", "253:2", "32768", "dm/name", "inner", "dm/uuid", "CRYPT-LUKS2-"+strings.ReplaceAll(cryptUUID, "-", "")+"-inner", "slaves/dm-1/x", "")
	v.luks("/dev/mapper/vg-lv")
	v.answer("blkid -p -o export /dev/mapper/vg-lv", "TYPE=crypto_LUKS\n")
	v.answer("blkid -p -o export /dev/mapper/inner", "TYPE=swap\nUUID=s\n")
	v.answer("lvm vgs*", `{"report":[{"vg":[{"vg_name":"vg","vg_uuid":"g","vg_extent_size":"4194304","vg_size":"16777216","vg_tags":""}]}]}`)
	v.answer("lvm pvs*", `{"report":[{"pv":[{"pv_name":"/dev/mapper/secret","pv_uuid":"p","vg_name":"vg","pv_size":"16777216","pv_free":"0"}]}]}`)
	v.answer("lvm lvs*", `{"report":[{"lv":[{"lv_name":"lv","lv_uuid":"l","vg_name":"vg","lv_size":"33554432","segtype":"linear","stripes":"1","stripe_size":"0","devices":"/dev/mapper/secret(0)","lv_device_open":"open"}]}]}`)
	v.file("/proc/self/mountinfo", "")
	m := v.inspect()
	if len(m.Crypts) != 2 || m.Crypts[0].On != machine.LVRef("vg", "lv") || m.Crypts[1].On != machine.PartRef("vda", 1) {
		t.Fatalf("crypts %+v", m.Crypts)
	}
	equal(t, "below", m.Below(machine.CryptRef("inner")), []machine.Ref{"luks:inner", "lv:vg/lv", "luks:secret", "part:vda/1", "disk:vda"})
	equal(t, "swaps", m.Swaps, []machine.Swap{{On: "luks:inner", Size: 16 << 20, UUID: "s"}})
}

// What a header on the device does not bring back is named.
func TestLUKSThatCannotBeRecorded(t *testing.T) {
	for name, spoil := range map[string]func(v *view){
		"detached header": func(v *view) { v.file("/dev/vda1", strings.Repeat("\x00", 1<<20)) },
		"another header": func(v *view) {
			v.luks("/dev/vda1")
			v.file("/sys/block/dm-0/dm/uuid", "CRYPT-LUKS2-00000000000000000000000000000000-secret")
		},
	} {
		v := vault(t)
		spoil(v)
		m := v.inspect()
		equal(t, name, findings(m), []string{"boot-loader", "luks:secret!", "mount:/!"})
		equal(t, name, len(m.Crypts), 0)
	}
	v := vault(t)
	v.luks("/dev/vda1")
	v.answer("sfdisk --json /dev/vda", "{")
	m := v.inspect()
	equal(t, "on a table that cannot be read", findings(m), []string{"boot-loader", "disk:vda!", "luks:secret!", "mount:/!"})
}

// Swap with a random key has no header; crypttab makes it anew at every start.
func TestRandomSwapAndOtherEncryption(t *testing.T) {
	v := vault(t)
	v.file("/etc/crypttab", "# c\nsecret /dev/vda1 /dev/urandom swap,cipher=aes-xts-plain64\n")
	v.file("/sys/block/dm-0/dm/uuid", "CRYPT-PLAIN-secret")
	v.file("/proc/self/mountinfo", "")
	v.file("/proc/swaps", "Filename Type Size Used Priority\n/dev/dm-0 partition 65532 0 -2\n")
	v.answer("blkid -p -o export /dev/vda1", "")
	equal(t, "random swap", findings(v.inspect()), []string{"boot-loader", "swap:secret"})
	v.file("/etc/crypttab", "secret /dev/vda1 /etc/key plain\n")
	for kind, want := range map[string]string{"CRYPT-PLAIN-secret": "plain:secret!", "CRYPT-BITLK-1-secret": "bitlocker:secret!", "CRYPT-VERITY-secret": "verity:secret!", "CRYPT-NEW-secret": "crypt:secret!"} {
		v.file("/sys/block/dm-0/dm/uuid", kind)
		if got := findings(v.inspect()); !strings.Contains(strings.Join(got, " "), want) {
			t.Errorf("%s: %v", kind, got)
		}
	}
}
