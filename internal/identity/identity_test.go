package identity

import (
	"slices"
	"strings"
	"testing"
)

func TestDevices(t *testing.T) {
	tests := []struct {
		name     string
		in, want string
		renames  map[string]string
	}{
		{"partition becomes nvme", "/dev/vda1 / ext4\n/dev/vda /x\n", "/dev/nvme0n1p1 / ext4\n/dev/nvme0n1 /x\n", map[string]string{"vda": "nvme0n1"}},
		{"nvme becomes partition", "root=/dev/nvme0n1p12 ro", "root=/dev/sda12 ro", map[string]string{"nvme0n1": "sda"}},
		{"swapped names", "/dev/sda1 /dev/sdb1", "/dev/sdb1 /dev/sda1", map[string]string{"sda": "sdb", "sdb": "sda"}},
		{"UUIDs and others stay", "UUID=ab /dev/mapper/vda1 /dev/vdab1 /dev/vg0/vda1", "UUID=ab /dev/mapper/vda1 /dev/vdab1 /dev/vg0/vda1", map[string]string{"vda": "sda"}},
		{"same name", "/dev/vda1", "/dev/vda1", map[string]string{"vda": "vda"}},
		{"device.map", "(hd0)\t/dev/vda\n", "(hd0)\t/dev/sda\n", map[string]string{"vda": "sda"}},
	}
	for _, tt := range tests {
		if got := string(Devices([]byte(tt.in), tt.renames)); got != tt.want {
			t.Errorf("%s: got %q, want %q", tt.name, got, tt.want)
		}
	}
}

func TestPinned(t *testing.T) {
	got := Pinned([]byte("# /dev/disk/by-id/comment\n/dev/disk/by-id/ata-X-part1 / ext4\nUUID=1 /b xfs\n/dev/disk/by-path/pci-0-part2 /c xfs\n"))
	if !slices.Equal(got, []string{"/dev/disk/by-id/ata-X-part1", "/dev/disk/by-path/pci-0-part2"}) {
		t.Fatal(got)
	}
}

func TestHosts(t *testing.T) {
	in := "127.0.0.1 localhost\n127.0.1.1\tweb1.example.org web1 # web1 itself\n10.0.0.2 web10 web1 web1\n"
	want := "127.0.0.1 localhost\n127.0.1.1\tweb2.example.org web2 # web1 itself\n10.0.0.2 web10 web2 web2\n"
	if got := string(Hosts([]byte(in), "web1", "web2")); got != want {
		t.Fatalf("got %q", got)
	}
}

func TestValidHostname(t *testing.T) {
	for _, s := range []string{"web2", "a.b-c.d", "X1"} {
		if !ValidHostname(s) {
			t.Errorf("%q refused", s)
		}
	}
	for _, s := range []string{"", "-a", "a-", "a..b", "a b", "a\nb", "a/b", strings.Repeat("x", 65)} {
		if ValidHostname(s) {
			t.Errorf("%q accepted", s)
		}
	}
}

const interfaces = `auto lo
iface lo inet loopback

auto ens3
iface ens3 inet static
	address 10.0.0.5/24
	gateway 10.0.0.1
# second
iface ens4 inet dhcp
`

func TestInterfaces(t *testing.T) {
	got, changed := Interfaces([]byte(interfaces), Address{})
	if s := string(got); !changed || strings.Contains(s, "10.0.0.5") || !strings.Contains(s, "iface ens3 inet dhcp\n# second\niface ens4 inet dhcp\n") || !strings.Contains(s, "iface lo inet loopback") {
		t.Fatalf("changed %v:\n%s", changed, s)
	}
	got, _ = Interfaces([]byte(interfaces), Address{CIDR: []string{"10.0.0.9/24"}, Gateway: "10.0.0.254"})
	if s := string(got); !strings.Contains(s, "iface ens3 inet static\n\taddress 10.0.0.9/24\n\tgateway 10.0.0.254\n") {
		t.Fatalf("got:\n%s", s)
	}
	if _, changed := Interfaces([]byte("iface ens3 inet dhcp\n"), Address{}); changed {
		t.Fatal("a machine with DHCP was changed")
	}
}

func TestNetworkd(t *testing.T) {
	in := "[Match]\nName=en*\n\n[Network]\nAddress=10.0.0.5/24\nGateway=10.0.0.1\nDNS=10.0.0.1\n\n[Route]\nGateway=10.0.0.7\n"
	got, changed := Networkd([]byte(in), Address{})
	if s := string(got); !changed || s != "[Match]\nName=en*\n\n[Network]\nDHCP=yes\nDNS=10.0.0.1\n\n" && s != "[Match]\nName=en*\n\n[Network]\nDHCP=yes\nDNS=10.0.0.1\n" {
		t.Fatalf("changed %v: %q", changed, s)
	}
	got, _ = Networkd([]byte(in), Address{CIDR: []string{"10.0.0.9/24"}, Gateway: "10.0.0.1"})
	if s := string(got); !strings.Contains(s, "Address=10.0.0.9/24\nGateway=10.0.0.1\n") || strings.Contains(s, "10.0.0.5") {
		t.Fatalf("got %q", s)
	}
	if _, changed := Networkd([]byte("[Network]\nDHCP=yes\n"), Address{}); changed {
		t.Fatal("a machine with DHCP was changed")
	}
}
