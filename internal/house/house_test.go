// Package house holds the tests that keep the rooms apart: who may import whom,
// and which modules from outside.
package house

import (
	"fmt"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
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

// eachImport gives every import of the product's own code; room is the
// directory below internal/, and name has "house/" for this module's internal/.
func eachImport(t *testing.T, do func(path, room, name string)) {
	t.Helper()
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
			do(path, room, name)
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

func TestRoomsKeepApart(t *testing.T) {
	eachImport(t, func(path, room, name string) {
		for _, r := range rules {
			for _, b := range r.banned {
				if r.applies(room) && !slices.Contains(r.but, name) && (name == b || strings.HasPrefix(name, b+"/")) {
					t.Errorf("%s imports %s: %s", path, name, r.why)
				}
			}
		}
	})
}

var roomRow = regexp.MustCompile("(?m)^\\| `([a-z0-9/]+?)(/<name>)?` \\|.*\\|.*\\|$")

// order is the place of each room in the table of docs/architecture.md.
func order(t *testing.T) map[string]int {
	t.Helper()
	doc, err := os.ReadFile("../../docs/architecture.md")
	if err != nil {
		t.Fatal(err)
	}
	places := map[string]int{}
	_, table, _ := strings.Cut(string(doc), "## Rooms\n")
	table, _, _ = strings.Cut(table, "\n## ")
	for i, row := range roomRow.FindAllStringSubmatch(table, -1) {
		if _, twice := places[row[1]]; twice {
			t.Errorf("docs/architecture.md has %s twice", row[1])
		}
		places[row[1]] = i
	}
	if len(places) < 20 {
		t.Fatalf("docs/architecture.md: %d rooms only", len(places))
	}
	return places
}

// placeOf is the row that a directory belongs to: its own, or the next above it.
func placeOf(places map[string]int, dir string) (row string, err error) {
	for row = dir; row != "."; row = filepath.Dir(row) {
		if _, ok := places[row]; ok {
			return row, nil
		}
	}
	return "", fmt.Errorf("%s is in no row of docs/architecture.md", dir)
}

// The table of rooms is an order: a room imports only those above it.
func TestImportsFollowTheTable(t *testing.T) {
	places := order(t)
	seen := map[string]bool{}
	eachImport(t, func(path, room, name string) {
		to, own := strings.CutPrefix(name, "house/")
		from, err := placeOf(places, room)
		if err != nil {
			t.Errorf("%s: %v", path, err)
			return
		}
		seen[from] = true
		if !own {
			return
		}
		switch row, err := placeOf(places, to); {
		case err != nil:
			t.Errorf("%s: %v", path, err)
		case places[row] > places[from]:
			t.Errorf("%s imports %s, which stands below %s in docs/architecture.md", path, row, from)
		}
	})
	for row := range places {
		if !seen[row] && row != "cmd/mkcdrec" {
			t.Errorf("docs/architecture.md has %s, which is not there", row)
		}
	}
}

// What go.mod requires directly is what docs/dependencies.md gives a reason for.
func TestDependenciesHaveTheirReason(t *testing.T) {
	mod, err := os.ReadFile("../../go.mod")
	if err != nil {
		t.Fatal(err)
	}
	doc, err := os.ReadFile("../../docs/dependencies.md")
	if err != nil {
		t.Fatal(err)
	}
	find := func(pattern string, text []byte) (names []string) {
		for _, m := range regexp.MustCompile(pattern).FindAllSubmatch(text, -1) {
			names = append(names, string(m[1]))
		}
		return names
	}
	required := find(`(?m)^(?:require )?\t?([a-z]\S+/\S+) v[^ ]+$`, mod)
	reasons := find(`(?m)^\| ([a-z.]+\.[a-z]+/[^ |]+)`, doc)
	if len(required) < 5 {
		t.Fatalf("go.mod requires %q only", required)
	}
	for _, m := range required {
		if !slices.Contains(reasons, m) {
			t.Errorf("go.mod requires %s, and docs/dependencies.md does not say why", m)
		}
	}
	for _, m := range reasons {
		if !slices.Contains(required, m) {
			t.Errorf("docs/dependencies.md has %s, which go.mod does not require directly", m)
		}
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
