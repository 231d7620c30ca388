package identity

import (
	"regexp"
	"strings"
)

// Hosts replaces a host name in /etc/hosts, also as the first label of a full name.
func Hosts(content []byte, was, now string) []byte {
	if was == "" || was == now {
		return content
	}
	name := regexp.MustCompile(`(^|[ \t])` + regexp.QuoteMeta(was) + `($|[ \t.])`)
	lines := strings.Split(string(content), "\n")
	for i, l := range lines {
		text, comment, has := strings.Cut(l, "#")
		// Two names side by side share the blank between them: replace twice.
		text = name.ReplaceAllString(name.ReplaceAllString(text, "${1}"+now+"${2}"), "${1}"+now+"${2}")
		if has {
			text += "#" + comment
		}
		lines[i] = text
	}
	return []byte(strings.Join(lines, "\n"))
}

// ValidHostname says whether a name can be a host name (hostname(7)): labels
// of letters, digits and inner hyphens, 64 bytes at most (Linux).
func ValidHostname(s string) bool {
	if s == "" || len(s) > 64 {
		return false
	}
	for label := range strings.SplitSeq(s, ".") {
		if label == "" || len(label) > 63 || label[0] == '-' || label[len(label)-1] == '-' {
			return false
		}
		for _, c := range label {
			if (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') && (c < '0' || c > '9') && c != '-' {
				return false
			}
		}
	}
	return true
}

// Address is how the first interface of a clone gets its address; the zero
// value is DHCP.
type Address struct {
	CIDR    []string
	Gateway string
}

// Interfaces rewrites /etc/network/interfaces (interfaces(5)): the stanzas
// with fixed addresses become DHCP, or the given addresses on the first of
// them. changed is false where there was no such stanza.
func Interfaces(content []byte, a Address) (out []byte, changed bool) {
	var w []string
	skip, given := false, false
	for line := range strings.SplitSeq(string(content), "\n") {
		f := strings.Fields(line)
		starts := len(f) > 0 && (f[0] == "iface" || f[0] == "auto" || f[0] == "mapping" || f[0] == "source" || f[0] == "source-directory" || strings.HasPrefix(f[0], "allow-"))
		if starts {
			skip = false
		}
		if len(f) >= 4 && f[0] == "iface" && f[1] != "lo" && (f[3] == "static" || f[3] == "dhcp" && len(a.CIDR) > 0) {
			skip, changed = true, true
			inet6 := f[2] == "inet6"
			addr := ""
			if !given {
				addr = pick(a.CIDR, inet6)
			}
			switch {
			case addr != "":
				given = true
				w = append(w, "iface "+f[1]+" "+f[2]+" static", "\taddress "+addr)
				if g := pick([]string{a.Gateway}, inet6); g != "" {
					w = append(w, "\tgateway "+g)
				}
			case inet6:
				w = append(w, "iface "+f[1]+" inet6 auto")
			default:
				w = append(w, "iface "+f[1]+" inet dhcp")
			}
			continue
		}
		if skip && len(f) > 0 && !strings.HasPrefix(f[0], "#") {
			continue
		}
		w = append(w, line)
	}
	return []byte(strings.Join(w, "\n")), changed
}

// pick is the first address of the wanted family, told by its colons.
func pick(addresses []string, inet6 bool) string {
	for _, s := range addresses {
		if s != "" && strings.Contains(s, ":") == inet6 {
			return s
		}
	}
	return ""
}

// Networkd rewrites a .network file of systemd-networkd (systemd.network(5)):
// fixed addresses and gateways go, DHCP or the given ones come.
func Networkd(content []byte, a Address) (out []byte, changed bool) {
	s := string(content)
	if !regexp.MustCompile(`(?mi)^\s*Address\s*=`).MatchString(s) && len(a.CIDR) == 0 {
		return content, false
	}
	section := ""
	var w []string
	for line := range strings.SplitSeq(s, "\n") {
		t := strings.TrimSpace(line)
		if strings.HasPrefix(t, "[") {
			section = t
			if section == "[Address]" || section == "[Route]" {
				continue
			}
			w = append(w, line)
			if section == "[Network]" {
				changed = true
				if len(a.CIDR) == 0 {
					w = append(w, "DHCP=yes")
				}
				for _, c := range a.CIDR {
					w = append(w, "Address="+c)
				}
				if a.Gateway != "" {
					w = append(w, "Gateway="+a.Gateway)
				}
			}
			continue
		}
		key, _, _ := strings.Cut(t, "=")
		key = strings.TrimSpace(key)
		if section == "[Address]" || section == "[Route]" || section == "[Network]" && (key == "Address" || key == "Gateway" || key == "DHCP") {
			continue
		}
		w = append(w, line)
	}
	return []byte(strings.Join(w, "\n")), changed
}
