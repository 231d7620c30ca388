package ui

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/mkcdrec/mkcdrec/internal/wording"
)

// Progress shows how far one piece of work is: on a terminal one line that is
// redrawn, elsewhere a plain line every PlainEvery, in JSON an object a second.
type Progress struct {
	p     *Printer
	label string
	begun time.Time
	shown time.Time
	stage string
}

// PlainEvery is how often a line is printed where no line can be redrawn.
const PlainEvery = 15 * time.Second

// Progress begins to show progress of a piece of work.
func (p *Printer) Progress(label string) *Progress {
	now := p.Now()
	pr := &Progress{p: p, label: label, begun: now, shown: now}
	if p.Terminal || p.JSON {
		pr.shown = now.Add(-time.Hour)
	}
	return pr
}

// Set says how many bytes and files are done. total is in bytes; 0: not known.
func (pr *Progress) Set(done, total, files int64) {
	p, now := pr.p, pr.p.Now()
	if !pr.due(now, pr.stage) {
		return
	}
	elapsed := now.Sub(pr.begun)
	if p.JSON {
		p.Event("progress", map[string]any{"what": pr.label, "bytes": done, "total_bytes": total, "files": files, "seconds": elapsed.Seconds()})
		return
	}
	width := 0
	if p.Terminal {
		width = p.Width
	}
	pr.draw(Line(pr.label, done, total, files, elapsed, width))
}

// Stage says which stage of the work has begun, or how far it is. A stage that
// begins is always shown: it may be the last word for a minute. total 0: it
// has no count. Calls come from one goroutine at a time.
func (pr *Progress) Stage(stage string, done, total int) {
	p, now := pr.p, pr.p.Now()
	if !pr.due(now, stage) {
		return
	}
	if p.JSON {
		p.Event("progress", map[string]any{"what": pr.label, "stage": stage, "done": done, "total": total, "seconds": now.Sub(pr.begun).Seconds()})
		return
	}
	if total > 0 {
		stage += fmt.Sprintf(" %d/%d", done, total)
	}
	pr.draw(pr.label + ": " + stage)
}

// due says whether it is time for another line; a new stage always is.
func (pr *Progress) due(now time.Time, stage string) bool {
	p := pr.p
	every := PlainEvery
	switch {
	case p.Terminal:
		every = 200 * time.Millisecond
	case p.JSON:
		every = time.Second
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if now.Sub(pr.shown) < every && stage == pr.stage {
		return false
	}
	pr.shown, pr.stage = now, stage
	return true
}

// draw shows a line: in place of the one before on a terminal.
func (pr *Progress) draw(line string) {
	p := pr.p
	if !p.Terminal {
		p.line(p.Err, "    "+line)
		return
	}
	p.mu.Lock()
	fmt.Fprint(p.Err, "\r\x1b[K"+line)
	p.drawn = true
	p.mu.Unlock()
}

// Done removes the line; what was reached is said by the caller.
func (pr *Progress) Done() {
	pr.p.mu.Lock()
	pr.p.clear()
	pr.p.mu.Unlock()
}

// Line is a progress line of less than width columns; 0: of any length. What
// does not fit goes, the bar first; how long it takes still stays to the last.
func Line(label string, done, total, files int64, elapsed time.Duration, width int) string {
	rate := float64(done) / max(elapsed.Seconds(), 0.001)
	// the total is an estimate: never show more than 99 % before the end
	pc := min(99, done*100/max(total, 1))
	bar := func(cells int) string {
		full := int(pc) * cells / 100
		return "[" + strings.Repeat("#", full) + strings.Repeat("-", cells-full) + "]"
	}
	const atLabel, atBar, atPercent, atSize, atFiles, atRate, atLeft = 0, 1, 2, 3, 4, 5, 6
	parts := [atLeft + 1]string{atLabel: label, atSize: Size(done)}
	if total > 0 {
		parts[atBar], parts[atPercent] = bar(20), fmt.Sprintf("%d%%", pc)
	}
	if files > 0 {
		parts[atFiles] = wording.Count(files, "file")
	}
	if elapsed >= time.Second {
		parts[atRate] = Size(int64(rate)) + "/s"
		if total > done && rate > 0 {
			parts[atLeft] = "about " + Duration(time.Duration(float64(total-done)/rate*float64(time.Second))) + " left"
		}
	}
	line := join(parts[:])
	if width <= 1 {
		return line
	}
	for _, shorten := range []func(){
		func() {
			if total > 0 {
				parts[atBar] = bar(10)
			}
		},
		func() { parts[atBar] = "" },
		func() { parts[atFiles] = "" },
		func() { parts[atRate] = "" },
		func() { parts[atSize] = "" },
		func() { parts[atLabel] = "" },
	} {
		if len(line) < width {
			return line
		}
		shorten()
		line = join(parts[:])
	}
	if line == "" {
		line = label
	}
	return line[:min(len(line), width-1)]
}

// join puts the parts that are there on a line.
func join(parts []string) string {
	return strings.Join(slices.DeleteFunc(slices.Clone(parts), func(s string) bool { return s == "" }), "  ")
}

// Size writes bytes with a binary unit and three digits.
func Size(n int64) string {
	if n < 1024 {
		return fmt.Sprintf("%d B", n)
	}
	f, units := float64(n), "KMGTPE"
	i := -1
	for f >= 1023.5 && i < len(units)-1 {
		f /= 1024
		i++
	}
	format := "%.0f %ciB"
	if f < 99.95 {
		format = "%.1f %ciB"
	}
	return fmt.Sprintf(format, f, units[i])
}

// Duration writes a duration in the two largest units.
func Duration(d time.Duration) string {
	switch d = d.Round(time.Second); {
	case d < time.Minute:
		return fmt.Sprintf("%d s", int(d.Seconds()))
	case d < time.Hour:
		return fmt.Sprintf("%d min %02d s", int(d.Minutes()), int(d.Seconds())%60)
	}
	return fmt.Sprintf("%d h %02d min", int(d.Hours()), int(d.Minutes())%60)
}
