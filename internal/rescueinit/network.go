package rescueinit

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/insomniacslk/dhcp/dhcpv4"
	"github.com/insomniacslk/dhcp/dhcpv4/nclient4"
	"github.com/vishvananda/netlink"
)

// How long an interface is waited for. A switch with spanning tree takes up
// to 30 s until it lets packets through.
const (
	carrierLimit = 10 * time.Second
	dhcpTry      = 4 * time.Second
	dhcpLimit    = 60 * time.Second
)

// network carries out the plan for the network, all interfaces at once. It
// returns when the first outcome of each is known.
func (r *rescuer) network() {
	if lo, err := netlink.LinkByName("lo"); err == nil {
		_ = netlink.LinkSetUp(lo)
	}
	if r.opts.NoNet {
		r.update(func(s *status) { s.Network = []string{"left alone (mkcdrec.nonet)"} })
		return
	}
	here := realLinks()
	plan := planNetwork(r.opts, r.snapshot().Identity.Network, here)
	for _, n := range plan.Notes {
		r.problem("%s", n)
	}
	r.writeResolvConf(plan.DNS, plan.Search)
	if len(here) == 0 {
		r.update(func(s *status) { s.Network = []string{"no network card found"} })
		return
	}
	lines := make([]string, len(plan.Links))
	var all sync.WaitGroup
	for i, l := range plan.Links {
		report := func(text string) {
			r.log.kmsg("network: %s", text)
			r.mu.Lock()
			lines[i] = text
			r.st.Network = nil
			for _, t := range lines {
				if t != "" {
					r.st.Network = append(r.st.Network, t)
				}
			}
			late := r.promptShown
			r.mu.Unlock()
			if late {
				r.say("network: %s", text)
			}
			r.offerSSH()
		}
		r.update(func(s *status) { s.Network = append(s.Network, l.Name+": waiting for an answer") })
		all.Go(func() {
			r.protect("network "+l.Name, func() {
				if err := r.bringUp(l, report); err != nil {
					report(l.Name + ": " + err.Error())
				}
			})
		})
	}
	all.Wait()
}

// realLinks are the network cards: what has a device behind it.
func realLinks() []link {
	dirs, _ := filepath.Glob("/sys/class/net/*/device")
	var links []link
	for _, d := range dirs {
		d = filepath.Dir(d)
		mac, err := os.ReadFile(d + "/address")
		if err == nil {
			links = append(links, link{Name: filepath.Base(d), MAC: strings.TrimSpace(string(mac))})
		}
	}
	return links
}

// bringUp does what the plan says for one interface and reports the outcome.
func (r *rescuer) bringUp(p linkPlan, report func(string)) error {
	l, err := netlink.LinkByName(p.Name)
	if err != nil {
		return fmt.Errorf("cannot find it: %w", err)
	}
	if p.MTU > 0 {
		if err := netlink.LinkSetMTU(l, p.MTU); err != nil {
			r.log.logf("%s: cannot set the MTU %d: %v", p.Name, p.MTU, err)
		}
	}
	if err := netlink.LinkSetUp(l); err != nil {
		return fmt.Errorf("cannot bring it up: %w", err)
	}
	var got []string
	for _, a := range p.Addresses {
		addr, err := netlink.ParseAddr(a)
		if err != nil {
			return fmt.Errorf("cannot understand the address %q: %w", a, err)
		}
		if err := netlink.AddrReplace(l, addr); err != nil {
			return fmt.Errorf("cannot set the address %s: %w", a, err)
		}
		got = append(got, a)
	}
	// Routes within a network first, those by way of a gateway after them.
	for _, viaGateway := range []bool{false, true} {
		for _, route := range p.Routes {
			if (route.Via != "") != viaGateway {
				continue
			}
			if err := setRoute(l, route.To, route.Via); err != nil {
				r.log.logf("%s: %v", p.Name, err)
			}
		}
	}
	carrier := waitCarrier(p.Name, carrierLimit)
	if len(got) > 0 {
		text := fmt.Sprintf("%s %s (%s)", p.Name, strings.Join(got, ", "), p.Why)
		if !carrier {
			text += ", no cable"
		}
		report(text)
	}
	if !p.DHCP {
		return nil
	}
	if !carrier {
		return errors.New("no cable")
	}
	return r.dhcp(l, p, report)
}

// waitCarrier waits until the other end is there.
func waitCarrier(name string, limit time.Duration) bool {
	for end := time.Now().Add(limit); time.Now().Before(end); time.Sleep(50 * time.Millisecond) {
		if b, err := os.ReadFile("/sys/class/net/" + name + "/carrier"); err == nil && strings.TrimSpace(string(b)) == "1" {
			return true
		}
	}
	return false
}

// setRoute sets one route; to is a CIDR or "default".
func setRoute(l netlink.Link, to, via string) error {
	route := netlink.Route{LinkIndex: l.Attrs().Index}
	if to != "default" {
		_, n, err := net.ParseCIDR(to)
		if err != nil {
			return fmt.Errorf("cannot understand the route to %q: %w", to, err)
		}
		route.Dst = n
	}
	if via != "" {
		route.Gw = net.ParseIP(via)
		// A gateway outside of the network (as in some data centres) is still on the link.
		route.Flags = int(netlink.FLAG_ONLINK)
	} else {
		route.Scope = netlink.SCOPE_LINK
	}
	if err := netlink.RouteReplace(&route); err != nil {
		return fmt.Errorf("cannot set the route to %s via %s: %w", to, via, err)
	}
	return nil
}

// dhcp gets an address, and renews it as long as the system runs.
func (r *rescuer) dhcp(l netlink.Link, p linkPlan, report func(string)) error {
	ctx, cancel := context.WithTimeout(context.Background(), dhcpLimit)
	defer cancel()
	ack, err := lease(ctx, l, nil)
	if err != nil {
		return fmt.Errorf("no answer by DHCP: %w", err)
	}
	addr, err := r.applyLease(l, ack)
	if err != nil {
		return err
	}
	report(fmt.Sprintf("%s %s (DHCP, %s)", p.Name, addr, p.Why))
	r.guard("dhcp renewal", func() {
		for {
			time.Sleep(max(time.Minute, ack.IPAddressLeaseTime(time.Hour)/2))
			ctx, cancel := context.WithTimeout(context.Background(), dhcpLimit)
			next, err := lease(ctx, l, ack.YourIPAddr)
			cancel()
			if err != nil {
				// A restore under way must not lose its address for that.
				r.log.logf("%s: cannot renew the lease: %v", p.Name, err)
				continue
			}
			if _, err := r.applyLease(l, next); err != nil {
				r.log.logf("%s: %v", p.Name, err)
			}
			ack = next
		}
	})
	return nil
}

// lease asks for an address; wanted may be nil.
func lease(ctx context.Context, l netlink.Link, wanted net.IP) (*dhcpv4.DHCPv4, error) {
	c, err := nclient4.New(l.Attrs().Name, nclient4.WithTimeout(dhcpTry), nclient4.WithRetry(int(dhcpLimit/dhcpTry)))
	if err != nil {
		return nil, err
	}
	defer c.Close()
	mods := []dhcpv4.Modifier{dhcpv4.WithRequestedOptions(dhcpv4.OptionClasslessStaticRoute, dhcpv4.OptionDNSDomainSearchList)}
	if wanted != nil {
		mods = append(mods, dhcpv4.WithOption(dhcpv4.OptRequestedIPAddress(wanted)))
	}
	got, err := c.Request(ctx, mods...)
	if err != nil {
		return nil, err
	}
	return got.ACK, nil
}

// applyLease sets address, routes and name servers of a lease.
func (r *rescuer) applyLease(l netlink.Link, ack *dhcpv4.DHCPv4) (string, error) {
	mask := ack.SubnetMask()
	if mask == nil {
		mask = ack.YourIPAddr.DefaultMask()
	}
	addr := &netlink.Addr{IPNet: &net.IPNet{IP: ack.YourIPAddr, Mask: mask}}
	if err := netlink.AddrReplace(l, addr); err != nil {
		return "", fmt.Errorf("cannot set the address %s: %w", addr.IPNet, err)
	}
	type pair struct{ to, via string }
	var routes []pair
	// RFC 3442: classless routes replace the router option.
	for _, c := range ack.ClasslessStaticRoute() {
		to := c.Dest.String()
		if ones, _ := c.Dest.Mask.Size(); ones == 0 {
			to = "default"
		}
		routes = append(routes, pair{to, c.Router.String()})
	}
	if len(routes) == 0 && len(ack.Router()) > 0 {
		routes = append(routes, pair{"default", ack.Router()[0].String()})
	}
	for _, p := range routes {
		if err := setRoute(l, p.to, p.via); err != nil {
			r.log.logf("%v", err)
		}
	}
	var dns, search []string
	for _, d := range ack.DNS() {
		dns = append(dns, d.String())
	}
	if s := ack.DomainSearch(); s != nil {
		search = s.Labels
	} else if d := ack.DomainName(); d != "" {
		search = []string{d}
	}
	if len(dns) > 0 {
		r.writeResolvConf(dns, search)
	}
	return addr.IPNet.String(), nil
}

// writeResolvConf writes /etc/resolv.conf, unless there is nothing to write.
func (r *rescuer) writeResolvConf(dns, search []string) {
	text := resolvConf(dns, search)
	if text == "" {
		return
	}
	// It may have been packed as a link into a /run that is not here.
	_ = os.Remove("/etc/resolv.conf")
	if err := os.WriteFile("/etc/resolv.conf", []byte(text), 0o644); err != nil {
		r.log.logf("cannot write resolv.conf: %v", err)
	}
}

// firstAddress is an address by which this machine can be reached; "" if none.
func firstAddress() string {
	addrs, _ := net.InterfaceAddrs()
	for _, a := range addrs {
		if n, ok := a.(*net.IPNet); ok && n.IP.IsGlobalUnicast() {
			return n.IP.String()
		}
	}
	return ""
}
