package cli

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/mkcdrec/mkcdrec/internal/fail"
)

// written is a file with that content.
func written(t *testing.T, content string) string {
	t.Helper()
	p := filepath.Join(t.TempDir(), "answers.toml")
	if err := os.WriteFile(p, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	return p
}

// refusedEarly says that a command line is wrong, and that nothing was looked
// at or done before that was said.
func refusedEarly(t *testing.T, says, out string, code int) {
	t.Helper()
	if code != int(fail.Usage) || !strings.Contains(out, says) || strings.Contains(out, "==>") {
		t.Errorf("no %q, or too late; exit code %d:\n%s", says, code, out)
	}
}

// An answer file goes on the medium only as restore will be able to read it.
func TestAnswersAreReadWhenTheMediumIsMade(t *testing.T) {
	good := written(t, "disks = \"only\"\nthen = \"poweroff\"\n")
	if err := (makeFlags{answers: good}).checkAnswers(""); err != nil {
		t.Errorf("good answers: %v", err)
	}
	for _, c := range []struct {
		args []string
		says string
	}{
		{[]string{"backup", "--answers", written(t, `dissks = "only"`)}, `unknown answer "dissks"`},
		{[]string{"backup", "--answers", written(t, `disks = "onyl"`)}, `disks = "onyl" is not allowed`},
		{[]string{"backup", "--answers", written(t, "disks = \"only\"\nthen = \"halt\"")}, `then = "halt" is not allowed`},
		{[]string{"backup", "--answers", written(t, "then = \"reboot\"")}, "the answers name no disk"},
		{[]string{"backup", "--answers", written(t, "disks = [")}, "answers.toml: cannot read the answers"},
		{[]string{"backup", "--answers", written(t, "disks = \"only\"\nbackup = \"20261124T031500Z-1f0e\"")}, "cannot be the one that is made now"},
		{[]string{"backup", "--answers", filepath.Join(t.TempDir(), "none.toml")}, "none.toml: no such file"},
		{[]string{"backup", "--answers", good, "--only", "/etc"}, "--only and --answers exclude each other"},
		{[]string{"backup", "--answers", good, "--to", t.TempDir()}, "--answers needs the backup on the medium"},
		{[]string{"rescue", "--answers", good}, "hint:  make a medium with the backup: mkcdrec backup --answers " + good},
	} {
		for _, args := range [][]string{append(slices.Clone(c.args), "--plan"), append(slices.Clone(c.args), "--out", "/dev/null/no")} {
			out, code := says(t, args...)
			refusedEarly(t, c.says, out, code)
		}
	}
}
