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
