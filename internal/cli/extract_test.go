package cli

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/mkcdrec/mkcdrec/internal/fail"
	"github.com/mkcdrec/mkcdrec/internal/store/dir"
	"github.com/mkcdrec/mkcdrec/internal/ui"
)

// says runs the program with arguments and gives what it prints and its exit code.
func says(t *testing.T, args ...string) (string, int) {
	t.Helper()
	var out bytes.Buffer
	a := &app{ui: &ui.Printer{Out: &out, Err: &out, Now: time.Now}}
	root := a.rootCommand()
	root.SetOut(&out)
	root.SetArgs(append(args, "--log", filepath.Join(t.TempDir(), "log")))
	code := a.run(t.Context(), root)
	return out.String(), code
}

func TestExtractFromACutVolume(t *testing.T) {
	where := t.TempDir()
	s, err := dir.Open(where)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	fill(t, s, "web1/1", 10, 40_000)
	volume := filepath.Join(where, "web1/1/data.0001.tar.zst")
	if err := os.Truncate(volume, 250_000); err != nil { // within the seventh file
		t.Fatal(err)
	}
	into := filepath.Join(t.TempDir(), "into")
	out, code := says(t, "extract", where, "--into", into)
	if code != int(fail.Damaged) || !strings.Contains(out, "data.0001.tar.zst has 250000 bytes") || !strings.Contains(out, "--damaged") {
		t.Errorf("without --damaged: exit code %d:\n%s", code, out)
	}
	if _, err := os.Stat(into); err == nil {
		t.Error("without --damaged something was unpacked")
	}
	out, code = says(t, "extract", where, "--into", into, "--damaged")
	if code != int(fail.Damaged) {
		t.Errorf("exit code %d:\n%s", code, out)
	}
	var lost []string
	for i := range 10 {
		name := fmt.Sprintf("f%02d", i)
		if fi, err := os.Stat(filepath.Join(into, name)); err == nil && fi.Size() == 40_000 {
			if strings.Contains(out, name) {
				t.Errorf("%s is there, and named:\n%s", name, out)
			}
			continue
		}
		lost = append(lost, name)
		if !strings.Contains(out, "warning: "+name+": ") {
			t.Errorf("%s is lost, and not named:\n%s", name, out)
		}
	}
	if len(lost) < 4 || len(lost) > 6 {
		t.Errorf("lost %q", lost)
	}
	if want := fmt.Sprintf("%d paths lost", len(lost)); !strings.Contains(out, want) {
		t.Errorf("no %q:\n%s", want, out)
	}
}

// Of a catalogue that was cut, what is left is unpacked, all of it or by name;
// that the rest is not known is said, and it is no success.
func TestExtractWithACutCatalogue(t *testing.T) {
	where := t.TempDir()
	s, err := dir.Open(where)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	fill(t, s, "web1/1", 10_000, 10)
	catalogue := filepath.Join(where, "web1/1/catalogue.zst")
	fi, err := os.Stat(catalogue)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(catalogue, fi.Size()/2); err != nil {
		t.Fatal(err)
	}
	for _, paths := range [][]string{nil, {"f00"}} {
		into := filepath.Join(t.TempDir(), "into")
		out, code := says(t, append(append([]string{"extract", where}, paths...), "--into", into, "--damaged")...)
		if code != int(fail.Damaged) || !strings.Contains(out, "of all 10000 paths not known") || !strings.Contains(out, "catalogue") {
			t.Errorf("%q: exit code %d:\n%s", paths, code, out)
		}
		if b, err := os.ReadFile(filepath.Join(into, "f00")); err != nil || len(b) != 10 {
			t.Errorf("%q: %d bytes, %v", paths, len(b), err)
		}
		if got, err := os.ReadDir(into); err != nil || len(paths) > 0 && len(got) != 1 || len(paths) == 0 && len(got) < 100 {
			t.Errorf("%q: %d paths, %v", paths, len(got), err)
		}
	}
}
