package restore

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/mkcdrec/mkcdrec/internal/fail"
	"github.com/mkcdrec/mkcdrec/internal/machine"
	"github.com/mkcdrec/mkcdrec/internal/machine/machinetest"
	"github.com/mkcdrec/mkcdrec/internal/plan"
)

// written is the changes for people: what is removed, made, and the order.
func written(c entryChanges) string {
	var out []string
	for _, n := range c.remove {
		out = append(out, "-"+n)
	}
	for _, e := range c.create {
		out = append(out, fmt.Sprintf("+%s %s", e.Number, e.Label))
	}
	if c.order != nil {
		out = append(out, "order "+strings.Join(c.order, ","))
	}
	return strings.Join(out, "; ")
}

func TestChangeEntries(t *testing.T) {
	const own, foreign = "aaaa", "bbbb"
	e := func(number, label, loader, part string) machine.EFIEntry {
		return machine.EFIEntry{Number: number, Label: label, Loader: loader, PartUUID: part, Active: true}
	}
	debian, memtest := e("0003", "debian", `\EFI\debian\shimx64.efi`, own), e("0004", "memtest", `\EFI\memtest.efi`, own)
	windows, pxe, cd := e("0001", "Windows", `\EFI\Microsoft\bootmgfw.efi`, foreign), e("0002", "PXE", "", ""), e("0000", "CD", "", "")
	args := debian
	args.Label, args.Data = "debian with words", []byte("x")
	off := func(e machine.EFIEntry) machine.EFIEntry { e.Active = false; return e }
	hidden := func(e machine.EFIEntry) machine.EFIEntry { e.Unlisted = true; return e }
	as := func(number string, e machine.EFIEntry) machine.EFIEntry { e.Number = number; return e }
	entries := func(es ...machine.EFIEntry) []machine.EFIEntry { return es }
	for name, tt := range map[string]struct {
		wanted, recorded, here []machine.EFIEntry
		want                   string
	}{
		"firmware that knows nothing":        {entries(debian, memtest), entries(debian, memtest), nil, "+0000 debian; +0001 memtest; order 0000,0001"},
		"a new machine's own come after":     {entries(debian), entries(debian), entries(cd, pxe), "+0001 debian; order 0001,0000,0002"},
		"all is there":                       {entries(debian, memtest), entries(debian, memtest), entries(windows, debian, pxe, memtest), ""},
		"in another order":                   {entries(debian, memtest), entries(debian, memtest), entries(memtest, debian), "order 0003,0004"},
		"one is lost":                        {entries(debian, memtest), entries(debian, memtest), entries(pxe, memtest), "+0000 debian; order 0000,0004,0002"},
		"another system was first, and is":   {entries(debian), entries(windows, debian), entries(cd, windows), "+0002 debian; order 0001,0002,0000"},
		"the network was first":              {entries(debian), entries(pxe, debian), entries(cd, as("0007", pxe)), "+0001 debian; order 0007,0001,0000"},
		"it has another name here":           {entries(debian), entries(debian), entries(as("0005", e("", "Linux", debian.Loader, own))), ""},
		"case does not matter":               {entries(debian), entries(debian), entries(e("0005", "debian", `\efi\DEBIAN\shimx64.efi`, "AAAA")), ""},
		"on another disk it is another":      {entries(debian), entries(debian), entries(as("0000", e("", "debian", debian.Loader, foreign))), "+0001 debian; order 0001,0000"},
		"switched off":                       {entries(debian), entries(debian), entries(off(debian)), "-0003; +0000 debian; order 0000"},
		"given other words":                  {entries(debian, args), entries(debian, args), entries(debian), "+0000 debian with words; order 0003,0000"},
		"in no order, and not put in one":    {entries(hidden(memtest)), entries(hidden(memtest)), entries(pxe), "+0000 memtest"},
		"there, but not in the order":        {entries(debian), entries(debian), entries(pxe, hidden(debian)), "order 0003,0002"},
		"free numbers are found among taken": {entries(memtest), entries(memtest), entries(cd, windows, pxe), "+0003 memtest; order 0003,0000,0001,0002"},
	} {
		var wanted []bootEntry
		for _, w := range tt.wanted {
			w.Number = "" // that of the recorded firmware means nothing here
			wanted = append(wanted, bootEntry{EFIEntry: w})
		}
		if got := written(changeEntries(wanted, tt.recorded, tt.here)); got != tt.want {
			t.Errorf("%s: %s\nwant: %s", name, got, tt.want)
		}
	}
}

// ran are the commands of one program.
func ran(run *probing, program string) (out []string) {
	for _, c := range run.Commands() {
		if strings.Contains(c, program+" ") {
			out = append(out, c)
		}
	}
	return out
}

// A machine that starts by systemd-boot, with several entries, on a machine that
// has none of them.
func systemdBoot() machine.Machine {
	m := machinetest.UEFIPlain()
	esp := m.Disks[0].Table.Partitions[0].UUID
	m.BootLoader = machine.BootLoader{Kind: machine.SystemdBoot, Path: "EFI/systemd/systemd-bootx64.efi", Fallback: true}
	m.Firmware.Entries = []machine.EFIEntry{
		{Number: "0005", Label: "UEFI PXEv4"},
		{Number: "0001", Label: "Linux Boot Manager", Loader: `\EFI\systemd\systemd-bootx64.efi`, PartUUID: esp, Active: true},
		{Number: "0002", Label: "old kernel", Loader: `\EFI\old\vmlinuz.efi`, PartUUID: strings.ToUpper(esp), Active: true, Data: []byte("r\x00o\x00")},
		{Number: "0001", Label: "Linux Boot Manager", Loader: `\EFI\systemd\systemd-bootx64.efi`, PartUUID: esp, Active: true},
		{Number: "0003", Label: "Windows", Loader: `\EFI\Microsoft\bootmgfw.efi`, PartUUID: "another-disk", Active: true},
		{Number: "0004", Label: "switched off", Loader: `\EFI\off.efi`, PartUUID: esp},
	}
	return m
}

func TestSystemdBoot(t *testing.T) {
	for name, tt := range map[string]struct {
		files   map[string]string
		want    string // among the commands
		changed string
		err     string
	}{
		"from the ESP": {map[string]string{"boot/efi/EFI/systemd/systemd-bootx64.efi": "sd", "boot/efi/EFI/BOOT/BOOTX64.EFI": "kept"}, "", "", ""},
		"no fallback":  {map[string]string{"boot/efi/EFI/systemd/systemd-bootx64.efi": "sd"}, "", "BOOTX64.EFI made", ""},
		"none on the ESP, refused before any write": {nil, "", "", "systemd-boot (/usr/lib/systemd/boot/efi/systemd-bootx64.efi)"},
	} {
		m := systemdBoot()
		o, run, b := bench(t, m, m, plan.Info{})
		b.only = true
		for f, text := range tt.files {
			b.files[f] = text
		}
		if err := os.MkdirAll(filepath.Join(o.Root, "sys/firmware/efi/efivars"), 0o755); err != nil {
			t.Fatal(err)
		}
		rep, err := Run(t.Context(), o)
		if tt.err != "" {
			if fail.KindOf(err) != fail.Unsupported || !strings.Contains(err.Error(), tt.err) || len(ran(run, "sfdisk")) > 0 {
				t.Errorf("%s: %v", name, err)
			}
			continue
		}
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if did := strings.Join(rep.Changes, "\n"); !strings.Contains(did, tt.changed) || !strings.Contains(did, `"switched off" was switched off`) {
			t.Errorf("%s: changes %s", name, did)
		}
		did := ran(run, "efibootmgr")
		if len(did) != 3 || !strings.Contains(did[0], "--bootnum 0000 --disk /dev/vda --part 1 --label 'Linux Boot Manager' --loader") ||
			!strings.Contains(did[1], "--bootnum 0001") || !strings.Contains(did[1], "--append-binary-args") || !strings.Contains(did[2], "--bootorder 0000,0001") {
			t.Errorf("%s: %s", name, strings.Join(did, "\n"))
		}
		if got, _ := os.ReadFile(filepath.Join(o.TargetRoot, "boot/efi/EFI/BOOT/BOOTX64.EFI")); string(got) != map[bool]string{true: "sd", false: "kept"}[tt.changed != ""] {
			t.Errorf("%s: the fallback is %q", name, got)
		}
	}
}

// The files of the ESP were left out of the backup: it is installed by the
// package that the restored system has.
func TestSystemdBootFromItsPackage(t *testing.T) {
	m := systemdBoot()
	o, run, b := bench(t, m, m, plan.Info{})
	b.files["usr/lib/systemd/boot/efi/systemd-bootx64.efi.signed"], b.files["usr/bin/bootctl"] = "sd", ""
	_, err := Run(t.Context(), o)
	// The recorded bootctl writes nothing, which is noticed.
	if err == nil || !strings.Contains(err.Error(), "no boot loader on the EFI system partition") {
		t.Errorf("%v", err)
	}
	if did := ran(run, "bootctl"); len(did) != 1 || !strings.HasSuffix(did[0], "bootctl --esp-path=/boot/efi --no-variables install") {
		t.Errorf("%q", did)
	}
}

// Of what is not known no copy is made: it may need what lies beside it. Without
// an entry such a machine does not start, and that is an error.
func TestEFIProgram(t *testing.T) {
	for _, fallback := range []bool{true, false} {
		m := systemdBoot()
		m.BootLoader = machine.BootLoader{Kind: machine.EFIProgram, Path: "EFI/refind/refind_x64.efi", Fallback: fallback}
		o, run, b := bench(t, m, m, plan.Info{})
		b.files["boot/efi/EFI/refind/refind_x64.efi"] = "refind"
		if fallback {
			b.files["boot/efi/EFI/BOOT/BOOTX64.EFI"] = "something"
		}
		run.Missing = map[string]bool{"efibootmgr": true}
		if err := os.MkdirAll(filepath.Join(o.Root, "sys/firmware/efi/efivars"), 0o755); err != nil {
			t.Fatal(err)
		}
		rep, err := Run(t.Context(), o)
		if fallback != (err == nil) {
			t.Errorf("fallback %v: %v", fallback, err)
		}
		if fallback && !slices.ContainsFunc(rep.Warnings, func(w string) bool { return strings.Contains(w, "starts by the fallback path") }) {
			t.Errorf("warnings %q", rep.Warnings)
		}
		if _, err := os.Stat(filepath.Join(o.TargetRoot, "boot/efi/EFI/BOOT/BOOTX64.EFI")); fallback != (err == nil) {
			t.Errorf("fallback %v: %v", fallback, err)
		}
	}
}

func extlinuxMachine() machine.Machine {
	m := machinetest.BIOSMBRLogical()
	m.BootLoader = machine.BootLoader{Kind: machine.EXTLINUX, Path: "/boot/extlinux", Disks: []machine.Ref{machine.DiskRef("sda")}}
	return m
}

func TestEXTLINUX(t *testing.T) {
	m := extlinuxMachine()
	o, run, b := bench(t, m, m, plan.Info{})
	b.files["usr/bin/extlinux"], b.files["usr/lib/syslinux/mbr/mbr.bin"] = "", "code"
	b.files["boot/extlinux/ldlinux.sys"], b.files["boot/extlinux/extlinux.conf"] = "old", "DEFAULT linux\n"
	b.differ = []string{"boot/extlinux/ldlinux.sys", "boot/extlinux/ldlinux.c32"}
	rep, err := Run(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	all := commands(o, run)
	for _, want := range []string{
		"chroot DIR/target /usr/bin/extlinux --install /boot/extlinux\n",
		"dd if=DIR/target/usr/lib/syslinux/mbr/mbr.bin of=/dev/sda bs=440 count=1 conv=notrunc,fsync status=none\n",
	} {
		if !strings.Contains(all, want) {
			t.Errorf("%s is not among the commands:\n%s", want, all)
		}
	}
	if slices.ContainsFunc(rep.Warnings, func(w string) bool { return strings.Contains(w, "boot loader") }) {
		t.Errorf("warnings %q", rep.Warnings)
	}
}

// What is missing is named before the first write.
func TestEXTLINUXWithoutItsPackages(t *testing.T) {
	for missing, pkg := range map[string]string{"usr/bin/extlinux": "extlinux", "usr/lib/syslinux/mbr/mbr.bin": "syslinux-common"} {
		m := extlinuxMachine()
		o, run, b := bench(t, m, m, plan.Info{})
		b.files["usr/bin/extlinux"], b.files["usr/lib/syslinux/mbr/mbr.bin"] = "", "code"
		delete(b.files, missing)
		b.only = true
		_, err := Run(t.Context(), o)
		if fail.KindOf(err) != fail.Unsupported || !strings.Contains(err.Error(), ": "+pkg+" (/") || len(ran(run, "sfdisk"))+len(ran(run, "wipefs")) > 0 {
			t.Errorf("without %s: %v\n%s", pkg, err, commands(o, run))
		}
	}
}
