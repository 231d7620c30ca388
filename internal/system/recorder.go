package system

import (
	"context"
	"fmt"
	"strings"
	"sync"
)

// Recorder is a Runner for tests: it answers from a table and keeps what was
// asked. The zero value answers every command with success and no output.
type Recorder struct {
	// Answers maps a quoted command, or a prefix of one ending in "*", to its answer.
	Answers map[string]Answer
	// Missing names programs that LookPath and Run do not find.
	Missing map[string]bool
	// Strict makes a command without an answer an error.
	Strict bool

	mu       sync.Mutex
	commands []string
	stdin    []string
}

// Answer is what a recorded program prints.
type Answer struct {
	Stdout   string
	Stderr   string
	ExitCode int
}

// LookPath finds every program that is not Missing.
func (r *Recorder) LookPath(name string) (string, error) {
	if r.Missing[name] {
		return "", fmt.Errorf("%s: %w", name, ErrNotFound)
	}
	return "/usr/sbin/" + name, nil
}

// Run answers from the table.
func (r *Recorder) Run(_ context.Context, c Command) (Result, error) {
	q := Quote(c)
	var in strings.Builder
	if c.Stdin != nil {
		buf := make([]byte, 64<<10)
		for {
			n, err := c.Stdin.Read(buf)
			in.Write(buf[:n])
			if err != nil {
				break
			}
		}
	}
	r.mu.Lock()
	r.commands = append(r.commands, q)
	r.stdin = append(r.stdin, in.String())
	r.mu.Unlock()
	if r.Missing[c.Name] {
		return Result{}, fmt.Errorf("%s: %w", c.Name, ErrNotFound)
	}
	a, ok := r.Answers[q]
	for k, v := range r.Answers {
		if !ok && strings.HasSuffix(k, "*") && strings.HasPrefix(q, strings.TrimSuffix(k, "*")) {
			a, ok = v, true
		}
	}
	if !ok && r.Strict {
		return Result{}, fmt.Errorf("recorder has no answer for: %s", q)
	}
	if c.Stdout != nil {
		_, _ = c.Stdout.Write([]byte(a.Stdout))
	}
	res := Result{Stdout: []byte(a.Stdout), Stderr: []byte(a.Stderr), ExitCode: a.ExitCode}
	if a.ExitCode != 0 {
		return res, &ExitError{Command: q, ExitCode: a.ExitCode, Stderr: LastLines(a.Stderr, 3)}
	}
	return res, nil
}

// Commands are the quoted commands in the order they were run.
func (r *Recorder) Commands() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return append([]string(nil), r.commands...)
}

// Stdin is what command i was given on standard input.
func (r *Recorder) Stdin(i int) string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.stdin[i]
}
