package system

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"
)

func TestHostRunsAndReports(t *testing.T) {
	h := &Host{}
	res, err := h.Run(t.Context(), Command{Name: "sh", Args: []string{"-c", "cat; echo err >&2; exit 3"}, Stdin: strings.NewReader("in")})
	var ee *ExitError
	if !errors.As(err, &ee) || ee.ExitCode != 3 || ee.Stderr != "err" || string(res.Stdout) != "in" {
		t.Errorf("%v, %q", err, res.Stdout)
	}
	if _, err := h.Run(t.Context(), Command{Name: "no-such-program"}); !errors.Is(err, ErrNotFound) {
		t.Errorf("%v", err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if _, err := h.Run(ctx, Command{Name: "sleep", Args: []string{"60"}}); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("%v", err)
	}
}

func TestQuote(t *testing.T) {
	got := Quote(Command{Name: "mkfs.ext4", Args: []string{"-L", "my disk", "", "it's", "/dev/vda1"}})
	if want := `mkfs.ext4 -L 'my disk' '' 'it'\''s' /dev/vda1`; got != want {
		t.Errorf("%s, want %s", got, want)
	}
}

func TestRecorder(t *testing.T) {
	r := &Recorder{Strict: true, Answers: map[string]Answer{"lvs *": {Stdout: "{}"}, "false": {ExitCode: 1, Stderr: "no"}}}
	if res, err := r.Run(t.Context(), Command{Name: "lvs", Args: []string{"-a"}}); err != nil || string(res.Stdout) != "{}" {
		t.Errorf("%q %v", res.Stdout, err)
	}
	if _, err := r.Run(t.Context(), Command{Name: "false"}); err == nil {
		t.Error("no exit error")
	}
	if _, err := r.Run(t.Context(), Command{Name: "other"}); err == nil {
		t.Error("strict recorder answered an unknown command")
	}
}
