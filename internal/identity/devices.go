// Package identity turns the bytes of a restored system's configuration files
// into those that fit the machine it has become: device names, host name,
// machine-id, network. It is pure, bytes in and bytes out; restore reads and
// writes the files.
package identity

import (
	"regexp"
	"sort"
	"strings"
)

// device matches a kernel name of a disk or partition behind /dev/.
var device = regexp.MustCompile(`/dev/([a-z]+[a-z0-9]*)`)

// Devices rewrites the kernel names of disks and partitions in a
// configuration file: renames maps the old name of a disk to its new one. All
// are replaced at once, so that two disks may swap their names. Everything
// else stays byte for byte.
func Devices(content []byte, renames map[string]string) []byte {
	return device.ReplaceAllFunc(content, func(b []byte) []byte {
		if n, ok := Rename(string(b[len("/dev/"):]), renames); ok {
			return []byte("/dev/" + n)
		}
		return b
	})
}

// Rename gives the new kernel name of a disk or partition; ok is false where
// its disk has no new name.
func Rename(name string, renames map[string]string) (string, bool) {
	for from, to := range renames {
		rest, ok := strings.CutPrefix(name, from)
		if !ok || from == "" || from == to {
			continue
		}
		if rest == "" {
			return to, true
		}
		if digit(from[len(from)-1]) {
			// A partition of a disk whose name ends in a digit has a "p".
			if rest, ok = strings.CutPrefix(rest, "p"); !ok {
				continue
			}
		}
		if rest == "" || strings.Trim(rest, "0123456789") != "" {
			continue
		}
		if digit(to[len(to)-1]) {
			to += "p"
		}
		return to + rest, true
	}
	return "", false
}

func digit(c byte) bool { return c >= '0' && c <= '9' }

// NamesArray says whether an mdadm.conf(5) names the array of a UUID, which may
// have its groups in any form.
func NamesArray(conf []byte, uuid string) bool {
	digits := func(s string) string {
		return strings.ToLower(strings.NewReplacer("-", "", ":", "", ".", "").Replace(s))
	}
	for line := range strings.Lines(string(conf)) {
		for word := range strings.FieldsSeq(line) {
			if strings.HasPrefix(word, "#") {
				break
			}
			if key, value, ok := strings.Cut(word, "="); ok && strings.EqualFold(key, "uuid") && digits(value) == digits(uuid) {
				return true
			}
		}
	}
	return false
}

// Pinned lists device names in a file that are bound to the old hardware
// (/dev/disk/by-id, by-path) and cannot be rewritten with certainty.
func Pinned(content []byte) []string {
	seen := map[string]bool{}
	for line := range strings.SplitSeq(string(content), "\n") {
		line, _, _ = strings.Cut(line, "#")
		for word := range strings.FieldsSeq(line) {
			if (strings.Contains(word, "/dev/disk/by-id/") || strings.Contains(word, "/dev/disk/by-path/")) && !steady(word) {
				seen[word] = true
			}
		}
	}
	out := make([]string, 0, len(seen))
	for w := range seen {
		out = append(out, w)
	}
	sort.Strings(out)
	return out
}
