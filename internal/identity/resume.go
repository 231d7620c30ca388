package identity

import (
	"regexp"
	"strings"
)

// resumeWord matches the kernel parameters that name a device to resume from
// (kernel-parameters.txt), with the white space before them.
var resumeWord = regexp.MustCompile(`(^|[ \t"'=])(rd\.)?(resume|resume_offset)=[^ \t"'\n]*`)

// NoResume takes the parameters resume= and resume_offset= out of command
// lines of the kernel: in /etc/default/grub, grub.cfg, loader entries and
// /etc/kernel/cmdline. Comments stay.
func NoResume(content []byte) []byte {
	lines := strings.Split(string(content), "\n")
	for i, line := range lines {
		if strings.HasPrefix(strings.TrimSpace(line), "#") {
			continue
		}
		// What stood before the word stays, if it is no blank: the quotation
		// mark or the equals sign of an assignment.
		lines[i] = resumeWord.ReplaceAllStringFunc(line, func(m string) string {
			return strings.TrimRight(m[:len(m)-len(strings.TrimLeft(m, " \t\"'="))], " \t")
		})
		for _, q := range []string{`"`, `'`} {
			if lines[i] != line {
				lines[i] = strings.ReplaceAll(lines[i], "="+q+" ", "="+q)
			}
		}
	}
	return []byte(strings.Join(lines, "\n"))
}

// InitramfsResume sets the device to resume from to none in the configuration
// of initramfs-tools (initramfs.conf(5)); the old setting stays as a comment.
func InitramfsResume(content []byte) []byte {
	lines := strings.Split(string(content), "\n")
	for i, line := range lines {
		if v, ok := strings.CutPrefix(strings.TrimSpace(line), "RESUME="); ok && v != "none" {
			lines[i] = "#" + line + "\nRESUME=none"
		}
	}
	return []byte(strings.Join(lines, "\n"))
}
