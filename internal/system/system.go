// Package system is the one door to the machine: it alone starts programs,
// mounts, and makes device calls. Everything above receives a Runner or a
// *Host as a parameter, so that a test can hand in a Recorder. It decides
// nothing and knows no program's flags (see internal/tool).
package system

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// Command is one program to run.
type Command struct {
	Name   string    // program name or path
	Args   []string  // arguments without the name
	Stdin  io.Reader // secrets go in here, never in Args
	Stdout io.Writer // nil: captured in Result.Stdout
	Env    []string  // added to a plain environment with LC_ALL=C and PATH
	Dir    string
	Chroot string // run inside this root
	Proc   bool   // with /proc in it, and as if it were mounted with exec and dev
}

// Result is what a program left behind.
type Result struct {
	Stdout   []byte
	Stderr   []byte
	ExitCode int
	Duration time.Duration
}

// Runner runs programs. Run returns an *ExitError when the program ended with
// a code other than 0, and the Result in every case.
type Runner interface {
	Run(ctx context.Context, c Command) (Result, error)
	// LookPath finds a program; the error says it is not there.
	LookPath(name string) (string, error)
}

// ErrNotFound is wrapped when a program does not exist on this machine.
var ErrNotFound = errors.New("program not found")

// ExitError says that a program ended with a code other than 0.
type ExitError struct {
	Command  string // quoted for a shell
	ExitCode int
	Stderr   string // its last lines
}

func (e *ExitError) Error() string {
	s := fmt.Sprintf("%s: exit code %d", e.Command, e.ExitCode)
	if e.Stderr != "" {
		s += ": " + e.Stderr
	}
	return s
}

// Host runs programs on this machine and logs each one.
type Host struct {
	Log *slog.Logger // nil: no log
}

// Path is the search path that programs are found by and run with: root's,
// whatever the caller's environment says.
const Path = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

// LookPath finds a program in Path.
func (h *Host) LookPath(name string) (string, error) {
	if strings.Contains(name, "/") {
		return name, nil
	}
	for _, dir := range filepath.SplitList(Path) {
		p := filepath.Join(dir, name)
		if fi, err := os.Stat(p); err == nil && !fi.IsDir() && fi.Mode()&0o111 != 0 {
			return p, nil
		}
	}
	return "", fmt.Errorf("%s: %w", name, ErrNotFound)
}

// Run runs one program and waits for it. When ctx ends, the program is asked
// to stop (SIGTERM) and killed five seconds later.
func (h *Host) Run(ctx context.Context, c Command) (Result, error) {
	path := c.Name
	if c.Chroot == "" {
		var err error
		if path, err = h.LookPath(c.Name); err != nil {
			return Result{}, err
		}
	}
	cmd := exec.CommandContext(ctx, path, c.Args...)
	if c.Chroot != "" {
		cmd = chrootCommand(ctx, c)
	}
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	cmd.WaitDelay = 5 * time.Second
	cmd.Dir = c.Dir
	cmd.Stdin = c.Stdin
	cmd.Env = append([]string{"LC_ALL=C", "PATH=" + Path, "HOME=/root", "TERM=dumb"}, c.Env...)
	var out, errOut bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errOut
	if c.Stdout != nil {
		cmd.Stdout = c.Stdout
	}
	start := time.Now()
	err := launch(cmd, c)
	res := Result{Stdout: out.Bytes(), Stderr: errOut.Bytes(), Duration: time.Since(start)}
	if cmd.ProcessState != nil {
		res.ExitCode = cmd.ProcessState.ExitCode()
	}
	quoted := Quote(c)
	if h.Log != nil {
		h.Log.Info("run", "command", quoted, "ms", res.Duration.Milliseconds(), "exit", res.ExitCode, "stderr", LastLines(errOut.String(), 3))
	}
	var ee *exec.ExitError
	switch {
	case err == nil:
		return res, nil
	case ctx.Err() != nil:
		return res, fmt.Errorf("%s: %w", quoted, ctx.Err())
	case errors.As(err, &ee):
		return res, &ExitError{Command: quoted, ExitCode: res.ExitCode, Stderr: LastLines(errOut.String(), 3)}
	case errors.Is(err, exec.ErrNotFound) || errors.Is(err, os.ErrNotExist):
		return res, fmt.Errorf("%s: %w", c.Name, ErrNotFound)
	}
	return res, fmt.Errorf("%s: %w", quoted, err)
}

func chrootCommand(ctx context.Context, c Command) *exec.Cmd {
	name := c.Name
	if !strings.HasPrefix(name, "/") {
		for _, dir := range filepath.SplitList(Path) {
			if _, err := os.Stat(filepath.Join(c.Chroot, dir, name)); err == nil {
				name = filepath.Join(dir, name)
				break
			}
		}
	}
	cmd := &exec.Cmd{Path: name, Args: append([]string{name}, c.Args...)}
	// exec.CommandContext would look the name up outside of the chroot.
	withCtx := exec.CommandContext(ctx, "/proc/self/exe")
	withCtx.Path, withCtx.Args = cmd.Path, cmd.Args
	withCtx.Err = nil
	withCtx.SysProcAttr = &syscall.SysProcAttr{Chroot: c.Chroot}
	return withCtx
}

// Quote writes a command the way one would type it into a shell.
func Quote(c Command) string {
	words := append([]string{c.Name}, c.Args...)
	for i, w := range words {
		if w == "" || strings.ContainsAny(w, " \t\n'\"\\$`*?[]{}()<>|&;~#!") {
			words[i] = "'" + strings.ReplaceAll(w, "'", `'\''`) + "'"
		}
	}
	s := strings.Join(words, " ")
	if c.Chroot != "" {
		s = "chroot " + c.Chroot + " " + s
	}
	return s
}

// LastLines is the last n non-empty lines of s, joined by " / ".
func LastLines(s string, n int) string {
	var lines []string
	for l := range strings.SplitSeq(s, "\n") {
		if l = strings.TrimSpace(l); l != "" {
			lines = append(lines, l)
		}
	}
	if len(lines) > n {
		lines = lines[len(lines)-n:]
	}
	return strings.Join(lines, " / ")
}
