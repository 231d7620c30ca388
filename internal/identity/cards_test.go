package identity

import (
	"strings"
	"testing"
)

func TestMatchCards(t *testing.T) {
	c := func(name, mac, driver string) Card { return Card{name, mac, driver} }
	a, b := c("eth0", "52:54:00:00:00:01", "e1000"), c("eth1", "52:54:00:00:00:02", "ixgbe")
	x, y := c("enp1s0", "52:54:00:00:00:0A", "ixgbe"), c("enp2s0", "52:54:00:00:00:0B", "e1000")
	bond := c("eth1", a.MAC, "e1000")
	for name, tt := range map[string]struct {
		recorded, here []Card
		want           string
		warned         bool
	}{
		"the same":                   {[]Card{a, b}, []Card{a, b}, "", false},
		"one was replaced":           {[]Card{a, b}, []Card{a, y}, "eth1=52:54:00:00:00:0B", false},
		"other hardware, one card":   {[]Card{a}, []Card{x}, "eth0=52:54:00:00:00:0A", false},
		"told apart by drivers":      {[]Card{a, b}, []Card{x, y}, "eth0=52:54:00:00:00:0B eth1=52:54:00:00:00:0A", false},
		"not told apart":             {[]Card{a, c("eth2", "52:54:00:00:00:03", "e1000")}, []Card{y, c("", "52:54:00:00:00:0C", "e1000")}, "", true},
		"fewer cards than before":    {[]Card{a, c("eth2", "52:54:00:00:00:03", "e1000")}, []Card{y}, "", true},
		"no cards here":              {[]Card{a}, nil, "", false},
		"members of a bond":          {[]Card{a, bond}, []Card{x}, "", false},
		"letters of the other case":  {[]Card{x}, []Card{c("q", "52:54:00:00:00:0a", "")}, "", false},
		"a card more than there was": {[]Card{a}, []Card{a, x}, "", false},
	} {
		pairs, warnings := MatchCards(tt.recorded, tt.here)
		var got []string
		for _, p := range pairs {
			got = append(got, p.Was.Name+"="+p.Is.MAC)
		}
		if s := strings.Join(got, " "); s != tt.want || len(warnings) > 0 != tt.warned {
			t.Errorf("%s: %q, %q", name, s, warnings)
		}
	}
}

// Every kind of file in which a card is known by its address; what sets an address
// stays.
func TestCards(t *testing.T) {
	pair := []Replaced{{Card{"lan0", "52:54:00:AB:00:01", ""}, Card{"", "52:54:00:cd:00:02", ""}}}
	for name, tt := range map[string]struct {
		file, was, is string
		made          bool
	}{
		"udev":              {"etc/udev/rules.d/70-persistent-net.rules", `SUBSYSTEM=="net", ATTR{address}=="52:54:00:ab:00:01", NAME="lan0"`, `SUBSYSTEM=="net", ATTR{address}=="52:54:00:cd:00:02", NAME="lan0"`, false},
		"link":              {"etc/systemd/network/10-lan.link", "[Match]\nMACAddress=52:54:00:ab:00:01\n[Link]\nName=lan0\n", "[Match]\nMACAddress=52:54:00:cd:00:02\n[Link]\nName=lan0\n", false},
		"networkd":          {"etc/systemd/network/lan.network", "[Match]\nMACAddress=52-54-00-AB-00-01\n[Link]\nMACAddress=52:54:00:ab:00:01\n", "[Match]\nMACAddress=52-54-00-CD-00-02\n[Link]\nMACAddress=52:54:00:ab:00:01\n", true},
		"netplan":           {"etc/netplan/a.yaml", "  lan0:\n    match: {macaddress: '52:54:00:ab:00:01'}\n    set-name: lan0\n", "  lan0:\n    match: {macaddress: '52:54:00:cd:00:02'}\n    set-name: lan0\n", false},
		"NetworkManager":    {"etc/NetworkManager/system-connections/a.nmconnection", "[ethernet]\nmac-address=52:54:00:AB:00:01\ncloned-mac-address=52:54:00:AB:00:01\n", "[ethernet]\nmac-address=52:54:00:CD:00:02\ncloned-mac-address=52:54:00:AB:00:01\n", true},
		"ifcfg":             {"etc/sysconfig/network-scripts/ifcfg-lan0", "HWADDR=52:54:00:AB:00:01\nMACADDR=52:54:00:AB:00:01\n", "HWADDR=52:54:00:CD:00:02\nMACADDR=52:54:00:AB:00:01\n", true},
		"ifupdown, by name": {"etc/network/interfaces", "iface lan0 inet dhcp\n hwaddress ether 52:54:00:ab:00:01\n", "", true},
		"a longer address":  {"etc/udev/rules.d/ib.rules", `ATTR{address}=="52:54:00:ab:00:01"; "152:54:00:ab:00:01"`, `ATTR{address}=="52:54:00:cd:00:02"; "152:54:00:ab:00:01"`, false},
		"a comment":         {"etc/udev/rules.d/a.rules", "# was 52:54:00:ab:00:01", "", true},
	} {
		edits, made := Cards([]File{{tt.file, []byte(tt.was)}}, pair)
		got := ""
		for _, e := range edits {
			got += string(e.Content)
		}
		if got != tt.is || len(made) > 0 != tt.made {
			t.Errorf("%s: %q, made %q", name, got, made)
		}
	}
	_, made := Cards(nil, pair)
	if len(made) != 1 || made[0].Name != "etc/systemd/network/10-mkcdrec-lan0.link" || !strings.Contains(string(made[0].Content), "[Match]\nMACAddress=52:54:00:cd:00:02\n\n[Link]\nName=lan0\n") {
		t.Errorf("%q", made)
	}
}
