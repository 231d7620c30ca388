package rescue

import (
	"cmp"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"github.com/mkcdrec/mkcdrec/internal/fail"
)

// imagePlaces are where distributions put a kernel image; %s is its version.
var imagePlaces = []string{"/boot/vmlinuz-%s", "/lib/modules/%s/vmlinuz", "/usr/lib/modules/%s/vmlinuz", "/boot/vmlinux-%s", "/boot/Image-%s", "/boot/kernel-%s"}

// FindKernel finds the kernel for the medium: the one with the version (or
// path) that wish names; else the running one if it is installed with its
// modules; else the newest installed one. The error is fail.Unsupported.
func FindKernel(root, running, wish string) (Kernel, error) {
	installed := InstalledKernels(root)
	if wish != "" {
		for _, k := range installed {
			if k.Version == wish || k.Image == wish {
				return k, nil
			}
		}
		return Kernel{}, fail.Hint(fail.New(fail.Unsupported, "cannot find kernel %s with its modules below /lib/modules", wish),
			"set kernel to one of: %s", versions(installed))
	}
	for _, k := range installed {
		if k.Version == running {
			return k, nil
		}
	}
	if len(installed) == 0 {
		return Kernel{}, fail.Hint(fail.New(fail.Unsupported, "cannot find a kernel for the medium: no /boot/vmlinuz-VERSION with /lib/modules/VERSION"),
			"install %s; it need not be the kernel that runs", KernelPackage(FamilyAt(root)))
	}
	return installed[0], nil
}

// unpacksZstd refuses a kernel whose configuration says that it cannot unpack
// what pack makes. Where there is no configuration nobody knows.
func unpacksZstd(t *Tree, k Kernel) error {
	for _, p := range []string{"/boot/config-" + k.Version, path.Join(k.Modules, "config")} {
		b, err := readHost(t, p)
		if err != nil {
			continue
		}
		for line := range strings.Lines(string(b)) {
			if strings.TrimSpace(line) == "CONFIG_RD_ZSTD=y" {
				return nil
			}
		}
		return fail.Hint(fail.New(fail.Unsupported, "cannot use kernel %s for the medium: it does not unpack an initramfs by zstd (%s has no CONFIG_RD_ZSTD=y)", k.Version, p),
			"set rescue.kernel to one from 5.9 on: %s", versions(InstalledKernels(t.Root)))
	}
	return nil
}

func versions(ks []Kernel) string {
	if len(ks) == 0 {
		return "(none is installed)"
	}
	var v []string
	for _, k := range ks {
		v = append(v, k.Version)
	}
	return strings.Join(v, ", ")
}

// KernelPackage is the package that brings a kernel in a family.
func KernelPackage(f Family) string {
	switch f {
	case Fedora:
		return "kernel"
	case SUSE:
		return "kernel-default"
	case Arch:
		return "linux"
	}
	return "linux-image-amd64"
}

// InstalledKernels are the kernels that have both image and modules, newest first.
func InstalledKernels(root string) []Kernel {
	t := NewTree(root)
	var out []Kernel
	dirs, _ := filepath.Glob(t.host("/lib/modules/*")) // constant pattern
	if len(dirs) == 0 {
		dirs, _ = filepath.Glob(t.host("/usr/lib/modules/*"))
	}
	for _, d := range dirs {
		v := filepath.Base(d)
		if _, err := os.Stat(filepath.Join(d, "modules.dep")); err != nil {
			continue
		}
		for _, place := range imagePlaces {
			img := strings.Replace(place, "%s", v, 1)
			if fi, err := os.Stat(t.host(img)); err == nil && fi.Mode().IsRegular() {
				rel, _ := filepath.Rel(t.Root, d) // d comes from below Root
				out = append(out, Kernel{Version: v, Image: img, Modules: path.Join("/", filepath.ToSlash(rel))})
				break
			}
		}
	}
	slices.SortFunc(out, func(a, b Kernel) int { return compareVersions(b.Version, a.Version) })
	return out
}

// compareVersions orders kernel versions by their numbers: 6.1.0-9 before 6.1.0-10.
func compareVersions(a, b string) int {
	for a != "" && b != "" {
		na, ra := digits(a)
		nb, rb := digits(b)
		if na != "" && nb != "" {
			na, nb = strings.TrimLeft(na, "0"), strings.TrimLeft(nb, "0")
			if c := cmp.Or(cmp.Compare(len(na), len(nb)), strings.Compare(na, nb)); c != 0 {
				return c
			}
			a, b = ra, rb
			continue
		}
		if a[0] != b[0] {
			return cmp.Compare(a[0], b[0])
		}
		a, b = a[1:], b[1:]
	}
	return cmp.Compare(len(a), len(b))
}

func digits(s string) (num, rest string) {
	i := 0
	for i < len(s) && s[i] >= '0' && s[i] <= '9' {
		i++
	}
	return s[:i], s[i:]
}

// FamilyAt is the family of the system below root; Debian where it does not say.
func FamilyAt(root string) Family {
	b, _ := os.ReadFile(NewTree(root).host("/etc/os-release")) // unknown: Debian's names are understood best
	return FamilyOf(string(b))
}

// FamilyOf is the family of a distribution by the text of its os-release.
func FamilyOf(osRelease string) Family {
	ids := ""
	for line := range strings.Lines(osRelease) {
		k, v, _ := strings.Cut(strings.TrimSpace(line), "=")
		if k == "ID" || k == "ID_LIKE" {
			ids += " " + strings.Trim(v, `"'`)
		}
	}
	for id := range strings.FieldsSeq(ids) {
		switch id {
		case "debian", "ubuntu":
			return Debian
		case "fedora", "rhel", "centos", "rocky", "almalinux":
			return Fedora
		case "suse", "opensuse", "sles", "opensuse-leap", "opensuse-tumbleweed":
			return SUSE
		case "arch", "manjaro":
			return Arch
		}
	}
	return Debian
}
