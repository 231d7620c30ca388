package medium

import (
	"fmt"
	"strings"
	"time"
)

// Menu is what can be set about the boot screen.
type Menu struct {
	// Timeout is the wait before the default entry starts, in whole seconds;
	// 0: DefaultTimeout; negative: wait for a key.
	Timeout time.Duration
	// Default is the number of the entry that starts by itself, 1 to 5; 0: 1.
	Default int
	// SerialUnit is the number of the serial port, SerialSpeed its speed in
	// baud; 0: 115200. NoSerial leaves serial ports alone until entry 2.
	SerialUnit  int
	SerialSpeed int
	NoSerial    bool
	// KernelArgs are added to the kernel's command line.
	KernelArgs []string
	// Partial says that the backup has some paths only: entry 1 promises no restore.
	Partial bool
	// Unattended makes entries 1 and 2 restore by the answer file on the
	// medium, without a question; 6 and 7 are the rescue system then.
	Unattended bool
}

// DefaultTimeout is how long the boot screen waits.
const DefaultTimeout = 30 * time.Second

func (m Menu) speed() int {
	if m.SerialSpeed == 0 {
		return 115200
	}
	return m.SerialSpeed
}

func (m Menu) check() error {
	if m.Default < 0 || m.Default > 5 {
		return fmt.Errorf("default entry %d of the boot screen is not 1 to 5", m.Default)
	}
	for _, a := range m.KernelArgs {
		if strings.HasPrefix(a, "mkcdrec.auto") {
			return fmt.Errorf("kernel argument %q would make every entry of the boot screen, the check of the medium too, a restore", a)
		}
	}
	if m.SerialUnit < 0 || m.SerialUnit > 3 {
		return fmt.Errorf("serial port %d is not 0 to 3", m.SerialUnit)
	}
	for _, a := range m.KernelArgs {
		if strings.ContainsAny(a, "'\"\\;{}$&|<> \t\n\r") { // GRUB's own syntax
			return fmt.Errorf("kernel argument %q has a character that a boot loader cannot pass on", a)
		}
	}
	return nil
}

// findMedium are GRUB commands that find the medium by its label and set the
// prefix, so that grub.cfg is read from there and from nowhere else.
func findMedium(label string) string {
	return "search --no-floppy --set=root --label " + label + "\nset prefix=($root)/boot/grub\n"
}

// stub is the grub.cfg on the ESP: it goes on with the one of the medium.
func stub(label string) string {
	return findMedium(label) + "configfile $prefix/grub.cfg\n"
}

// quote puts a word into GRUB's single quotes, in which all but ' is literal.
// The prompt of GRUB shows ASCII only.
func quote(s string) string {
	return "'" + strings.Map(func(r rune) rune {
		if r == '\'' || r < 0x20 || r > 0x7E {
			return '_'
		}
		return r
	}, s) + "'"
}

// grubConfig is the boot screen. It is the same for BIOS and UEFI, in text
// mode, on the screen and on the serial port.
func grubConfig(o Options, label string, memtestBIOS, memtestUEFI bool) string {
	m := o.Menu
	var b strings.Builder
	line := func(format string, args ...any) { fmt.Fprintf(&b, format+"\n", args...) }

	line("# Boot screen of the recovery medium %s, made by mkcdrec.", label)
	line("search --no-floppy --set=root --hint \"$root\" --label %s", label)
	if !m.NoSerial {
		// A machine without this port says so and goes on with its screen.
		line("if serial --unit=%d --speed=%d; then", m.SerialUnit, m.speed())
		line("  terminal_input console serial")
		line("  terminal_output console serial")
		line("fi")
	}
	line("set timeout_style=menu")
	switch {
	case m.Timeout < 0:
		line("set timeout=-1")
	case m.Timeout == 0:
		line("set timeout=%d", int(DefaultTimeout.Seconds()))
	default:
		line("set timeout=%d", int(m.Timeout.Seconds()))
	}
	line("set default=%d", max(m.Default, 1)-1)
	line("set color_normal=light-gray/black")
	line("set color_highlight=white/black")
	line("set menu_color_normal=white/blue")
	line("set menu_color_highlight=black/cyan")
	line("")
	// ramfs: a tmpfs of half the memory would not hold the rescue system where memory is scarce.
	args := strings.Join(append([]string{"mkcdrec.medium=" + o.ID, "rootfstype=ramfs"}, m.KernelArgs...), " ")
	serial := fmt.Sprintf("console=ttyS%d,%d", m.SerialUnit, m.speed())
	const harmless = "Starting the rescue system. No disk is changed by that."
	start := func(number int, title, says, extra string) {
		line("menuentry %s --hotkey=%d {", quote(fmt.Sprintf("%d  %s", number, title)), number)
		line("  echo %s", quote(says))
		line("  linux /boot/vmlinuz %s", strings.TrimSpace(args+" "+extra))
		line("  initrd /boot/initrd.img")
		line("}")
	}
	onSerial := fmt.Sprintf("The same on the serial console (ttyS%d, %d baud)", m.SerialUnit, m.speed())
	rescue := "Rescue system: restore " + o.Host + " from " + o.Made.UTC().Format("2006-01-02 15:04")
	if m.Partial {
		rescue = "Rescue system of " + o.Host + " (its backup has some files only), " + o.Made.UTC().Format("2006-01-02 15:04")
	}
	if m.Unattended {
		const auto, erases = "mkcdrec.auto=medium ", "Starting the unattended restore: it ERASES the disks that its answer file names."
		start(1, "UNATTENDED restore of "+o.Host+": erases disks, asks nothing", erases, auto+"console=tty0")
		start(2, onSerial, erases, auto+"console=tty0 "+serial)
	} else {
		start(1, rescue, harmless, "console=tty0")
		start(2, onSerial, harmless, "console=tty0 "+serial)
	}
	b.WriteString(hardDisk)
	start(4, "Check this medium", harmless, "console=tty0 mkcdrec.check")
	b.WriteString(memoryTest(memtestBIOS, memtestUEFI))
	if m.Unattended {
		start(6, rescue, harmless, "console=tty0")
		start(7, onSerial, harmless, "console=tty0 "+serial)
	}
	return b.String()
}

// hardDisk is entry 3. In BIOS the disk that the medium was started from is
// the first one, so the next is meant, and it must become the first: boot
// sectors expect that. In UEFI the loader of an installed system is looked
// for; where none is found, the firmware goes on with its next boot entry.
const hardDisk = `menuentry '3  Boot the hard disk' --hotkey=3 {
  if [ "$grub_platform" = pc ]; then
    set disk=hd0
    if regexp '^hd0' "$root"; then
      set disk=hd1
      drivemap -s (hd0) (hd1)
    fi
    set root=$disk
    chainloader ($disk)+1
  else
    for loader in (*)/EFI/*/shimx64.efi (*)/EFI/*/grubx64.efi (*)/EFI/systemd/systemd-bootx64.efi (*)/EFI/Microsoft/Boot/bootmgfw.efi; do
      if [ -f "$loader" ]; then
        if regexp '/[Ee][Ff][Ii]/[Bb][Oo][Oo][Tt]/' "$loader"; then
          true
        else
          echo "Starting $loader"
          chainloader "$loader"
          boot
        fi
      fi
    done
    echo 'No boot loader found on a disk; the firmware goes on with its next entry.'
    sleep 2
    exit
  fi
}
`

// memoryTest is entry 5, shown only where the medium has one for the firmware.
func memoryTest(bios, uefi bool) string {
	entry := "if [ \"$grub_platform\" = %s ]; then\n  menuentry '5  Memory test%s' --hotkey=5 {\n    linux /%s\n  }\nfi\n"
	s := ""
	if bios {
		s += fmt.Sprintf(entry, "pc", "", memtestBIOSName)
	}
	if uefi { // no distribution signs it
		s += fmt.Sprintf(entry, "efi", " (needs Secure Boot switched off)", memtestUEFIName)
	}
	return s
}
