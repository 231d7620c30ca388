package rescue

import (
	"bytes"
	"context"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/klauspost/compress/zstd"

	"github.com/mkcdrec/mkcdrec/internal/machine"
	"github.com/mkcdrec/mkcdrec/internal/system"
)

// fakeMachine is the root directory of a machine that has a kernel and every
// program that is needed, each of them the same small static one.
type fakeMachine struct {
	t     *testing.T
	root  string
	model machine.Machine
}

const fakeKernel = "6.1.0"

func newFakeMachine(t *testing.T) fakeMachine {
	t.Helper()
	needGCC(t)
	if os.Geteuid() != 0 {
		t.Skip("needs root to try programs in a chroot")
	}
	for _, p := range []string{"depmod", "ldconfig", "busybox"} {
		if _, err := (&system.Host{}).LookPath(p); err != nil {
			t.Skipf("needs %s", p)
		}
	}
	m := fakeMachine{t, t.TempDir(), machine.Machine{Hostname: "fake", Kernel: fakeKernel}}
	for _, d := range []string{"bin", "sbin", "lib", "lib64"} {
		if err := os.MkdirAll(m.at("/usr/"+d), 0o755); err != nil {
			t.Fatal(err)
		}
		m.link("/"+d, "usr/"+d)
	}
	m.file("/etc/os-release", "ID=debian\n")
	m.file("/boot/vmlinuz-"+fakeKernel, "a kernel")
	m.file("/lib/modules/"+fakeKernel+"/modules.dep", "")
	m.compile("/usr/bin/ok", "int main(void) { return 0; }", "-static")
	for _, p := range Table() {
		if p.Needed {
			m.link("/usr/bin/"+p.Name, "ok")
		}
	}
	m.copy("/opt/sh", "busybox") // a shell for scripts; not what the table calls busybox
	for _, f := range []string{testInterp, "/lib/x86_64-linux-gnu/libc.so.6", "/lib64/libc.so.6"} {
		if _, err := os.Stat(f); err == nil {
			m.copy(f, f)
		}
	}
	return m
}

func (m fakeMachine) at(p string) string { return filepath.Join(m.root, p) }

// file makes a file that can be run.
func (m fakeMachine) file(p, content string) {
	m.t.Helper()
	m.remove(p)
	writeExecutable(m.t, m.root, p, content)
}

// writeExecutable is write for a file that can be run.
func writeExecutable(t *testing.T, root, p, content string) {
	t.Helper()
	write(t, root, p, content)
	if err := os.Chmod(filepath.Join(root, p), 0o755); err != nil {
		t.Fatal(err)
	}
}

func (m fakeMachine) remove(p string) {
	m.t.Helper()
	if err := os.RemoveAll(m.at(p)); err != nil {
		m.t.Fatal(err)
	}
}

func (m fakeMachine) link(p, target string) {
	m.t.Helper()
	m.remove(p)
	if err := os.MkdirAll(filepath.Dir(m.at(p)), 0o755); err != nil {
		m.t.Fatal(err)
	}
	if err := os.Symlink(target, m.at(p)); err != nil {
		m.t.Fatal(err)
	}
}

// copy copies a program of this machine.
func (m fakeMachine) copy(p, program string) {
	m.t.Helper()
	from, err := exec.LookPath(program)
	if err != nil {
		m.t.Fatal(err)
	}
	b, err := os.ReadFile(from)
	if err != nil {
		m.t.Fatal(err)
	}
	m.file(p, string(b))
}

// compile makes a program or library.
func (m fakeMachine) compile(p, source string, args ...string) {
	m.t.Helper()
	m.file(p, "")
	tool(m.t, source, "gcc", append([]string{"-O1", "-x", "c", "-", "-x", "none", "-o", m.at(p)}, args...)...)
}

// fakeRunner runs what the build of a rescue system needs, and answers what
// would look at this machine from a table.
type fakeRunner struct {
	system.Recorder
	mu  sync.Mutex
	ran []string
}

func (r *fakeRunner) Run(ctx context.Context, c system.Command) (system.Result, error) {
	if c.Chroot == "" && c.Name != "depmod" && c.Name != "ldconfig" {
		return r.Recorder.Run(ctx, c)
	}
	q := c
	q.Chroot = ""
	r.mu.Lock()
	r.ran = append(r.ran, system.Quote(q))
	r.mu.Unlock()
	return (&system.Host{}).Run(ctx, c)
}

// rescued is a finished rescue system, read back.
type rescued struct {
	Result
	t     *testing.T
	files map[string]*unpacked
	image []byte
	ran   []string
}

func (m fakeMachine) options() Options {
	return Options{Root: m.root, Binary: m.at("/usr/bin/ok"), WorkDir: m.t.TempDir(), SourceDate: cpioTime}
}

func (m fakeMachine) build(o Options) (rescued, error) {
	m.t.Helper()
	r := &fakeRunner{}
	res, err := Build(m.t.Context(), r, m.model, o)
	out := rescued{Result: res, t: m.t, ran: r.ran}
	if err != nil {
		return out, err
	}
	left, err := os.ReadDir(o.WorkDir)
	if err != nil || len(left) != 1 {
		m.t.Errorf("the work directory holds %v, %v; the image alone should stay", left, err)
	}
	if out.image, err = os.ReadFile(res.InitramfsPath); err != nil {
		m.t.Fatal(err)
	}
	out.files = readImage(m.t, out.image)
	for _, p := range res.Programs {
		if f := out.file(p.Path); f == nil || f.mode&0o111 == 0 {
			m.t.Errorf("%s is said to be on board and is not", p.Path)
		}
	}
	return out, nil
}

func (m fakeMachine) mustBuild(o Options) rescued {
	m.t.Helper()
	r, err := m.build(o)
	if err != nil {
		m.t.Fatal(err)
	}
	return r
}

func readImage(t *testing.T, image []byte) map[string]*unpacked {
	t.Helper()
	z, err := zstd.NewReader(bytes.NewReader(image))
	if err != nil {
		t.Fatal(err)
	}
	defer z.Close()
	var b bytes.Buffer
	if _, err := b.ReadFrom(z); err != nil {
		t.Fatal(err)
	}
	files, err := unpackAsKernel(b.Bytes())
	if err != nil {
		t.Fatal(err)
	}
	return files
}

// file is what a path means in the rescue system, with links followed; nil: nothing.
func (r rescued) file(p string) *unpacked {
	rest := strings.Split(strings.Trim(p, "/"), "/")
	cur := ""
	for n := 0; len(rest) > 0; {
		next := path.Join(cur, rest[0])
		if rest = rest[1:]; next == ".." {
			next = ""
		}
		f := r.files[next]
		if f == nil || f.mode&0o170000 != 0o120000 {
			cur = next
			continue
		}
		if n++; n > maxLinks {
			return nil
		}
		if path.IsAbs(f.data) {
			cur = ""
		}
		rest = append(strings.Split(strings.Trim(f.data, "/"), "/"), rest...)
	}
	return r.files[cur]
}

// has checks that paths are on board.
func (r rescued) has(paths ...string) {
	r.t.Helper()
	for _, p := range paths {
		if r.file(p) == nil {
			r.t.Errorf("%s is not on board", p)
		}
	}
}

// lacks checks that nothing of paths is on board, not even a link that leads nowhere.
func (r rescued) lacks(paths ...string) {
	r.t.Helper()
	for _, p := range paths {
		if r.files[strings.TrimPrefix(p, "/")] != nil {
			r.t.Errorf("%s is on board", p)
		}
	}
}

// warns checks that one warning has all the words.
func (r rescued) warns(words ...string) {
	r.t.Helper()
	for _, w := range r.Warnings {
		all := true
		for _, word := range words {
			all = all && strings.Contains(w, word)
		}
		if all {
			return
		}
	}
	r.t.Errorf("no warning of %q in:\n%s", words, strings.Join(r.Warnings, "\n"))
}
