package cli

import (
	"encoding"
	"encoding/json"
	"reflect"
	"regexp"
	"strings"
	"testing"

	"github.com/mkcdrec/mkcdrec/internal/archive"
	"github.com/mkcdrec/mkcdrec/internal/doctor"
	"github.com/mkcdrec/mkcdrec/internal/fail"
	"github.com/mkcdrec/mkcdrec/internal/machine"
	"github.com/mkcdrec/mkcdrec/internal/machine/machinetest"
	"github.com/mkcdrec/mkcdrec/internal/medium"
	"github.com/mkcdrec/mkcdrec/internal/medium/iso9660"
	"github.com/mkcdrec/mkcdrec/internal/plan"
	"github.com/mkcdrec/mkcdrec/internal/restore"
	"github.com/mkcdrec/mkcdrec/internal/store/dir"
)

// events runs a verb with --json and decodes each line it prints.
func events(t *testing.T, args ...string) (list []map[string]any, code int) {
	t.Helper()
	out, code := says(t, append(args, "--json")...)
	for line := range strings.Lines(out) {
		var e map[string]any
		if err := json.Unmarshal([]byte(line), &e); err != nil {
			t.Fatalf("%v: %q", err, line)
		}
		list = append(list, e)
	}
	if len(list) == 0 {
		t.Fatal("nothing was printed")
	}
	return list, code
}

// A program learns from the last line alone what came of a verb.
func TestLastEventHasTheExitCode(t *testing.T) {
	image := madeMedium(t)
	for _, c := range []struct {
		args  []string
		event string
		code  int
	}{
		{[]string{"verify", image}, "done", 0},
		{[]string{"list", image}, "done", 0},
		{[]string{"verify", t.TempDir()}, "error", int(fail.Damaged)},
	} {
		list, code := events(t, c.args...)
		last := list[len(list)-1]
		if code != c.code || last["event"] != c.event || last["exit_code"] != float64(c.code) {
			t.Errorf("%q: exit code %d, last line %v", c.args, code, last)
		}
		for _, e := range list[:len(list)-1] {
			if _, has := e["exit_code"]; has {
				t.Errorf("%q: an exit code before the last line: %v", c.args, e)
			}
		}
	}
}

// The machine is one document, as layout.json is.
func TestLayoutIsOneDocument(t *testing.T) {
	where := t.TempDir()
	s, err := dir.Open(where)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	m := machinetest.Get("uefi-lvm")
	layout, err := m.Layout()
	if err != nil {
		t.Fatal(err)
	}
	w, err := archive.NewWriter(t.Context(), s, archive.WriterOptions{Prefix: "web1/1", BackupID: "1", Host: "web1", Layout: layout, WorkDir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	if err := w.AddBytes(&archive.Entry{Name: "f", Kind: archive.File, Mode: 0o644, Size: 1}, []byte("x")); err != nil {
		t.Fatal(err)
	}
	if _, err := w.Close(); err != nil {
		t.Fatal(err)
	}
	if list, code := events(t, "layout", where); code != 0 || len(list) != 1 || list[0]["event"] != nil {
		t.Errorf("exit code %d, %d lines: %v", code, len(list), list)
	}
}

// What --json prints is written in one way, whatever the fields are called in Go.
func TestFieldsAreSnakeCase(t *testing.T) {
	snake := regexp.MustCompile(`^[a-z][a-z0-9]*(_[a-z0-9]+)*$`)
	seen := map[reflect.Type]bool{}
	var walk func(of reflect.Type)
	walk = func(of reflect.Type) {
		switch of.Kind() {
		case reflect.Pointer, reflect.Slice, reflect.Array, reflect.Map:
			walk(of.Elem())
			return
		case reflect.Struct:
		default:
			return
		}
		if seen[of] || of.Implements(reflect.TypeFor[json.Marshaler]()) || of.Implements(reflect.TypeFor[encoding.TextMarshaler]()) {
			return
		}
		seen[of] = true
		for i := range of.NumField() {
			f := of.Field(i)
			name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
			if !f.IsExported() || name == "-" {
				continue
			}
			if !snake.MatchString(name) && (!f.Anonymous || name != "") {
				t.Errorf("%s.%s is %q in JSON", of, f.Name, name)
			}
			walk(f.Type)
		}
	}
	for _, of := range []reflect.Type{
		reflect.TypeFor[archive.Report](), reflect.TypeFor[archive.Manifest](), reflect.TypeFor[iso9660.Report](), reflect.TypeFor[medium.Summary](),
		reflect.TypeFor[restore.Report](), reflect.TypeFor[plan.Plan](), reflect.TypeFor[plan.File](), reflect.TypeFor[machine.Machine](), reflect.TypeFor[doctor.Check](), reflect.TypeFor[mediumPlan](),
	} {
		walk(of)
	}
	if len(seen) < 20 {
		t.Errorf("looked at %d types only", len(seen))
	}
}
