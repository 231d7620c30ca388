package machinetest

import (
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/mkcdrec/mkcdrec/internal/machine"
)

var update = flag.Bool("update", false, "write the golden files anew")

func describe(t *testing.T, m machine.Machine, o machine.DescribeOptions) string {
	t.Helper()
	var out strings.Builder
	if err := machine.Describe(&out, &m, o); err != nil {
		t.Fatal(err)
	}
	return out.String()
}

func TestDescribeGolden(t *testing.T) {
	for _, name := range Names() {
		got := describe(t, Get(name), machine.DescribeOptions{})
		for line := range strings.Lines(got) {
			if n := utf8.RuneCountInString(strings.TrimSuffix(line, "\n")); n > 80 {
				t.Errorf("%s: %d columns: %s", name, n, line)
			}
		}
		file := filepath.Join("testdata", name+".txt")
		if *update {
			if err := os.MkdirAll("testdata", 0o777); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(file, []byte(got), 0o666); err != nil {
				t.Fatal(err)
			}
		}
		want, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if got != string(want) {
			t.Errorf("%s:\n%s\nwant\n%s", name, got, want)
		}
	}
}

func TestDescribeColour(t *testing.T) {
	m := UEFILVM()
	m.Findings = []machine.Finding{{Name: "zfs:tank", What: "a\x1b[2Jpool", Todo: "look", Blocking: true}}
	got := describe(t, m, machine.DescribeOptions{Colour: true})
	if !strings.Contains(got, "\x1b[31mSTOPS") || strings.Contains(got, "\x1b[2J") {
		t.Errorf("a blocking finding must be red, and no control character may pass: %q", got)
	}
	if plain := describe(t, m, machine.DescribeOptions{}); strings.Contains(plain, "\x1b") {
		t.Error("colours although none were asked for")
	}
}

func TestHuman(t *testing.T) {
	for b, want := range map[machine.Bytes]string{
		0: "0 B", 1023: "1023 B", 1024: "1 KiB", 1536: "1.5 KiB", 1<<20 - 1: "1 MiB",
		512 << 20: "512 MiB", 8 << 30: "8 GiB", 1<<40 + 1<<39: "1.5 TiB", 1<<62 + 1: "4 EiB",
	} {
		if got := machine.Human(b); got != want {
			t.Errorf("Human(%d) = %q, want %q", b, got, want)
		}
	}
}
