package rescueinit

import (
	"fmt"
	"slices"
	"strings"

	"github.com/mkcdrec/mkcdrec/internal/machine"
)

// link is a real network interface of the machine that the rescue system runs on.
type link struct {
	Name string
	MAC  string
}

// linkPlan is what to do with one interface.
type linkPlan struct {
	Name      string
	DHCP      bool
	Addresses []string        // CIDR
	Routes    []machine.Route // Dev is not looked at
	MTU       int             // 0: leave
	Why       string
}

// netPlan is what to do with the network.
type netPlan struct {
	Links []linkPlan
	// DNS and Search go to resolv.conf where DHCP gives none.
	DNS, Search []string
	Notes       []string
}

// planNetwork decides how to reach the network: as the kernel command line
// says, else as recorded for the same network card (so a copy of the medium
// started elsewhere never takes the address of the recorded machine), else by DHCP.
func planNetwork(o Options, recorded machine.Network, here []link) netPlan {
	var p netPlan
	if o.NoNet {
		return p
	}
	if o.IP != nil {
		return planStatic(*o.IP, here)
	}
	if !o.DHCP {
		p = planRecorded(recorded, here)
	}
	if len(p.Links) == 0 {
		why := "no card of the recorded machine is here"
		if o.DHCP {
			why = "asked for on the kernel command line"
		}
		for _, l := range here {
			p.Links = append(p.Links, linkPlan{Name: l.Name, DHCP: true, Why: why})
		}
	}
	return p
}

func planStatic(ip StaticIP, here []link) netPlan {
	l := linkPlan{Addresses: []string{ip.Address.String()}, Why: "kernel command line"}
	if ip.Via.IsValid() {
		l.Routes = []machine.Route{{To: "default", Via: ip.Via.String()}}
	}
	for _, h := range here {
		if ip.Dev == "" || ip.Dev == h.Name || strings.EqualFold(ip.Dev, h.MAC) {
			l.Name = h.Name
			break
		}
	}
	if l.Name == "" {
		return netPlan{Notes: []string{fmt.Sprintf("mkcdrec.ip: there is no network card %q", ip.Dev)}}
	}
	p := netPlan{Links: []linkPlan{l}}
	for _, d := range ip.DNS {
		p.DNS = append(p.DNS, d.String())
	}
	return p
}

// planRecorded matches by MAC. The addresses of a recorded bridge or bond go
// to the card that has its MAC: no bridge is needed to restore.
func planRecorded(recorded machine.Network, here []link) netPlan {
	var p netPlan
	used := map[string]bool{} // recorded interfaces that found their card
	for _, h := range here {
		l := linkPlan{Name: h.Name}
		for _, i := range recorded.Interfaces {
			if i.MAC == "" || !strings.EqualFold(i.MAC, h.MAC) || used[i.Name] || (len(i.Addresses) == 0 && !i.DHCP) {
				continue
			}
			if i.Kind != "" && i.Kind != "bridge" && i.Kind != "bond" {
				p.Notes = append(p.Notes, fmt.Sprintf("the recorded %s %s is not set up", i.Kind, i.Name))
				continue
			}
			used[i.Name] = true
			l.Why = "as recorded for " + i.Name
			if i.DHCP {
				l.DHCP = true
			} else {
				l.Addresses = append(l.Addresses, i.Addresses...)
			}
			if i.Kind == "" && i.MTU != 1500 {
				l.MTU = i.MTU
			}
			for _, route := range recorded.Routes {
				if route.Dev == i.Name && !i.DHCP {
					l.Routes = append(l.Routes, route)
				}
			}
		}
		if l.DHCP || len(l.Addresses) > 0 {
			p.Links = append(p.Links, l)
		}
	}
	if len(p.Links) > 0 {
		p.DNS, p.Search = slices.Clone(recorded.DNS), slices.Clone(recorded.Search)
	}
	return p
}

// resolvConf is the text of /etc/resolv.conf; "" when there is nothing to say.
func resolvConf(dns, search []string) string {
	var b strings.Builder
	if len(search) > 0 {
		fmt.Fprintf(&b, "search %s\n", strings.Join(search, " "))
	}
	for _, d := range dns {
		// A stub resolver of the recorded machine (127.0.0.53) does not run here.
		if !strings.HasPrefix(d, "127.") && d != "::1" {
			fmt.Fprintf(&b, "nameserver %s\n", d)
		}
	}
	return b.String()
}
