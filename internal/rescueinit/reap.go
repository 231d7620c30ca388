package rescueinit

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"os/signal"
	"sync"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// children starts programs and reaps what is left to PID 1. The processes
// that it started itself are waited for by their starter, so the reaper must
// not take their exit codes away.
type children struct {
	mu    sync.Mutex
	known map[int]bool
}

func newChildren() *children { return &children{known: map[int]bool{}} }

// start starts a program and remembers it. The lock is held until it is
// remembered: else the reaper could see it end before that.
func (c *children) start(cmd *exec.Cmd) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if err := cmd.Start(); err != nil {
		return err
	}
	c.known[cmd.Process.Pid] = true
	return nil
}

// wait waits for a program started with start.
func (c *children) wait(cmd *exec.Cmd) error {
	err := cmd.Wait()
	c.mu.Lock()
	delete(c.known, cmd.Process.Pid)
	c.mu.Unlock()
	return err
}

// run starts a program and waits for it.
func (c *children) run(cmd *exec.Cmd) error {
	if err := c.start(cmd); err != nil {
		return err
	}
	return c.wait(cmd)
}

// output runs a program with a time limit and returns what it printed on
// standard output and standard error.
func (c *children) output(limit time.Duration, name string, args ...string) (string, error) {
	path, err := exec.LookPath(name)
	if err != nil {
		return "", err
	}
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	cmd := exec.CommandContext(ctx, path, args...)
	// A daemon keeps the pipe open, and must not keep us waiting.
	cmd.WaitDelay = time.Second
	var out limitedBuffer
	cmd.Stdout, cmd.Stderr = &out, &out
	err = c.run(cmd)
	if errors.Is(err, exec.ErrWaitDelay) {
		err = nil
	}
	return out.String(), err
}

// reap collects orphans for ever.
func (c *children) reap() {
	ended := make(chan os.Signal, 8)
	signal.Notify(ended, unix.SIGCHLD)
	for {
		more := c.reapOne()
		if more {
			continue
		}
		select {
		case <-ended:
		case <-time.After(time.Second):
		}
	}
}

// reapOne reaps one orphan and says whether to try again at once.
func (c *children) reapOne() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	var si unix.Siginfo
	err := unix.Waitid(unix.P_ALL, 0, &si, unix.WEXITED|unix.WNOHANG|unix.WNOWAIT, nil)
	if err != nil {
		return false
	}
	// si_pid of struct siginfo lies behind three ints and four bytes of
	// padding on every 64-bit Linux (asm-generic/siginfo.h).
	pid := int(*(*int32)(unsafe.Add(unsafe.Pointer(&si), 16)))
	if pid <= 0 {
		return false
	}
	if c.known[pid] {
		return false // its starter is about to wait for it
	}
	_, err = unix.Wait4(pid, nil, unix.WNOHANG, nil)
	return err == nil
}

// limitedBuffer keeps the first 64 KiB of what is written to it.
type limitedBuffer struct {
	mu  sync.Mutex
	buf []byte
}

func (b *limitedBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if room := 64<<10 - len(b.buf); room > 0 {
		b.buf = append(b.buf, p[:min(room, len(p))]...)
	}
	return len(p), nil
}

func (b *limitedBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return string(b.buf)
}
