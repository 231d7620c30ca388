package identity

import (
	"fmt"
	"path"
	"regexp"
	"slices"
	"strings"
)

// keyfile rewrites a connection profile of NetworkManager
// (nm-settings-keyfile(5)). The profile's UUID stays: it names the profile
// inside its machine, other profiles and rules refer to it, and what goes out
// to the network is derived from it only together with the machine-id and
// NetworkManager's secret key, which the clone gets anew.
func keyfile(f File, w wish) (result, error) {
	base := path.Base(f.Name)
	if strings.HasPrefix(base, ".") || strings.HasSuffix(base, "~") || strings.HasSuffix(base, ".nmmeta") {
		return result{out: f.Content}, nil // NetworkManager does not read it
	}
	e := keyfileEdit{wish: w}
	var err error
	if e.groups, err = groups(string(f.Content)); err != nil {
		return result{out: f.Content}, err
	}
	if e.group("connection") == nil {
		if strings.TrimSpace(string(f.Content)) == "" {
			return result{out: f.Content}, nil
		}
		return result{out: f.Content}, fmt.Errorf("it is no connection profile")
	}
	e.l = link{key: base, name: e.value("connection", "interface-name")}
	if e.l.name == "" {
		e.l.name = e.value("connection", "id")
	}
	e.connection()
	e.out = f.Content
	if len(e.did) > 0 {
		var out []string
		for _, g := range e.groups {
			out = append(out, g.lines...)
		}
		e.out = []byte(strings.Join(out, "\n"))
	}
	return e.result, nil
}

type keyfileEdit struct {
	result
	wish   wish
	groups []section
	l      link
}

// keyfileLinks are the types of connection that may have DHCP; true: wired.
var keyfileLinks = map[string]bool{
	"ethernet": true, "802-3-ethernet": true, "bond": true, "bridge": true, "team": true, "vlan": true, "infiniband": true,
	"wifi": false, "802-11-wireless": false,
}

// What of an [ipv4] or [ipv6] group goes with a fixed address.
var (
	keyfileAddress = regexp.MustCompile(`^address(es)?[0-9]*$`)
	keyfileRoute   = regexp.MustCompile(`^(routes?[0-9]*(_options)?|routing-rule[0-9]*)$`)
)

// groups takes a key file apart (GKeyFile); joined by newlines their lines are
// the file. A group that is there twice is not understood here.
func groups(content string) ([]section, error) {
	all := []section{{}}
	seen := map[string]bool{}
	for n, line := range strings.Split(content, "\n") {
		t := strings.TrimSpace(line)
		switch {
		case t == "" || strings.HasPrefix(t, "#"):
		case strings.HasPrefix(t, "["):
			name, ok := strings.CutSuffix(t[1:], "]")
			if !ok || seen[name] {
				return nil, fmt.Errorf("line %d is not understood", n+1)
			}
			seen[name] = true
			all = append(all, section{name: name})
		case !strings.Contains(t, "=") || len(all) == 1:
			return nil, fmt.Errorf("line %d is not understood", n+1)
		}
		g := &all[len(all)-1]
		g.lines = append(g.lines, line)
	}
	return all, nil
}

func (e *keyfileEdit) group(name string) *section {
	for i := range e.groups {
		if e.groups[i].name == name {
			return &e.groups[i]
		}
	}
	return nil
}

// entry is key and value of a line. Only "#" begins a comment here.
func entry(line string) (key, value string) {
	t := strings.TrimSpace(line)
	if t == "" || t[0] == '#' || t[0] == '[' {
		return "", ""
	}
	key, value, _ = strings.Cut(t, "=")
	return strings.TrimSpace(key), strings.TrimSpace(value)
}

// value is the last value of a key, as GKeyFile has it.
func (e *keyfileEdit) value(group, key string) (last string) {
	if g := e.group(group); g != nil {
		for _, l := range g.lines {
			if k, v := entry(l); k == key {
				last = v
			}
		}
	}
	return last
}

// drop takes out the entries for which out is true, and gives their values.
func (e *keyfileEdit) drop(group string, out func(key, value string) bool) (values []string) {
	if g := e.group(group); g != nil {
		g.lines = slices.DeleteFunc(g.lines, func(l string) bool {
			k, v := entry(l)
			hit := k != "" && out(k, v)
			if hit {
				values = append(values, v)
			}
			return hit
		})
	}
	return values
}

// connection rewrites the profile.
func (e *keyfileEdit) connection() {
	kind := e.value("connection", "type")
	if kind == "" && e.group("ethernet") != nil {
		kind = "ethernet"
	}
	e.pins()
	if kind == "wireguard" {
		e.warn("the tunnel %s has the original's key", e.l.name)
	}
	var known bool
	if e.l.wired, known = keyfileLinks[kind]; !known {
		for _, ip := range []string{"ipv4", "ipv6"} {
			if e.fixed(ip) && e.l.name != "lo" {
				e.warn("the fixed address of %s was not changed: it is no network card", e.l.name)
			}
		}
		return
	}
	if e.value("connection", "master")+e.value("connection", "controller") != "" {
		return // a port of a bond or bridge has no addresses
	}
	m4, m6 := e.method("ipv4"), e.method("ipv6")
	if m4 == "shared" || m6 == "shared" {
		if e.fixed("ipv4") || e.fixed("ipv6") {
			e.warn("the fixed address of %s was not changed: it serves addresses to others", e.l.name)
		}
		return
	}
	if m4 != "auto" && m4 != "manual" && m6 != "auto" && m6 != "manual" && m6 != "dhcp" {
		return
	}
	p := e.wish.part(0, e.l.key)
	e.links = []link{e.l}
	var routes []string
	dhcp := false
	for _, ip := range []struct {
		name, method, gateway string
		given                 []string
	}{{"ipv4", m4, p.gw4, p.v4}, {"ipv6", m6, p.gw6, p.v6}} {
		if len(ip.given) == 0 && !e.fixed(ip.name) {
			continue
		}
		dhcp = dhcp || len(ip.given) == 0
		routes = append(routes, e.family(ip.name, ip.method, ip.given, ip.gateway)...)
	}
	e.lost(e.l, routes)
	if len(p.v4)+len(p.v6) > 0 {
		e.set(e.l, p)
	} else if dhcp {
		e.byDHCP(e.l)
	}
}

// method is how a family gets its addresses; without a word about it, NetworkManager takes auto.
func (e *keyfileEdit) method(ip string) string {
	if m := e.value(ip, "method"); m != "" {
		return m
	}
	return "auto"
}

// fixed says whether a family has fixed addresses.
func (e *keyfileEdit) fixed(ip string) bool {
	if g := e.group(ip); g != nil {
		return slices.ContainsFunc(g.lines, func(l string) bool {
			k, v := entry(l)
			return keyfileAddress.MatchString(k) && v != "" || k == "method" && v == "manual"
		})
	}
	return false
}

// family gives one family the addresses, or DHCP, and says which routes it lost.
func (e *keyfileEdit) family(ip, method string, given []string, gateway string) (routes []string) {
	for _, r := range e.drop(ip, func(k, _ string) bool { return keyfileRoute.MatchString(k) }) {
		to, _, _ := strings.Cut(r, ",")
		if strings.Contains(to, "/") && !defaultRoute(to) {
			routes = append(routes, to)
		}
	}
	e.drop(ip, func(k, _ string) bool {
		// A gateway and never-default exclude each other.
		return keyfileAddress.MatchString(k) || k == "gateway" || k == "method" || k == "never-default" && gateway != ""
	})
	if e.group(ip) == nil {
		// Each group ends in a blank line, the file in a newline.
		e.groups = append(e.groups, section{name: ip, lines: []string{"[" + ip + "]", ""}})
	}
	var lines []string
	switch {
	case len(given) > 0:
		for i, a := range given {
			if i == 0 && gateway != "" {
				a += "," + gateway
			}
			lines = append(lines, fmt.Sprintf("address%d=%s", i+1, a))
		}
		lines = append(lines, "method=manual")
	case method == "manual":
		lines = []string{"method=auto"}
	default:
		lines = []string{"method=" + method}
	}
	g := e.group(ip)
	g.lines = slices.Insert(g.lines, 1, lines...)
	return routes
}

// words that NetworkManager takes in place of an address or identifier: none
// of them is the original's own.
var keyfileWords = []string{"preserve", "permanent", "random", "stable", "stable-ssid", "mac", "perm-mac", "duid", "ipv6-duid", "none",
	"lease", "ll", "llt", "stable-ll", "stable-llt", "stable-uuid", "ifname"}

// pins takes out what belongs to the original's card, or is its own on the wire.
func (e *keyfileEdit) pins() {
	for _, g := range []string{"ethernet", "802-3-ethernet", "wifi", "802-11-wireless", "infiniband"} {
		if len(e.drop(g, func(k, v string) bool { return k == "cloned-mac-address" && !slices.Contains(keyfileWords, v) })) > 0 {
			e.do("hardware address of %s taken out", e.l.name)
		}
		for _, mac := range e.drop(g, func(k, v string) bool { return k == "mac-address" && e.wish.stranger(v) }) {
			e.do("%s not bound to the card %s any more", e.l.name, mac)
			if e.value("connection", "interface-name") == "" {
				e.warn("%s was for the card %s, which is not here, and is now for any", e.l.name, mac)
			}
		}
	}
	if len(e.drop("bridge", func(k, _ string) bool { return k == "mac-address" })) > 0 {
		e.do("hardware address of %s taken out", e.l.name)
	}
	for _, ip := range []string{"ipv4", "ipv6"} {
		if len(e.drop(ip, func(k, v string) bool {
			return (k == "dhcp-client-id" || k == "dhcp-duid" || k == "dhcp-iaid") && !slices.Contains(keyfileWords, v) || k == "token"
		})) > 0 {
			e.do("DHCP identifier or fixed end of the address of %s taken out", e.l.name)
		}
	}
}
