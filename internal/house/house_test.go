// Package house holds the test that keeps the rooms apart: who may import whom.
package house

import (
	"go/parser"
	"go/token"
	"io/fs"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

const module = "github.com/mkcdrec/mkcdrec/"

// rule forbids imports in some rooms, with the reason that a reader should know.
type rule struct {
	in     []string // rooms, by prefix below internal/
	except []string
	banned []string // import paths, by prefix; "house/" is this module's internal/
	but    []string // import paths that are free all the same
	why    string
}

var rules = []rule{
	{in: []string{""}, except: []string{"system", "rescueinit", "rehearse/qemu", "testtree"}, banned: []string{"os/exec"},
		why: "system is the one door to programs; rescueinit is PID 1 and keeps shells, rehearse/qemu keeps virtual machines"},
	{in: []string{"machine", "config", "fail", "fit", "plan", "identity"}, banned: []string{"os/exec", "net", "syscall", "golang.org/x/sys", "house/system"}, but: []string{"net/netip"}, // parses addresses, opens nothing
		why: "these rooms decide in pure Go: they run on any laptop without root"},
	{in: []string{"machine"}, banned: []string{"house/inspect", "house/restore", "house/archive", "house/rescue", "house/plan"},
		why: "the model knows nobody"},
	{in: []string{"archive", "store"}, banned: []string{"house/medium", "house/backup", "house/restore", "house/rescue", "house/inspect", "house/machine"},
		why: "the format stands alone: whoever reads a backup needs nothing else"},
	{in: []string{"tool"}, banned: []string{"house/restore", "house/inspect", "house/rescue", "house/backup", "house/plan", "house/fit"},
		why: "adapters know one program, not why it is called"},
	{in: []string{""}, except: []string{"cli"}, banned: []string{"house/ui", "house/cli", "github.com/spf13/cobra"},
		why: "only the verbs speak to people; everything else returns values and errors"},
	{in: []string{""}, except: []string{"cli", "ui"}, banned: []string{"house/cli"},
		why: "imports go down"},
}

// except of a rule names rooms whole, so ui itself is free to import ui's parts.
func (r rule) applies(room string) bool {
	for _, e := range append([]string{"ui"}, r.except...) {
		if room == e || strings.HasPrefix(room, e+"/") {
			return false
		}
	}
	for _, in := range r.in {
		if in == "" || room == in || strings.HasPrefix(room, in+"/") {
			return true
		}
	}
	return false
}

func TestRoomsKeepApart(t *testing.T) {
	files := 0
	err := filepath.WalkDir("..", func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") || strings.Contains(path, "testdata") {
			return err
		}
		files++
		room, _ := filepath.Rel("..", filepath.Dir(path))
		f, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.ImportsOnly)
		if err != nil {
			return err
		}
		for _, imp := range f.Imports {
			name, _ := strconv.Unquote(imp.Path.Value)
			name = strings.Replace(name, module+"internal/", "house/", 1)
			for _, r := range rules {
				for _, b := range r.banned {
					if r.applies(room) && !slices.Contains(r.but, name) && (name == b || strings.HasPrefix(name, b+"/")) {
						t.Errorf("%s imports %s: %s", path, name, r.why)
					}
				}
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if files < 20 {
		t.Fatalf("looked at %d files only", files)
	}
}

func TestNoRoomWithoutMeaning(t *testing.T) {
	_ = filepath.WalkDir("..", func(path string, d fs.DirEntry, err error) error {
		if err == nil && d.IsDir() {
			switch d.Name() {
			case "util", "utils", "common", "helper", "helpers", "misc":
				t.Errorf("%s: a room's name says what is in it", path)
			}
		}
		return err
	})
}
