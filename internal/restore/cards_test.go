package restore

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/mkcdrec/mkcdrec/internal/machine/machinetest"
	"github.com/mkcdrec/mkcdrec/internal/plan"
)

// A card with another address gets the name of the one that is gone; the same card
// gets nothing.
func TestReplacedCard(t *testing.T) {
	for mac, want := range map[string]bool{"52:54:00:99:99:99": true, "52:54:00:12:34:56": false} {
		m := machinetest.UEFIPlain()
		o, _, b := bench(t, m, m, plan.Info{})
		b.files["usr/bin/udevadm"] = ""
		b.files["etc/NetworkManager/system-connections/lan.nmconnection"] = "[ethernet]\nmac-address=52:54:00:12:34:56\n"
		dir := filepath.Join(o.Root, "sys/class/net/eth0")
		if err := os.MkdirAll(filepath.Join(dir, "device"), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, "address"), []byte(mac+"\n"), 0o644); err != nil {
			t.Fatal(err)
		}
		rep, err := Run(t.Context(), o)
		if err != nil {
			t.Fatal(err)
		}
		link, _ := os.ReadFile(filepath.Join(o.TargetRoot, "etc/systemd/network/10-mkcdrec-enp0s2.link"))
		if made := strings.Contains(string(link), "MACAddress="+mac) && strings.Contains(string(link), "Name=enp0s2"); made != want {
			t.Errorf("%s: %q", mac, link)
		}
		profile, _ := os.ReadFile(filepath.Join(o.TargetRoot, "etc/NetworkManager/system-connections/lan.nmconnection"))
		if !strings.Contains(string(profile), "mac-address="+mac) {
			t.Errorf("%s: %q", mac, profile)
		}
		if said := strings.Contains(strings.Join(rep.Changes, "\n"), "the card of enp0s2 is "+mac); said != want {
			t.Errorf("%s: %q", mac, rep.Changes)
		}
	}
}
