// Package bls reads the entries of boot loaders that the UAPI Group's Boot Loader
// Specification describes (type 1): loader/entries/*.conf, for systemd-boot and
// for GRUB.
package bls

import "strings"

// Entry is one of them, as far as it is of use here.
type Entry struct {
	Version string
	Linux   string   // path on the file system that the entry lies on
	Initrds []string // the same
}

// Parse reads an entry; lines that are not understood are left out.
func Parse(content []byte) (e Entry) {
	for line := range strings.Lines(string(content)) {
		f := strings.Fields(line)
		if len(f) < 2 {
			continue
		}
		switch f[0] {
		case "version":
			e.Version = f[1]
		case "linux", "efi", "uki":
			e.Linux = f[1]
		case "initrd":
			e.Initrds = append(e.Initrds, f[1:]...) // GRUB takes several in a line
		}
	}
	return e
}

// Of says whether the entry starts a kernel of that version.
func (e Entry) Of(kernel string) bool {
	return e.Version == kernel || strings.Contains(e.Linux, kernel)
}
