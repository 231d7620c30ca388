package rescueinit

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path"
	"runtime/debug"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"github.com/mkcdrec/mkcdrec/internal/rescue"
	"github.com/mkcdrec/mkcdrec/internal/system"
)

const (
	searchPath = system.Path
	runDir     = "/run/mkcdrec"
	logPath    = runDir + "/rescueinit.log"
	// MediumDir is where the medium is mounted, read-only.
	MediumDir = runDir + "/medium"
)

// Wanted says whether this start of the binary is the first process of a
// rescue system and not the mkcdrec command. PID 1 alone does not tell: in a
// container the command is PID 1 too.
func Wanted(argv0 string, pid int) bool {
	if pid != 1 {
		return false
	}
	_, err := os.Stat(rescue.IdentityPath)
	return path.Base(argv0) == "init" || err == nil
}

// rescuer is the rescue system while it runs.
type rescuer struct {
	opts   Options
	log    *journal
	kids   *children
	cons   consoles
	ending atomic.Int32

	mu sync.Mutex
	st status
	// mediumDevice is the block device of the medium once it is mounted.
	mediumDevice string
	promptShown  bool
	autoDone     chan struct{} // closed when no unattended run holds the consoles
}

// Main is the life of PID 1. It never returns: where something fails, it says
// so and goes on towards a prompt.
func Main() {
	r := &rescuer{log: &journal{}, kids: newChildren(), autoDone: make(chan struct{})}
	r.protect("start", r.begin)
	r.protect("devices", r.devices)
	r.protect("consoles", r.prompts)
	r.protect("after", r.afterwards)
	select {}
}

// protect runs one part of the life; a panic in it costs that part only.
func (r *rescuer) protect(what string, f func()) {
	defer func() {
		if p := recover(); p != nil {
			text := fmt.Sprintf("%s failed: %v", what, p)
			r.log.kmsg("%s", text)
			r.log.logf("%s", debug.Stack())
			r.problem("%s (see %s)", text, logPath)
		}
	}()
	f()
}

// guard is protect in a goroutine.
func (r *rescuer) guard(what string, f func()) { go r.protect(what, f) }

// problem adds a line to the banner, or says it at once when that is past.
func (r *rescuer) problem(format string, args ...any) {
	text := fmt.Sprintf(format, args...)
	r.log.logf("problem: %s", text)
	r.mu.Lock()
	shown := r.promptShown
	r.st.Problems = append(r.st.Problems, text)
	r.mu.Unlock()
	if shown {
		r.say("%s", text)
	}
}

// snapshot is a copy of the status.
func (r *rescuer) snapshot() status {
	r.mu.Lock()
	defer r.mu.Unlock()
	s := r.st
	s.Problems = append([]string(nil), s.Problems...)
	s.Network = append([]string(nil), s.Network...)
	return s
}

// update changes the status.
func (r *rescuer) update(f func(*status)) {
	r.mu.Lock()
	defer r.mu.Unlock()
	f(&r.st)
}

// begin makes a usable Unix of the bare initramfs.
func (r *rescuer) begin() {
	unix.Umask(0o022)
	_ = os.Chdir("/")
	mountErr := mountKernel()
	if err := os.MkdirAll(MediumDir, 0o755); err != nil {
		r.problem("cannot make %s: %v", MediumDir, err)
	}
	_ = os.WriteFile(runDir+"/init", []byte("1\n"), 0o644)
	if err := r.log.open(logPath); err != nil {
		r.problem("no log: %v", err)
	}
	if mountErr != nil {
		r.problem("%v", mountErr)
	}
	for k, v := range map[string]string{"PATH": searchPath, "HOME": "/root", "TERM": "linux"} {
		_ = os.Setenv(k, v)
	}
	cmdline, _ := os.ReadFile("/proc/cmdline")
	r.opts = ParseCommandLine(string(cmdline))
	for _, p := range r.opts.Problems {
		r.problem("%s", p)
	}
	r.readIdentity()
	r.guard("reaper", r.kids.reap)
	r.openConsoles()
	if r.opts.Debug {
		r.log.debug = func(line string) { _, _ = io.WriteString(r.cons, line+"\n") }
	} else {
		// Only errors of the kernel shall break into what is typed.
		_ = consoleLevel(4)
	}
	r.listenForEnd()
	host := r.snapshot().Identity.Host
	if host == "" {
		host = "unknown"
	}
	name, _, _ := strings.Cut(host, ".")
	if err := unix.Sethostname([]byte("rescue-" + name)); err != nil {
		r.log.logf("cannot set the host name: %v", err)
	}
	r.log.kmsg("rescue system of %s: PID 1 runs", host)
}

// readIdentity learns whose rescue system this is.
func (r *rescuer) readIdentity() {
	var id rescue.Identity
	b, err := os.ReadFile(rescue.IdentityPath)
	if err == nil {
		err = json.Unmarshal(b, &id)
	}
	r.update(func(s *status) {
		s.Identity = id
		if err != nil {
			s.IdentityErr = fmt.Sprintf("this rescue system does not know whose it is: %v", err)
		}
	})
}

// openConsoles opens every terminal that gets a shell.
func (r *rescuer) openConsoles() {
	active, err := os.ReadFile("/sys/class/tty/console/active")
	if err != nil {
		r.log.logf("cannot read the list of consoles: %v", err)
	}
	for _, n := range consoleNames(string(active), os.DirFS("/sys/class/tty")) {
		c, err := openConsole(n)
		if err != nil {
			r.log.logf("%v", err)
			continue
		}
		r.cons = append(r.cons, c)
	}
	if len(r.cons) == 0 {
		// Better a prompt without job control than none.
		if c, err := openConsole("console"); err == nil {
			r.cons = append(r.cons, c)
		}
	}
}

// prompts shows the banner and starts a shell on every console.
func (r *rescuer) prompts() {
	r.loadKeymap()
	r.update(func(s *status) { s.MemTotal, s.MemFree = memory(); s.Disks = diskNames(os.DirFS("/sys/block")) })
	r.mu.Lock()
	r.promptShown = true
	r.mu.Unlock()
	shown := make(chan struct{}, len(r.cons))
	for i, c := range r.cons {
		held := i < r.unattendedConsoles()
		r.guard("console "+c.name, func() {
			s := r.snapshot()
			s.Now = time.Now()
			_, _ = io.WriteString(c, banner(s, paintFor(c.name), time.Local))
			shown <- struct{}{}
			if held {
				r.unattended(c)
			}
			r.serve(c)
		})
	}
	// What is said from here on comes below the banners; a console that
	// blocks is not waited for.
	patience := time.After(2 * time.Second)
	for range r.cons {
		select {
		case <-shown:
		case <-patience:
			r.log.logf("a console does not take its banner")
			patience = nil
		}
		if patience == nil {
			break
		}
	}
	r.log.kmsg("prompt after %.1f s", uptime().Seconds())
}
