package identity

import (
	"path"
	"regexp"
	"slices"
	"strings"
)

// Wished is what was wished otherwise than recorded, as far as configuration
// files say it.
type Wished struct {
	// Tool is who writes into the comments.
	Tool    string
	LeftOut []string // mount points of file systems that are not made
	Crypts  []string // names of encrypted devices that are not made
	NoSwap  bool     // no swap is made
	Kinds   []Kind
}

// Kind is a file system that is of another kind now.
type Kind struct {
	Mount, From, To string
	// Label is the recorded label, where the file system has none any more; a
	// line that names it gets the UUID.
	Label, UUID string
}

// columns matches the fields of a line of fstab(5) or crypttab(5).
var columns = regexp.MustCompile(`[^ \t]+`)

// Fstab comments the lines out whose file system, swap or source is not made,
// each with a word why, and adapts those of file systems of another kind.
// Everything else stays byte for byte. what says what was done, a line each.
func (w Wished) Fstab(content []byte) (out []byte, what []string) {
	return eachLine(content, func(line string, f []string) (string, string) {
		if len(f) < 3 {
			return line, ""
		}
		source, target := fstabWord.Replace(f[0]), fstabWord.Replace(f[1])
		why := ""
		for _, l := range w.LeftOut {
			switch {
			case target == l:
				why = l + " was left out of the restore"
			case within(source, l):
				why = source + " lay on " + l + ", which was left out of the restore"
			}
		}
		if w.NoSwap && f[2] == "swap" {
			why = "the restore made no swap"
		}
		for _, c := range w.Crypts {
			if why == "" && source == "/dev/mapper/"+c {
				why = "the restore did not make the encrypted device " + c
			}
		}
		if why != "" {
			return w.commented(line, why), "line of " + shown(target, source) + " commented out: " + why
		}
		for _, k := range w.Kinds {
			if k.Mount == target && f[2] != "auto" {
				return k.line(line, f)
			}
		}
		return line, ""
	})
}

// HasMount says whether a line of fstab mounts something on a mount point.
func HasMount(content []byte, target string) bool {
	found := false
	_, _ = eachLine(content, func(line string, f []string) (string, string) {
		found = found || len(f) > 1 && fstabWord.Replace(f[1]) == target
		return line, ""
	})
	return found
}

// Crypttab comments the lines of encrypted devices out that are not made.
func (w Wished) Crypttab(content []byte) (out []byte, what []string) {
	return eachLine(content, func(line string, f []string) (string, string) {
		why := ""
		switch {
		case slices.Contains(w.Crypts, f[0]):
			why = "the restore did not make " + f[0]
		case w.NoSwap && len(f) > 3 && slices.Contains(strings.Split(f[3], ","), "swap"):
			why = "the restore made no swap"
		default:
			return line, ""
		}
		return w.commented(line, why), "line of " + f[0] + " commented out: " + why
	})
}

// eachLine gives the lines that are no comments to change, with their fields.
func eachLine(content []byte, change func(line string, f []string) (now, what string)) (out []byte, said []string) {
	lines := strings.Split(string(content), "\n")
	for i, line := range lines {
		f := strings.Fields(line)
		if len(f) == 0 || strings.HasPrefix(f[0], "#") {
			continue
		}
		now, what := change(line, f)
		if lines[i] = now; what != "" {
			said = append(said, what)
		}
	}
	return []byte(strings.Join(lines, "\n")), said
}

func (w Wished) commented(line, why string) string {
	return "# " + w.Tool + ": " + why + "\n#" + line
}

func shown(target, source string) string {
	if path.IsAbs(target) {
		return target
	}
	return source // swap has no mount point
}

// within says whether a file lies at or below a directory.
func within(file, dir string) bool { return file == dir || strings.HasPrefix(file, dir+"/") }

// line makes a line of fstab into one for the new kind, and says what changed.
func (k Kind) line(line string, f []string) (now, what string) {
	new := slices.Clone(f)
	new[2] = k.To
	what = "line of " + k.Mount + ": " + f[2] + " became " + k.To
	if k.Label != "" && k.UUID != "" && (fstabWord.Replace(f[0]) == "LABEL="+k.Label || f[0] == `LABEL="`+k.Label+`"`) {
		new[0] = "UUID=" + k.UUID
		what += ", its label the UUID"
	}
	if len(f) > 3 {
		var keep, gone []string
		for _, o := range strings.Split(f[3], ",") {
			if Known(k.To, o) {
				keep = append(keep, o)
			} else {
				gone = append(gone, o)
			}
		}
		if len(keep) == 0 {
			keep = []string{"defaults"}
		}
		if new[3] = strings.Join(keep, ","); len(gone) > 0 {
			what += ", without " + strings.Join(gone, ",")
		}
	}
	if len(f) > 5 && f[5] != "0" && !strings.HasPrefix(k.To, "ext") {
		new[5] = "0" // fsck.xfs(8) and fsck.btrfs(8) do nothing
	}
	i := -1
	return columns.ReplaceAllStringFunc(line, func(was string) string {
		if i++; i < len(new) {
			return new[i]
		}
		return was
	}), what
}
