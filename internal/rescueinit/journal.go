package rescueinit

import (
	"fmt"
	"os"
	"strings"
	"sync"
	"time"
)

// journal is rescueinit's log: every line goes to a file in /run, the few that
// matter to the kernel log too, and with mkcdrec.debug all to the consoles.
type journal struct {
	mu    sync.Mutex
	file  *os.File
	debug func(string)
	lines []string // until there is a file
}

// uptime is the time since the kernel started.
func uptime() time.Duration {
	b, err := os.ReadFile("/proc/uptime")
	if err != nil {
		return 0
	}
	var s float64
	_, _ = fmt.Sscanf(string(b), "%f", &s)
	return time.Duration(s * float64(time.Second))
}

// logf writes a line to the file.
func (j *journal) logf(format string, args ...any) {
	line := fmt.Sprintf("[%7.2f] %s", uptime().Seconds(), strings.TrimRight(fmt.Sprintf(format, args...), "\n"))
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.file == nil {
		j.lines = append(j.lines, line)
	} else {
		fmt.Fprintln(j.file, line)
	}
	if j.debug != nil {
		j.debug(line)
	}
}

// kmsg writes a line to the file and to the kernel log.
func (j *journal) kmsg(format string, args ...any) {
	text := fmt.Sprintf(format, args...)
	j.logf("%s", text)
	if f, err := os.OpenFile("/dev/kmsg", os.O_WRONLY, 0); err == nil {
		fmt.Fprintf(f, "<6>mkcdrec: %s\n", text)
		f.Close()
	}
}

// open begins the file with what was logged so far.
func (j *journal) open(path string) error {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return err
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	j.file = f
	for _, l := range j.lines {
		fmt.Fprintln(f, l)
	}
	j.lines = nil
	return nil
}
