// Package script tries the command line as a user would: the scripts in
// testdata run the real program.
package script

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/mkcdrec/mkcdrec/internal/cli"
)

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"mkcdrec": func() { os.Exit(cli.Main(os.Args)) }})
}

func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir: "testdata",
		Condition: func(name string) (bool, error) {
			if name == "root" {
				return os.Geteuid() == 0, nil
			}
			return false, fmt.Errorf("unknown condition %q", name)
		},
		Setup: func(env *testscript.Env) error {
			repository, err := filepath.Abs("../..")
			env.Setenv("REPOSITORY", repository)
			return err
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){"exitcode": exitCode},
	})
}

// exitCode runs a program and compares its exit code, which testscript's exec
// reduces to success or failure: exitcode N program args...
func exitCode(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: exitcode N program args...")
	}
	script := `out=$("$@" 2>&1); code=$?; printf '%s\n' "$out"; printf 'exit-code=%s\n' "$code"`
	ts.Check(ts.Exec("sh", append([]string{"-c", script, "sh"}, args[1:]...)...))
	if got := ts.ReadFile("stdout"); !slices.Contains(strings.Split(got, "\n"), "exit-code="+args[0]) {
		ts.Fatalf("want exit code %s:\n%s", args[0], got)
	}
}
