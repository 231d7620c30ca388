package qemu

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"regexp"
	"strings"
	"sync"
	"time"
)

// ErrPanic is wrapped when the guest's kernel panicked while something else
// was waited for.
var ErrPanic = errors.New("the guest's kernel panicked")

// ErrEnded is wrapped when the machine ended while something was waited for.
var ErrEnded = errors.New("the virtual machine ended")

// ErrTimeout is wrapped when what was waited for did not come in time.
var ErrTimeout = errors.New("timeout")

var (
	panicLine = regexp.MustCompile(`Kernel panic - not syncing[^\r\n]*`)
	// Colours and cursor movements (ECMA-48 CSI sequences), which firmware and
	// boot loaders put between letters.
	escapes = regexp.MustCompile(`\x1b\[[0-9;?=]*[A-Za-z]|\x1b[()][0-9A-B]|\x1b[=>78c]|\r`)
)

// overlap is how far back of unmatched text a new search begins, in bytes: a
// match that is longer than this and arrives in pieces is not found.
const overlap = 64 << 10

// console keeps what the guest said on its serial line.
type console struct {
	log io.Writer // may be nil

	mu      sync.Mutex
	text    []byte // without escape sequences
	partial []byte // an escape sequence that has only half arrived
	mark    int    // where the next WaitFor begins
	ended   bool
	changed chan struct{} // closed and replaced at every change
}

func newConsole(log io.Writer) *console {
	return &console{log: log, changed: make(chan struct{})}
}

// Write takes bytes from the serial line. It never fails: a log that cannot
// be written must not stop the machine.
func (c *console) Write(p []byte) (int, error) {
	if c.log != nil {
		_, _ = c.log.Write(p)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	data := append(c.partial, p...)
	c.partial = nil
	// Hold back an unfinished sequence; none is longer than 16 bytes.
	if i := bytes.LastIndexByte(data, 0x1b); i >= 0 && len(data)-i < 16 && !escapes.Match(data[i:]) {
		c.partial = bytes.Clone(data[i:])
		data = data[:i]
	}
	c.text = append(c.text, escapes.ReplaceAll(data, nil)...)
	c.wake()
	return len(p), nil
}

// end says that nothing more will come.
func (c *console) end() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.text = append(c.text, c.partial...)
	c.partial = nil
	c.ended = true
	c.wake()
}

func (c *console) wake() {
	close(c.changed)
	c.changed = make(chan struct{})
}

// all is everything that the console said.
func (c *console) all() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return string(c.text)
}

// waitFor finds re after the previous match and returns the match and its
// groups.
func (c *console) waitFor(ctx context.Context, re *regexp.Regexp, timeout time.Duration) ([]string, error) {
	timer := time.NewTimer(timeout)
	defer timer.Stop()
	from := -1
	for {
		c.mu.Lock()
		if from < c.mark {
			from = c.mark
		}
		if m := re.FindSubmatchIndex(c.text[from:]); m != nil {
			groups := make([]string, len(m)/2)
			for i := range groups {
				if m[2*i] >= 0 {
					groups[i] = string(c.text[from+m[2*i] : from+m[2*i+1]])
				}
			}
			c.mark = from + m[1]
			c.mu.Unlock()
			return groups, nil
		}
		panicked := string(panicLine.Find(c.text[from:]))
		from = max(c.mark, len(c.text)-overlap)
		changed, ended := c.changed, c.ended
		c.mu.Unlock()
		var cause error
		switch {
		case panicked != "":
			cause = fmt.Errorf("%w: %s", ErrPanic, panicked)
		case ended:
			cause = ErrEnded
		}
		if cause == nil {
			select {
			case <-changed:
				continue
			case <-ctx.Done():
				cause = ctx.Err()
			case <-timer.C:
				cause = fmt.Errorf("%w after %s", ErrTimeout, timeout)
			}
		}
		return nil, fmt.Errorf("cannot see %q on the console: %w; its last lines:\n%s", re, cause, c.last(20))
	}
}

// last is the last n non-empty lines, indented.
func (c *console) last(n int) string {
	var kept []string
	lines := strings.Split(c.all(), "\n")
	for i := len(lines) - 1; i >= 0 && len(kept) < n; i-- {
		if l := strings.TrimRight(lines[i], " \t"); l != "" {
			kept = append(kept, "    "+l)
		}
	}
	for i, j := 0, len(kept)-1; i < j; i, j = i+1, j-1 {
		kept[i], kept[j] = kept[j], kept[i]
	}
	return strings.Join(kept, "\n")
}
