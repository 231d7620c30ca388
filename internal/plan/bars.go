package plan

import (
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"
)

// column is the width of one half of the text picture: two halves and what is
// between them fill a line.
const column = (width - 2 - 2) / 2

// bars writes each disk as it is beside what it will be, in ASCII: a serial
// console shows it as well as a terminal does.
func bars(out *strings.Builder, p Plan) {
	pictures := p.Pictures()
	if len(pictures) == 0 {
		return
	}
	out.WriteString("\nDisks, now and after (a bar is a disk, to scale; . is free):\n")
	for _, pic := range pictures {
		wrap(out, "  ", diskText(pic.Disk))
		title := "NOW, will be lost"
		if len(p.Images) > 0 {
			title = "NOW, not there yet"
		}
		now, after := half(title, pic.Now), half("AFTER", pic.After)
		for i := range max(len(now), len(after)) {
			line := "  " + pad(at(now, i), column) + "  " + at(after, i)
			out.WriteString(strings.TrimRight(line, " ") + "\n")
		}
	}
}

func at(lines []string, i int) string {
	if i < len(lines) {
		return lines[i]
	}
	return ""
}

// pad fills up with spaces, and cuts what is too long.
func pad(s string, n int) string {
	if l := utf8.RuneCountInString(s); l <= n {
		return s + strings.Repeat(" ", n-l)
	}
	return string([]rune(s)[:n])
}

// half is one side: title, bar, and a line or more for each partition.
func half(title string, list []Segment) []string {
	if len(list) == 0 {
		return []string{title, "(not seen)"}
	}
	out := []string{title, bar(list, column)}
	for _, s := range visible(list) {
		text := s.text()
		if s.Use == UseFree {
			text = ". " + text
		}
		out = append(out, hang(text, column, 4)...)
	}
	return out
}

// visible leaves out the free space that is too small to be seen: alignment,
// and the room behind the last partition.
func visible(list []Segment) []Segment {
	last := list[len(list)-1]
	return slices.DeleteFunc(slices.Clone(list), func(s Segment) bool {
		return s.Use == UseFree && s.Size < (last.Start+last.Size)/column
	})
}

// bar draws segments between brackets, each with its number. A partition that
// is too small for the scale is as wide as its number.
func bar(list []Segment, width int) string {
	shown := visible(list)
	label := func(s Segment) string {
		if s.Number > 0 {
			return strconv.Itoa(s.Number)
		}
		return ""
	}
	inner := width - 1 - len(shown) // brackets, and a border between two
	widths := share(shown, inner, func(s Segment) int { return max(len(label(s)), 1) })
	if widths == nil {
		return "[" + pad(" too many partitions to be drawn", width-2) + "]"
	}
	var b strings.Builder
	for i, s := range shown {
		if i == 0 {
			b.WriteByte('[')
		} else {
			b.WriteByte('|')
		}
		fill := "="
		if s.Use == UseFree {
			fill = "."
		}
		b.WriteString(label(s) + strings.Repeat(fill, max(widths[i]-len(label(s)), 0)))
	}
	return b.String() + "]"
}

// hang breaks text at words into lines of n columns, those behind the first
// indented. A word that is longer than a line is broken, too.
func hang(text string, n, indent int) []string {
	var out []string
	line := ""
	for word := range strings.FieldsSeq(text) {
		switch {
		case line == "":
			line = word
		case utf8.RuneCountInString(line)+1+utf8.RuneCountInString(word) <= n:
			line += " " + word
		default:
			out, line = append(out, line), strings.Repeat(" ", indent)+word
		}
		for r := []rune(line); len(r) > n; r = []rune(line) {
			out, line = append(out, string(r[:n])), strings.Repeat(" ", indent)+string(r[n:])
		}
	}
	return append(out, line)
}
