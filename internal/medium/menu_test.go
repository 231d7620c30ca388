package medium

import (
	"strings"
	"testing"
	"time"
)

func TestGrubConfig(t *testing.T) {
	o := options(Loaders{})
	o.Host = "web'1\n\x1b"
	plain := grubConfig(o, "MKCDREC_0BADCAFE", false, false)
	for _, want := range []string{
		"set timeout=30\n", "set default=0\n", "serial --unit=0 --speed=115200",
		"menuentry '1  Rescue system: restore web_1__ from 2026-11-24 03:15' --hotkey=1 {",
		"linux /boot/vmlinuz mkcdrec.medium=0badcafe", "mkcdrec.check\n", "--label MKCDREC_0BADCAFE",
	} {
		if !strings.Contains(plain, want) {
			t.Errorf("the boot screen lacks %q:\n%s", want, plain)
		}
	}
	if strings.Contains(plain, "Memory test") {
		t.Error("a memory test is offered where there is none")
	}
	o.Menu = Menu{Timeout: 5 * time.Second, Default: 3, SerialUnit: 1, SerialSpeed: 9600, KernelArgs: []string{"nomodeset"}}
	set := grubConfig(o, "L", true, true)
	for _, want := range []string{"set timeout=5\n", "set default=2\n", "serial --unit=1 --speed=9600", " nomodeset console=tty0\n", "console=tty0 console=ttyS1,9600\n", "linux /boot/memtest.bin", "linux /boot/memtest.efi"} {
		if !strings.Contains(set, want) {
			t.Errorf("the boot screen lacks %q:\n%s", want, set)
		}
	}
	o.Menu = Menu{Timeout: -1, NoSerial: true}
	if s := grubConfig(o, "L", false, false); !strings.Contains(s, "set timeout=-1\n") || strings.Contains(s, "terminal_input") {
		t.Errorf("no timeout, no serial port:\n%s", s)
	}
}

// Only the entries that say so restore without a question: not the check of
// the medium, and not the rescue system, which stays within reach.
func TestUnattendedEntriesSayThatTheyErase(t *testing.T) {
	o := options(Loaders{})
	o.Menu = Menu{Unattended: true}
	entries := strings.Split(grubConfig(o, "L", true, true), "menuentry ")[1:]
	var unattended []string
	for _, e := range entries {
		title := e[:strings.Index(e, " --hotkey")]
		if strings.Contains(e, "mkcdrec.auto") {
			unattended = append(unattended, title[:2])
			if !strings.Contains(e, "ERASES") || strings.Contains(e, "No disk is changed") {
				t.Errorf("%s does not say what it does:\n%s", title, e)
			}
		}
	}
	if got := strings.Join(unattended, " "); got != "'1 '2" {
		t.Errorf("unattended are %s", got)
	}
	if len(entries) != 8 { // memory test for BIOS and for UEFI
		t.Errorf("%d entries", len(entries))
	}
	o.Menu = Menu{}
	if s := grubConfig(o, "L", false, false); strings.Contains(s, "mkcdrec.auto") {
		t.Errorf("a medium without answers restores unattended:\n%s", s)
	}
	if err := (Menu{KernelArgs: []string{"mkcdrec.auto=medium"}}).check(); err == nil {
		t.Error("a kernel argument may make the check of the medium a restore")
	}
}

// What has some files of a machine only is not offered as what restores it.
func TestMenuOfPartialBackup(t *testing.T) {
	o := Options{ID: "1a2b3c4d", Host: "web1", Made: time.Date(2026, 11, 24, 3, 15, 0, 0, time.UTC), BackupID: "b", Menu: Menu{Partial: true}}
	screen := grubConfig(o, "MKCDREC_1A2B3C4D", false, false)
	if strings.Contains(screen, "restore web1") || !strings.Contains(screen, "'1  Rescue system of web1 (its backup has some files only), 2026-11-24 03:15'") {
		t.Errorf("boot screen:\n%s", screen)
	}
	if text := readme(o, Summary{}); !strings.Contains(text, "cannot bring it back") {
		t.Errorf("README.txt:\n%s", text)
	}
}
