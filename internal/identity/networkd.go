package identity

import (
	"errors"
	"fmt"
	"path"
	"slices"
	"strings"
)

// networkd rewrites a .network file of systemd-networkd, or a drop-in for one
// (systemd.network(5)): fixed addresses, gateways and routes go, DHCP or the
// given addresses come.
func networkd(f File, w wish) (result, error) {
	secs, err := sections(string(f.Content))
	if err != nil {
		return result{}, err
	}
	e := networkdEdit{wish: w, secs: secs}
	// A drop-in speaks of the same interface as the file it belongs to.
	e.l = link{key: path.Base(f.Name), wired: true}
	if dir := path.Dir(f.Name); strings.HasSuffix(dir, ".network.d") {
		e.l.key = strings.TrimSuffix(path.Base(dir), ".d")
	}
	e.l.name = e.l.key
	name := e.value("Match", "Name")
	if name != "" {
		e.l.name = name
	}
	e.l.wired = !strings.HasPrefix(name, "wl") && e.value("Match", "Type") != "wlan" && e.value("Match", "WLANInterfaceType") == ""
	e.pins()
	fixed := e.value("Network", "Address") != "" || e.value("Address", "Address") != ""
	dhcp := strings.ToLower(e.value("Network", "DHCP"))
	switch {
	case fixed && (yes(e.value("Network", "DHCPServer")) || tunnel(name)):
		e.warn("the fixed address of %s was not changed: it is no network card, or serves addresses to others", e.l.name)
	case fixed || dhcp != "" && !slices.Contains([]string{"no", "false", "off", "0", "n", "f", "none"}, dhcp):
		e.links = []link{e.l}
		e.addresses(fixed, dhcp)
	}
	if len(e.did) == 0 {
		e.out = f.Content
		return e.result, nil
	}
	var out []string
	for _, s := range e.secs {
		out = append(out, s.lines...)
	}
	e.out = []byte(strings.Join(out, "\n"))
	return e.result, nil
}

type networkdEdit struct {
	result
	wish wish
	secs []section
	l    link
}

// section is a group of an INI file; the lines before the first have no name.
type section struct {
	name  string
	lines []string // the header included
}

// sections takes an INI file apart; joined by newlines their lines are the
// file. Continued lines are not understood here.
func sections(content string) ([]section, error) {
	all := []section{{}}
	for n, line := range strings.Split(content, "\n") {
		t := strings.TrimSpace(line)
		comment := strings.HasPrefix(t, "#") || strings.HasPrefix(t, ";")
		switch {
		case !comment && strings.HasSuffix(t, "\\"):
			return nil, fmt.Errorf("line %d goes on in the next one", n+1)
		case strings.HasPrefix(t, "["):
			name, ok := strings.CutSuffix(t[1:], "]")
			if !ok {
				return nil, fmt.Errorf("line %d is not understood", n+1)
			}
			all = append(all, section{name: name})
		case t != "" && !comment && !strings.Contains(t, "="):
			return nil, fmt.Errorf("line %d is not understood", n+1)
		case t != "" && !comment && len(all) == 1:
			return nil, errors.New("it does not begin with a section")
		}
		s := &all[len(all)-1]
		s.lines = append(s.lines, line)
	}
	return all, nil
}

// setting is key and value of a line; a comment, a header or a blank has none.
func setting(line string) (key, value string) {
	t := strings.TrimSpace(line)
	if t == "" || strings.ContainsRune("#;[", rune(t[0])) {
		return "", ""
	}
	key, value, _ = strings.Cut(t, "=")
	return strings.TrimSpace(key), strings.TrimSpace(value)
}

// value is the last value of a key that is not empty.
func (e *networkdEdit) value(section, key string) (last string) {
	for _, s := range e.secs {
		for _, l := range s.lines {
			if k, v := setting(l); s.name == section && k == key && v != "" {
				last = v
			}
		}
	}
	return last
}

// drop takes lines out and says whether there were any.
func (e *networkdEdit) drop(section string, keys ...string) (found bool) {
	for i, s := range e.secs {
		if s.name == section {
			e.secs[i].lines = slices.DeleteFunc(s.lines, func(l string) bool {
				k, _ := setting(l)
				hit := k != "" && slices.Contains(keys, k)
				found = found || hit
				return hit
			})
		}
	}
	return found
}

// pins takes out what belongs to the original's cards, or is its own on the wire.
func (e *networkdEdit) pins() {
	if e.value("Link", "MACAddress") != "" && e.drop("Link", "MACAddress") {
		e.do("hardware address of %s taken out", e.l.name)
	}
	for _, key := range []string{"MACAddress", "PermanentMACAddress"} {
		macs := strings.Fields(e.value("Match", key))
		if len(macs) == 0 || !slices.ContainsFunc(macs, hardware.MatchString) || slices.ContainsFunc(macs, func(m string) bool { return !e.wish.stranger(m) }) {
			continue
		}
		if e.value("Match", "Name") == "" {
			e.warn("it is for the card %s, which is not here; it was left so", strings.Join(macs, " "))
			continue
		}
		e.drop("Match", key)
		e.do("%s not bound to the card %s any more", e.l.name, strings.Join(macs, " "))
	}
	for _, at := range [][2]string{{"Network", "IPv6Token"}, {"IPv6AcceptRA", "Token"}} {
		if strings.Contains(e.value(at[0], at[1]), "::") && e.drop(at[0], at[1]) {
			e.do("fixed end of the IPv6 address of %s taken out", e.l.name)
		}
	}
}

// addresses gives the interface what it gets.
func (e *networkdEdit) addresses(fixed bool, dhcp string) {
	p := e.wish.part(0, e.l.key)
	if !fixed && !p.wanted4 && !p.wanted6 {
		return // by DHCP already
	}
	var routes []string
	has4, has6 := e.families()
	e.secs = slices.DeleteFunc(e.secs, func(s section) bool {
		if s.name == "Route" || s.name == "RoutingPolicyRule" {
			to := ""
			for _, l := range s.lines {
				if k, v := setting(l); k == "Destination" || k == "From" || k == "To" {
					to = v
				}
			}
			if !defaultRoute(to) {
				routes = append(routes, to)
			}
		}
		return s.name == "Address" || s.name == "Route" || s.name == "RoutingPolicyRule"
	})
	e.drop("Network", "Address", "Gateway", "DHCP")
	var lines []string
	both := yes(dhcp) || dhcp == "both"
	by4, by6 := has4 || both || dhcp == "ipv4" || dhcp == "v4", has6 || both || dhcp == "ipv6" || dhcp == "v6"
	switch {
	case !p.wanted4 && !p.wanted6, by4 && by6 && !p.wanted4 && !p.wanted6:
		lines = append(lines, "DHCP=yes")
	case by4 && !p.wanted4:
		lines = append(lines, "DHCP=ipv4")
	case by6 && !p.wanted6:
		lines = append(lines, "DHCP=ipv6")
	}
	for _, a := range slices.Concat(p.v4, p.v6) {
		lines = append(lines, "Address="+a)
	}
	for _, g := range []string{p.gw4, p.gw6} {
		if g != "" {
			lines = append(lines, "Gateway="+g)
		}
	}
	e.insert(lines)
	e.lost(e.l, routes)
	switch {
	case len(p.v4)+len(p.v6) > 0:
		e.set(e.l, p)
		e.several(e.l, e.wish)
	case p.wanted4 || p.wanted6:
		e.do("addresses taken out: another file gives them to %s", e.l.name)
	default:
		e.byDHCP(e.l)
	}
}

// families says of which family the fixed addresses are.
func (e *networkdEdit) families() (has4, has6 bool) {
	for _, s := range e.secs {
		for _, l := range s.lines {
			if k, v := setting(l); k == "Address" && (s.name == "Network" || s.name == "Address") && v != "" {
				has4, has6 = has4 || !strings.Contains(v, ":"), has6 || strings.Contains(v, ":")
			}
		}
	}
	return has4, has6
}

// insert puts lines at the beginning of the first [Network], or makes one.
func (e *networkdEdit) insert(lines []string) {
	for i, s := range e.secs {
		if s.name == "Network" {
			e.secs[i].lines = slices.Insert(s.lines, 1, lines...)
			return
		}
	}
	e.secs = append(e.secs, section{name: "Network", lines: append([]string{"[Network]"}, append(lines, "")...)})
}

// yes reads a boolean of systemd or netplan.
func yes(s string) bool {
	return slices.Contains([]string{"yes", "true", "on", "1", "y", "t"}, strings.ToLower(s))
}
