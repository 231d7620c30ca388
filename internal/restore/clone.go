package restore

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"github.com/mkcdrec/mkcdrec/internal/identity"
	"github.com/mkcdrec/mkcdrec/internal/plan"
	"github.com/mkcdrec/mkcdrec/internal/system"
)

// clone gives the restored system an identity of its own.
func (x *executor) clone(ctx context.Context, w plan.CloneWishes) error {
	address := identity.Address{CIDR: w.Addresses, Gateway: w.Gateway}
	if err := x.names(w.Hostname, address); err != nil {
		return err
	}
	// An empty machine-id is filled at the next start (machine-id(5)). Without
	// the file that would be the first start of a new system, which enables and
	// disables services by their presets.
	if err := x.edit("etc/machine-id", func([]byte) ([]byte, string) { return nil, "emptied; the next start makes a new one" }); err != nil {
		return err
	}
	if err := x.leftovers(); err != nil {
		return err
	}
	if err := x.sshKeys(ctx); err != nil {
		return err
	}
	x.sharedSecrets()
	x.otherHome(w.Hostname)
	return x.network(address)
}

// names gives the clone its host name, where one is wished, and its own
// addresses in /etc/hosts.
func (x *executor) names(name string, a identity.Address) error {
	var was []string
	for _, i := range x.m.Network.Interfaces {
		was = append(was, i.Addresses...)
	}
	err := x.edit("etc/hosts", func(b []byte) ([]byte, string) {
		own := identity.OwnAddresses(b, x.m.Hostname, was, a)
		if name == "" {
			return own, "addresses of this machine"
		}
		return identity.Hosts(own, x.m.Hostname, name), "host name " + name
	})
	if err != nil || name == "" {
		return err
	}
	if err := x.edit("etc/mailname", func(b []byte) ([]byte, string) {
		return identity.Hosts(b, x.m.Hostname, name), "host name " + name
	}); err != nil {
		return err
	}
	if !x.exists("etc/hostname") {
		if err := x.create("etc/hostname"); err != nil {
			return err
		}
	}
	return x.edit("etc/hostname", func([]byte) ([]byte, string) { return []byte(name + "\n"), "host name " + name })
}

// create makes an empty file that the backup does not have.
func (x *executor) create(name string) error {
	x.changed[name] = true
	err := x.keepTimes(path.Dir(name), func() error {
		return x.inRoot(func(r *os.Root) error {
			f, err := r.OpenFile(name, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o644)
			if err != nil {
				return err
			}
			return f.Close()
		})
	})
	if err != nil {
		return fmt.Errorf("cannot make /%s: %w", name, err)
	}
	return nil
}

// glob are the files that match a pattern below the target root, sorted.
func (x *executor) glob(pattern string) (names []string) {
	_ = x.inRoot(func(r *os.Root) error {
		if _, err := r.Lstat(pattern); err == nil {
			names = []string{pattern} // also a link that leads nowhere, which Glob leaves out
			return nil
		}
		names, _ = fs.Glob(r.FS(), pattern) // a directory that is not there has no files
		return nil
	})
	return names
}

// regular says whether a path is a regular file, and not a link to one.
func (x *executor) regular(name string) bool {
	return x.inRoot(func(r *os.Root) error {
		fi, err := r.Lstat(name)
		if err == nil && !fi.Mode().IsRegular() {
			err = fs.ErrInvalid
		}
		return err
	}) == nil
}

// leftovers removes what the original left behind.
func (x *executor) leftovers() error {
	all := identity.Leftovers
	if esp := x.esp(); esp != nil {
		// systemd-boot's, on the ESP.
		all = append(slices.Clone(all), identity.Leftover{What: "the random seed of the boot loader", Patterns: []string{strings.TrimPrefix(esp.Target, "/") + "/loader/random-seed"}})
	}
	for _, l := range all {
		removed := 0
		for _, pattern := range l.Patterns {
			for _, name := range x.glob(pattern) {
				if !x.regular(name) {
					continue
				}
				err := x.keepTimes(path.Dir(name), func() error {
					return x.inRoot(func(r *os.Root) error { return r.Remove(name) })
				})
				if err != nil {
					return fmt.Errorf("cannot remove /%s: %w", name, err)
				}
				x.changed[name] = true
				removed++
			}
		}
		if removed > 0 {
			x.change("", "%s removed; the clone makes its own", l.What)
		}
	}
	return nil
}

// sharedSecrets warns of what only its owner can change.
func (x *executor) sharedSecrets() {
	for _, s := range identity.SharedSecrets {
		var names []string
		for _, n := range x.glob(s.Pattern) {
			names = append(names, "/"+n)
		}
		used := len(s.Only) == 0 || slices.ContainsFunc(s.Only, func(p string) bool { return len(x.glob(p)) > 0 })
		if len(names) > 0 && used {
			x.warn("the clone has the original's %s: %s", s.What, strings.Join(names, ", "))
		}
	}
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

// network sets the network of a clone to DHCP or the given addresses. The
// files are rewritten in place: NetworkManager does not take a profile that
// others than root may read, and netplan complains about one.
func (x *executor) network(a identity.Address) error {
	var files []identity.File
	seen := map[string]bool{}
	for _, pattern := range identity.NetworkPatterns() {
		for _, name := range x.glob(pattern) {
			b, err := x.networkFile(name)
			if err != nil {
				x.warn("/%s was not changed: %v; check it for fixed addresses before the clone meets the original", name, err)
			}
			if err == nil && b != nil && !seen[name] {
				files = append(files, identity.File{Name: name, Content: b})
				seen[name] = true
			}
		}
	}
	done := identity.Network(files, identity.Wish{Address: a, Cards: x.cards()})
	for _, e := range done.Edits {
		if err := x.edit(e.Name, func([]byte) ([]byte, string) { return e.Content, e.What }); err != nil {
			return err
		}
	}
	x.report.Warnings = append(x.report.Warnings, done.Warnings...)
	return nil
}

// networkFile reads a configuration file. A directory and a link to /dev/null,
// which says that there shall be no such file, have no content (nil).
func (x *executor) networkFile(name string) (content []byte, err error) {
	err = x.inRoot(func(r *os.Root) error {
		fi, err := r.Lstat(name)
		if err != nil || fi.IsDir() {
			return err
		}
		if fi.Mode()&fs.ModeSymlink != 0 {
			to, err := r.Readlink(name)
			if err == nil && to != os.DevNull {
				err = fmt.Errorf("it is a link to %s", to)
			}
			return err
		}
		if !fi.Mode().IsRegular() {
			return errors.New("it is no regular file")
		}
		content, err = r.ReadFile(name)
		return err
	})
	return content, err
}

// cards are the hardware addresses of the network cards here: the interfaces
// with a device behind them (sysfs).
func (x *executor) cards() []string {
	var out []string
	if x.Images != nil {
		return nil // those of this machine are not those of the next one
	}
	dir := filepath.Join(x.Root, "/sys/class/net")
	entries, _ := os.ReadDir(dir)
	for _, e := range entries {
		if _, err := os.Stat(filepath.Join(dir, e.Name(), "device")); err != nil {
			continue
		}
		if b, err := os.ReadFile(filepath.Join(dir, e.Name(), "address")); err == nil {
			out = append(out, strings.TrimSpace(string(b)))
		}
	}
	return out
}
