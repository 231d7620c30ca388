// Package fsfreeze stops the writers of a mounted file system for a while, by
// fsfreeze(8).
package fsfreeze

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"

	"github.com/mkcdrec/mkcdrec/internal/system"
)

// ErrLimit is wrapped when a file system was thawed because its time was up,
// before anybody asked for it.
var ErrLimit = errors.New("it was frozen for as long as is allowed, and thawed before it was read")

// guard freezes $1, waits until its standard input ends, $2 seconds at most,
// and thaws. It is a process of its own, which signals of the terminal do not
// end: whatever becomes of ours, also by kill -9, its end of the pipe closes.
const guard = `trap '' INT TERM HUP PIPE
fsfreeze --freeze "$1" || exit 1
echo frozen
timeout --foreground --signal=KILL "$2" cat >/dev/null
waited=$?
for try in 1 2 3; do
	if fsfreeze --unfreeze "$1"; then
		[ "$waited" = 0 ] || exit 3
		exit 0
	fi
done
exit 4`

// Hold freezes a mounted file system: whoever writes to it waits. thaw ends
// that, and says whether the limit did so before: ErrLimit. The limit is in
// whole seconds. Nothing that this process, the shell, or the tools' runner
// writes may lie on that file system.
func Hold(ctx context.Context, r system.Runner, target string, limit time.Duration) (thaw func() error, err error) {
	in, release := io.Pipe()
	out, said := io.Pipe()
	ended := make(chan error, 1)
	go func() {
		// The guard ends by its input, not by ctx: a guard that is killed does not thaw.
		_, err := r.Run(context.WithoutCancel(ctx), system.Command{
			Name: "sh", Args: []string{"-c", guard, "sh", target, strconv.Itoa(max(1, int(limit.Seconds())))}, Stdin: in, Stdout: said,
		})
		in.CloseWithError(io.ErrClosedPipe)
		said.Close()
		ended <- err
	}()
	line, _ := bufio.NewReader(out).ReadString('\n')
	go func() { _, _ = io.Copy(io.Discard, out) }()
	end := func() error {
		release.Close()
		err := <-ended
		var exit *system.ExitError
		switch {
		case err == nil:
			return nil
		case errors.As(err, &exit) && exit.ExitCode == 3:
			return fmt.Errorf("%s: %w", target, ErrLimit)
		case errors.As(err, &exit) && exit.ExitCode == 4:
			return fmt.Errorf("cannot thaw %s, writers to it wait: %s", target, exit.Stderr)
		case errors.As(err, &exit) && exit.Stderr != "":
			return fmt.Errorf("cannot freeze %s: %s", target, exit.Stderr)
		}
		return fmt.Errorf("cannot freeze %s: %w", target, err)
	}
	if strings.TrimSpace(line) == "frozen" {
		return end, nil
	}
	if err := end(); err != nil {
		return nil, err
	}
	return nil, fmt.Errorf("cannot freeze %s: the guard ended without a word", target)
}

// Thaw ends the freezing of a file system by somebody who is gone.
func Thaw(ctx context.Context, r system.Runner, target string) error {
	if _, err := r.Run(ctx, system.Command{Name: "fsfreeze", Args: []string{"--unfreeze", target}}); err != nil {
		return fmt.Errorf("cannot thaw %s: %w", target, err)
	}
	return nil
}
