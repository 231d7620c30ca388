package rescueinit

import (
	"fmt"
	"net/netip"
	"strings"
)

// Then is what follows an unattended run that succeeded.
type Then string

// What may follow an unattended run. After a failure there is always a shell.
const (
	ThenReboot   Then = "reboot"
	ThenPoweroff Then = "poweroff"
	ThenShell    Then = "shell" // the default: a restart could start the same medium, and the same restore, again
)

// Options are what the kernel command line asks of the rescue system.
type Options struct {
	Auto   string // answer file of an unattended restore: "medium", or a path; "": none
	Then   Then   // "": as the answer file says, else shell
	Medium string // ID of the medium that was booted; "": as built in
	Check  bool   // verify the medium and show the verdict
	NoNet  bool   // leave the network alone
	DHCP   bool   // ask DHCP whatever was recorded
	IP     *StaticIP
	Debug  bool
	// Problems are arguments that were not understood, as sentences.
	Problems []string
}

// StaticIP is one address given on the kernel command line.
type StaticIP struct {
	Address netip.Prefix
	Via     netip.Addr   // zero: no default route
	DNS     []netip.Addr // may be empty
	Dev     string       // name or MAC; "": the first interface with carrier
}

// ParseCommandLine reads /proc/cmdline. Words that are not ours are the
// kernel's and are passed over; ours that make no sense become Problems,
// because a rescue system has to start nevertheless.
func ParseCommandLine(line string) Options {
	var o Options
	for _, word := range splitWords(line) {
		key, value, _ := strings.Cut(word, "=")
		switch key {
		case "mkcdrec.auto":
			if value == "" {
				o.problem("mkcdrec.auto= names no answer file: no unattended run")
				continue
			}
			o.Auto = value
		case "mkcdrec.then":
			switch t := Then(value); t {
			case ThenReboot, ThenPoweroff, ThenShell:
				o.Then = t
			default:
				o.problem("mkcdrec.then=%s is none of reboot, poweroff, shell: shell it is", value)
				o.Then = ThenShell
			}
		case "mkcdrec.medium":
			o.Medium = value
		case "mkcdrec.check":
			o.Check = value != "0"
		case "mkcdrec.nonet":
			o.NoNet = value != "0"
		case "mkcdrec.debug":
			o.Debug = value != "0"
		case "ip":
			// The kernel's own ip= has many forms; dhcp is the one in common use.
			if value == "dhcp" || value == "on" || value == "any" {
				o.DHCP = true
			}
		case "mkcdrec.ip":
			if value == "dhcp" {
				o.DHCP = true
				continue
			}
			ip, err := parseStaticIP(value)
			if err != nil {
				o.problem("%v", err)
				continue
			}
			o.IP = &ip
		default:
			if strings.HasPrefix(key, "mkcdrec.") {
				o.problem("kernel argument %s is not known", key)
			}
		}
	}
	return o
}

func (o *Options) problem(format string, args ...any) {
	o.Problems = append(o.Problems, fmt.Sprintf(format, args...))
}

// parseStaticIP reads ADDRESS/PREFIX[,via=GATEWAY][,dns=ADDRESS]...[,dev=NAME|MAC].
func parseStaticIP(s string) (StaticIP, error) {
	parts := strings.Split(s, ",")
	var ip StaticIP
	var err error
	if ip.Address, err = netip.ParsePrefix(parts[0]); err != nil {
		return ip, fmt.Errorf("mkcdrec.ip=%s does not begin with ADDRESS/PREFIX such as 192.0.2.5/24", s)
	}
	for _, p := range parts[1:] {
		k, v, _ := strings.Cut(p, "=")
		switch k {
		case "via":
			ip.Via, err = netip.ParseAddr(v)
		case "dns":
			var a netip.Addr
			a, err = netip.ParseAddr(v)
			ip.DNS = append(ip.DNS, a)
		case "dev":
			ip.Dev = v
		default:
			err = fmt.Errorf("only via=, dns= and dev= may follow")
		}
		if err != nil {
			return ip, fmt.Errorf("mkcdrec.ip=%s: cannot understand %q: %v", s, p, err)
		}
	}
	return ip, nil
}

// splitWords splits at blanks outside of double quotes, as the kernel does.
func splitWords(line string) []string {
	var words []string
	var word strings.Builder
	quoted, any := false, false
	for _, r := range line {
		switch {
		case r == '"':
			quoted, any = !quoted, true
		case !quoted && (r == ' ' || r == '\t' || r == '\n'):
			if any {
				words = append(words, word.String())
			}
			word.Reset()
			any = false
		default:
			word.WriteRune(r)
			any = true
		}
	}
	if any {
		words = append(words, word.String())
	}
	return words
}
