package restore

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/mkcdrec/mkcdrec/internal/fail"
	"github.com/mkcdrec/mkcdrec/internal/machine/machinetest"
	"github.com/mkcdrec/mkcdrec/internal/plan"
)

// secretBackup unpacks the files below these directories for root alone, and
// symbolic links.
type secretBackup struct {
	*fakeBackup
	links map[string]string
}

func (b *secretBackup) Unpack(ctx context.Context, root string, scope *plan.Scope, progress func(int64)) (Unpacked, error) {
	u, err := b.fakeBackup.Unpack(ctx, root, scope, progress)
	for name := range b.files {
		if strings.HasPrefix(name, "etc/netplan/") || strings.HasPrefix(name, "etc/NetworkManager/") {
			err = errors.Join(err, os.Chmod(filepath.Join(root, name), 0o600))
		}
	}
	for name, to := range b.links {
		p := filepath.Join(root, name)
		_ = os.Remove(p)
		err = errors.Join(err, os.MkdirAll(filepath.Dir(p), 0o755), os.Symlink(to, p))
	}
	return u, err
}

// cloneBench is bench for a clone with more files.
func cloneBench(t *testing.T, w plan.CloneWishes, files, links map[string]string) (Options, *probing, *secretBackup) {
	t.Helper()
	m := machinetest.UEFIPlain()
	o, run, b := bench(t, m, m, plan.Info{Clone: &w})
	for name, text := range files {
		b.files[name] = text
		b.differ = append(b.differ, name)
	}
	s := &secretBackup{fakeBackup: b, links: links}
	o.Backup = s
	return o, run, s
}

const profile = `[connection]
id=lan
type=ethernet
interface-name=ens3
[ethernet]
mac-address=52:54:00:12:34:56
[ipv4]
address1=192.0.2.5/24,192.0.2.1
method=manual
`

// Everything that names the original on a network is gone or changed, with the
// mode that it had; what is the administrator's own stays.
func TestCloneSharesNoIdentity(t *testing.T) {
	gone := map[string]string{
		"var/lib/dbus/machine-id": "0123\n", "var/lib/systemd/random-seed": "seed", "var/lib/NetworkManager/secret_key": "key",
		"var/lib/NetworkManager/internal-1-ens3.lease": "ADDRESS=192.0.2.5", "var/lib/dhcp/dhclient.ens3.leases": "lease", "var/lib/dhcpcd/duid": "00:01",
		"boot/efi/loader/random-seed": "seed",
	}
	stays := map[string]string{"var/lib/dhcp/dhcpd.leases": "a server's", "var/lib/NetworkManager/timestamps": "x", "etc/wireguard/wg0.conf": "PrivateKey=x", "etc/iscsi/initiatorname.iscsi": "unused"}
	edited := map[string][2]string{
		"etc/netplan/01.yaml": {"network:\n  ethernets:\n    ens4:\n      addresses: [198.51.100.5/24]\n", "network:\n  ethernets:\n    ens4:\n      dhcp4: true\n"},
		"etc/NetworkManager/system-connections/lan.nmconnection": {profile, strings.NewReplacer("address1=192.0.2.5/24,192.0.2.1\nmethod=manual\n", "method=auto\n").Replace(profile)},
		"etc/mailname":           {"web1.example.org\n", "web2.example.org\n"},
		"etc/hosts":              {"10.0.2.15 web1.example.org web1\n10.0.2.16 web10\n", "192.0.2.9 web2.example.org web2\n10.0.2.16 web10\n"},
		"etc/hostname":           {"web1\n", "web2\n"},
		"etc/machine-id":         {"0123\n", ""},
		"etc/network/interfaces": {"iface ens3 inet static\n\taddress 192.0.2.5/24\n", "iface ens3 inet static\n\taddress 192.0.2.9/24\n\tgateway 192.0.2.1\n"},
	}
	files := map[string]string{}
	for n, text := range gone {
		files[n] = text
	}
	for n, e := range edited {
		files[n] = e[0]
	}
	o, _, b := cloneBench(t, plan.CloneWishes{Hostname: "web2", Addresses: []string{"192.0.2.9/24"}, Gateway: "192.0.2.1"}, files, nil)
	for n, text := range stays { // and would be a difference if it did not
		b.files[n] = text
	}
	o.Plan.Target.Hostname = "web1"
	for name, text := range map[string]string{"ens3/address": "52:54:00:12:34:56\n", "ens3/device": ""} {
		if err := errors.Join(os.MkdirAll(filepath.Join(o.Root, "sys/class/net/ens3"), 0o755), os.WriteFile(filepath.Join(o.Root, "sys/class/net", name), []byte(text), 0o644)); err != nil {
			t.Fatal(err)
		}
	}
	rep, err := Run(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	for n := range gone {
		if _, err := os.Lstat(filepath.Join(o.TargetRoot, n)); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("the clone has the original's %s", n)
		}
	}
	for n, text := range stays {
		if got, err := os.ReadFile(filepath.Join(o.TargetRoot, n)); err != nil || string(got) != text {
			t.Errorf("%s: %q, %v", n, got, err)
		}
	}
	for n, e := range edited {
		if got, err := os.ReadFile(filepath.Join(o.TargetRoot, n)); err != nil || string(got) != e[1] {
			t.Errorf("%s: %q, %v; want %q", n, got, err, e[1])
		}
		if !strings.Contains(strings.Join(rep.Changes, "\n"), "/"+n+": ") {
			t.Errorf("the report does not name /%s: %q", n, rep.Changes)
		}
		if strings.Contains(n, "netplan") || strings.Contains(n, "NetworkManager") {
			if fi, err := os.Stat(filepath.Join(o.TargetRoot, n)); err != nil || fi.Mode() != 0o600 {
				t.Errorf("%s: mode %v, %v", n, fi.Mode(), err)
			}
		}
	}
	warnings := strings.Join(rep.Warnings, "\n")
	for _, want := range []string{"WireGuard keys and addresses: /etc/wireguard/wg0.conf", "several programs configure the network: ifupdown (changed: /etc/network/interfaces), netplan (changed"} {
		if !strings.Contains(warnings, want) {
			t.Errorf("no warning %q in %q", want, rep.Warnings)
		}
	}
	if strings.Contains(warnings, "iSCSI") {
		t.Errorf("warned of iSCSI, which is not in use: %q", rep.Warnings)
	}
}

// A machine where nothing has to be looked at is cloned without a warning.
func TestPlainCloneWarnsOfNothing(t *testing.T) {
	o, _, b := cloneBench(t, plan.CloneWishes{Hostname: "web2"}, map[string]string{
		"etc/network/interfaces": "iface lo inet loopback\niface ens3 inet static\n\taddress 192.0.2.5/24\n",
	}, map[string]string{"var/lib/dbus/machine-id": "/etc/machine-id", "etc/systemd/network/80-x.network": os.DevNull})
	b.files["etc/NetworkManager/dispatcher.d/x"], b.files["etc/NetworkManager/system-connections/a/b"] = "", ""
	rep, err := Run(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	for _, w := range rep.Warnings {
		if !strings.Contains(w, "boot entries") && !strings.Contains(w, "initramfs") { // this machine's firmware and kernel
			t.Errorf("warning %q", w)
		}
	}
	if to, err := os.Readlink(filepath.Join(o.TargetRoot, "var/lib/dbus/machine-id")); err != nil || to != "/etc/machine-id" {
		t.Errorf("the link of dbus is %q, %v", to, err)
	}
}

// A configuration file that leads elsewhere is left alone and named.
func TestNetworkFilesThatAreLinks(t *testing.T) {
	outside := filepath.Join(t.TempDir(), "interfaces")
	const text = "iface ens3 inet static\n\taddress 192.0.2.5/24\n"
	if err := os.WriteFile(outside, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	o, _, _ := cloneBench(t, plan.CloneWishes{}, nil, map[string]string{"etc/network/interfaces": outside, "etc/netplan/01.yaml": "../elsewhere.yaml"})
	rep, err := Run(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	for _, n := range []string{"/etc/network/interfaces", "/etc/netplan/01.yaml"} {
		if !strings.Contains(strings.Join(rep.Warnings, "\n"), n+" was not changed: it is a link to ") {
			t.Errorf("%s is not named: %q", n, rep.Warnings)
		}
	}
	if got, err := os.ReadFile(outside); err != nil || string(got) != text {
		t.Errorf("the file outside says %q, %v", got, err)
	}
}

// A host name is set where the original had no file for it.
func TestCloneWithoutHostnameFile(t *testing.T) {
	o, _, b := cloneBench(t, plan.CloneWishes{Hostname: "web2"}, nil, nil)
	delete(b.files, "etc/hostname")
	b.differ = []string{"etc/hostname"}
	if _, err := Run(t.Context(), o); err != nil {
		t.Fatal(err)
	}
	if got, err := os.ReadFile(filepath.Join(o.TargetRoot, "etc/hostname")); err != nil || string(got) != "web2\n" {
		t.Fatalf("%q, %v", got, err)
	}
}

// A clone that was interrupted while it got its identity gets all of it from
// the second start: names that were removed are known again, and new ssh host
// keys are made.
func TestInterruptedIdentity(t *testing.T) {
	o, run, b := cloneBench(t, plan.CloneWishes{Hostname: "web2"}, map[string]string{
		"etc/network/interfaces": "iface ens3 inet static\n\taddress 192.0.2.5/24\n", "var/lib/dbus/machine-id": "0123\n",
	}, nil)
	b.differ = append(b.differ, "etc/ssh/ssh_host_rsa_key", "etc/hostname", "etc/machine-id")
	keygen := func(c string) bool { return strings.Contains(c, "ssh-keygen") }
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	if _, err := Run(ctx, o); err != nil {
		t.Fatal(err)
	}
	at := slices.IndexFunc(run.Commands(), keygen)
	if at < 0 {
		t.Fatalf("no ssh-keygen in %q", run.Commands())
	}
	o, run, b = cloneBench(t, plan.CloneWishes{Hostname: "web2"}, map[string]string{
		"etc/network/interfaces": "iface ens3 inet static\n\taddress 192.0.2.5/24\n", "var/lib/dbus/machine-id": "0123\n",
	}, nil)
	b.differ = append(b.differ, "etc/ssh/ssh_host_rsa_key", "etc/hostname", "etc/machine-id")
	run.stopAt, run.stop = at, cancel
	if _, err := Run(ctx, o); fail.KindOf(err) != fail.Interrupted {
		t.Fatalf("stopped before ssh-keygen: %v", err)
	}
	first := len(run.Commands())
	run.stopAt = 0
	rep, err := Run(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	if !slices.ContainsFunc(run.Commands()[first:], keygen) {
		t.Error("the clone has no ssh host keys")
	}
	if rep.Resumed == 0 || b.unpacked != 2 {
		t.Errorf("%d steps taken over, unpacked %d times", rep.Resumed, b.unpacked)
	}
}
