package rescueinit

import (
	"bufio"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"sort"
	"strings"
	"syscall"
	"time"
)

// shells are tried in this order; a medium whose bash is broken still has a prompt.
var shells = [][]string{
	{"/bin/bash", "-l"}, {"/usr/bin/bash", "-l"}, {"/bin/sh", "-l"}, {"/bin/busybox", "sh", "-l"}, {"/usr/bin/busybox", "sh", "-l"},
}

// logins ask for root's password (settings: console_login).
var logins = [][]string{{"/sbin/sulogin"}, {"/usr/sbin/sulogin"}, {"/bin/login"}, {"/usr/bin/login"}}

// environment is what a shell on a console starts with. PID 1 itself and the
// programs that it calls have no locale: what they print is read.
func (r *rescuer) environment(term string) []string {
	env := []string{"HOME=/root", "USER=root", "LOGNAME=root", "SHELL=/bin/bash", "PATH=" + searchPath, "TERM=" + term}
	if lang := r.snapshot().Identity.Settings.Locale; lang != "" {
		env = append(env, "LANG="+lang)
	}
	return env
}

// serve keeps a shell on a console for ever.
func (r *rescuer) serve(c *console) {
	for {
		r.waitWhileEnding()
		began := time.Now()
		err := r.oneShell(c)
		c.restore()
		r.waitWhileEnding()
		if err != nil {
			r.log.kmsg("%s: %v", c.name, err)
			fmt.Fprintf(c, "\n%v\n", err)
			if errors.Is(err, errNoShell) {
				r.builtinPrompt(c)
			}
		}
		// A shell that ends at once must not fill the screen.
		if time.Since(began) < time.Second {
			time.Sleep(time.Second)
		}
		fmt.Fprintf(c, "\nA new shell on %s. To leave the rescue system type poweroff or reboot.\n", c.name)
	}
}

var errNoShell = errors.New("no shell could be started")

// oneShell runs one shell on the console until it ends. The error says
// that none could be started.
func (r *rescuer) oneShell(c *console) error {
	candidates := shells
	if r.snapshot().Identity.Settings.ConsoleLogin {
		candidates = append(append([][]string{}, logins...), shells...)
	}
	var why []string
	for _, args := range candidates {
		cmd := exec.Command(args[0], args[1:]...)
		cmd.Env = r.environment(termOf(c.name))
		cmd.Dir = "/root"
		if _, err := os.Stat(cmd.Dir); err != nil {
			cmd.Dir = "/"
		}
		cmd.Stdin, cmd.Stdout, cmd.Stderr = c.tty, c.tty, c.tty
		cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true, Ctty: 0}
		if err := r.kids.start(cmd); err != nil {
			if !errors.Is(err, os.ErrNotExist) || args[0] == shells[0][0] {
				why = append(why, err.Error())
			}
			continue
		}
		if len(why) > 0 {
			r.log.logf("%s: %s instead: %s", c.name, args[0], strings.Join(why, "; "))
		}
		_ = r.kids.wait(cmd)
		return nil
	}
	return fmt.Errorf("%w: %s", errNoShell, strings.Join(why, "; "))
}

// builtinPrompt is the last resort when no shell runs: enough to see what
// is wrong and to leave in order.
func (r *rescuer) builtinPrompt(c *console) {
	fmt.Fprint(c, "This is the built-in prompt. It knows: log, ls DIR, cat FILE, run PROGRAM ARGS, shell, reboot, poweroff\n")
	in := bufio.NewReader(c.tty)
	for {
		fmt.Fprint(c, "mkcdrec# ")
		line, err := in.ReadString('\n')
		if err != nil {
			time.Sleep(time.Second)
			return
		}
		words := strings.Fields(line)
		if len(words) == 0 {
			continue
		}
		arg := "/"
		if len(words) > 1 {
			arg = words[1]
		}
		switch words[0] {
		case "shell":
			return
		case "reboot", "poweroff", "halt":
			r.end(words[0])
			return
		case "log":
			r.builtinCat(c, logPath)
		case "cat":
			r.builtinCat(c, arg)
		case "ls":
			entries, err := os.ReadDir(arg)
			if err != nil {
				fmt.Fprintf(c, "%v\n", err)
			}
			var names []string
			for _, e := range entries {
				names = append(names, e.Name())
			}
			sort.Strings(names)
			fmt.Fprintf(c, "%s\n", strings.Join(names, "  "))
		case "run":
			if len(words) < 2 {
				continue
			}
			cmd := exec.Command(words[1], words[2:]...)
			cmd.Stdin, cmd.Stdout, cmd.Stderr = c.tty, c.tty, c.tty
			if err := r.kids.run(cmd); err != nil {
				fmt.Fprintf(c, "%v\n", err)
			}
		default:
			fmt.Fprintf(c, "%s: not known\n", words[0])
		}
	}
}

func (r *rescuer) builtinCat(c *console, path string) {
	b, err := os.ReadFile(path)
	if err != nil {
		fmt.Fprintf(c, "%v\n", err)
		return
	}
	_, _ = c.Write(b)
}
