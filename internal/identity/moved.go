package identity

import (
	"regexp"
	"slices"
	"strings"
)

// Moved is what lies on another device than configuration files may say: the
// names by which they may know it ("/dev/md0", "PARTUUID=...", "PARTLABEL=..."),
// and the UUID of what lies there, by which it is found wherever it is. Without
// a UUID nothing is rewritten.
type Moved struct {
	Was  []string
	UUID string
}

// deviceWord matches what names a device in a configuration file: a path, or a
// partition by its ID or name. Quotation marks, commas and blanks end it.
var deviceWord = regexp.MustCompile(`(?:/dev/[A-Za-z0-9_./:+@%-]+|\b(?:PARTUUID|PARTLABEL)=(?:"[^"\n]*"|[^ \t\n"',;]+))`)

// Moves gives what was moved the names that go by UUID, outside of comments:
// /dev/disk/by-uuid/... for a path, UUID=... for a tag. Both name a device
// wherever the old name did: in fstab(5), crypttab(5), for root= and resume=. names are
// those that were replaced, left those that name what has no UUID.
func Moves(content []byte, moved []Moved) (out []byte, names, left []string) {
	note := func(list *[]string, s string) {
		if !slices.Contains(*list, s) {
			*list = append(*list, s)
		}
	}
	lines := strings.Split(string(content), "\n")
	for i, line := range lines {
		if strings.HasPrefix(strings.TrimSpace(line), "#") {
			continue
		}
		lines[i] = deviceWord.ReplaceAllStringFunc(line, func(word string) string {
			tag, value, tagged := strings.Cut(word, "=")
			if tagged = tagged && !strings.HasPrefix(word, "/"); tagged {
				value = strings.Trim(value, `"`)
			}
			for _, m := range moved {
				found := slices.ContainsFunc(m.Was, func(w string) bool {
					if tagged && tag == "PARTUUID" {
						return strings.EqualFold(w, tag+"="+value)
					}
					return w == word || tagged && w == tag+"="+value
				})
				switch {
				case !found:
					continue
				case m.UUID == "":
					note(&left, word)
					return word
				case tagged:
					note(&names, word)
					return "UUID=" + m.UUID
				}
				note(&names, word)
				return "/dev/disk/by-uuid/" + m.UUID
			}
			return word
		})
	}
	return []byte(strings.Join(lines, "\n")), names, left
}
