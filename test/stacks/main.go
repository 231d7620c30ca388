// Command stacks keeps the table of what storage and boot loaders were recorded,
// rebuilt and booted in a test (docs/stacks.md), from the output of the tests
// themselves: nobody writes a result by hand.
//
//	go run ./test/stacks -commit $(git describe --always) LOG...
//
// LOG is what `go test -v` printed; "-" is standard input. Results of tests that
// no LOG has stay as they were, with their date and commit.
package main

import (
	"encoding/json"
	"flag"
	"fmt"
	"maps"
	"os"
	"time"
)

func main() {
	commit := flag.String("commit", "", "what was tested")
	date := flag.String("date", time.Now().UTC().Format(time.DateOnly), "when")
	flag.Parse()
	if err := run(flag.Args(), *commit, *date); err != nil {
		fmt.Fprintln(os.Stderr, "error:", err)
		os.Exit(1)
	}
}

const (
	resultsFile = "test/stacks/results.json"
	tableFile   = "docs/stacks.md"
)

func run(logs []string, commit, date string) error {
	known, err := readResults(resultsFile)
	if err != nil {
		return err
	}
	for _, name := range logs {
		in := os.Stdin
		if name != "-" {
			if in, err = os.Open(name); err != nil {
				return err
			}
		}
		err := parse(in, func(r result) {
			if wanted[r.Test] {
				r.Commit, r.Date = commit, date
				known[r.Test] = r
			}
		})
		in.Close()
		if err != nil {
			return fmt.Errorf("cannot read %s: %w", name, err)
		}
	}
	maps.DeleteFunc(known, func(name string, _ result) bool { return !wanted[name] })
	b, err := json.MarshalIndent(known, "", "  ")
	if err != nil {
		return err
	}
	if err := os.WriteFile(resultsFile, append(b, '\n'), 0o644); err != nil {
		return err
	}
	return os.WriteFile(tableFile, []byte(table(known)), 0o644)
}

func readResults(name string) (map[string]result, error) {
	known := map[string]result{}
	b, err := os.ReadFile(name)
	if os.IsNotExist(err) {
		return known, nil
	}
	if err != nil {
		return nil, err
	}
	return known, json.Unmarshal(b, &known)
}
