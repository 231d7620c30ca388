package rescueinit

import (
	"fmt"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/mkcdrec/mkcdrec/internal/machine"
	"github.com/mkcdrec/mkcdrec/internal/rescue"
)

// status is what the rescue system has found out so far; the banner shows it.
type status struct {
	Identity    rescue.Identity
	IdentityErr string
	Medium      string // "MKCDREC_1A2B3C4D on /dev/sr0"; "" not found
	MediumNote  string // why not
	Backup      bool   // there is one on the medium
	Disks       []string
	Network     []string // one line an interface
	SSH         string   // "ssh root@192.0.2.5"; "" no sshd
	HostKey     string   // SHA256:...
	SSHNote     string
	MemTotal    machine.Bytes
	MemFree     machine.Bytes
	Problems    []string
	Now         time.Time
}

// bannerWidth is the width of a VGA text console and of a vt220.
const bannerWidth = 80

// paint holds the escape sequences of a banner.
type paint struct {
	rule, clear                      string
	frame, title, key, cmd, bad, off string
}

func paintFor(name string) paint {
	p := paint{rule: "-", frame: "\x1b[36m", title: "\x1b[1;37m", key: "\x1b[36m", cmd: "\x1b[1;32m", bad: "\x1b[1;33m", off: "\x1b[0m"}
	if isVirtual(name) {
		// What the firmware left on the screen is of no use any more.
		p.clear = "\x1b[H\x1b[2J"
		p.rule = "─" // the kernel's built-in fonts have it; who knows what a serial terminal has
	}
	return p
}

// banner is what a console shows above its first prompt: at most 22 lines of
// 80 columns when nothing is wrong, so that it fits a VGA console.
func banner(s status, p paint, loc *time.Location) string {
	var b strings.Builder
	rule := p.frame + strings.Repeat(p.rule, bannerWidth-1) + p.off + "\n"
	id := s.Identity
	host := id.Host
	if host == "" {
		host = "an unnamed machine"
	}
	b.WriteString(p.clear + rule)
	left := "mkcdrec rescue system of " + host
	right := ""
	if !id.Made.IsZero() {
		right = "made " + id.Made.In(loc).Format("2 Jan 2006, 15:04 MST")
	}
	gap := max(1, bannerWidth-3-utf8.RuneCountInString(left)-utf8.RuneCountInString(right))
	fmt.Fprintf(&b, " %s%s%s%s%s\n", p.title, left, p.off, strings.Repeat(" ", gap), right)
	b.WriteString(rule)

	row := func(key, text string) {
		for i, l := range wrap(text, bannerWidth-12) {
			if i > 0 {
				key = ""
			}
			fmt.Fprintf(&b, " %s%-9s%s %s\n", p.key, key, p.off, l)
		}
	}
	if s.IdentityErr != "" {
		row("Warning", p.bad+s.IdentityErr+p.off)
	}
	for _, t := range s.Problems {
		row("Warning", p.bad+t+p.off)
	}
	if id.OS != "" {
		row("System", id.OS+age(id.Made, s.Now))
	}
	switch {
	case s.Medium == "":
		row("Medium", s.MediumNote)
	case len(id.Only) > 0:
		row("Medium", s.Medium+"; the backup "+at(id.BackupURL)+"has only "+strings.Join(id.Only, ", "))
	case s.Backup:
		row("Medium", s.Medium+", with the backup")
	case id.BackupURL != "":
		row("Medium", s.Medium+"; the backup is at "+id.BackupURL)
	default:
		row("Medium", s.Medium+", no backup on it")
	}
	row("Disks", "no disk has been touched"+diskList(s.Disks))
	if len(s.Network) == 0 {
		row("Network", "none yet")
	}
	for i, n := range s.Network {
		key := "Network"
		if i > 0 {
			key = ""
		}
		row(key, n)
	}
	switch {
	case s.SSH != "":
		row("Remote", s.SSH+" (keys only), host key:")
		row("", s.HostKey)
	case s.SSHNote != "":
		row("Remote", "ssh "+s.SSHNote)
	}
	if s.MemTotal > 0 {
		row("Memory", fmt.Sprintf("%s, %s free", size(s.MemTotal), size(s.MemFree)))
	}
	if id.Settings.ConsoleLogin {
		row("Console", "asks for root's password, as set in the settings (console_login)")
	} else {
		row("Console", "root shell, no password: booting this medium is access enough")
	}
	b.WriteString("\n")
	typ := "Type"
	back := [2]string{"mkcdrec restore", "bring the machine back: shows the plan, asks first"}
	if len(id.Only) > 0 {
		back = [2]string{"mkcdrec extract", "take files out; the machine cannot be brought back"}
	}
	for _, c := range [][2]string{
		back,
		{"mkcdrec verify", "read the backup and check every byte"},
		{"mkcdrec layout", "disks, volumes and file systems of this machine"},
		{"mkcdrec help", "everything else;  poweroff, reboot: leave"},
	} {
		fmt.Fprintf(&b, " %s%-9s%s %s%-16s%s %s\n", p.key, typ, p.off, p.cmd, c[0], p.off, c[1])
		typ = ""
	}
	b.WriteString("\n")
	return b.String()
}

// at is the place of a backup that is not on the medium.
func at(url string) string {
	if url == "" {
		return ""
	}
	return "at " + url + " "
}

// age is how long ago the medium was made, where the clock allows to say so.
func age(made, now time.Time) string {
	if made.IsZero() || now.Before(made) {
		return ""
	}
	switch days := int(now.Sub(made).Hours() / 24); days {
	case 0:
		return ", recorded today"
	case 1:
		return ", recorded yesterday"
	default:
		return fmt.Sprintf(", recorded %d days ago", days)
	}
}

func diskList(disks []string) string {
	if len(disks) == 0 {
		return "; no disk found yet"
	}
	const shown = 4
	text := strings.Join(disks[:min(shown, len(disks))], ", ")
	if len(disks) > shown {
		text += fmt.Sprintf(" and %d more", len(disks)-shown)
	}
	return " (" + text + ")"
}

// size writes a size in the binary units that memory and free -h use.
func size(b machine.Bytes) string {
	switch {
	case b >= 10<<30:
		return fmt.Sprintf("%d GiB", b>>30)
	case b >= 1<<30:
		return fmt.Sprintf("%.1f GiB", float64(b)/(1<<30))
	}
	return fmt.Sprintf("%d MiB", b>>20)
}

// diskSize writes a size in the decimal units printed on disks.
func diskSize(b machine.Bytes) string {
	switch {
	case b >= 1e12:
		return fmt.Sprintf("%.1f TB", float64(b)/1e12)
	case b >= 1e9:
		return fmt.Sprintf("%d GB", (b+5e8)/1e9)
	}
	return fmt.Sprintf("%d MB", (b+5e5)/1e6)
}

// wrap breaks text at blanks into lines of at most width characters.
func wrap(text string, width int) []string {
	var lines []string
	var line string
	for _, w := range strings.Fields(text) {
		if line != "" && utf8.RuneCountInString(line)+1+utf8.RuneCountInString(w) > width {
			lines = append(lines, line)
			line = ""
		}
		if line != "" {
			line += " "
		}
		line += w
	}
	return append(lines, line)
}
