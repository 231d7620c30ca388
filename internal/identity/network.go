package identity

import (
	"fmt"
	"net/netip"
	"path"
	"regexp"
	"slices"
	"strings"
)

// Address is how the first interface of a clone gets its addresses; the zero
// value is DHCP.
type Address struct {
	CIDR    []string
	Gateway string
}

// Wish is what the network of a clone is to be.
type Wish struct {
	Address
	// Cards are the hardware addresses of the network cards here. A
	// configuration that is bound to one of them stays so.
	Cards []string
}

// File is a configuration file of the restored system, by its path relative to
// the root.
type File struct {
	Name    string
	Content []byte
}

// Edit is a file with its new content, and what was done for people to read.
type Edit struct {
	File
	What string
}

// NetworkPatterns are the files that Network wants to see, as path.Match
// patterns.
func NetworkPatterns() []string {
	var all []string
	for _, s := range systems {
		all = append(all, s.patterns...)
	}
	for _, o := range others {
		all = append(all, o.pattern)
	}
	return all
}

// systems are the programs whose configuration can be rewritten, in the order
// in which the first interface is looked for.
var systems = []struct {
	name     string
	patterns []string
	rewrite  func(File, wish) (result, error)
}{
	{"ifupdown", []string{"etc/network/interfaces", "etc/network/interfaces.d/*"}, ifupdown},
	{"systemd-networkd", []string{"etc/systemd/network/*.network", "etc/systemd/network/*.network.d/*.conf"}, networkd},
	{"netplan", []string{"etc/netplan/*.yaml"}, netplan},
	{"NetworkManager", []string{"etc/NetworkManager/system-connections/*"}, keyfile},
}

// others are files of which is only known how a fixed address in them looks.
var others = []struct {
	pattern string
	fixed   *regexp.Regexp
}{
	{"etc/sysconfig/network-scripts/ifcfg-*", regexp.MustCompile(`(?m)^\s*(IPADDR|IPV6ADDR)\w*=`)},
	{"etc/sysconfig/network/ifcfg-*", regexp.MustCompile(`(?m)^\s*IPADDR\w*=.*[0-9a-fA-F]`)},
	{"etc/dhcpcd.conf", regexp.MustCompile(`(?m)^\s*static\s+ip6?_address=`)},
	{"etc/cloud/cloud.cfg.d/*.cfg", regexp.MustCompile(`(?m)^[^#\n]*\baddress(es)?["']?\s*:`)},
}

// link is one interface, or one profile for it, that a file gives addresses to.
type link struct {
	key   string // what several files of one system call it
	name  string // what people call it
	wired bool   // the given address rather goes here than to wireless
}

// wish is what one file is to become.
type wish struct {
	Wish
	at   int    // which of the file's links gets the given addresses; -1: none
	same string // key of the link that gets them in another file of this system
}

// part is what one link gets.
type part struct {
	v4, v6  []string // addresses in CIDR
	gw4     string
	gw6     string
	no4     bool // another file gives it addresses of this family
	no6     bool
	wanted4 bool // v4 are given, here or in another file
	wanted6 bool
}

// part says what link i of a file gets.
func (w wish) part(i int, key string) part {
	if i != w.at && (w.same == "" || key != w.same) {
		return part{}
	}
	var p part
	for _, c := range w.CIDR {
		if strings.Contains(c, ":") {
			p.v6 = append(p.v6, c)
		} else {
			p.v4 = append(p.v4, c)
		}
	}
	p.wanted4, p.wanted6 = len(p.v4) > 0, len(p.v6) > 0
	if strings.Contains(w.Gateway, ":") {
		p.gw6 = w.Gateway
	} else {
		p.gw4 = w.Gateway
	}
	if i != w.at {
		return part{no4: p.wanted4, no6: p.wanted6, wanted4: p.wanted4, wanted6: p.wanted6}
	}
	return p
}

// stranger says whether a hardware address belongs to no card here.
func (w wish) stranger(mac string) bool {
	return !slices.ContainsFunc(w.Cards, func(c string) bool { return sameMAC(c, mac) })
}

func sameMAC(a, b string) bool {
	norm := func(s string) string { return strings.ReplaceAll(strings.ToLower(strings.TrimSpace(s)), "-", ":") }
	return norm(a) == norm(b)
}

// hardware matches an Ethernet address, and nothing that is a word.
var hardware = regexp.MustCompile(`^(?i:[0-9a-f]{1,2}([:-][0-9a-f]{1,2}){5,19})$`)

// result is one rewritten file.
type result struct {
	out      []byte
	links    []link
	did      []string // what was changed
	warnings []string // what was left, or lost
}

func (r *result) do(format string, args ...any) {
	if s := fmt.Sprintf(format, args...); !slices.Contains(r.did, s) {
		r.did = append(r.did, s)
	}
}

func (r *result) warn(format string, args ...any) {
	if s := fmt.Sprintf(format, args...); !slices.Contains(r.warnings, s) {
		r.warnings = append(r.warnings, s)
	}
}

// byDHCP and set are what is said of links whose addresses changed.
func (r *result) byDHCP(l link) { r.do("addresses of %s by DHCP", l.name) }

func (r *result) set(l link, p part) {
	r.do("address %s on %s", strings.Join(slices.Concat(p.v4, p.v6), ", "), l.name)
}

// lost warns of what a fixed configuration had beside its addresses.
func (r *result) lost(l link, routes []string) {
	if len(routes) > 0 {
		r.warn("the routes of %s were taken out with its fixed addresses (%s): set them again where the clone needs them", l.name, strings.Join(routes, ", "))
	}
}

// several warns where one configuration is for every card of a kind of name.
func (r *result) several(l link, w wish) {
	if strings.ContainsAny(l.name, "*?[") && len(w.Cards) > 1 {
		r.warn("the address is set for every interface that is called %s, and there are %d network cards here: name one", l.name, len(w.Cards))
	}
}

// tunnel says of an interface's name that it is no card and nothing on one:
// there is no DHCP behind it.
func tunnel(name string) bool {
	return regexp.MustCompile(`^(wg|tun|tap|dummy|gre|sit|ipip|vti|lo)[0-9-]*$`).MatchString(name)
}

// defaultRoute says whether a destination is everything.
func defaultRoute(to string) bool {
	if to == "" || to == "default" {
		return true
	}
	p, err := netip.ParsePrefix(to)
	return err == nil && p.Bits() == 0
}

// Networked is what became of the network configuration.
type Networked struct {
	Edits    []Edit
	Warnings []string
}

// looked is one file on its way.
type looked struct {
	File
	system int
	result
	err error
}

// Network rewrites a machine's network configuration for a clone: fixed
// addresses become DHCP, or the given ones on the first interface that has any
// (wired before wireless, the files in the order of their names). A file that
// is not understood stays as it is and is named in a warning, and so is who
// else configures the network.
func Network(files []File, w Wish) Networked {
	var n Networked
	var all []looked
	for i, s := range systems {
		for _, f := range files {
			if slices.ContainsFunc(s.patterns, func(p string) bool { ok, _ := path.Match(p, f.Name); return ok }) {
				l := looked{File: f, system: i}
				l.result, l.err = s.rewrite(f, wish{Wish: w, at: -1})
				all = append(all, l)
			}
		}
	}
	if len(w.CIDR) > 0 {
		file, at := first(all)
		if at < 0 {
			n.Warnings = append(n.Warnings, fmt.Sprintf("the address %s was set nowhere: the restored system has no network configuration that this version can change", strings.Join(w.CIDR, ", ")))
		}
		for i := range all {
			l := &all[i]
			switch {
			case at < 0 || l.err != nil:
			case i == file:
				l.result, l.err = systems[l.system].rewrite(l.File, wish{Wish: w, at: at})
			case l.system == all[file].system:
				l.result, l.err = systems[l.system].rewrite(l.File, wish{Wish: w, at: -1, same: all[file].links[at].key})
			}
		}
	}
	for _, l := range all {
		if l.err != nil {
			n.Warnings = append(n.Warnings, fmt.Sprintf("/%s was not changed: %v; check it for fixed addresses before the clone meets the original", l.Name, l.err))
			continue
		}
		for _, s := range l.warnings {
			n.Warnings = append(n.Warnings, fmt.Sprintf("/%s: %s", l.Name, s))
		}
		if string(l.out) != string(l.Content) {
			n.Edits = append(n.Edits, Edit{File: File{l.Name, l.out}, What: strings.Join(l.did, "; ")})
		}
	}
	n.Warnings = append(n.Warnings, foreign(files)...)
	if s := mixed(all); s != "" {
		n.Warnings = append(n.Warnings, s)
	}
	return n
}

// first is the link that gets the given addresses: its file and its number in it.
func first(all []looked) (file, at int) {
	for _, wired := range []bool{true, false} {
		for i, l := range all {
			for k, one := range l.links {
				if l.err == nil && one.wired == wired {
					return i, k
				}
			}
		}
	}
	return -1, -1
}

// mixed says who configures the network, where that are several.
func mixed(all []looked) string {
	var parts []string
	changed := false
	for i, s := range systems {
		var did, left []string
		for _, l := range all {
			if l.system != i || l.err == nil && len(l.links) == 0 {
				continue
			}
			if l.err != nil || string(l.out) == string(l.Content) {
				left = append(left, "/"+l.Name)
			} else {
				did, changed = append(did, "/"+l.Name), true
			}
		}
		switch {
		case len(did) > 0 && len(left) > 0:
			parts = append(parts, fmt.Sprintf("%s (changed: %s; not changed: %s)", s.name, strings.Join(did, ", "), strings.Join(left, ", ")))
		case len(did) > 0:
			parts = append(parts, fmt.Sprintf("%s (changed: %s)", s.name, strings.Join(did, ", ")))
		case len(left) > 0:
			parts = append(parts, fmt.Sprintf("%s (not changed: %s)", s.name, strings.Join(left, ", ")))
		}
	}
	if len(parts) < 2 || !changed {
		return ""
	}
	return "several programs configure the network: " + strings.Join(parts, ", ") + "; check which of them is in use"
}

// foreign names files with fixed addresses that only others understand.
func foreign(files []File) []string {
	var out []string
	for _, o := range others {
		for _, f := range files {
			if ok, _ := path.Match(o.pattern, f.Name); ok && o.fixed.Match(f.Content) {
				out = append(out, fmt.Sprintf("/%s has a fixed address and was not changed: this version cannot; change it before the clone meets the original", f.Name))
			}
		}
	}
	return out
}
