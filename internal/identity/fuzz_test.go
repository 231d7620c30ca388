package identity

import (
	"path/filepath"
	"strings"
	"testing"
)

// fuzzRewrite says of any content: it is refused, or it is rewritten so that
// every change is named and a second time changes nothing.
func fuzzRewrite(f *testing.F, system, name string) {
	var rewrite func(File, wish) (result, error)
	for _, s := range systems {
		if s.name == system {
			rewrite = s.rewrite
		}
	}
	paths, err := filepath.Glob("testdata/network/*.txtar")
	if err != nil {
		f.Fatal(err)
	}
	seeds := 0
	for _, path := range paths {
		g, _ := readGolden(f, path)
		for _, file := range g.files {
			if strings.HasPrefix(file.Name, filepath.Dir(name)) {
				f.Add(file.Content)
				seeds++
			}
		}
	}
	if seeds == 0 {
		f.Fatal("no seed")
	}
	given := Wish{Address: Address{CIDR: []string{"192.0.2.9/24", "192.0.2.10/24", "2001:db8::9/64"}, Gateway: "192.0.2.1"}, Cards: []string{"52:54:00:12:34:56"}}
	f.Fuzz(func(t *testing.T, content []byte) {
		plain, err := rewrite(File{name, content}, wish{at: -1})
		if err != nil {
			return
		}
		wishes := []wish{{at: -1}, {Wish: given, at: -1}}
		for i, l := range plain.links {
			wishes = append(wishes, wish{Wish: given, at: i}, wish{Wish: given, at: -1, same: l.key})
		}
		for _, w := range wishes {
			one, err := rewrite(File{name, content}, w)
			if err != nil {
				return // it cannot be written so that it says the same
			}
			if len(one.links) != len(plain.links) {
				t.Fatalf("%+v: %d interfaces, without a wish %d", w, len(one.links), len(plain.links))
			}
			if (string(one.out) != string(content)) != (len(one.did) > 0) {
				t.Fatalf("%+v: said was %q, and it became\n%s", w, one.did, one.out)
			}
			if len(w.CIDR) > 0 && w.at >= 0 && !strings.Contains(string(one.out), "192.0.2.9/24") {
				t.Fatalf("%+v: the address is not in\n%s", w, one.out)
			}
			two, err := rewrite(File{name, one.out}, w)
			if err != nil || string(two.out) != string(one.out) {
				t.Fatalf("%+v: %v; once\n%s\ntwice\n%s", w, err, one.out, two.out)
			}
		}
	})
}

func FuzzIfupdown(f *testing.F) { fuzzRewrite(f, "ifupdown", "etc/network/interfaces") }
func FuzzNetworkd(f *testing.F) {
	fuzzRewrite(f, "systemd-networkd", "etc/systemd/network/10-lan.network")
}
func FuzzNetplan(f *testing.F) { fuzzRewrite(f, "netplan", "etc/netplan/01.yaml") }
func FuzzKeyfile(f *testing.F) {
	fuzzRewrite(f, "NetworkManager", "etc/NetworkManager/system-connections/a.nmconnection")
}
