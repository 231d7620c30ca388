package identity

import (
	"fmt"
	"regexp"
	"strings"
)

// FstabEntry is a line of fstab(5); Dump is always 0.
type FstabEntry struct {
	Source, Target, Kind, Options string
	Pass                          int
}

// AddFstab adds an entry at the end, unless the target has one: then the file
// stays as it is.
func AddFstab(content []byte, e FstabEntry) []byte {
	for line := range strings.SplitSeq(string(content), "\n") {
		if f := strings.Fields(line); len(f) > 1 && !strings.HasPrefix(f[0], "#") && fstabWord.Replace(f[1]) == e.Target {
			return content
		}
	}
	out := string(content)
	if out != "" && !strings.HasSuffix(out, "\n") {
		out += "\n"
	}
	return []byte(out + fmt.Sprintf("%s %s %s %s 0 %d\n", fstabQuote.Replace(e.Source), fstabQuote.Replace(e.Target), e.Kind, e.Options, e.Pass))
}

// White space in fstab(5) is written in octal.
var (
	fstabWord  = strings.NewReplacer(`\040`, " ", `\011`, "\t", `\134`, `\`)
	fstabQuote = strings.NewReplacer(" ", `\040`, "\t", `\011`, `\`, `\134`)
)

var partUUID = regexp.MustCompile(`(?i)(PARTUUID="?|/dev/disk/by-partuuid/)([0-9a-f-]+)`)

// PartUUIDs replaces the IDs of partitions, old to new, where a configuration
// file names a partition by its ID. Both cases of the letters are known.
func PartUUIDs(content []byte, ids map[string]string) []byte {
	if len(ids) == 0 {
		return content
	}
	lower := map[string]string{}
	for from, to := range ids {
		lower[strings.ToLower(from)] = strings.ToLower(to)
	}
	return partUUID.ReplaceAllFunc(content, func(b []byte) []byte {
		m := partUUID.FindSubmatch(b)
		if to, ok := lower[strings.ToLower(string(m[2]))]; ok {
			return append(append([]byte{}, m[1]...), to...)
		}
		return b
	})
}
