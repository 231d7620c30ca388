package rescue

import (
	"bufio"
	"bytes"
	"os"
	"path"
	"slices"
	"strings"

	"github.com/mkcdrec/mkcdrec/internal/machine"
)

// usedModules are the names of the modules that this machine uses: those that
// are loaded, and those that the medium's kernel has for its devices and file
// systems, which may be built into the kernel that runs.
func (m *modules) usedModules(mach machine.Machine) ([]string, error) {
	used := loadedModules(m.tree)
	aliases, err := m.byAlias(modaliases(m.tree))
	if err != nil {
		return nil, err
	}
	used = append(used, aliases...)
	for _, f := range mach.FileSystems {
		used = append(used, string(f.Kind))
	}
	if slices.ContainsFunc(mach.Disks, func(d machine.Disk) bool { return d.Multipath() }) {
		used = append(used, "dm-mod", "dm-multipath", "dm-round-robin", "dm-queue-length", "dm-service-time", "scsi-dh-alua", "scsi-dh-rdac", "scsi-dh-emc", "scsi-dh-hp-sw")
	}
	if len(mach.Arrays) > 0 {
		used = append(used, "md-mod", "linear", "raid0", "raid1", "raid10", "raid456")
	}
	for _, c := range mach.Crypts {
		used = append(used, "dm-crypt")
		used = append(used, cipherModules(c.Cipher)...)
	}
	if len(mach.VolumeGroups) > 0 {
		used = append(used, "dm-mod", "dm-snapshot", "dm-mirror")
	}
	for _, g := range mach.VolumeGroups {
		used = append(used, volumeModules(g)...)
	}
	return used, nil
}

// volumeModules are the modules that the volumes of a group need. Those of RAID
// are md's own, behind dm-raid.
func volumeModules(g machine.VolumeGroup) []string {
	var out []string
	for _, lv := range g.Logical {
		if lv.Pool != nil {
			out = append(out, "dm-thin-pool")
		}
		for _, p := range lv.Parts() {
			if strings.HasPrefix(p.Layout(), "raid") {
				out = append(out, "dm-raid", "raid0", "raid1", "raid10", "raid456")
			}
		}
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// cipherModules are the modules that a cipher of dm-crypt may need, by what it
// is called: aes-xts-plain64, aes-cbc-essiv:sha256. What is built in, or is
// not there, is passed over; so are accelerated ones of another processor.
func cipherModules(cipher string) []string {
	out := []string{"aesni-intel", "cryptd", "ecb", "essiv", "af-alg", "algif-skcipher", "algif-hash"}
	for _, f := range strings.FieldsFunc(cipher, func(r rune) bool { return r == '-' || r == ':' }) {
		switch f {
		case "plain", "plain64", "plain64be", "benbi", "null", "random", "eboiv", "elephant":
		case "sha256", "sha512", "sha1":
			out = append(out, f, f+"-generic", f+"-ssse3")
		default:
			out = append(out, f, f+"-generic", f+"-x86_64")
		}
	}
	return out
}

// loadedModules are the modules in use on this machine, from /proc/modules.
func loadedModules(t *Tree) []string {
	b, err := os.ReadFile(t.host("/proc/modules"))
	if err != nil {
		return nil // a kernel without modules has none
	}
	var out []string
	for line := range strings.Lines(string(b)) {
		if f := strings.Fields(line); len(f) > 0 {
			out = append(out, f[0])
		}
	}
	return out
}

// modaliases are what the devices of this machine say of themselves.
func modaliases(t *Tree) []string {
	var out []string
	for _, p := range t.glob("/sys/bus/*/devices/*/modalias") {
		if b, err := readHost(t, p); err == nil {
			out = append(out, strings.TrimSpace(string(b)))
		}
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// aliasKey is how much of an alias its bucket is found by: the bus, and of
// the vendor what pci, usb and virtio have in common. modules.alias has tens
// of thousands of patterns.
const aliasKey = 9

// byAlias are the modules that modules.alias of the medium's kernel names for devices.
func (m *modules) byAlias(devices []string) ([]string, error) {
	b, err := readHost(m.tree, path.Join(m.dir, "modules.alias"))
	if err != nil {
		return nil, nil // a kernel without modules has none
	}
	// A "/" is nothing special in an alias, but is to path.Match.
	plain := strings.NewReplacer("/", "\x00")
	buckets := map[string][][2]string{}
	sc := bufio.NewScanner(bytes.NewReader(b))
	sc.Buffer(nil, 1<<20)
	for sc.Scan() {
		f := strings.Fields(sc.Text())
		if len(f) != 3 || f[0] != "alias" {
			continue
		}
		key := f[1]
		if i := strings.IndexAny(key, "*?["); i >= 0 {
			key = key[:i]
		}
		key = key[:min(len(key), aliasKey)]
		if len(key) < aliasKey {
			key, _, _ = strings.Cut(key, ":")
		}
		buckets[key] = append(buckets[key], [2]string{plain.Replace(f[1]), f[2]})
	}
	if err := sc.Err(); err != nil {
		return nil, err
	}
	var out []string
	for _, d := range devices {
		bus, _, _ := strings.Cut(d, ":")
		for _, p := range slices.Concat(buckets[d[:min(len(d), aliasKey)]], buckets[bus]) {
			if ok, err := path.Match(p[0], plain.Replace(d)); err == nil && ok {
				out = append(out, p[1])
			}
		}
	}
	slices.Sort(out)
	return slices.Compact(out), nil
}
