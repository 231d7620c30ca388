package cli

import (
	"bytes"
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/mkcdrec/mkcdrec/internal/fail"
	"github.com/mkcdrec/mkcdrec/internal/ui"
)

// The menu makes what was chosen, and nothing else: what it cannot do and what
// went wrong is said, and it asks again.
func TestMenu(t *testing.T) {
	full := fail.Hint(fail.New(fail.Failed, "the disk is full"), "take another")
	warned := fail.New(fail.Warnings, "with 1 warning")
	for _, c := range []struct {
		name, typed string
		results     []error  // of what is made, in turn
		made        []string // "rescue", or "backup to PATH"
		kind        fail.Kind
		says        string
		menus       int
	}{
		{name: "rescue", typed: "1\n", results: []error{nil}, made: []string{"rescue"}, menus: 1},
		{name: "into the image", typed: "2\n", results: []error{nil}, made: []string{"backup to "}, menus: 1},
		{name: "a path", typed: "3\n/mnt/nas\n", results: []error{nil}, made: []string{"backup to /mnt/nas"}, menus: 1},
		{name: "no path at first", typed: "3\n\n\n/mnt/nas\n", results: []error{nil}, made: []string{"backup to /mnt/nas"}, says: "Please type a path", menus: 1},
		{name: "no path at all", typed: "3\nq\n5\n", menus: 2},
		{name: "tape", typed: "4\nq\n", says: "cannot write to tape", menus: 2},
		{name: "no number", typed: "six\n5\n", says: "a number from 1 to 5", menus: 2},
		{name: "an error, then success", typed: "2\n2\n", results: []error{full, nil}, made: []string{"backup to ", "backup to "}, says: "error: the disk is full\nhint:  take another\n", menus: 2},
		{name: "an error, then no more", typed: "1\n5\n", results: []error{full}, made: []string{"rescue"}, kind: fail.Failed, says: "error: the disk is full", menus: 2},
		{name: "warnings", typed: "2\n", results: []error{warned}, made: []string{"backup to "}, kind: fail.Warnings, menus: 1},
		{name: "the end of input", typed: "", kind: fail.Refused, menus: 1},
	} {
		t.Run(c.name, func(t *testing.T) {
			var out bytes.Buffer
			a := &app{ui: &ui.Printer{Out: &out, Err: &out, In: strings.NewReader(c.typed), Asking: true, Now: time.Now}}
			var made []string
			result := func(what string) error {
				made = append(made, what)
				if len(made) > len(c.results) {
					return fmt.Errorf("not expected: %s", what)
				}
				return c.results[len(made)-1]
			}
			err := a.offer(t.Context(),
				func(context.Context, makeFlags) error { return result("rescue") },
				func(_ context.Context, f makeFlags) error { return result("backup to " + f.to) })
			if fail.ExitCode(err) != int(c.kind) || !slices.Equal(made, c.made) {
				t.Errorf("made %q, error %v", made, err)
			}
			if got := strings.Count(out.String(), "4) Backup to a tape device (not in this version)"); got != c.menus || !strings.Contains(out.String(), c.says) {
				t.Errorf("%d menus, want %d:\n%s", got, c.menus, out.String())
			}
		})
	}
}
