package rescue

import (
	"fmt"
	"io/fs"
	"path"
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
	"mdadm":         {"/usr/sbin/mdmon", "/sbin/mdmon"},
	"multipath":     {"/etc/multipath.conf", "/etc/multipath", "/usr/lib/multipath", "/lib/multipath", "/usr/lib64/multipath", "/usr/lib/*/multipath"},
	"iscsiadm":      {"/usr/sbin/iscsid", "/sbin/iscsid", "/etc/iscsi/initiatorname.iscsi"},
	"smartctl":      {"/var/lib/smartmontools/drivedb", "/usr/share/smartmontools/drivedb.h"},
	"dhclient":      {"/usr/sbin/dhclient-script", "/sbin/dhclient-script", "/var/lib/dhcp", "/var/lib/dhclient"},
}

var certificates = []string{"/etc/ssl/certs/ca-certificates.crt", "/etc/ssl/openssl.cnf", "/usr/lib/ssl/cert.pem", "/usr/lib/ssl/openssl.cnf", "/usr/lib/ssl/certs",
	"/etc/pki/tls/certs/ca-bundle.crt", "/etc/pki/tls/cert.pem", "/etc/pki/tls/openssl.cnf", "/etc/ssl/ca-bundle.pem", "/etc/ssl/cert.pem", "/var/lib/ca-certificates/ca-bundle.pem",
	"/etc/crypto-policies/back-ends/openssl*.config"}

// emptyDirs come without their content: one file a certificate beside the
// bundle, which is enough; leases of the machine, which are not the rescue system's.
var emptyDirs = []string{"/etc/ssl/certs", "/usr/lib/ssl/certs", "/var/lib/dhcp", "/var/lib/dhclient"}

// calls are companions that do a program's work: one of them has to be there.
var calls = map[string][]string{
	"dhclient": {"/sbin/dhclient-script", "/usr/sbin/dhclient-script"},
}

// addCompanions adds what a program opens by name. The error says that one
// without which it is of no use is not here.
func (c *Contents) addCompanions(name string) error {
	t := c.Tree
	for _, pattern := range companions[name] {
		for _, p := range t.glob(pattern) {
			fi, err := t.stat(p)
			switch {
			case err != nil:
				continue // a dangling link
			case fi.IsDir() && slices.Contains(emptyDirs, p):
				_, err = t.AddHost(p)
			case fi.IsDir():
				err = t.AddHostTree(p, nil)
			default:
				err = c.closure.Add(p)
			}
			if err != nil {
				c.Warnings = append(c.Warnings, fmt.Sprintf("%s has to do without %s: %v", name, p, err))
			}
		}
	}
	called := calls[name]
	if len(called) > 0 && !slices.ContainsFunc(called, t.Has) {
		return fmt.Errorf("%s, which it calls, is not here: %w", path.Base(called[0]), fs.ErrNotExist)
	}
	return nil
}
