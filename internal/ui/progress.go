package ui

import (
	"fmt"
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
	every := PlainEvery
	switch {
	case p.Terminal:
		every = 200 * time.Millisecond
	case p.JSON:
		every = time.Second
	}
	p.mu.Lock()
	due := now.Sub(pr.shown) >= every
	if due {
		pr.shown = now
	}
	p.mu.Unlock()
	if !due {
		return
	}
	elapsed := now.Sub(pr.begun)
	if p.JSON {
		p.Event("progress", map[string]any{"what": pr.label, "bytes": done, "total_bytes": total, "files": files, "seconds": elapsed.Seconds()})
		return
	}
	if !p.Terminal {
		p.line(p.Err, "    "+Line(pr.label, done, total, files, elapsed, 0))
		return
	}
	line := Line(pr.label, done, total, files, elapsed, p.Width)
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

// Line is a progress line of less than width columns; 0: of any length.
func Line(label string, done, total, files int64, elapsed time.Duration, width int) string {
	rate := float64(done) / max(elapsed.Seconds(), 0.001)
	parts := []string{label}
	if total > 0 {
		// the total is an estimate: never show more than 99 % before the end
		pc := min(99, done*100/total)
		const cells = 20
		full := int(pc) * cells / 100
		parts = append(parts, "["+strings.Repeat("#", full)+strings.Repeat("-", cells-full)+"]", fmt.Sprintf("%d%%", pc))
	}
	parts = append(parts, Size(done))
	if files > 0 {
		parts = append(parts, wording.Count(files, "file"))
	}
	if elapsed >= time.Second {
		parts = append(parts, Size(int64(rate))+"/s")
		if total > done && rate > 0 {
			parts = append(parts, "about "+Duration(time.Duration(float64(total-done)/rate*float64(time.Second)))+" left")
		}
	}
	line := strings.Join(parts, "  ")
	if len(line) > width-1 && width > 1 {
		line = line[:width-1]
	}
	return line
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
