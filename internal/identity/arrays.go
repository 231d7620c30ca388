package identity

import (
	"slices"
	"strings"
)

// FormerArray is an array that is not made any more, by UUID and names in /dev.
type FormerArray struct {
	UUID  string
	Names []string
}

// ConfArray is an array as mdadm.conf(5) names it.
type ConfArray struct {
	Path, Metadata, UUID, Label string
}

// NoArrays comments the lines of mdadm.conf(5) out that name arrays which are not
// made, each with a word why; further lines of one begin with a blank. said names
// what was commented out.
func NoArrays(content []byte, former []FormerArray, tool string) (out []byte, said []string) {
	lines := strings.Split(string(content), "\n")
	var result []string
	for i := 0; i < len(lines); {
		end := i + 1
		for end < len(lines) && continued(lines[end]) {
			end++
		}
		entry := lines[i:end]
		i = end
		name := formerName(entry, former)
		if name == "" {
			result = append(result, entry...)
			continue
		}
		result = append(result, "# "+tool+": "+name+" was flattened by the restore: what it held is on a plain device")
		for _, l := range entry {
			result = append(result, "#"+l)
		}
		said = append(said, name+" commented out: it was flattened")
	}
	return []byte(strings.Join(result, "\n")), said
}

// continued says whether a line belongs to the one before it.
func continued(line string) bool {
	return line != "" && (line[0] == ' ' || line[0] == '\t') && strings.TrimSpace(line) != "" && !strings.HasPrefix(strings.TrimSpace(line), "#")
}

// formerName is how an ARRAY entry calls an array that is not made; "" for all
// other entries.
func formerName(entry []string, former []FormerArray) string {
	var words []string
	for _, l := range entry {
		text, _, _ := strings.Cut(l, "#")
		words = append(words, strings.Fields(text)...)
	}
	// Key words may be cut down to three letters, in any case.
	if len(words) < 2 || len(words[0]) < 3 || !strings.HasPrefix("array", strings.ToLower(words[0])) {
		return ""
	}
	device := words[1]
	for _, f := range former {
		if f.UUID != "" && NamesArray([]byte(strings.Join(words, " ")), f.UUID) {
			return device
		}
		own := slices.ContainsFunc(words[1:], func(w string) bool { k, _, ok := strings.Cut(w, "="); return ok && strings.EqualFold(k, "uuid") })
		if !own && (slices.Contains(f.Names, device) || slices.Contains(f.Names, "/dev/md/"+device) || slices.Contains(f.Names, "/dev/"+device)) {
			return device
		}
	}
	return ""
}

// AddArrays names arrays in an mdadm.conf(5) that does not name them yet; said are
// their names.
func AddArrays(content []byte, arrays []ConfArray, tool string) (out []byte, said []string) {
	text := string(content)
	for _, a := range arrays {
		if NamesArray([]byte(text), a.UUID) {
			continue
		}
		if text != "" && !strings.HasSuffix(text, "\n") {
			text += "\n"
		}
		if len(said) == 0 {
			text += "# " + tool + ": arrays that the restore made\n"
		}
		text += "ARRAY " + a.Path + " metadata=" + a.Metadata + " UUID=" + a.UUID
		if a.Label != "" {
			text += " name=" + a.Label
		}
		text += "\n"
		said = append(said, a.Path+" added")
	}
	return []byte(text), said
}
