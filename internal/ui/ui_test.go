package ui

import (
	"bytes"
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/mkcdrec/mkcdrec/internal/fail"
)

func TestErrorHasItsHint(t *testing.T) {
	err := fail.Hint(fail.New(fail.Refused, "disk vda holds the backup"), "choose another disk")
	var out, errOut bytes.Buffer
	p := &Printer{Out: &out, Err: &errOut, Now: time.Now}
	p.Error(err)
	if got, want := errOut.String(), "error: disk vda holds the backup\nhint:  choose another disk\n"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
	p.JSON = true
	p.Error(err)
	var m map[string]any
	if e := json.Unmarshal(out.Bytes(), &m); e != nil || m["event"] != "error" || m["kind"] != "refused" || m["exit_code"] != 4.0 {
		t.Errorf("%v: %s", e, out.String())
	}
}

func TestAskRefusesWithoutTerminal(t *testing.T) {
	p := &Printer{Out: &bytes.Buffer{}, Err: &bytes.Buffer{}, In: strings.NewReader("yes\n"), Now: time.Now}
	if _, err := p.Ask("erase?"); fail.KindOf(err) != fail.Refused {
		t.Errorf("asked without a terminal: %v", err)
	}
	p.Asking = true
	if s, err := p.Ask("erase?"); s != "yes" || err != nil {
		t.Errorf("%q %v", s, err)
	}
	if _, err := p.Ask("again?"); err == nil {
		t.Error("end of input counted as an answer")
	}
}

func TestLine(t *testing.T) {
	got := Line("backup", 512<<20, 1<<30, 100, 10*time.Second, 100)
	if want := "backup  [##########----------]  50%  512 MiB  100 files  51.2 MiB/s  about 10 s left"; got != want {
		t.Errorf("\n%q, want\n%q", got, want)
	}
	if l := Line("x", 2<<30, 1<<30, 0, time.Second, 80); !strings.Contains(l, "99%") {
		t.Errorf("an exceeded estimate shows %q", l)
	}
	// Where it is narrow, the bar goes first; percentage and remaining time stay.
	for width, want := range map[int]string{
		0:   "backup  [####----------------]  24%  115 GiB  1234567 files  32.7 MiB/s  about 3 h 06 min left",
		100: "backup  [####----------------]  24%  115 GiB  1234567 files  32.7 MiB/s  about 3 h 06 min left",
		86:  "backup  [##--------]  24%  115 GiB  1234567 files  32.7 MiB/s  about 3 h 06 min left",
		80:  "backup  24%  115 GiB  1234567 files  32.7 MiB/s  about 3 h 06 min left",
		70:  "backup  24%  115 GiB  32.7 MiB/s  about 3 h 06 min left",
		50:  "backup  24%  115 GiB  about 3 h 06 min left",
		40:  "backup  24%  about 3 h 06 min left",
		30:  "24%  about 3 h 06 min left",
	} {
		got := Line("backup", 115<<30, 472<<30, 1234567, time.Hour, width)
		if got != want || width > 0 && len(got) >= width {
			t.Errorf("%d columns:\n%q, want\n%q", width, got, want)
		}
	}
	if l := Line("backup", 115<<30, 0, 12, time.Hour, 80); l != "backup  115 GiB  12 files  32.7 MiB/s" {
		t.Errorf("without a total: %q", l)
	}
	if l := Line(strings.Repeat("x", 200), 1, 1, 1, 1, 40); len(l) >= 40 {
		t.Errorf("%d columns", len(l))
	}
}

// A stage that has begun is always shown, its count now and then; nothing of it
// stays on a terminal.
func TestStage(t *testing.T) {
	now := time.Unix(0, 0)
	run := func(p *Printer) string {
		var out bytes.Buffer
		p.Out, p.Err, p.Now, p.Width = &out, &out, func() time.Time { return now }, 80
		pr := p.Progress("rescue system")
		pr.Stage("modules", 0, 0)
		for i := range 100 {
			pr.Stage("trying programs", i+1, 100)
		}
		pr.Stage("packing", 0, 0)
		pr.Done()
		return out.String()
	}
	if got, want := run(&Printer{}), "    rescue system: modules\n    rescue system: trying programs 1/100\n    rescue system: packing\n"; got != want {
		t.Errorf("plain: %q, want %q", got, want)
	}
	const redraw = "\r\x1b[K"
	if got, want := run(&Printer{Terminal: true}), redraw+"rescue system: modules"+redraw+"rescue system: trying programs 1/100"+redraw+"rescue system: packing"+redraw; got != want {
		t.Errorf("terminal: %q, want %q", got, want)
	}
	if got := run(&Printer{JSON: true}); strings.Count(got, "\n") != 3 || !strings.Contains(got, `"stage":"packing"`) {
		t.Errorf("JSON: %s", got)
	}
}

func TestSize(t *testing.T) {
	for n, want := range map[int64]string{0: "0 B", 1023: "1023 B", 1024: "1.0 KiB", 1536: "1.5 KiB", 1<<20 - 1: "1.0 MiB", 700 << 20: "700 MiB", 1 << 40: "1.0 TiB"} {
		if got := Size(n); got != want {
			t.Errorf("%d: %q, want %q", n, got, want)
		}
	}
}

func TestExitCodes(t *testing.T) {
	if fail.ExitCode(nil) != 0 || fail.ExitCode(errors.New("x")) != 1 || fail.ExitCode(fail.Hint(fail.New(fail.Damaged, "x"), "y")) != 5 {
		t.Error("exit codes")
	}
}

func TestNoteIsNoWarning(t *testing.T) {
	var out, errOut bytes.Buffer
	p := &Printer{Out: &out, Err: &errOut, Now: time.Now}
	p.Note("%d disks", 2)
	if out.String() != "    note: 2 disks\n" || errOut.Len() > 0 {
		t.Errorf("%q, %q", out.String(), errOut.String())
	}
	out.Reset()
	p.JSON = true
	p.Note("%d disks", 2)
	var m map[string]any
	if err := json.Unmarshal(out.Bytes(), &m); err != nil || m["event"] != "note" || m["text"] != "2 disks" {
		t.Errorf("%v: %s", err, out.String())
	}
}
