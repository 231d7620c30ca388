package identity

import (
	"errors"
	"net/netip"
	"regexp"
	"slices"
	"strings"
)

// stanza is an iface stanza of interfaces(5) with the lines below it, or a
// stretch of the file without one (head is nil).
type stanza struct {
	head  []string // fields of the iface line
	lines []string // logical lines, that one included
}

// ifupdownKeywords begin a stanza of their own (interfaces(5)).
var ifupdownKeywords = []string{"iface", "auto", "mapping", "rename", "source", "source-directory", "no-auto-down", "no-scripts", "template"}

// fixedOptions belong to a fixed address and are nothing without it.
var fixedOptions = []string{"address", "netmask", "broadcast", "gateway", "network", "pointopoint", "scope", "preferred-lifetime", "accept_ra", "autoconf"}

// ownOptions tell machines apart on the network: hardware address, DHCP client.
var ownOptions = []string{"hwaddress", "hwaddr", "client", "clientid"}

// backslashBlank is a backslash before blanks at the end of a line.
var backslashBlank = regexp.MustCompile(`(?m)\\[ \t\r\v\f]+$`)

var ifupdownHooks = []string{"pre-up", "up", "post-up", "down", "pre-down", "post-down"}

// ifupdown rewrites /etc/network/interfaces (interfaces(5)). Everything that
// does not belong to an address stays: bridges, bonds, VLANs, name servers.
func ifupdown(f File, w wish) (result, error) {
	e := ifupdownEdit{wish: w, link: map[string]int{}, done: map[string]bool{}, has: map[string]bool{}}
	if strings.HasSuffix(strings.TrimRight(string(f.Content), "\n"), "\\") || backslashBlank.Match(f.Content) {
		return result{}, errors.New("it has a backslash that may or may not join two lines")
	}
	all := stanzas(string(f.Content))
	for _, s := range all {
		if s.addressed() {
			e.has[s.head[1]+" "+s.head[2]] = true
		}
	}
	var out []string
	for _, s := range all {
		out = append(out, e.stanza(s)...)
	}
	e.out = []byte(strings.Join(out, "\n"))
	return e.result, nil
}

type ifupdownEdit struct {
	result
	wish wish
	link map[string]int  // interface -> its number in result.links
	has  map[string]bool // "ens3 inet": there is a stanza that gives it addresses
	done map[string]bool // the same, once it was seen
}

// stanzas takes a file apart; joined by newlines their lines are the file.
func stanzas(content string) []stanza {
	var all []stanza
	cur := stanza{}
	lines := strings.Split(content, "\n")
	for i := 0; i < len(lines); i++ {
		line := lines[i]
		comment := strings.HasPrefix(strings.TrimSpace(line), "#")
		// A backslash at the end joins the next line, except to a comment.
		for !comment && strings.HasSuffix(line, "\\") && i+1 < len(lines) {
			i++
			line += "\n" + lines[i]
		}
		f := fields(line)
		if len(f) > 0 && (slices.Contains(ifupdownKeywords, f[0]) || strings.HasPrefix(f[0], "allow-")) {
			if len(cur.lines) > 0 {
				all = append(all, cur)
			}
			cur = stanza{}
			if f[0] == "iface" {
				cur.head = f
			}
		}
		cur.lines = append(cur.lines, line)
	}
	return append(all, cur)
}

// fields are the words of a logical line; a comment has none.
func fields(line string) []string {
	if strings.HasPrefix(strings.TrimSpace(line), "#") {
		return nil
	}
	return strings.Fields(strings.ReplaceAll(line, "\\\n", " "))
}

func (s stanza) options() map[string][]string {
	out := map[string][]string{}
	if len(s.head) == 0 {
		return out
	}
	for _, l := range s.lines[1:] {
		if f := fields(l); len(f) > 0 {
			out[f[0]] = append(out[f[0]], strings.Join(f[1:], " "))
		}
	}
	return out
}

// addressed says whether the stanza gives addresses to an interface that
// could as well have others.
func (s stanza) addressed() bool {
	if len(s.head) < 4 || strings.Contains(s.head[1], ":") || tunnel(s.head[1]) {
		return false
	}
	switch s.head[2] + " " + s.head[3] {
	case "inet static", "inet dhcp", "inet6 static", "inet6 dhcp", "inet6 auto":
		return true
	}
	return false
}

// stanza rewrites one.
func (e *ifupdownEdit) stanza(s stanza) []string {
	e.look(s)
	if len(s.head) < 4 || s.head[1] == "lo" {
		return s.lines
	}
	name, family, method := s.head[1], s.head[2], s.head[3]
	static := method == "static" && (family == "inet" || family == "inet6")
	switch {
	case s.addressed():
		return e.addressed(s)
	case static && strings.Contains(name, ":"):
		// An alias is nothing but one more address.
		e.do("the alias %s has no address any more", name)
		return e.rewrite(s, "manual", nil, "")
	case static, len(s.options()["address"]) > 0, len(s.options()["local"]) > 0:
		e.warn("%s has a fixed address of its own and was not changed: it is no network card", name)
	}
	return e.rewrite(s, method, nil, "")
}

// addressed rewrites a stanza that gives addresses to an interface.
func (e *ifupdownEdit) addressed(s stanza) []string {
	name, family, method := s.head[1], s.head[2], s.head[3]
	o := s.options()
	i, known := e.link[name]
	if !known {
		i = len(e.links)
		wireless := strings.HasPrefix(name, "wl") || len(o["wpa-ssid"])+len(o["wpa-conf"])+len(o["wireless-essid"]) > 0
		e.links = append(e.links, link{key: name, name: name, wired: !wireless})
		e.link[name] = i
	}
	p := e.wish.part(i, name)
	given, gateway, taken, dhcp := p.v4, p.gw4, p.no4, "dhcp"
	if family == "inet6" {
		given, gateway, taken, dhcp = p.v6, p.gw6, p.no6, "auto"
	}
	again := e.done[name+" "+family]
	e.done[name+" "+family] = true
	var more []string // stanzas that follow: one for each further address
	if !known {
		// What is given for a family that the file has no stanza of goes behind the first one.
		if !e.has[name+" inet"] {
			more = append(more, extra(name, "inet", p.v4, p.gw4)...)
		}
		if !e.has[name+" inet6"] {
			more = append(more, extra(name, "inet6", p.v6, p.gw6)...)
		}
		if len(p.v4)+len(p.v6) > 0 {
			e.set(e.links[i], p)
		}
	}
	switch {
	case !again && len(given) > 0:
		more = append(extra(name, family, given[1:], ""), more...)
		return insert(e.rewrite(s, "static", given[:1], gateway), more)
	case taken, again && (len(given) > 0 || method == "static"):
		// Another stanza or file gives the addresses; this one keeps its other options.
		e.do("further addresses of %s taken out", name)
		return e.rewrite(s, "manual", nil, "")
	case method == "static":
		e.byDHCP(e.links[i])
		return insert(e.rewrite(s, dhcp, nil, ""), more)
	}
	return insert(e.rewrite(s, method, nil, ""), more)
}

// look warns of what is in a stanza and is not looked into.
func (e *ifupdownEdit) look(s stanza) {
	for _, l := range s.lines {
		f := fields(l)
		switch {
		case len(f) < 2:
		case f[0] == "source" || f[0] == "source-directory":
			for _, p := range f[1:] {
				if !strings.HasPrefix(strings.TrimPrefix(p, "/etc/network/"), "interfaces.d") && !strings.HasPrefix(p, "/run/") {
					e.warn("it takes in %s, which was not looked into: check it for fixed addresses", p)
				}
			}
		case len(s.head) > 1 && slices.Contains(ifupdownHooks, f[0]) && slices.ContainsFunc(f[1:], address):
			e.warn("a command of %s names an address and was not changed: %s", s.head[1], strings.Join(f, " "))
		case len(s.head) > 1 && len(s.head) < 4 && f[0] == "address" && s.head[1] != "lo":
			e.warn("%s has a fixed address in a form that only some versions of ifupdown know; it was not changed", s.head[1])
		}
	}
}

// address says whether a word is an address of a machine, with or without its
// prefix length.
func address(word string) bool {
	word, _, _ = strings.Cut(word, "/")
	a, err := netip.ParseAddr(word)
	return err == nil && !a.IsUnspecified() && !a.IsLoopback()
}

// rewrite writes a stanza with another method and addresses. With the method it
// has, only what tells machines apart goes.
func (e *ifupdownEdit) rewrite(s stanza, method string, addresses []string, gateway string) []string {
	fixed := len(addresses) > 0 || s.head[3] == "static" && method != "static"
	var kept []string
	for _, l := range s.lines[1:] {
		f := fields(l)
		switch {
		case len(f) > 0 && fixed && slices.Contains(fixedOptions, f[0]):
		case len(f) > 1 && slices.Contains(ownOptions, f[0]) && f[len(f)-1] != "random" && f[1] != "no":
			e.do("%s of %s taken out", f[0], s.head[1])
		default:
			kept = append(kept, l)
		}
	}
	if method == "manual" && fixed && !slices.ContainsFunc(kept, func(l string) bool { return len(fields(l)) > 0 }) && e.done[s.head[1]+" "+s.head[2]] {
		return kept // nothing of it is left, and another stanza has the interface
	}
	head := s.lines[0]
	if method != s.head[3] {
		head = strings.Join(append([]string{"iface", s.head[1], s.head[2], method}, s.head[4:]...), " ")
	}
	out := []string{head}
	for _, a := range addresses {
		out = append(out, "\taddress "+a)
	}
	if gateway != "" {
		out = append(out, "\tgateway "+gateway)
	}
	return append(out, kept...)
}

// extra are further stanzas of an interface, one for each address.
func extra(name, family string, addresses []string, gateway string) []string {
	var out []string
	for i, a := range addresses {
		out = append(out, "iface "+name+" "+family+" static", "\taddress "+a)
		if gateway != "" && i == 0 {
			out = append(out, "\tgateway "+gateway)
		}
	}
	return out
}

// insert puts lines behind a stanza's last option, before the blank lines and
// comments that lead to the next one.
func insert(lines, more []string) []string {
	if len(more) == 0 {
		return lines
	}
	end := len(lines)
	for end > 1 && len(fields(lines[end-1])) == 0 {
		end--
	}
	return slices.Insert(slices.Clone(lines), end, more...)
}
