package qemu

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/mkcdrec/mkcdrec/internal/fail"
)

// Program is the emulator that Start runs.
const Program = "qemu-system-x86_64"

// VM is a running virtual machine. Its methods may be called from several
// goroutines.
type VM struct {
	Config Config // as started: defaults, accelerator and ssh port filled in

	dir     string // private: control socket, variables
	cmd     *exec.Cmd
	console *console
	stdin   io.WriteCloser
	qmp     *qmpClient
	done    chan struct{}

	stderr   bytes.Buffer // complete once done is closed
	waitErr  error        // valid once done is closed
	killed   sync.Once
	wasEnded bool // we asked it to end; guarded by mu
	mu       sync.Mutex
}

// Start starts a virtual machine. It lives until it ends itself, or Quit or
// Kill is called, or ctx ends, or this process dies.
func Start(ctx context.Context, c Config) (*VM, error) {
	c = c.withDefaults()
	program, err := exec.LookPath(Program)
	if err != nil {
		return nil, fail.Hint(fail.New(fail.Unsupported, "cannot start a virtual machine: %s is not installed", Program),
			"install qemu-system-x86 (Debian), qemu-kvm (Fedora), qemu-x86 (SUSE) or qemu-base (Arch)")
	}
	if c.Accel == "" {
		c.Accel, _ = DetectAccel(ctx)
	}
	if c.Network != nil {
		n := *c.Network
		if n.SSHPort == 0 {
			if n.SSHPort, err = freePort(); err != nil {
				return nil, fmt.Errorf("cannot find a free port for ssh: %w", err)
			}
		}
		c.Network = &n
	}
	vm := &VM{Config: c, done: make(chan struct{})}
	// A short path: a socket's name has at most 107 bytes (unix(7)).
	if vm.dir, err = os.MkdirTemp("", "mkcdrec-vm-"); err != nil {
		return nil, fmt.Errorf("cannot make the machine's directory: %w", err)
	}
	if err := vm.start(ctx, program); err != nil {
		os.RemoveAll(vm.dir)
		return nil, fmt.Errorf("cannot start the virtual machine %s: %w", c.Name, err)
	}
	vm.qmp, err = dialQMP(ctx, filepath.Join(vm.dir, "qmp"), vm.done)
	if err != nil {
		vm.Kill()
		return nil, fmt.Errorf("cannot start the virtual machine %s: %w%s", c.Name, err, vm.complaint())
	}
	return vm, nil
}

// start prepares the files and starts the process.
func (vm *VM) start(ctx context.Context, program string) error {
	f := files{qmp: filepath.Join(vm.dir, "qmp")}
	if vm.Config.Firmware != BIOS {
		var err error
		if f.code, f.vars, err = prepareFirmware(ctx, vm.Config, vm.dir); err != nil {
			return err
		}
	}
	args, err := vm.Config.args(f)
	if err != nil {
		return err
	}
	var log *os.File
	if vm.Config.SerialLog != "" {
		if log, err = os.Create(vm.Config.SerialLog); err != nil {
			return fmt.Errorf("cannot write the console's log: %w", err)
		}
		vm.console = newConsole(log)
	} else {
		vm.console = newConsole(nil)
	}
	vm.cmd = exec.CommandContext(ctx, program, args...)
	vm.cmd.Stdout = vm.console
	vm.cmd.Stderr = &vm.stderr
	// QEMU dies with us. The signal comes when the starting thread ends, so
	// run keeps that thread for the machine's life (prctl(2)).
	vm.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL, Setpgid: true}
	vm.cmd.WaitDelay = 2 * time.Second
	if vm.stdin, err = vm.cmd.StdinPipe(); err != nil {
		return err
	}
	started := make(chan error, 1)
	go vm.run(started, log)
	return <-started
}

// run starts the process, waits for it and cleans up.
func (vm *VM) run(started chan<- error, log *os.File) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	if log != nil {
		defer log.Close()
	}
	if err := vm.cmd.Start(); err != nil {
		started <- err
		return
	}
	started <- nil
	vm.waitErr = vm.cmd.Wait()
	vm.console.end()
	os.RemoveAll(vm.dir)
	close(vm.done)
}

// complaint is what QEMU wrote to its standard error, if it has ended.
func (vm *VM) complaint() string {
	select {
	case <-vm.done:
		if s := strings.TrimSpace(vm.stderr.String()); s != "" {
			return ": " + s
		}
	default:
	}
	return ""
}

// WaitFor waits until the serial console shows a match of the regular
// expression pattern after the previous match, and returns the match and its
// groups. Carriage returns, colours and cursor movements are not part of the
// text. It gives up early when the kernel panics (ErrPanic) or the machine
// ends (ErrEnded), else after timeout (ErrTimeout); the error has the
// console's last 20 lines.
func (vm *VM) WaitFor(ctx context.Context, pattern string, timeout time.Duration) ([]string, error) {
	re, err := regexp.Compile(pattern)
	if err != nil {
		return nil, fmt.Errorf("cannot wait for %q: %w", pattern, err)
	}
	m, err := vm.console.waitFor(ctx, re, timeout)
	if err != nil {
		return nil, fmt.Errorf("%s: %w%s", vm.Config.Name, err, vm.complaint())
	}
	return m, nil
}

// Console is all that the serial console has shown so far.
func (vm *VM) Console() string { return vm.console.all() }

// Send types text on the serial console; end a line with "\n".
func (vm *VM) Send(text string) error {
	if _, err := io.WriteString(vm.stdin, text); err != nil {
		return fmt.Errorf("%s: cannot type on the console: %w", vm.Config.Name, err)
	}
	return nil
}

// Done is closed when the machine has ended.
func (vm *VM) Done() <-chan struct{} { return vm.done }

// Wait waits until the machine ends by itself (the guest powered off, or
// rebooted with NoReboot). Its error is ctx's, or says how QEMU failed.
func (vm *VM) Wait(ctx context.Context) error {
	select {
	case <-vm.done:
	case <-ctx.Done():
		return fmt.Errorf("%s: cannot wait for the machine's end: %w; the console's last lines:\n%s", vm.Config.Name, ctx.Err(), vm.console.last(20))
	}
	vm.mu.Lock()
	defer vm.mu.Unlock()
	if vm.waitErr != nil && !vm.wasEnded {
		return fmt.Errorf("%s: QEMU failed: %w%s", vm.Config.Name, vm.waitErr, vm.complaint())
	}
	return nil
}

// Kill cuts the power: what the guest had not yet written to the disk files
// is lost. It returns when the process is gone.
func (vm *VM) Kill() {
	vm.killed.Do(func() {
		vm.mu.Lock()
		vm.wasEnded = true
		vm.mu.Unlock()
		_ = vm.cmd.Process.Kill()
	})
	<-vm.done
}

// Quit ends QEMU in order, as seen from this machine: its disk files are
// closed. The guest notices nothing, as in a power cut.
func (vm *VM) Quit(ctx context.Context) error {
	vm.mu.Lock()
	vm.wasEnded = true
	vm.mu.Unlock()
	_, err := vm.QMP(ctx, "quit", nil)
	select {
	case <-vm.done:
		return nil
	case <-time.After(10 * time.Second):
	case <-ctx.Done():
	}
	vm.Kill()
	if err == nil {
		err = errors.New("it did not answer within 10 s and was killed")
	}
	return fmt.Errorf("%s: cannot quit: %w", vm.Config.Name, err)
}

// freePort is a TCP port of 127.0.0.1 that was free a moment ago.
func freePort() (int, error) {
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		return 0, err
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port, nil
}
