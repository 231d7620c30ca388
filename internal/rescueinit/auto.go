package rescueinit

import (
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path"
	"strings"
	"time"

	"github.com/BurntSushi/toml"
)

// The mkcdrec command on board, and where a medium keeps its answer file.
const (
	mkcdrecPath = "/usr/bin/mkcdrec"
	autoLog     = runDir + "/unattended.log"
	mediumLimit = 60 * time.Second // for an unattended run; disks spin up
)

var mediumAnswers = []string{"mkcdrec/answers.toml", "answers.toml"}

// task is what runs without being asked, before the first prompt.
type task struct {
	Name string   // "unattended restore", "check of the medium"
	Args []string // of mkcdrec
	Then Then
}

// unattendedConsoles is on how many consoles, from the first, the shell waits until an
// unattended run is over: those that are being watched. tty2 to tty4 have theirs at once.
func (r *rescuer) unattendedConsoles() int {
	if r.opts.Auto == "" && !r.opts.Check {
		return 0
	}
	n := 0
	for _, c := range r.cons {
		if c.name == "tty2" || c.name == "tty3" || c.name == "tty4" {
			break
		}
		n++
	}
	return n
}

// unattended blocks a console until the unattended run is over.
func (r *rescuer) unattended(*console) { <-r.autoDone }

// afterwards is what may take longer than a prompt can wait.
func (r *rescuer) afterwards() {
	r.guard("power button", r.powerButton)
	if r.unattendedConsoles() == 0 {
		close(r.autoDone)
		return
	}
	defer close(r.autoDone)
	// Who asks for a check gets a check, whatever else the command line says.
	if r.opts.Check {
		r.runTask(r.checkTask())
		return
	}
	r.runTask(r.restoreTask())
}

// waitMedium waits for the medium; "" is: it did not come.
func (r *rescuer) waitMedium() string {
	for end := time.Now().Add(mediumLimit); ; time.Sleep(100 * time.Millisecond) {
		r.mu.Lock()
		d := r.mediumDevice
		r.mu.Unlock()
		if d != "" || time.Now().After(end) {
			return d
		}
	}
}

func (r *rescuer) checkTask() (task, error) {
	t := task{Name: "check of the medium", Then: ThenShell}
	d := r.waitMedium()
	if d == "" {
		return t, fmt.Errorf("the medium was not found")
	}
	t.Args = []string{"verify", d}
	return t, nil
}

func (r *rescuer) restoreTask() (task, error) {
	t := task{Name: "unattended restore", Then: ThenShell}
	// The backup is on the medium in most cases, wherever the answers are.
	if d := r.waitMedium(); d == "" && r.opts.Auto == "medium" {
		return t, errors.New("the medium with the answer file was not found")
	}
	var tried []string
	for _, p := range answerPaths(r.opts.Auto) {
		b, err := os.ReadFile(p)
		if err != nil {
			tried = append(tried, err.Error())
			continue
		}
		t.Args = []string{"restore", "--answers", p}
		t.Then = decideThen(r.opts.Then, b)
		return t, nil
	}
	return t, fmt.Errorf("no answer file: %s", strings.Join(tried, "; "))
}

// answerPaths are the places of the answer file that mkcdrec.auto= names.
func answerPaths(auto string) []string {
	var paths []string
	if auto == "medium" {
		for _, p := range mediumAnswers {
			paths = append(paths, path.Join(MediumDir, p))
		}
		return paths
	}
	// Cleaned as an absolute path, so that .. cannot lead out of the medium.
	clean := path.Clean("/" + auto)
	return []string{path.Join(MediumDir, clean), clean}
}

// decideThen says what follows success: the kernel command line goes before
// the answer file's then (see restore.Answers), and without either it is a shell.
func decideThen(arg Then, answers []byte) Then {
	if arg != "" {
		return arg
	}
	var a struct {
		Then Then `toml:"then"`
	}
	if _, err := toml.Decode(string(answers), &a); err == nil {
		switch a.Then {
		case ThenPoweroff, ThenShell, ThenReboot:
			return a.Then
		}
	}
	return ThenShell
}

// runTask runs mkcdrec with its output on all watched consoles and says how
// it ended. After a failure there is always a shell, whatever Then says: the
// machine is not what it should be and somebody has to look.
func (r *rescuer) runTask(t task, err error) {
	if err != nil {
		r.say("%s not started: %v", t.Name, err)
		r.say("%s finished: exit 1", t.Name)
		return
	}
	r.say("%s begins: mkcdrec %s", t.Name, strings.Join(t.Args, " "))
	out := io.Writer(r.cons[:r.unattendedConsoles()])
	if f, err := os.OpenFile(autoLog, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600); err == nil {
		defer f.Close()
		out = io.MultiWriter(f, out)
	}
	cmd := exec.Command(mkcdrecPath, t.Args...)
	cmd.Env = r.environment("dumb")
	cmd.Stdout, cmd.Stderr = out, out
	code := 0
	if err := r.kids.run(cmd); err != nil {
		var ended *exec.ExitError
		code = 1
		if errors.As(err, &ended) && ended.ExitCode() >= 0 {
			code = ended.ExitCode()
		} else {
			r.say("%s: %v", t.Name, err)
		}
	}
	r.log.kmsg("%s finished: exit %d", t.Name, code)
	r.say("%s finished: exit %d", t.Name, code)
	switch {
	case !succeeded(code):
		r.say("it did not succeed; its output is in %s. Here is a shell.", autoLog)
	case t.Then == ThenReboot || t.Then == ThenPoweroff:
		r.end(string(t.Then))
	}
}

// succeeded says whether an exit code (docs/exit-codes.md) lets the machine go on: 0 done,
// 3 done with warnings, each of which has been named.
func succeeded(code int) bool { return code == 0 || code == 3 }
