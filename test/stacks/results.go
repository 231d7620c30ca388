package main

import (
	"bufio"
	"fmt"
	"io"
	"regexp"
	"strconv"
	"strings"
)

// result is how a test ended when it was last run.
type result struct {
	Test   string `json:"test"`
	Passed bool   `json:"passed"`
	// Skipped says that it did not run on that machine.
	Skipped bool   `json:"skipped,omitempty"`
	Facts   int    `json:"facts,omitempty"` // compared by tools that are not ours, in a scenario
	Date    string `json:"date"`
	Commit  string `json:"commit"`
}

// wanted are the tests of the table.
var wanted = func() map[string]bool {
	out := map[string]bool{}
	for _, s := range stacks {
		for _, tests := range [][]string{s.recorded, s.rebuilt, s.booted} {
			for _, t := range tests {
				out[t] = true
			}
		}
	}
	return out
}()

const module = "github.com/mkcdrec/mkcdrec/"

var (
	ended    = regexp.MustCompile(`^\s*--- (PASS|FAIL|SKIP): (\S+) \(`)
	running  = regexp.MustCompile(`^=== (?:RUN|CONT|NAME) +(\S+)`)
	compared = regexp.MustCompile(`compared (\d+) facts`)
	// The line behind all tests of a package: "ok  PKG 1.2s", "FAIL PKG 1.2s".
	closed = regexp.MustCompile(`^(?:ok|FAIL)\s+(\S+/\S+)\s`)
)

// parse reads what `go test -v` printed and hands over each test's end. Tests of
// a package that did not come to its end have no result: a run that was killed
// shows nothing.
func parse(in io.Reader, each func(result)) error {
	var tests []result
	facts, current := map[string]int{}, ""
	lines := bufio.NewScanner(in)
	lines.Buffer(nil, 16<<20)
	for lines.Scan() {
		line := lines.Text()
		if m := running.FindStringSubmatch(line); m != nil {
			current = m[1]
		}
		if m := ended.FindStringSubmatch(line); m != nil {
			tests = append(tests, result{Test: m[2], Passed: m[1] == "PASS", Skipped: m[1] == "SKIP"})
			current = m[2]
		}
		if m := compared.FindStringSubmatch(line); m != nil {
			n, err := strconv.Atoi(m[1])
			if err != nil {
				return fmt.Errorf("%q: %w", line, err)
			}
			facts[current] = max(facts[current], n)
		}
		if m := closed.FindStringSubmatch(line); m != nil {
			for _, t := range tests {
				t.Facts = facts[t.Test]
				t.Test = strings.TrimPrefix(m[1], module) + " " + t.Test
				each(t)
			}
			tests, facts = nil, map[string]int{}
		}
	}
	return lines.Err()
}
