package inspect

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/mkcdrec/mkcdrec/internal/machine"
)

// bootSector is a sector with the boot code of a program that is installed
// here, or with the words by which code is known.
func bootSector(t *testing.T, name string) string {
	t.Helper()
	code := map[string]string{
		"":         "",
		"lilo":     "\xfa\xeb\x21\x01\xb4\x01LILO",
		"windows":  "\x33\xc0\x8e\xd0Invalid partition table\x00Error loading operating system\x00Missing operating system\x00",
		"mkfs":     "\xeb\x58\x90mkfs.fat\x00\x00This is not a bootable disk.",
		"extlinux": "\xeb\x58\x90EXTLINUX",
		"foreign":  "\xeb\x3c\x90 something of somebody's own",
	}
	installed := map[string]struct{ path, pkg string }{
		"GRUB's boot.img": {"/usr/lib/grub/i386-pc/boot.img", "grub-pc-bin"},
		"mbr.bin":         {"/usr/lib/syslinux/mbr/mbr.bin", "syslinux-common"},
		"gptmbr.bin":      {"/usr/lib/syslinux/mbr/gptmbr.bin", "syslinux-common"},
	}
	s, ok := code[name]
	if !ok {
		path := installed[name].path
		if name == "parted's" {
			path = partedTable(t)
		}
		b, err := os.ReadFile(path)
		if err != nil {
			t.Skipf("needs %s (Debian: %s)", name, installed[name].pkg)
		}
		s = string(b)
	}
	s += strings.Repeat("\x00", max(0, 440-len(s)))
	return s[:440] + strings.Repeat("\x00", 70) + "\x55\xaa"
}

// partedTable is a file in which parted has made a partition table.
func partedTable(t *testing.T) string {
	t.Helper()
	if _, err := exec.LookPath("parted"); err != nil {
		t.Skip("needs parted")
	}
	file := filepath.Join(t.TempDir(), "disk")
	if err := errors.Join(os.WriteFile(file, nil, 0o600), os.Truncate(file, 8<<20)); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command("parted", "-s", file, "mklabel", "msdos").CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	return file
}

const oneActive = `{"partitiontable":{"label":"dos","id":"0x1","device":"/dev/sda","unit":"sectors","sectorsize":512,
"partitions":[{"node":"/dev/sda1","start":2048,"size":2048,"type":"83","bootable":true}]}}`

// TestBIOSBootCode has what a BIOS machine can start by. All that restore
// cannot install blocks, and what starts nothing does not.
func TestBIOSBootCode(t *testing.T) {
	const none = machine.NoBootLoader
	for name, tt := range map[string]struct {
		mbr, active string // first sector of disk and of its active partition; "-": no table, / on the whole disk
		file        string
		kind        machine.BootLoaderKind
		finding     string
	}{
		"GRUB":                           {"GRUB's boot.img", "", "/boot/grub/grub.cfg", machine.GRUBBIOS, ""},
		"GRUB without its files":         {"GRUB's boot.img", "", "", machine.OtherLoader, "boot-loader:sda!"},
		"LILO":                           {"lilo", "", "", machine.OtherLoader, "boot-loader:sda!"},
		"unknown":                        {"foreign", "", "", machine.OtherLoader, "boot-loader:sda!"},
		"GRUB in the partition":          {"parted's", "GRUB's boot.img", "/boot/grub/grub.cfg", machine.OtherLoader, "boot-loader:sda!"},
		"LILO in the partition":          {"windows", "lilo", "", machine.OtherLoader, "boot-loader:sda!"},
		"EXTLINUX without its files":     {"mbr.bin", "extlinux", "", machine.OtherLoader, "boot-loader:sda!"},
		"EXTLINUX, its package not here": {"mbr.bin", "extlinux", "/boot/extlinux/ldlinux.sys", machine.EXTLINUX, "boot-loader:extlinux!"},
		"its files, but GRUB starts":     {"GRUB's boot.img", "extlinux", "/boot/extlinux/ldlinux.sys", machine.OtherLoader, "boot-loader:sda!"},
		"EXTLINUX by gptmbr.bin":         {"gptmbr.bin", "extlinux", "", machine.OtherLoader, "boot-loader:sda!"},
		"on the whole disk":              {"extlinux", "-", "", machine.OtherLoader, "boot-loader:sda!"},
		"parted's code leads to nothing": {"parted's", "", "", none, "boot-loader"},
		"mbr.bin leads to nothing":       {"mbr.bin", "", "", none, "boot-loader"},
		"the message of mkfs.fat":        {"windows", "mkfs", "", none, "boot-loader"},
		"sfdisk's table":                 {"", "", "/boot/grub/grub.cfg", none, "boot-loader"},
		"no table":                       {"", "-", "", none, "boot-loader"},
	} {
		t.Run(name, func(t *testing.T) {
			v := newView(t)
			v.block("sda", "8:0", "2097152")
			v.answer("blkid -p -o export /dev/sda", "PTTYPE=dos\n")
			v.answer("blkid -p -o export /dev/sda1", "TYPE=ext4\n")
			v.answer("sfdisk --json /dev/sda", oneActive)
			v.file("/proc/self/mountinfo", "1 0 8:1 / / rw - ext4 /dev/sda1 rw\n")
			disk := bootSector(t, tt.mbr)
			if tt.active == "-" {
				v.answer("blkid -p -o export /dev/sda", "TYPE=ext4\n")
				v.file("/proc/self/mountinfo", "1 0 8:0 / / rw - ext4 /dev/sda rw\n")
			} else {
				v.block("sda", "8:0", "2097152", "sda1/partition", "1")
				v.block("sda/sda1", "8:1", "2048")
				disk += strings.Repeat("\x00", 2047*512) + bootSector(t, tt.active)
			}
			v.file("/dev/sda", disk)
			if tt.file != "" {
				v.file(tt.file, "")
			}
			m := v.inspect()
			equal(t, "kind", m.BootLoader.Kind, tt.kind)
			equal(t, "finding", strings.Join(loaderFindings(m), " "), tt.finding)
			if tt.mbr == "lilo" && !strings.Contains(m.Findings[len(m.Findings)-1].What, "LILO in the first sector of /dev/sda") {
				t.Errorf("LILO is not named: %+v", m.Findings)
			}
			if err := m.Validate(); err != nil {
				t.Error(err)
			}
		})
	}
}

// TestGPTBootCode is a GPT disk whose partition is marked for gptmbr.bin.
func TestGPTBootCode(t *testing.T) {
	for attrs, want := range map[string]string{`,"attrs":"LegacyBIOSBootable"`: "boot-loader:sda!", "": "boot-loader"} {
		v := newView(t)
		v.block("sda", "8:0", "2097152", "sda1/partition", "1")
		v.block("sda/sda1", "8:1", "2048")
		v.answer("blkid -p -o export /dev/sda", "PTTYPE=gpt\n")
		v.answer("blkid -p -o export /dev/sda1", "TYPE=ext4\n")
		v.answer("sfdisk --json /dev/sda", `{"partitiontable":{"label":"gpt","id":"A","device":"/dev/sda","unit":"sectors","firstlba":34,"lastlba":9000,"sectorsize":512,
"partitions":[{"node":"/dev/sda1","start":2048,"size":2048,"type":"0FC63DAF-8483-4772-8E79-3D69D8477DE4","uuid":"B"`+attrs+`}]}}`)
		v.file("/proc/self/mountinfo", "1 0 8:1 / / rw - ext4 /dev/sda1 rw\n")
		v.file("/dev/sda", bootSector(t, "gptmbr.bin")+strings.Repeat("\x00", 2047*512)+bootSector(t, "extlinux"))
		equal(t, "finding with "+attrs, strings.Join(loaderFindings(v.inspect()), " "), want)
	}
}

// Boot code on a disk with neither / nor /boot may be a leftover.
func TestBootCodeOnAnotherDisk(t *testing.T) {
	v := newView(t)
	v.block("sda", "8:0", "2097152")
	v.block("sdb", "8:16", "2097152")
	v.answer("blkid -p -o export /dev/sda", "TYPE=ext4\n")
	v.answer("blkid -p -o export /dev/sdb", "PTTYPE=dos\n")
	v.answer("sfdisk --json /dev/sdb", `{"partitiontable":{"label":"dos","id":"0x1","device":"/dev/sdb","unit":"sectors","sectorsize":512,"partitions":[]}}`)
	v.file("/proc/self/mountinfo", "1 0 8:0 / / rw - ext4 /dev/sda rw\n")
	v.file("/dev/sda", bootSector(t, ""))
	v.file("/dev/sdb", bootSector(t, "lilo"))
	m := v.inspect()
	equal(t, "findings", loaderFindings(m), []string{"boot-loader", "boot-loader:sdb"})
	equal(t, "kind", m.BootLoader.Kind, machine.NoBootLoader)
}

func loaderFindings(m machine.Machine) (out []string) {
	for _, f := range findings(m) {
		if strings.HasPrefix(f, "boot-") {
			out = append(out, f)
		}
	}
	return out
}

// TestEFIStart has boot entries that lead to loaders of no known kind.
func TestEFIStart(t *testing.T) {
	for name, tt := range map[string]struct {
		loader  string // of the boot entry
		files   []string
		kind    machine.BootLoaderKind
		finding string
	}{
		"with a fallback":       {`\EFI\refind\refind_x64.efi`, []string{"EFI/refind/REFIND_X64.EFI", "EFI/Boot/bootx64.efi"}, machine.EFIProgram, "boot-loader"},
		"without a fallback":    {`\EFI\refind\refind_x64.efi`, []string{"EFI/refind/refind_x64.efi"}, machine.EFIProgram, "boot-loader"},
		"systemd-boot":          {`\EFI\systemd\systemd-bootx64.efi`, []string{"EFI/systemd/SYSTEMD-BOOTX64.EFI"}, machine.SystemdBoot, ""},
		"systemd-boot's rest":   {`\EFI\debian\shimx64.efi`, []string{"EFI/systemd/x", "EFI/debian/shimx64.efi"}, machine.GRUBEFI, ""},
		"not on the ESP":        {`\vmlinuz.efi`, []string{"EFI/Boot/bootx64.efi"}, machine.OtherLoader, "boot-loader:efi!"},
		"no ESP is mounted":     {`\EFI\refind\refind_x64.efi`, nil, machine.OtherLoader, "boot-loader:efi!"},
		"GRUB":                  {`\EFI\debian\shimx64.efi`, []string{"EFI/debian/shimx64.efi"}, machine.GRUBEFI, ""},
		"GRUB, not started now": {`\vmlinuz.efi`, []string{"EFI/debian/shimx64.efi"}, machine.GRUBEFI, "boot-entry"},
		"from the network":      {"", []string{"x"}, machine.NoBootLoader, "boot-loader"},
	} {
		t.Run(name, func(t *testing.T) {
			v := newView(t)
			v.block("sda", "8:0", "2097152", "sda1/partition", "1")
			v.block("sda/sda1", "8:1", "2048")
			v.block("sdb", "8:16", "2097152")
			v.answer("blkid -p -o export /dev/sda", "PTTYPE=gpt\n")
			v.answer("blkid -p -o export /dev/sda1", "TYPE=vfat\n")
			v.answer("blkid -p -o export /dev/sdb", "TYPE=ext4\n")
			v.answer("sfdisk --json /dev/sda", `{"partitiontable":{"label":"gpt","id":"A","device":"/dev/sda","unit":"sectors","firstlba":34,"lastlba":9000,"sectorsize":512,
"partitions":[{"node":"/dev/sda1","start":2048,"size":2048,"type":"C12A7328-F81F-11D2-BA4B-00A0C93EC93B","uuid":"B"}]}}`)
			mounts := "1 0 8:16 / / rw - ext4 /dev/sdb rw\n"
			if tt.files != nil {
				mounts += "2 1 8:1 / /boot/efi rw - vfat /dev/sda1 rw\n"
			}
			v.file("/proc/self/mountinfo", mounts)
			for _, f := range tt.files {
				v.file("/boot/efi/"+f, "")
			}
			vars := "/sys/firmware/efi/efivars/"
			const guid = "-8be4df61-93ca-11d2-aa0d-00e098032b8c"
			v.file(vars+"Boot0003"+guid, loadOption("this one", tt.loader))
			v.file(vars+"Boot0001"+guid, loadOption("another system", `\EFI\Microsoft\Boot\bootmgfw.efi`))
			v.file(vars+"BootOrder"+guid, "\x07\x00\x00\x00\x01\x00\x03\x00")
			v.file(vars+"BootCurrent"+guid, "\x06\x00\x00\x00\x03\x00")
			m := v.inspect()
			equal(t, "kind", m.BootLoader.Kind, tt.kind)
			equal(t, "finding", strings.Join(loaderFindings(m), " "), tt.finding)
		})
	}
}

// TestEXTLINUX is a machine that restore can make start again: its packages are
// there. The directory is on the active partition, or it is not what starts.
func TestEXTLINUX(t *testing.T) {
	for name, tt := range map[string]struct {
		dir  string
		gpt  bool
		kind machine.BootLoaderKind
	}{
		"MBR":                  {"/boot/extlinux", false, machine.EXTLINUX},
		"GPT":                  {"/boot/extlinux", true, machine.EXTLINUX},
		"on another partition": {"/srv/extlinux", false, machine.OtherLoader},
	} {
		v := newView(t)
		v.block("sda", "8:0", "2097152", "sda1/partition", "1")
		v.block("sda/sda1", "8:1", "2048")
		v.answer("blkid -p -o export /dev/sda", "PTTYPE=dos\n")
		v.answer("blkid -p -o export /dev/sda1", "TYPE=ext4\n")
		v.answer("sfdisk --json /dev/sda", oneActive)
		code := "mbr.bin"
		if tt.gpt {
			code = "gptmbr.bin"
			v.answer("sfdisk --json /dev/sda", `{"partitiontable":{"label":"gpt","id":"A","device":"/dev/sda","unit":"sectors","firstlba":34,"lastlba":9000,"sectorsize":512,
"partitions":[{"node":"/dev/sda1","start":2048,"size":2048,"type":"0FC63DAF-8483-4772-8E79-3D69D8477DE4","uuid":"B","attrs":"LegacyBIOSBootable"}]}}`)
		}
		v.file("/proc/self/mountinfo", "1 0 8:1 / / rw - ext4 /dev/sda1 rw\n")
		v.file("/dev/sda", bootSector(t, "windows")+strings.Repeat("\x00", 2047*512)+bootSector(t, "extlinux"))
		v.file(tt.dir+"/ldlinux.sys", "")
		v.file("/usr/bin/extlinux", "")
		v.file("/usr/lib/syslinux/mbr/"+code, "")
		m := v.inspect()
		equal(t, name+": kind", m.BootLoader.Kind, tt.kind)
		if tt.kind == machine.EXTLINUX {
			equal(t, name+": loader", m.BootLoader, machine.BootLoader{Kind: machine.EXTLINUX, Path: "/boot/extlinux", Disks: []machine.Ref{machine.DiskRef("sda")}})
			equal(t, name+": findings", len(loaderFindings(m)), 0)
		}
		if err := m.Validate(); err != nil {
			t.Error(err)
		}
	}
}

// loadOption is an EFI_LOAD_OPTION with attributes, as efivarfs shows it.
func loadOption(label, loader string) string {
	ucs2 := func(s string) string {
		var b strings.Builder
		for _, c := range []byte(s) {
			b.Write([]byte{c, 0})
		}
		return b.String() + "\x00\x00"
	}
	path := ""
	if loader != "" {
		file := ucs2(loader)
		path = "\x04\x04" + string([]byte{byte(len(file) + 4), 0}) + file
	}
	path += "\x7f\xff\x04\x00"
	return "\x07\x00\x00\x00" + "\x01\x00\x00\x00" + string([]byte{byte(len(path)), 0}) + ucs2(label) + path
}
