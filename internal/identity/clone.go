package identity

import (
	"net/netip"
	"regexp"
	"slices"
	"strings"
)

// Leftover is what the original left behind and a clone must not have: each
// program makes its own anew. Patterns are path.Match patterns, relative to
// the root; only regular files are meant.
type Leftover struct {
	What     string
	Patterns []string
}

// Leftovers are the files to remove from a clone. What the initramfs may hold
// of the original (dracut puts machine-id and hostname into it) needs nothing:
// systemd reads both again from the root file system when that takes over.
var Leftovers = []Leftover{
	// An empty /etc/machine-id is filled from this file first, where it is one
	// (machine-id(5)): the clone would get the original's back. Without it
	// systemd makes a new one, and dbus a link to that (tmpfiles.d/dbus.conf);
	// without systemd, dbus-uuidgen --ensure makes it at the start of dbus. A
	// link is that already, and stays. An empty file would stay empty.
	{"the machine-id of dbus", []string{"var/lib/dbus/machine-id"}},
	{"the random seed", []string{"var/lib/systemd/random-seed", "var/lib/urandom/random-seed"}},
	// Client identifiers and stable addresses come from it (NetworkManager(8)).
	{"the secret key of NetworkManager", []string{"var/lib/NetworkManager/secret_key"}},
	// A client asks for the address that it had, and takes it where no server
	// answers. The lease databases of servers are not these.
	{"DHCP leases and client identifiers", []string{
		"var/lib/NetworkManager/*.lease", "var/lib/dhcp/dhclient*.leases", "var/lib/dhclient/dhclient*.lease*", "var/lib/dhcpcd/*.lease*",
		"var/lib/dhcpcd5/*.lease*", "var/lib/dhcpcd/duid", "var/lib/dhcpcd/secret", "etc/dhcpcd.duid", "etc/dhcpcd.secret", "var/lib/wicked/*.xml",
	}},
}

// Shared is what a clone has in common with the original and nobody but its
// owner can change: others know it. Only, where set, must be there, too.
type Shared struct {
	Pattern, What string
	Only          []string
}

// SharedSecrets are named in a warning.
var SharedSecrets = []Shared{
	{Pattern: "etc/wireguard/*.conf", What: "WireGuard keys and addresses"},
	{Pattern: "etc/dropbear/*_host_key", What: "ssh host keys (dropbear)"},
	{Pattern: "etc/dropbear/initramfs/*_host_key", What: "ssh host keys (dropbear, also in the initramfs)"},
	{Pattern: "etc/dropbear-initramfs/*_host_key", What: "ssh host keys (dropbear, also in the initramfs)"},
	{Pattern: "etc/krb5.keytab", What: "Kerberos keys"},
	{Pattern: "etc/iscsi/initiatorname.iscsi", What: "iSCSI name, by which both would write to one disk", Only: []string{"etc/iscsi/nodes/*", "var/lib/iscsi/nodes/*"}},
}

// OwnAddresses gives the lines of /etc/hosts that name the host by an address
// of the original those of the clone: the given one of that family, or
// 127.0.1.1, as Debian has it for a name without a fixed address. An IPv6 line
// without a given address goes: there is nothing like that for IPv6. What else
// is called by one of these addresses may well be meant for the original.
func OwnAddresses(content []byte, host string, was []string, a Address) []byte {
	own := map[netip.Addr]bool{}
	for _, w := range was {
		if p, err := netip.ParsePrefix(w); err == nil {
			own[p.Addr()] = true
		}
	}
	var given4, given6 string
	for _, c := range a.CIDR {
		p, err := netip.ParsePrefix(c)
		switch {
		case err != nil:
		case p.Addr().Is4() && given4 == "":
			given4 = p.Addr().String()
		case p.Addr().Is6() && given6 == "":
			given6 = p.Addr().String()
		}
	}
	if given4 == "" {
		given4 = "127.0.1.1"
	}
	short, _, _ := strings.Cut(host, ".")
	named := func(name string) bool {
		first, _, _ := strings.Cut(name, ".")
		return short != "" && first == short
	}
	var out []string
	for line := range strings.SplitSeq(string(content), "\n") {
		text, _, _ := strings.Cut(line, "#")
		f := strings.Fields(text)
		if len(f) == 0 {
			out = append(out, line)
			continue
		}
		ip, err := netip.ParseAddr(f[0])
		switch {
		case err != nil || !own[ip] || !slices.ContainsFunc(f[1:], named):
			out = append(out, line)
		case ip.Is4():
			out = append(out, strings.Replace(line, f[0], given4, 1))
		case given6 != "":
			out = append(out, strings.Replace(line, f[0], given6, 1))
		}
	}
	return []byte(strings.Join(out, "\n"))
}

// Hosts replaces a host name in /etc/hosts, also as the first label of a full
// name; where the name itself is a full one, its first label alone, too.
func Hosts(content []byte, was, now string) []byte {
	content = hosts(content, was, now)
	if short, _, full := strings.Cut(was, "."); full {
		first, _, _ := strings.Cut(now, ".")
		content = hosts(content, short, first)
	}
	return content
}

func hosts(content []byte, was, now string) []byte {
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
