package cli

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/mkcdrec/mkcdrec/internal/archive"
	"github.com/mkcdrec/mkcdrec/internal/backup"
	"github.com/mkcdrec/mkcdrec/internal/config"
	"github.com/mkcdrec/mkcdrec/internal/fail"
	"github.com/mkcdrec/mkcdrec/internal/machine"
	"github.com/mkcdrec/mkcdrec/internal/machine/machinetest"
	"github.com/mkcdrec/mkcdrec/internal/rescue"
	"github.com/mkcdrec/mkcdrec/internal/store"
	"github.com/mkcdrec/mkcdrec/internal/ui"
)

// Each warning counts, wherever it was said, and a note does not.
func TestWarningsDecideTheExitCode(t *testing.T) {
	boom := fail.New(fail.Damaged, "boom")
	warned := func(n int64) backup.Result {
		return backup.Result{Manifest: &archive.Manifest{Warned: n, Warnings: []archive.Warning{{Path: "etc/x", Problem: "changed while it was read"}}[:min(n, 1)]}}
	}
	for _, c := range []struct {
		what, kind string
		plan       bool
		do         func(j *job) error
		code       fail.Kind // 0: done
		says       string
	}{
		{what: "nothing", kind: "rescue", do: func(*job) error { return nil }},
		{what: "an error", kind: "rescue", do: func(j *job) error { j.warn("and a warning"); return boom }, code: fail.Damaged},
		{what: "a note of the rescue system", kind: "rescue", do: func(j *job) error {
			j.describeRescue(rescue.Result{Notes: []string{"another kernel"}}, time.Second)
			return nil
		}, says: "note: another kernel"},
		{what: "a warning of the rescue system", kind: "rescue", do: func(j *job) error {
			j.describeRescue(rescue.Result{Warnings: []string{"nano is left out"}}, time.Second)
			return nil
		}, code: fail.Warnings, says: "warning: nano is left out\n"},
		{what: "warnings of both", kind: "backup", do: func(j *job) error {
			j.describeRescue(rescue.Result{Warnings: []string{"nano is left out"}}, time.Second)
			return j.outcome(warned(3))
		}, code: fail.Warnings, says: "warning: etc/x: changed while it was read"},
		{what: "a whole backup", kind: "backup", do: func(j *job) error { return j.outcome(warned(0)) }},
		{what: "a hook", kind: "backup", do: func(j *job) error {
			r := warned(0)
			r.PostHook = errors.New("exit 1")
			return j.outcome(r)
		}, code: fail.Warnings},
		{what: "a leftover that was removed", kind: "backup", do: func(j *job) error { j.leftover(store.Leftover{Name: "old"}); return nil }},
		{what: "a leftover that stays", kind: "backup", do: func(j *job) error { j.leftover(store.Leftover{Name: "old", Kept: boom}); return nil }, code: fail.Warnings},
		{what: "no restore", kind: "rescue", plan: true, do: func(j *job) error { j.m.Mounts = nil; return j.planRestore() }, code: fail.Warnings, says: "warning: cannot plan"},
	} {
		t.Run(c.what, func(t *testing.T) {
			var out bytes.Buffer
			j := &job{app: &app{ui: &ui.Printer{Out: &out, Err: &out, Now: time.Now}, settings: config.Default()}, kind: c.kind, m: machinetest.Get("uefi-plain"), work: filepath.Join(t.TempDir(), "work")}
			j.f.plan = c.plan
			if err := os.Mkdir(j.work, 0o755); err != nil {
				t.Fatal(err)
			}
			err := j.end(c.do(j))
			if fail.ExitCode(err) != int(c.code) || !strings.Contains(out.String(), c.says) {
				t.Errorf("%v\n%s", err, out.String())
			}
			if c.what == "warnings of both" && (err == nil || !strings.Contains(err.Error(), "with 4 warnings")) {
				t.Errorf("%v", err)
			}
			if _, err := os.Stat(j.work); !os.IsNotExist(err) {
				t.Errorf("the work directory is still there: %v", err)
			}
		})
	}
}

// What was left out by name is a note, as it was asked for; what is in the way
// is refused.
func TestFindingsLeftOutByName(t *testing.T) {
	m := machine.Machine{Findings: []machine.Finding{{Name: "zfs:tank", What: "a ZFS pool", Todo: "use zfs send", Blocking: true}}}
	var out bytes.Buffer
	a := &app{ui: &ui.Printer{Out: &out, Err: &out, Now: time.Now}}
	if rest, err := a.excludeFindings(m, []string{"zfs:tank", "/srv"}); err != nil || len(rest) != 1 || !strings.Contains(out.String(), "note: left out by name: zfs:tank") {
		t.Errorf("%q, %v\n%s", rest, err, out.String())
	}
	if _, err := a.excludeFindings(m, nil); fail.KindOf(err) != fail.Unsupported {
		t.Error(err)
	}
}

// No is an answer that makes nothing, and not a success.
func TestAnswerToTheQuestion(t *testing.T) {
	for typed, want := range map[string]fail.Kind{"y\n": 0, "Yes\n": 0, "n\n": fail.Refused, "\n": fail.Refused, "": fail.Refused} {
		var out bytes.Buffer
		j := &job{app: &app{ui: &ui.Printer{Out: &out, Err: &out, In: strings.NewReader(typed), Asking: true, Now: time.Now}}, kind: "backup", m: machinetest.Get("uefi-plain")}
		j.f.ask = true
		done, err := j.show()
		if fail.ExitCode(err) != int(want) || done != (want != 0) {
			t.Errorf("%q: %v, %v", typed, done, err)
		}
	}
}
