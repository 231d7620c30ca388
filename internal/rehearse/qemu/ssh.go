package qemu

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"time"

	"golang.org/x/crypto/ssh"

	"github.com/mkcdrec/mkcdrec/internal/system"
)

// SSHError says that a command in the guest ended with a code other than 0.
type SSHError struct {
	Command  string
	ExitCode int
	Stderr   string // complete
}

func (e *SSHError) Error() string {
	s := fmt.Sprintf("%s: exit code %d", e.Command, e.ExitCode)
	if last := system.LastLines(e.Stderr, 5); last != "" {
		s += ": " + last
	}
	return s
}

// SSH runs a shell command in the guest as root and returns its standard
// output. keyPath is an OpenSSH private key without a passphrase; stdin may
// be nil. A command that ends with a code other than 0 is an *SSHError.
func (vm *VM) SSH(ctx context.Context, keyPath, command string, stdin io.Reader) ([]byte, error) {
	var out bytes.Buffer
	err := vm.SSHStream(ctx, keyPath, command, stdin, &out)
	return out.Bytes(), err
}

// SSHStream is SSH with the output written to out as it comes.
func (vm *VM) SSHStream(ctx context.Context, keyPath, command string, stdin io.Reader, out io.Writer) error {
	client, err := vm.dialSSH(ctx, keyPath)
	if err != nil {
		return fmt.Errorf("%s: cannot reach the guest by ssh: %w", vm.Config.Name, err)
	}
	defer client.Close()
	stop := context.AfterFunc(ctx, func() { client.Close() })
	defer stop()
	session, err := client.NewSession()
	if err != nil {
		return fmt.Errorf("%s: cannot open an ssh session: %w", vm.Config.Name, err)
	}
	var errOut bytes.Buffer
	session.Stdin, session.Stdout, session.Stderr = stdin, out, &errOut
	err = session.Run(command)
	var exit *ssh.ExitError
	switch {
	case err == nil:
		return nil
	case ctx.Err() != nil:
		err = ctx.Err()
	case errors.As(err, &exit):
		err = &SSHError{Command: command, ExitCode: exit.ExitStatus(), Stderr: errOut.String()}
	default:
		err = fmt.Errorf("%s: %w: %s", command, err, system.LastLines(errOut.String(), 5))
	}
	return fmt.Errorf("%s: in the guest: %w", vm.Config.Name, err)
}

// WaitSSH waits until the guest answers by ssh. It gives up early when the
// kernel panics or the machine ends.
func (vm *VM) WaitSSH(ctx context.Context, keyPath string, timeout time.Duration) error {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	for {
		attempt, cancelAttempt := context.WithTimeout(ctx, 60*time.Second)
		_, err := vm.SSH(attempt, keyPath, "true", nil)
		cancelAttempt()
		if err == nil {
			return nil
		}
		cause := error(nil)
		if line := panicLine.FindString(vm.Console()); line != "" {
			cause = fmt.Errorf("%w: %s", ErrPanic, line)
		}
		select {
		case <-vm.done:
			cause = ErrEnded
		case <-ctx.Done():
			cause = fmt.Errorf("%w after %s (%v)", ErrTimeout, timeout, err)
		case <-time.After(time.Second):
		}
		if cause != nil {
			return fmt.Errorf("%s: no answer by ssh: %w%s; the console's last lines:\n%s", vm.Config.Name, cause, vm.complaint(), vm.console.last(20))
		}
	}
}

// CopyIn writes a file of this machine, with its mode, to a path in the guest.
func (vm *VM) CopyIn(ctx context.Context, keyPath, local, remote string) error {
	f, err := os.Open(local)
	if err != nil {
		return fmt.Errorf("cannot copy into the guest: %w", err)
	}
	defer f.Close()
	fi, err := f.Stat()
	if err != nil {
		return fmt.Errorf("cannot copy into the guest: %w", err)
	}
	q := shellQuote(remote)
	_, err = vm.SSH(ctx, keyPath, fmt.Sprintf("cat >%s && chmod %o %s", q, fi.Mode().Perm(), q), f)
	return err
}

// CopyOut writes a file of the guest to a path of this machine.
func (vm *VM) CopyOut(ctx context.Context, keyPath, remote, local string) error {
	f, err := os.Create(local)
	if err != nil {
		return fmt.Errorf("cannot copy out of the guest: %w", err)
	}
	if err := vm.SSHStream(ctx, keyPath, "cat "+shellQuote(remote), nil, f); err != nil {
		f.Close()
		return err
	}
	return f.Close()
}

// dialSSH connects to the forwarded port.
func (vm *VM) dialSSH(ctx context.Context, keyPath string) (*ssh.Client, error) {
	if vm.Config.Network == nil {
		return nil, errors.New("the machine has no network card")
	}
	pem, err := os.ReadFile(keyPath)
	if err != nil {
		return nil, err
	}
	signer, err := ssh.ParsePrivateKey(pem)
	if err != nil {
		return nil, fmt.Errorf("cannot use the key %s: %w", keyPath, err)
	}
	addr := fmt.Sprintf("127.0.0.1:%d", vm.Config.Network.SSHPort)
	var d net.Dialer
	conn, err := d.DialContext(ctx, "tcp", addr)
	if err != nil {
		return nil, err
	}
	// QEMU accepts at once, long before the guest does, so the handshake needs
	// a limit of its own.
	if deadline, ok := ctx.Deadline(); ok {
		_ = conn.SetDeadline(deadline)
	}
	stop := context.AfterFunc(ctx, func() { conn.Close() })
	defer stop()
	c, chans, reqs, err := ssh.NewClientConn(conn, addr, &ssh.ClientConfig{
		User: "root",
		Auth: []ssh.AuthMethod{ssh.PublicKeys(signer)},
		// The other end is a machine that this process has just started and
		// that only it can reach; its host key may have been made seconds ago.
		HostKeyCallback: ssh.InsecureIgnoreHostKey(),
	})
	if err != nil {
		conn.Close()
		return nil, err
	}
	_ = conn.SetDeadline(time.Time{})
	return ssh.NewClient(c, chans, reqs), nil
}

func shellQuote(s string) string { return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'" }
