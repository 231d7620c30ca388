package inspect

import (
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/mkcdrec/mkcdrec/internal/machine"
)

// network reads interfaces and routes, then the name servers.
func (in *inspector) network() {
	read := in.opts.Network
	if read == nil && in.opts.Root == "" {
		read = readNetwork
	}
	if read != nil {
		n, err := read()
		if err != nil {
			in.note("network", "the rescue system will try DHCP", "the network cannot be read: %v", err)
		}
		in.m.Network = n
	}
	conf := in.text("/etc/resolv.conf")
	dns, search := parseResolv(conf)
	if len(dns) == 0 && conf != "" {
		// systemd-resolved puts itself into resolv.conf; this is its own list.
		dns, search = parseResolv(in.text("/run/systemd/resolve/resolv.conf"))
	}
	in.m.Network.DNS, in.m.Network.Search = dns, search
}

// parseResolv reads resolv.conf(5); name servers on the machine itself are
// left out, as they will not run in the rescue system.
func parseResolv(s string) (dns, search []string) {
	for line := range strings.Lines(s) {
		f := strings.Fields(line)
		if len(f) < 2 {
			continue
		}
		switch f[0] {
		case "nameserver":
			addr, _, _ := strings.Cut(f[1], "%")
			if ip := net.ParseIP(addr); ip != nil && !ip.IsLoopback() {
				dns = append(dns, f[1])
			}
		case "search", "domain":
			search = nil
			for _, d := range f[1:] {
				if d != "." {
					search = append(search, d)
				}
			}
		}
	}
	return dns, search
}

// readNetwork asks the kernel by netlink. The ends of containers' veth pairs
// are left out: they come and go with the containers.
func readNetwork() (machine.Network, error) {
	var n machine.Network
	links, err := netlink.LinkList()
	if err != nil {
		return n, fmt.Errorf("cannot list the interfaces: %w", err)
	}
	names := map[int]string{}
	for _, l := range links {
		a := l.Attrs()
		if a.Flags&net.FlagLoopback != 0 || l.Type() == "veth" && a.MasterIndex != 0 {
			continue
		}
		names[a.Index] = a.Name
		i := machine.Interface{Name: a.Name, MAC: a.HardwareAddr.String(), MTU: a.MTU, Up: a.Flags&net.FlagUp != 0}
		if l.Type() != "device" {
			i.Kind = l.Type()
		}
		if t, err := os.Readlink("/sys/class/net/" + a.Name + "/device/driver"); err == nil {
			i.Driver = filepath.Base(t)
		}
		addrs, err := netlink.AddrList(l, netlink.FAMILY_ALL)
		if err != nil {
			return n, fmt.Errorf("cannot list the addresses of %s: %w", a.Name, err)
		}
		setAddresses(&i, addrs)
		n.Interfaces = append(n.Interfaces, i)
	}
	routes, err := netlink.RouteListFiltered(netlink.FAMILY_ALL, &netlink.Route{Table: unix.RT_TABLE_MAIN}, netlink.RT_FILTER_TABLE)
	if err != nil && !errors.Is(err, unix.EAFNOSUPPORT) {
		return n, fmt.Errorf("cannot list the routes: %w", err)
	}
	for _, r := range routes {
		if to, ok := routeTarget(r); ok && names[r.LinkIndex] != "" {
			route := machine.Route{To: to, Dev: names[r.LinkIndex]}
			if r.Gw != nil {
				route.Via = r.Gw.String()
			}
			n.Routes = append(n.Routes, route)
		}
	}
	return n, nil
}

// forever is the lifetime of an address that nobody has to renew, in seconds.
const forever = 0xFFFFFFFF

// setAddresses takes over the addresses that were configured: none that the
// kernel gave itself (link-local) or changes by itself (temporary).
func setAddresses(i *machine.Interface, addrs []netlink.Addr) {
	v4, v6Finite := false, false
	for _, a := range addrs {
		if a.IP.IsLinkLocalUnicast() || a.Flags&unix.IFA_F_TEMPORARY != 0 {
			continue
		}
		i.Addresses = append(i.Addresses, a.IPNet.String())
		finite := a.ValidLft > 0 && a.ValidLft < forever
		if a.IP.To4() != nil {
			v4 = true
			i.DHCP = i.DHCP || finite
		} else {
			v6Finite = v6Finite || finite
		}
	}
	// With IPv4 at hand, a finite IPv6 address comes from router advertisements.
	i.DHCP = i.DHCP || !v4 && v6Finite
}

// routeTarget leaves out what the kernel makes from the addresses and routers'
// advertisements.
func routeTarget(r netlink.Route) (string, bool) {
	if r.Type != unix.RTN_UNICAST || r.Protocol == unix.RTPROT_KERNEL || r.Protocol == unix.RTPROT_RA {
		return "", false
	}
	if r.Dst == nil {
		return "default", true
	}
	if ones, _ := r.Dst.Mask.Size(); ones == 0 {
		return "default", true
	}
	if r.Dst.IP.IsLinkLocalUnicast() || r.Dst.IP.IsMulticast() {
		return "", false
	}
	return r.Dst.String(), true
}
