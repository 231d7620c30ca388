// Package ui is the only way to a screen: text, colour, progress, JSON lines.
// It says what it is told; whether something succeeded is decided elsewhere.
package ui

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"strings"
	"sync"
	"time"

	"golang.org/x/term"

	"github.com/mkcdrec/mkcdrec/internal/fail"
)

// Printer speaks to a person, or with JSON set to a program: then each call
// is one JSON object on a line of Out, with "event" and "time".
type Printer struct {
	Out, Err io.Writer
	In       io.Reader
	JSON     bool
	Colour   bool
	Terminal bool // Err can redraw a line
	Asking   bool // In is a terminal: questions can be answered
	Width    int
	Now      func() time.Time

	mu    sync.Mutex
	drawn bool // a progress line stands on the terminal
	in    *bufio.Reader
}

// New is a Printer for this process's standard files.
func New(jsonLines bool) *Printer {
	p := &Printer{Out: os.Stdout, Err: os.Stderr, In: os.Stdin, JSON: jsonLines, Width: 80, Now: time.Now}
	p.Asking = term.IsTerminal(int(os.Stdin.Fd()))
	p.Terminal = term.IsTerminal(int(os.Stderr.Fd())) && os.Getenv("TERM") != "dumb" && !jsonLines
	p.Colour = term.IsTerminal(int(os.Stdout.Fd())) && os.Getenv("NO_COLOR") == "" && os.Getenv("TERM") != "dumb" && !jsonLines
	if w, _, err := term.GetSize(int(os.Stdout.Fd())); err == nil && w >= 40 {
		p.Width = w
	}
	return p
}

// Style is a colour or weight.
type Style string

// The styles, as SGR parameters of ECMA-48.
const (
	Bold   Style = "1"
	Dim    Style = "2"
	Red    Style = "1;31"
	Green  Style = "32"
	Yellow Style = "33"
	Cyan   Style = "36"
)

// In dresses text in a style where colour is on.
func (p *Printer) Styled(s Style, text string) string {
	if !p.Colour {
		return text
	}
	return "\x1b[" + string(s) + "m" + text + "\x1b[0m"
}

// Say prints a line for people; nothing in JSON.
func (p *Printer) Say(format string, args ...any) {
	if p.JSON {
		return
	}
	p.line(p.Out, fmt.Sprintf(format, args...))
}

// Step says what begins now: a line for people, {"event":"step"} for programs.
func (p *Printer) Step(format string, args ...any) {
	text := fmt.Sprintf(format, args...)
	if p.JSON {
		p.Event("step", map[string]any{"text": text})
		return
	}
	p.line(p.Out, p.Styled(Cyan, "==>")+" "+text)
}

// Note says what is good to know and no fault.
func (p *Printer) Note(format string, args ...any) {
	text := fmt.Sprintf(format, args...)
	if p.JSON {
		p.Event("note", map[string]any{"text": text})
		return
	}
	p.line(p.Out, "    note: "+text)
}

// Warn names one thing that is not as it should be.
func (p *Printer) Warn(format string, args ...any) {
	text := fmt.Sprintf(format, args...)
	if p.JSON {
		p.Event("warning", map[string]any{"text": text})
		return
	}
	p.line(p.Err, p.Styled(Yellow, "warning:")+" "+text)
}

// Error prints an error and its hint; nothing for nil.
func (p *Printer) Error(err error) {
	if err == nil {
		return
	}
	if p.JSON {
		p.Event("error", map[string]any{"text": err.Error(), "hint": fail.HintOf(err), "kind": fail.KindOf(err).Name(), "exit_code": fail.ExitCode(err)})
		return
	}
	p.line(p.Err, p.Styled(Red, "error:")+" "+err.Error())
	if h := fail.HintOf(err); h != "" {
		p.line(p.Err, p.Styled(Cyan, "hint:")+"  "+h)
	}
}

// Event prints one JSON line; nothing for people. The fields of v are on the
// same level as "event"; v is a map, or a struct that encodes to an object.
func (p *Printer) Event(event string, v any) {
	if !p.JSON {
		return
	}
	fields := map[string]any{}
	if b, err := json.Marshal(v); err == nil {
		_ = json.Unmarshal(b, &fields)
	}
	fields["event"], fields["time"] = event, p.Now().UTC().Format(time.RFC3339Nano)
	b, _ := json.Marshal(fields)
	p.line(p.Out, string(b))
}

// Writer writes whole texts (plans, trees) to Out, past no progress line.
func (p *Printer) Writer() io.Writer {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.clear()
	return p.Out
}

func (p *Printer) line(w io.Writer, s string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.clear()
	fmt.Fprintln(w, s)
}

func (p *Printer) clear() {
	if p.drawn {
		fmt.Fprint(p.Err, "\r\x1b[K")
		p.drawn = false
	}
}

// Ask asks and returns the answer without its newline. It is an error to ask
// where nobody can answer: no question is ever answered by a timer.
func (p *Printer) Ask(question string) (string, error) {
	if p.JSON || !p.Asking {
		return "", fail.Hint(fail.New(fail.Refused, "cannot ask %q: standard input is not a terminal", question), "use an answer file: --answers FILE")
	}
	p.mu.Lock()
	p.clear()
	fmt.Fprint(p.Out, question+" ")
	p.mu.Unlock()
	if p.in == nil {
		p.in = bufio.NewReader(p.In)
	}
	s, err := p.in.ReadString('\n')
	if err != nil {
		fmt.Fprintln(p.Out)
		return "", fail.New(fail.Refused, "no answer to %q: %w", question, err)
	}
	return strings.TrimSpace(s), nil
}

// AskSecret is Ask for a pass phrase: it is not shown, and all that was typed
// before the newline counts.
func (p *Printer) AskSecret(question string) ([]byte, error) {
	f, ok := p.In.(*os.File)
	if p.JSON || !p.Asking || !ok {
		return nil, fail.Hint(fail.New(fail.Refused, "cannot ask %q: standard input is not a terminal", question), "use a key file")
	}
	p.mu.Lock()
	p.clear()
	fmt.Fprint(p.Out, question+" ")
	p.mu.Unlock()
	b, err := term.ReadPassword(int(f.Fd()))
	fmt.Fprintln(p.Out)
	if err != nil {
		return nil, fail.New(fail.Refused, "no answer to %q: %w", question, err)
	}
	return b, nil
}
