package rescue

import (
	"maps"
	"path"
	"strings"
)

// late adds what the objects of a program open by themselves at run time, as
// far as it is here and complete: a program copes without.
func (c *closure) late(all []*mapped, have map[string]bool) {
	seen := map[string]bool{}
	for i := 0; i < len(all); i++ {
		for _, next := range c.opened(all[i]) {
			if seen[next.path] {
				continue
			}
			seen[next.path] = true
			mark, names := c.tree.mark(), maps.Clone(have)
			err := c.place(next)
			var more []*mapped
			if err == nil {
				more, err = c.load(next, names)
			}
			if err != nil {
				c.undo(mark)
				continue
			}
			maps.Copy(have, names)
			all = append(all, more...)
		}
	}
}

// opened are the libraries that are here of those that an object may open.
func (c *closure) opened(m *mapped) (out []*mapped) {
	for _, name := range m.dlopen {
		if next, err := c.library(name, m); err == nil {
			out = append(out, next)
		}
	}
	for _, l := range lateLibraries {
		if !l.opens(m) {
			continue
		}
		for _, p := range c.glob(l.globs) {
			if next, err := c.library(p, m); err == nil {
				out = append(out, next)
			}
		}
	}
	return out
}

// glob are the files of the machine that patterns mean, relative ones in the linker's directories.
func (c *closure) glob(patterns []string) (out []string) {
	seen := map[string]bool{}
	for _, pattern := range patterns {
		places := []string{pattern}
		if !path.IsAbs(pattern) {
			places = nil
			for _, d := range c.dirs {
				places = append(places, path.Join(d, pattern))
			}
		}
		for _, place := range places {
			for _, p := range c.tree.glob(place) {
				// A directory may have two names (/lib, /usr/lib); two names in one directory are both wanted.
				dir, _, err := c.tree.Resolve(path.Dir(p))
				if at := path.Join(dir, path.Base(p)); err == nil && !seen[at] {
					seen[at] = true
					out = append(out, p)
				}
			}
		}
	}
	return out
}

// lateLibrary names libraries that a program or library opens by itself at
// run time, so that no ELF header speaks of them.
type lateLibrary struct {
	user  string   // program, or beginning of a library's name
	globs []string // relative to the library directories
}

// opens says whether an object is the one that is meant. A program is known
// by its whole name: "lvm" is not "lvmpolld".
func (l lateLibrary) opens(m *mapped) bool {
	base := path.Base(m.path)
	return base == l.user || m.soname == l.user || strings.Contains(l.user, ".so") && (strings.HasPrefix(base, l.user) || strings.HasPrefix(m.soname, l.user))
}

var lateLibraries = []lateLibrary{
	{"libc.so.6", []string{"libnss_files.so.2", "libnss_dns.so.2", "libresolv.so.2", "libgcc_s.so.1"}}, // name service; pthread_cancel
	{"libcryptsetup.so", []string{"cryptsetup/libcryptsetup-token-*.so"}},
	{"libcrypto.so", []string{"ossl-modules/legacy.so"}}, // old LUKS hashes
	{"lvm", []string{"device-mapper/*.so", "libdevmapper-event-*.so*"}},
	{"dmeventd", []string{"device-mapper/*.so", "libdevmapper-event-*.so*"}},
	{"libmultipath.so", []string{"multipath/lib*.so", "/lib/multipath/lib*.so", "/lib64/multipath/lib*.so"}},
	{"mkfs.fat", []string{"gconv/IBM850.so", "gconv/IBM437.so"}},
	{"fsck.fat", []string{"gconv/IBM850.so", "gconv/IBM437.so"}},
	{"libkmod.so", []string{"liblzma.so.5", "libzstd.so.1", "libz.so.1"}},
}
