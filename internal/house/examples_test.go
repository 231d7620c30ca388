package house

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

const hooks = "../../docs/examples/hooks"

// TestExampleHooksAreClean lets shellcheck look at the examples.
func TestExampleHooksAreClean(t *testing.T) {
	if _, err := exec.LookPath("shellcheck"); err != nil {
		t.Skip("shellcheck is not installed")
	}
	files, _ := filepath.Glob(hooks + "/*/*")
	if len(files) < 5 {
		t.Fatalf("the examples are not there: %v", files)
	}
	if out, err := exec.Command("shellcheck", files...).CombinedOutput(); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
}

// stage runs the examples of one service with programs that write down how
// they were called; what is below /run goes to a directory of the test.
type stage struct {
	t         *testing.T
	dir       string
	pre, post string
}

func newStage(t *testing.T, service string, programs map[string]string) stage {
	t.Helper()
	s := stage{t: t, dir: t.TempDir()}
	for name, body := range programs {
		if err := os.WriteFile(filepath.Join(s.dir, name), []byte("#!/bin/bash\necho \""+name+" $*\" >>"+s.dir+"/calls\n"+body), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	for _, when := range []string{"pre", "post"} {
		b, err := os.ReadFile(filepath.Join(hooks, when+"-snapshot", service))
		if err != nil {
			continue
		}
		f := filepath.Join(s.dir, when+".sh")
		if err := os.WriteFile(f, []byte(strings.ReplaceAll(string(b), "/run/", s.dir+"/")), 0o755); err != nil {
			t.Fatal(err)
		}
		if when == "pre" {
			s.pre = f
		} else {
			s.post = f
		}
	}
	return s
}

func (s stage) run(file string) error {
	s.t.Helper()
	cmd := exec.Command(file)
	cmd.Env = []string{"PATH=" + s.dir + ":" + os.Getenv("PATH")}
	begin := time.Now()
	out, err := cmd.CombinedOutput()
	s.t.Logf("%s: %v after %s: %s", filepath.Base(file), err, time.Since(begin).Round(time.Millisecond), out)
	return err
}

func (s stage) calls() string {
	b, _ := os.ReadFile(filepath.Join(s.dir, "calls"))
	return string(b)
}

func TestExampleHooksOfPostgreSQL(t *testing.T) {
	s := newStage(t, "20-postgresql", map[string]string{"runuser": ""})
	if err := s.run(s.pre); err != nil || s.calls() != "runuser -u postgres -- psql -X -q -d postgres -c CHECKPOINT\n" {
		t.Errorf("%v: %s", err, s.calls())
	}
}

func TestExampleHooksOfLibvirt(t *testing.T) {
	s := newStage(t, "40-libvirt", map[string]string{"virsh": `case "$*" in *list*) printf 'web\ndb\n\n' ;; *domfsfreeze\ db) exit 1 ;; esac`})
	if err := s.run(s.pre); err != nil {
		t.Error(err)
	}
	if err := s.run(s.post); err != nil {
		t.Error(err)
	}
	const want = "virsh --quiet list --state-running --name\nvirsh --quiet domfsfreeze web\nvirsh --quiet domfsfreeze db\nvirsh --quiet domfsthaw web\nvirsh --quiet domfsthaw db\n"
	if s.calls() != want {
		t.Errorf("called:\n%s", s.calls())
	}
	if err := s.run(s.post); err != nil || s.calls() != want {
		t.Errorf("a second end: %v\n%s", err, s.calls())
	}
}

func TestExampleHooksOfMariaDB(t *testing.T) {
	const client = `read -r line; echo "$line" >>"${0%/*}/calls"; echo held; cat >/dev/null`
	s := newStage(t, "30-mariadb", map[string]string{"mariadb": client})
	if err := s.run(s.pre); err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(s.calls(), "BACKUP STAGE START; BACKUP STAGE BLOCK_COMMIT;") {
		t.Errorf("called:\n%s", s.calls())
	}
	if err := s.run(s.post); err != nil {
		t.Errorf("held to the end: %v", err)
	}
	// The server hangs up before the snapshot is taken.
	s = newStage(t, "30-mariadb", map[string]string{"mariadb": `read -r line; echo held; sleep 0.3`})
	if err := s.run(s.pre); err != nil {
		t.Fatal(err)
	}
	for range 100 {
		if b, _ := os.ReadFile(filepath.Join(s.dir, "mkcdrec-mariadb/said")); strings.Contains(string(b), "ended") {
			break
		}
		time.Sleep(100 * time.Millisecond)
	}
	if err := s.run(s.post); err == nil {
		t.Error("the session had ended before the snapshot, and nothing says so")
	}
	s = newStage(t, "30-mariadb", map[string]string{"mariadb": `exit 1`})
	if err := s.run(s.pre); err == nil {
		t.Error("a server that refuses is called stopped")
	}
}
