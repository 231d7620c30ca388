package identity

import (
	"regexp"
	"strconv"
	"strings"
)

// subvolID matches the option that names a btrfs subvolume by its number
// (btrfs(5)); subvolid=5 and 0 are the top level.
var subvolID = regexp.MustCompile(`(^|[,=" \t])subvolid=(0x[0-9a-fA-F]+|[0-9]+)`)

// SubvolIDs replaces the numbers of btrfs subvolumes in fstab(5): ids gives for
// the source and target of a line the new number by the recorded one, or nil
// where the line is for something else. Everything else stays byte for byte.
func SubvolIDs(content []byte, ids func(source, target string) map[uint64]uint64) (out []byte, what []string) {
	return eachLine(content, func(line string, f []string) (string, string) {
		if len(f) < 4 || f[2] != "btrfs" && f[2] != "auto" {
			return line, ""
		}
		target := fstabWord.Replace(f[1])
		now := replaceSubvolIDs(line, ids(fstabWord.Replace(f[0]), target))
		if now == line {
			return line, ""
		}
		return now, "subvolid= of " + target + " is the number of the new subvolume"
	})
}

// RootSubvolID replaces the number of a btrfs subvolume in rootflags= on
// command lines of the kernel.
func RootSubvolID(content []byte, ids map[uint64]uint64) []byte {
	return rootFlags.ReplaceAllFunc(content, func(b []byte) []byte { return []byte(replaceSubvolIDs(string(b), ids)) })
}

var rootFlags = regexp.MustCompile(`\brootflags=[^ \t"'\n]*`)

func replaceSubvolIDs(s string, ids map[uint64]uint64) string {
	return subvolID.ReplaceAllStringFunc(s, func(m string) string {
		before, number, _ := strings.Cut(m, "subvolid=")
		was, err := strconv.ParseUint(number, 0, 64)
		if now, ok := ids[was]; err == nil && ok && now != was {
			return before + "subvolid=" + strconv.FormatUint(now, 10)
		}
		return m
	})
}
