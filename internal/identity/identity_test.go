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

func TestHostsOfAFullName(t *testing.T) {
	got := string(Hosts([]byte("192.0.2.5 web1.example.org web1\n"), "web1.example.org", "web2.example.org"))
	if got != "192.0.2.5 web2.example.org web2\n" {
		t.Fatalf("got %q", got)
	}
}

func TestOwnAddresses(t *testing.T) {
	in := "127.0.0.1 localhost\n192.0.2.5\tweb1 # itself\n192.0.2.50 other\n2001:db8::5 web1\n# 192.0.2.5 web1\n192.0.2.5 db # web1\n"
	was := []string{"192.0.2.5/24", "2001:db8::5/64"}
	tests := []struct {
		a    Address
		want string
	}{
		{Address{}, "127.0.0.1 localhost\n127.0.1.1\tweb1 # itself\n192.0.2.50 other\n# 192.0.2.5 web1\n192.0.2.5 db # web1\n"},
		{Address{CIDR: []string{"192.0.2.9/24", "2001:db8::9/64"}}, "127.0.0.1 localhost\n192.0.2.9\tweb1 # itself\n192.0.2.50 other\n2001:db8::9 web1\n# 192.0.2.5 web1\n192.0.2.5 db # web1\n"},
	}
	for _, tt := range tests {
		if got := string(OwnAddresses([]byte(in), "web1.example.org", was, tt.a)); got != tt.want {
			t.Errorf("%v: got %q", tt.a, got)
		}
	}
}

func TestNamesArray(t *testing.T) {
	conf := []byte("HOMEHOST <system>\nARRAY /dev/md/a metadata=1.2 UUID=88888888:aaaaaaaa:bbbbbbbb:0000000A\n# ARRAY UUID=1:2:3:4\nARRAY /dev/md1 uuid=99999999-aaaa-bbbb-cccc-dddddddddddd\n")
	for uuid, want := range map[string]bool{
		"88888888:aaaaaaaa:bbbbbbbb:0000000a": true, "99999999:aaaabbbb:ccccdddd:dddddddd": true, "1:2:3:4": false, "88888888:aaaaaaaa:bbbbbbbb:0000000b": false,
	} {
		if NamesArray(conf, uuid) != want {
			t.Errorf("%s: not %v", uuid, want)
		}
	}
}
