package rescueinit

import (
	"net/netip"
	"reflect"
	"testing"

	"github.com/mkcdrec/mkcdrec/internal/machine"
)

func TestPlanNetwork(t *testing.T) {
	const mac1, mac2 = "52:54:00:00:00:01", "52:54:00:00:00:02"
	static := machine.Network{
		Interfaces: []machine.Interface{{Name: "enp1s0", MAC: mac1, Addresses: []string{"192.0.2.10/24", "2001:db8::10/64"}, MTU: 9000, Up: true}},
		Routes:     []machine.Route{{To: "default", Via: "192.0.2.1", Dev: "enp1s0"}, {To: "198.51.100.0/24", Via: "192.0.2.9", Dev: "other"}},
		DNS:        []string{"192.0.2.53"}, Search: []string{"example.org"},
	}
	bridged := machine.Network{Interfaces: []machine.Interface{
		{Name: "eth0", MAC: mac1, Up: true},
		{Name: "br0", MAC: mac1, Kind: "bridge", Addresses: []string{"192.0.2.10/24"}, Up: true},
		{Name: "eth0.5", MAC: mac1, Kind: "vlan", Addresses: []string{"192.0.2.130/25"}, Up: true},
	}, Routes: []machine.Route{{To: "default", Via: "192.0.2.1", Dev: "br0"}}}
	here := []link{{"eth0", mac2}, {"eth1", "52:54:00:00:00:01"}}
	byDHCP := func(why string) netPlan {
		return netPlan{Links: []linkPlan{{Name: "eth0", DHCP: true, Why: why}, {Name: "eth1", DHCP: true, Why: why}}}
	}
	tests := []struct {
		name     string
		opts     Options
		recorded machine.Network
		here     []link
		want     netPlan
	}{
		{"recorded card under another name", Options{}, static, here, netPlan{
			Links: []linkPlan{{Name: "eth1", Addresses: []string{"192.0.2.10/24", "2001:db8::10/64"}, MTU: 9000, Why: "as recorded for enp1s0",
				Routes: []machine.Route{{To: "default", Via: "192.0.2.1", Dev: "enp1s0"}}}},
			DNS: []string{"192.0.2.53"}, Search: []string{"example.org"}}},
		{"upper-case MAC", Options{}, machine.Network{Interfaces: []machine.Interface{{Name: "x", MAC: "52:54:00:00:00:0A", DHCP: true}}}, []link{{"eth0", "52:54:00:00:00:0a"}},
			netPlan{Links: []linkPlan{{Name: "eth0", DHCP: true, Why: "as recorded for x"}}}},
		{"other hardware never takes the recorded address", Options{}, static, []link{{"eth0", mac2}}, netPlan{Links: []linkPlan{{Name: "eth0", DHCP: true, Why: "no card of the recorded machine is here"}}}},
		{"nothing recorded", Options{}, machine.Network{}, here, byDHCP("no card of the recorded machine is here")},
		{"DHCP asked for", Options{DHCP: true}, static, here, byDHCP("asked for on the kernel command line")},
		{"no network asked for", Options{NoNet: true, DHCP: true}, static, here, netPlan{}},
		{"bridge and VLAN on the card", Options{}, bridged, here[1:], netPlan{
			Links: []linkPlan{{Name: "eth1", Addresses: []string{"192.0.2.10/24"}, Why: "as recorded for br0", Routes: []machine.Route{{To: "default", Via: "192.0.2.1", Dev: "br0"}}}},
			Notes: []string{"the recorded vlan eth0.5 is not set up"}}},
		{"two cards with one MAC: the address is used once", Options{}, machine.Network{Interfaces: []machine.Interface{{Name: "bond0", Kind: "bond", MAC: mac1, Addresses: []string{"192.0.2.10/24"}}}},
			[]link{{"eth0", mac1}, {"eth1", mac1}}, netPlan{Links: []linkPlan{{Name: "eth0", Addresses: []string{"192.0.2.10/24"}, Why: "as recorded for bond0"}}}},
		{"address on the kernel command line", Options{IP: &StaticIP{Address: netip.MustParsePrefix("192.0.2.5/24"), Via: netip.MustParseAddr("192.0.2.1"), DNS: []netip.Addr{netip.MustParseAddr("192.0.2.53")}, Dev: mac1}}, static, here,
			netPlan{Links: []linkPlan{{Name: "eth1", Addresses: []string{"192.0.2.5/24"}, Routes: []machine.Route{{To: "default", Via: "192.0.2.1"}}, Why: "kernel command line"}}, DNS: []string{"192.0.2.53"}}},
		{"no such card", Options{IP: &StaticIP{Address: netip.MustParsePrefix("192.0.2.5/24"), Dev: "eth7"}}, static, here, netPlan{Notes: []string{`mkcdrec.ip: there is no network card "eth7"`}}},
	}
	for _, tt := range tests {
		if got := planNetwork(tt.opts, tt.recorded, tt.here); !reflect.DeepEqual(got, tt.want) {
			t.Errorf("%s:\n got %+v\nwant %+v", tt.name, got, tt.want)
		}
	}
}

func TestResolvConf(t *testing.T) {
	if got, want := resolvConf([]string{"127.0.0.53", "192.0.2.53", "::1"}, []string{"a.example", "b.example"}), "search a.example b.example\nnameserver 192.0.2.53\n"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	if got := resolvConf([]string{"127.0.0.1"}, nil); got != "" {
		t.Errorf("a stub resolver that does not run here was kept: %q", got)
	}
}
