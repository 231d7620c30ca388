package restore

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"sort"
	"strings"

	"github.com/mkcdrec/mkcdrec/internal/identity"
	"github.com/mkcdrec/mkcdrec/internal/plan"
	"github.com/mkcdrec/mkcdrec/internal/system"
)

// deviceFiles are the configuration files that may name disks.
var deviceFiles = []string{
	"etc/fstab", "etc/crypttab", "etc/initramfs-tools/conf.d/resume", "etc/default/grub",
	"boot/grub/device.map", "boot/grub/grub.cfg", "boot/grub2/device.map", "boot/grub2/grub.cfg",
}

// identity adapts the configuration: names of disks that changed, and for a
// clone everything that must not be there twice. Carried out again it changes
// nothing more, except that it reports the same changes.
func (x *executor) identity(ctx context.Context, s plan.Step) error {
	renames := x.Plan.Renames()
	for _, name := range deviceFiles {
		err := x.edit(name, func(b []byte) ([]byte, string) {
			for _, p := range identity.Pinned(b) {
				if strings.HasSuffix(name, "/device.map") {
					break // grub-install makes it anew
				}
				x.warn("/%s names %s, which belongs to the recorded hardware", name, p)
			}
			return identity.Devices(b, renames), "names of disks"
		})
		if err != nil {
			return err
		}
	}
	if s.Clone == nil {
		return nil
	}
	return x.clone(ctx, *s.Clone)
}

// edit rewrites a file of the restored system in place, which keeps its owner,
// mode and attributes. A file that is not there is left out.
func (x *executor) edit(name string, change func([]byte) (out []byte, what string)) error {
	err := x.inRoot(func(r *os.Root) error {
		b, err := r.ReadFile(name)
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if err != nil {
			return err
		}
		out, what := change(b)
		if string(out) == string(b) {
			return nil
		}
		if err := r.WriteFile(name, out, 0o644); err != nil {
			return err
		}
		x.change(name, "/%s: %s", name, what)
		return nil
	})
	if err != nil {
		return fmt.Errorf("cannot adapt /%s: %w", name, err)
	}
	return nil
}

// clone gives the restored system an identity of its own.
func (x *executor) clone(ctx context.Context, w plan.CloneWishes) error {
	if w.Hostname != "" {
		x.changed["etc/hostname"], x.changed["etc/hosts"] = true, true
		if err := x.edit("etc/hostname", func([]byte) ([]byte, string) { return []byte(w.Hostname + "\n"), "host name " + w.Hostname }); err != nil {
			return err
		}
		if err := x.edit("etc/hosts", func(b []byte) ([]byte, string) {
			return identity.Hosts(b, x.m.Hostname, w.Hostname), "host name " + w.Hostname
		}); err != nil {
			return err
		}
	}
	// An empty machine-id is filled at the next start (machine-id(5)).
	x.changed["etc/machine-id"] = true
	if err := x.edit("etc/machine-id", func([]byte) ([]byte, string) { return nil, "emptied; the next start makes a new one" }); err != nil {
		return err
	}
	if err := x.sshKeys(ctx); err != nil {
		return err
	}
	return x.addresses(identity.Address{CIDR: w.Addresses, Gateway: w.Gateway})
}

// sshKeys replaces the ssh host keys; two machines must not share them.
func (x *executor) sshKeys(ctx context.Context) error {
	if !x.exists("etc/ssh") {
		return nil
	}
	removed := 0
	err := x.inRoot(func(r *os.Root) error {
		names, err := fs.Glob(r.FS(), "etc/ssh/ssh_host_*_key*")
		if err != nil {
			return err
		}
		for _, n := range names {
			if err := r.Remove(n); err != nil {
				return err
			}
			x.changed[n] = true
			removed++
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("cannot remove the ssh host keys: %w", err)
	}
	x.changed["etc/ssh"] = true
	if removed == 0 {
		return nil
	}
	if x.program("ssh-keygen") == "" {
		x.warn("the ssh host keys were removed, and the restored system has no ssh-keygen to make new ones")
		return nil
	}
	if err := x.bind(ctx); err != nil {
		return err
	}
	if _, err := x.System.Run(ctx, system.Command{Name: "ssh-keygen", Args: []string{"-A"}, Chroot: x.TargetRoot}); err != nil {
		return fmt.Errorf("cannot make new ssh host keys: %w", err)
	}
	x.change("", "new ssh host keys")
	return nil
}

// addresses sets the network of a clone to DHCP or the given addresses.
func (x *executor) addresses(a identity.Address) error {
	done := false
	one := func(name string, rewrite func([]byte, identity.Address) ([]byte, bool)) error {
		return x.edit(name, func(b []byte) ([]byte, string) {
			out, changed := rewrite(b, a)
			done = done || changed
			if len(a.CIDR) > 0 {
				return out, "address " + strings.Join(a.CIDR, ", ")
			}
			return out, "addresses by DHCP"
		})
	}
	if err := one("etc/network/interfaces", identity.Interfaces); err != nil {
		return err
	}
	var more []string
	_ = x.inRoot(func(r *os.Root) error {
		for _, pattern := range []string{"etc/network/interfaces.d/*", "etc/systemd/network/*.network"} {
			names, _ := fs.Glob(r.FS(), pattern)
			more = append(more, names...)
		}
		return nil
	})
	sort.Strings(more)
	for _, n := range more {
		rewrite := identity.Interfaces
		if path.Ext(n) == ".network" {
			rewrite = identity.Networkd
		}
		if len(a.CIDR) > 0 && done {
			break // the given address belongs to the first interface only
		}
		if err := one(n, rewrite); err != nil {
			return err
		}
	}
	for _, other := range []string{"etc/netplan", "etc/NetworkManager/system-connections"} {
		if !done && x.exists(other) {
			x.warn("the network configuration in /%s was not changed: check it for fixed addresses before the clone meets the original", other)
		}
	}
	if len(a.CIDR) > 0 && !done {
		x.warn("the address %s was set nowhere: the restored system has no network configuration that this version knows", strings.Join(a.CIDR, ", "))
	}
	return nil
}
