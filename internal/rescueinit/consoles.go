package rescueinit

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"strings"
	"sync"

	"golang.org/x/sys/unix"
)

// consoleNames says on which terminals of /dev there is to be a shell, the
// one that the kernel prefers first. active is /sys/class/tty/console/active;
// sysTTY is /sys/class/tty as a file system.
func consoleNames(active string, sysTTY fs.FS) []string {
	var names []string
	have := map[string]bool{}
	add := func(n string) {
		if n == "" || have[n] {
			return
		}
		if _, err := fs.Stat(sysTTY, n); err != nil {
			return
		}
		have[n] = true
		names = append(names, n)
	}
	// The kernel lists /dev/console's own terminal last.
	fields := strings.Fields(active)
	for i := len(fields) - 1; i >= 0; i-- {
		n := fields[i]
		if n == "tty0" {
			n = "tty1" // tty0 is whichever is in front; at this time the first
		}
		add(n)
	}
	for _, n := range []string{"tty1", "tty2", "tty3", "tty4"} {
		add(n)
	}
	return names
}

// termOf is the TERM of a terminal: what is at the other end of a serial line is
// unknown, and vt220 is what every terminal program understands.
func termOf(name string) string {
	if isVirtual(name) {
		return "linux"
	}
	return "vt220"
}

// isVirtual tells tty1 from ttyS0, hvc0, ttyAMA0.
func isVirtual(name string) bool {
	n := strings.TrimPrefix(name, "tty")
	return n != name && n != "" && strings.Trim(n, "0123456789") == ""
}

// console is one terminal with a shell.
type console struct {
	name string
	mu   sync.Mutex
	tty  *os.File
	sane *unix.Termios // as found: a crashed editor's mode ends with its shell
}

func openConsole(name string) (*console, error) {
	c := &console{name: name}
	if err := c.open(); err != nil {
		return nil, err
	}
	return c, nil
}

// open opens the terminal, or opens it again: when a session leader ends,
// the kernel hangs its terminal up, and what was open then answers EIO.
func (c *console) open() error {
	p := path.Join("/dev", c.name)
	// O_NONBLOCK: without it, opening a serial line waits for its carrier.
	fd, err := unix.Open(p, unix.O_RDWR|unix.O_NOCTTY|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("cannot open console %s: %w", p, err)
	}
	if err := unix.SetNonblock(fd, false); err != nil {
		return errors.Join(fmt.Errorf("cannot prepare console %s: %w", p, err), unix.Close(fd))
	}
	if c.sane == nil {
		if c.sane, err = unix.IoctlGetTermios(fd, unix.TCGETS); err != nil {
			return errors.Join(fmt.Errorf("%s is no terminal: %w", p, err), unix.Close(fd))
		}
	}
	ws, err := unix.IoctlGetWinsize(fd, unix.TIOCGWINSZ)
	if err == nil && (ws.Row == 0 || ws.Col == 0) {
		_ = unix.IoctlSetWinsize(fd, unix.TIOCSWINSZ, &unix.Winsize{Row: 24, Col: 80})
	}
	if c.tty != nil {
		_ = c.tty.Close()
	}
	c.tty = os.NewFile(uintptr(fd), p)
	return nil
}

// restore opens the terminal again and brings it back to the mode it was first found in.
func (c *console) restore() {
	c.mu.Lock()
	defer c.mu.Unlock()
	_ = c.open()
	_ = unix.IoctlSetTermios(int(c.tty.Fd()), unix.TCSETS, c.sane)
}

// Write prints to the terminal with line ends that suit a raw one, too.
func (c *console) Write(p []byte) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	text := strings.ReplaceAll(strings.ReplaceAll(string(p), "\r\n", "\n"), "\n", "\r\n")
	if _, err := c.tty.WriteString(text); err != nil {
		if err := c.open(); err != nil {
			return 0, err
		}
		if _, err := c.tty.WriteString(text); err != nil {
			return 0, err
		}
	}
	return len(p), nil
}

// consoles writes to all of them; one that fails or blocks (a serial line
// held by flow control) does not stop the others.
type consoles []*console

func (cs consoles) Write(p []byte) (int, error) {
	var all sync.WaitGroup
	for _, c := range cs {
		all.Go(func() { _, _ = c.Write(p) })
	}
	all.Wait()
	return len(p), nil
}
