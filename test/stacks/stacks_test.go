package main

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

const printed = `=== RUN   TestGridX
=== PAUSE TestGridX
=== RUN   TestGridY
=== CONT  TestGridX
    restore_test.go:10: compared 17 facts
=== NAME  TestGridY
    restore_test.go:10: compared 18 facts
--- PASS: TestGridX (1.00s)
    --- SKIP: TestGridY/part (0.00s)
--- FAIL: TestGridY (1.00s)
FAIL
FAIL	github.com/mkcdrec/mkcdrec/test/vm	2.0s
=== RUN   TestZ
--- PASS: TestZ (1.00s)
`

func TestParse(t *testing.T) {
	got := map[string]result{}
	if err := parse(strings.NewReader(printed), func(r result) { got[r.Test] = r }); err != nil {
		t.Fatal(err)
	}
	want := map[string]result{
		"test/vm TestGridX":      {Test: "test/vm TestGridX", Passed: true, Facts: 17},
		"test/vm TestGridY":      {Test: "test/vm TestGridY", Facts: 18},
		"test/vm TestGridY/part": {Test: "test/vm TestGridY/part", Skipped: true},
	} // TestZ's package did not end
	if len(got) != len(want) {
		t.Errorf("results: %v", got)
	}
	for name, w := range want {
		if got[name] != w {
			t.Errorf("%s: %+v, want %+v", name, got[name], w)
		}
	}
}

func TestCell(t *testing.T) {
	known := map[string]result{
		"a": {Passed: true, Date: "2026-01-02", Facts: 3}, "b": {Passed: true, Date: "2026-01-01"},
		"c": {Date: "2026-01-03"}, "d": {Skipped: true, Date: "2026-01-04"},
	}
	for tests, want := range map[string]string{
		"": "-", "a": "2026-01-02, 3 facts equal", "a b": "2026-01-01, 3 facts equal", "a c": "**failed** 2026-01-03",
		"a d": "skipped 2026-01-04", "a e": "not run",
	} {
		if got := cell(known, strings.Fields(tests)); got != want {
			t.Errorf("%q: %q, want %q", tests, got, want)
		}
	}
}

// TestNamedTestsAreThere: a test that was renamed would stay in the table as it
// was when it last ran.
func TestNamedTestsAreThere(t *testing.T) {
	for named := range wanted {
		dir, name, _ := strings.Cut(named, " ")
		name, _, _ = strings.Cut(name, "/")
		files, err := filepath.Glob(filepath.Join("../..", dir, "*_test.go"))
		if err != nil {
			t.Fatal(err)
		}
		found := false
		for _, f := range files {
			b, err := os.ReadFile(f)
			if err != nil {
				t.Fatal(err)
			}
			found = found || regexp.MustCompile(`(?m)^func `+name+`\(t \*testing\.T\)`).Match(b)
		}
		if !found {
			t.Errorf("there is no test %s", named)
		}
	}
}

// TestTableIsMade: the page is what the results say.
func TestTableIsMade(t *testing.T) {
	known, err := readResults("../../" + resultsFile)
	if err != nil {
		t.Fatal(err)
	}
	for name := range known {
		if !wanted[name] {
			t.Errorf("%s has %s, which no row names", resultsFile, name)
		}
	}
	page, err := os.ReadFile("../../" + tableFile)
	if err != nil {
		t.Fatal(err)
	}
	if string(page) != table(known) {
		t.Errorf("%s is not what make stacks writes", tableFile)
	}
}
