package dir

import (
	"bufio"
	"context"
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/mkcdrec/mkcdrec/internal/store"
	"github.com/mkcdrec/mkcdrec/internal/store/storetest"
)

const holdEnv = "MKCDREC_TEST_HOLD"

// TestMain lets the test binary be another process that writes a backup: it
// claims the directory PATH:NAME and holds it until it is killed.
func TestMain(m *testing.M) {
	where, name, ok := strings.Cut(os.Getenv(holdEnv), ":")
	if !ok {
		os.Exit(m.Run())
	}
	d, err := Open(where)
	if err == nil {
		_, err = d.Claim(context.Background(), name, []byte("ours"))
	}
	if err == nil {
		_, err = os.Stdout.WriteString("held\n")
	}
	if err != nil {
		panic(err)
	}
	select {}
}

// sweep is what the tests call a leftover: the note is "ours", the files a, b
// and c are those of a run, "done" that of a complete one.
var sweep = store.Sweep{
	Ours:     func(base string, note []byte) bool { return base != "foreign" && string(note) == "ours" },
	Made:     func(file string) bool { return len(file) == 1 && strings.Contains("abc", file) },
	Finished: "done",
}

// listing is every path below a directory with its type and content.
func listing(t *testing.T, root string) string {
	t.Helper()
	var out []string
	err := filepath.WalkDir(root, func(p string, e fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		line := strings.TrimPrefix(p, root) + " " + e.Type().String()
		if e.Type().IsRegular() {
			b, err := os.ReadFile(p)
			if err != nil {
				return err
			}
			line += " " + string(b)
		}
		out = append(out, line)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return strings.Join(out, "\n")
}

// abandon makes host/one as a run leaves it that is killed.
func abandon(t *testing.T, d *Dir, name string) {
	t.Helper()
	c, err := d.Claim(t.Context(), name, []byte("ours"))
	if err != nil {
		t.Fatal(err)
	}
	storetest.Put(t, d, name+"/a", []byte("committed"))
	w, err := d.Create(t.Context(), name+"/b")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.Write([]byte("not committed")); err != nil {
		t.Fatal(err)
	}
	// The kernel closes the files of a process that is killed.
	w.(*writeFile).f.Close()
	c.(*claim).f.Close()
}

func TestSweepRemovesWhatAKilledRunLeft(t *testing.T) {
	path := t.TempDir()
	d := open(t, path)
	storetest.Put(t, d, "host/other/a", []byte("no mark"))
	storetest.Put(t, d, "host/file", []byte("no directory"))
	storetest.Put(t, d, "host2/one/a", []byte("of another host"))
	abandon(t, d, "host2/two")
	before := listing(t, path)
	abandon(t, d, "host/one")
	abandon(t, d, "host/two")
	if l, _ := d.List(t.Context(), "host/one"); len(l) != 1 || l[0].Name != "host/one/a" {
		t.Errorf("listed: %v", l)
	}
	got, err := d.Sweep(t.Context(), "host", sweep)
	slices.SortFunc(got, func(a, b store.Leftover) int { return strings.Compare(a.Name, b.Name) })
	size := int64(len("ours" + "committed" + "not committed"))
	if want := []store.Leftover{{Name: "host/one", Bytes: size}, {Name: "host/two", Bytes: size}}; err != nil || !slices.Equal(got, want) {
		t.Errorf("Sweep = %+v, %v", got, err)
	}
	if after := listing(t, path); after != before {
		t.Errorf("before:\n%s\nafter:\n%s", before, after)
	}
	for _, parent := range []string{"host", "nothing", "host/file", "host/other"} {
		if got, err := d.Sweep(t.Context(), parent, sweep); err != nil || len(got) > 0 {
			t.Errorf("Sweep(%s) = %v, %v", parent, got, err)
		}
	}
	if _, err := d.Sweep(t.Context(), "../host", sweep); err == nil {
		t.Error("Sweep left the store")
	}
}

// Each of these looks like a leftover at first sight. Nothing of it may be
// touched, inside of the store or outside of it.
func TestSweepLeavesEverythingElse(t *testing.T) {
	for _, c := range []struct {
		name string
		make func(t *testing.T, in, outside string) error // in: the directory of the leftover
		says string                                       // why it is kept; "": it is no leftover at all
	}{
		{"a complete one", func(_ *testing.T, in, _ string) error { return os.WriteFile(in+"/done", nil, 0o600) }, ""},
		{"a complete one by a link", func(_ *testing.T, in, outside string) error { return os.Symlink(outside+"/file", in+"/done") }, ""},
		{"with a foreign file", func(_ *testing.T, in, _ string) error { return os.WriteFile(in+"/thesis.doc", []byte("x"), 0o600) }, "thesis.doc"},
		{"with a hidden foreign file", func(_ *testing.T, in, _ string) error { return os.WriteFile(in+"/.x", []byte("x"), 0o600) }, ".x"},
		{"with something like an unfinished file", func(_ *testing.T, in, _ string) error {
			return os.WriteFile(in+"/"+tempPrefix+"0123456789abcdeg", []byte("x"), 0o600)
		}, tempPrefix},
		{"with a directory", func(_ *testing.T, in, _ string) error { return os.Mkdir(in+"/c", 0o700) }, `"c"`},
		{"with a symbolic link", func(_ *testing.T, in, outside string) error { return os.Symlink(outside+"/file", in+"/c") }, `"c"`},
		{"with a symbolic link to a directory", func(_ *testing.T, in, outside string) error { return os.Symlink(outside, in+"/c") }, `"c"`},
		{"with a fifo", func(_ *testing.T, in, _ string) error { return syscall.Mkfifo(in+"/c", 0o600) }, `"c"`},
		{"with the note of another", func(_ *testing.T, in, _ string) error { return os.WriteFile(in+"/"+claimName, []byte("theirs"), 0o600) }, ""},
		{"with an empty note", func(_ *testing.T, in, _ string) error { return os.Truncate(in+"/"+claimName, 0) }, ""},
		{"with a huge note", func(_ *testing.T, in, _ string) error { return os.Truncate(in+"/"+claimName, 1<<20) }, ""},
		{"without a mark", func(_ *testing.T, in, _ string) error { return os.Remove(in + "/" + claimName) }, ""},
		{"with a link as its mark", func(_ *testing.T, in, outside string) error {
			return errors.Join(os.Rename(in+"/"+claimName, outside+"/mark"), os.Symlink(outside+"/mark", in+"/"+claimName))
		}, ""},
		{"with a fifo as its mark", func(_ *testing.T, in, _ string) error {
			return errors.Join(os.Remove(in+"/"+claimName), syscall.Mkfifo(in+"/"+claimName, 0o600))
		}, ""},
		{"with a directory as its mark", func(_ *testing.T, in, _ string) error {
			return errors.Join(os.Remove(in+"/"+claimName), os.Mkdir(in+"/"+claimName, 0o700))
		}, ""},
		{"by a link to it", func(_ *testing.T, in, outside string) error {
			return errors.Join(os.Rename(in, outside+"/one"), os.Symlink(outside+"/one", in))
		}, ""},
		{"by a link to it in the store", func(_ *testing.T, in, _ string) error {
			away := filepath.Join(in, "../../elsewhere")
			return errors.Join(os.Mkdir(away, 0o700), os.Rename(in, away+"/one"), os.Symlink("../elsewhere/one", in))
		}, ""},
		{"below a link", func(_ *testing.T, in, _ string) error {
			host := filepath.Dir(in)
			return errors.Join(os.Rename(host, host+"2"), os.Symlink("host2", host))
		}, ""},
		{"below a link to outside", func(_ *testing.T, in, outside string) error {
			host := filepath.Dir(in)
			return errors.Join(os.Rename(host, outside+"/host"), os.Symlink(outside+"/host", host))
		}, ""},
		{"under another name", func(_ *testing.T, in, _ string) error { return os.Rename(in, filepath.Dir(in)+"/foreign") }, ""},
		{"mounted there", func(t *testing.T, in, _ string) error {
			if os.Geteuid() != 0 {
				t.Skip("needs root: mounts a tmpfs")
			}
			if err := syscall.Mount("tmpfs", in, "tmpfs", 0, "size=1m"); err != nil {
				t.Skipf("cannot mount a tmpfs here: %v", err)
			}
			t.Cleanup(func() { _ = syscall.Unmount(in, syscall.MNT_DETACH) })
			return errors.Join(os.WriteFile(in+"/"+claimName, []byte("ours"), 0o600), os.WriteFile(in+"/a", []byte("x"), 0o600))
		}, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			path, outside := t.TempDir(), t.TempDir()
			if err := os.WriteFile(outside+"/file", []byte("precious"), 0o600); err != nil {
				t.Fatal(err)
			}
			d := open(t, path)
			abandon(t, d, "host/one")
			if err := c.make(t, path+"/host/one", outside); err != nil {
				t.Fatal(err)
			}
			before := []string{listing(t, path), listing(t, outside)}
			got, err := d.Sweep(t.Context(), "host", sweep)
			if after := []string{listing(t, path), listing(t, outside)}; !slices.Equal(before, after) {
				t.Errorf("before:\n%s\nafter:\n%s", before, after)
			}
			switch {
			case err != nil:
				t.Error(err)
			case c.says == "" && len(got) > 0:
				t.Errorf("is called a leftover: %+v", got)
			case c.says != "" && (len(got) != 1 || got[0].Kept == nil || !strings.Contains(got[0].Kept.Error(), c.says)):
				t.Errorf("%q is not said: %+v", c.says, got)
			}
		})
	}
}

// What another process writes is left alone while it lives, and removed when
// it was killed.
func TestSweepAndALivingRun(t *testing.T) {
	path := t.TempDir()
	d := open(t, path)
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), holdEnv+"="+path+":host/one")
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	line, _ := bufio.NewReader(out).ReadString('\n')
	before := listing(t, path)
	got, err := d.Sweep(t.Context(), "host", sweep)
	_ = cmd.Process.Kill()
	_ = cmd.Wait()
	if line != "held\n" || !strings.Contains(before, claimName) {
		t.Fatalf("the other process said %q and made\n%s", line, before)
	}
	if err != nil || len(got) != 1 || got[0].Kept == nil || !strings.Contains(got[0].Kept.Error(), "being written") {
		t.Errorf("while it lived: %+v, %v", got, err)
	}
	if after := listing(t, path); after != before {
		t.Errorf("while it lived: before:\n%s\nafter:\n%s", before, after)
	}
	if got, err := d.Sweep(t.Context(), "host", sweep); err != nil || len(got) != 1 || got[0].Kept != nil {
		t.Errorf("behind it: %+v, %v", got, err)
	}
	if left, _ := os.ReadDir(path + "/host"); len(left) > 0 {
		t.Errorf("left: %v", left)
	}
}

// A file that has a further name elsewhere loses only the one in the leftover.
func TestSweepKeepsHardLinks(t *testing.T) {
	path := t.TempDir()
	d := open(t, path)
	abandon(t, d, "host/one")
	if err := os.Link(path+"/host/one/a", path+"/kept"); err != nil {
		t.Fatal(err)
	}
	if got, err := d.Sweep(t.Context(), "host", sweep); err != nil || len(got) != 1 || got[0].Kept != nil {
		t.Errorf("%+v, %v", got, err)
	}
	if b, err := os.ReadFile(path + "/kept"); string(b) != "committed" {
		t.Errorf("%q, %v", b, err)
	}
}

func TestClaimEnds(t *testing.T) {
	path := t.TempDir()
	d := open(t, path)
	claimed := func(name string) store.Claim {
		c, err := d.Claim(t.Context(), name, []byte("ours"))
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	c := claimed("host/finished")
	storetest.Put(t, d, "host/finished/a", []byte("x"))
	if _, err := d.Claim(t.Context(), "host/finished", nil); !errors.Is(err, fs.ErrExist) {
		t.Errorf("claimed twice: %v", err)
	}
	if err := c.Finish(); err != nil {
		t.Error(err)
	}
	if err := claimed("host/empty").Drop(); err != nil {
		t.Error(err)
	}
	c = claimed("host/used")
	storetest.Put(t, d, "host/used/a", []byte("y"))
	if err := c.Drop(); err != nil {
		t.Error(err)
	}
	want := " d---------\n/host d---------\n/host/finished d---------\n/host/finished/a ---------- x\n/host/used d---------\n/host/used/a ---------- y"
	if got := listing(t, path); got != want {
		t.Errorf("got\n%s", got)
	}
	if got, err := d.Sweep(t.Context(), "host", sweep); err != nil || len(got) > 0 {
		t.Errorf("%+v, %v", got, err)
	}
	for _, name := range []string{"host/x/" + claimName, "", "../x", "/x", "."} {
		if _, err := d.Claim(t.Context(), name, nil); err == nil {
			t.Errorf("claimed %q", name)
		}
	}
	if _, err := d.Create(t.Context(), "host/finished/"+claimName); err == nil {
		t.Error("a file has the name of the mark")
	}
}
