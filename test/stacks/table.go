package main

import (
	"fmt"
	"strings"
)

const head = `# What of a server's storage comes back

Made from the output of the tests by ` + "`make stacks`" + `; nobody writes a result by hand.

- **recorded**: read from real devices or from the programs' own words, and compared
  with what those say;
- **rebuilt**: made again, by the real programs where the machine that ran the test has
  a kernel for it;
- **booted**: a whole machine with it was backed up while it ran, restored onto blank
  disks by the medium, started by its own boot loader, and compared file by file by
  programs that are not ours ([how](tested.md)).

A cell has the day on which its tests last passed. "failed", "skipped" and "not run" are
what they say; "-" means that there is no such test.

| stack | recorded | rebuilt | booted |
|---|---|---|---|
`

// table is the page for people.
func table(known map[string]result) string {
	var b strings.Builder
	b.WriteString(head)
	for _, s := range stacks {
		fmt.Fprintf(&b, "| %s | %s | %s | %s |\n", s.name, cell(known, s.recorded), cell(known, s.rebuilt), cell(known, s.booted))
	}
	b.WriteString("\nThe tests behind each cell are named in [stacks.go](../test/stacks/stacks.go), their results in\n[results.json](../test/stacks/results.json).\n")
	return b.String()
}

// cell sums up the tests of a cell: the worst of them, and of those that passed
// the oldest.
func cell(known map[string]result, tests []string) string {
	if len(tests) == 0 {
		return "-"
	}
	oldest, facts := result{}, 0
	for _, t := range tests {
		r, ok := known[t]
		switch {
		case !ok:
			return "not run"
		case r.Skipped:
			return "skipped " + r.Date
		case !r.Passed:
			return "**failed** " + r.Date
		}
		if oldest.Date == "" || r.Date < oldest.Date {
			oldest = r
		}
		facts += r.Facts
	}
	if facts > 0 {
		return fmt.Sprintf("%s, %d facts equal", oldest.Date, facts)
	}
	return oldest.Date
}
