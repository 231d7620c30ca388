package rescue

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
)

// companions are files that a program opens by name, so that no library list
// speaks of them. Patterns that match nothing are passed over: each family
// puts them elsewhere. A directory goes in with all below it.
var companions = map[string][]string{
	"mkfs.ext4":     {"/etc/mke2fs.conf"},
	"curl":          certificates,
	"wget":          certificates,
	"sshd":          {"/usr/lib/openssh/sshd-*", "/usr/libexec/openssh/sshd-*", "/usr/libexec/ssh/sshd-*", "/usr/lib/ssh/sshd-*", "/usr/libexec/sshd-*"},
	"lspci":         {"/usr/share/misc/pci.ids", "/usr/share/hwdata/pci.ids"},
	"cryptsetup":    {"/etc/ssl/openssl.cnf", "/usr/lib/ssl/openssl.cnf", "/etc/pki/tls/openssl.cnf", "/etc/crypto-policies/back-ends/opensslcnf.config"},
	"mkfs.vfat":     {"/usr/lib/*/gconv/gconv-modules", "/usr/lib/*/gconv/gconv-modules.d", "/usr/lib64/gconv/gconv-modules", "/usr/lib64/gconv/gconv-modules.d"},
	"groff":         {"/etc/groff", "/usr/share/groff/current", "/usr/share/groff/*/font/devutf8", "/usr/share/groff/*/font/devascii", "/usr/share/groff/*/tmac", "/usr/share/groff/site-tmac", "/usr/share/groff/site-font", "/usr/share/groff/*/eign"},
	"mount.nfs":     {"/etc/netconfig", "/etc/nfsmount.conf"},
	"systemd-udevd": {"/etc/udev/udev.conf", "/usr/lib/systemd/network/99-default.link"},
	"lvm":           {"/usr/sbin/dmeventd"},
	"nano":          {"/etc/nanorc"},
}

var certificates = []string{"/etc/ssl/certs/ca-certificates.crt", "/etc/ssl/openssl.cnf", "/usr/lib/ssl/cert.pem", "/usr/lib/ssl/openssl.cnf", "/usr/lib/ssl/certs",
	"/etc/pki/tls/certs/ca-bundle.crt", "/etc/pki/tls/cert.pem", "/etc/pki/tls/openssl.cnf", "/etc/ssl/ca-bundle.pem", "/etc/ssl/cert.pem", "/var/lib/ca-certificates/ca-bundle.pem",
	"/etc/crypto-policies/back-ends/openssl*.config"}

// certificateDirs hold one file a certificate beside the bundle, which is enough.
var certificateDirs = []string{"/etc/ssl/certs", "/usr/lib/ssl/certs"}

func addCompanions(cl *closure, name string) error {
	t := cl.tree
	for _, pattern := range companions[name] {
		m, _ := filepath.Glob(t.host(pattern)) // constant patterns
		slices.Sort(m)
		for _, hp := range m {
			rel, err := filepath.Rel(t.Root, hp)
			if err != nil {
				continue
			}
			p := path.Join("/", filepath.ToSlash(rel))
			fi, err := os.Stat(hp)
			switch {
			case err != nil:
				continue // a dangling link
			case fi.IsDir() && slices.Contains(certificateDirs, p):
				_, err = t.AddHost(p)
			case fi.IsDir():
				err = t.AddHostTree(p, nil)
			default:
				err = cl.Add(p)
			}
			if err != nil && !errors.Is(err, fs.ErrNotExist) && !errors.Is(err, errNoLibrary) {
				return fmt.Errorf("cannot add what %s needs: %w", name, err)
			}
		}
	}
	return nil
}
