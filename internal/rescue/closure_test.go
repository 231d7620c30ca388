package rescue

import (
	"context"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/mkcdrec/mkcdrec/internal/system"
)

// dynamicCase is a program at /opt/t/bin/prog (or where prog says), with
// libraries and text files around it; a value "-> X" is a symbolic link.
type dynamicCase struct {
	what  string
	prog  string
	files map[string]binaryFile
	text  map[string]string
	want  []string // paths that come along
	not   []string // paths that do not
	err   []string // words of the error; nil: none
}

const testProg = "/opt/t/bin/prog"

func program(needed ...string) binaryFile { return binaryFile{interp: testInterp, needed: needed} }

func library(soname string, needed ...string) binaryFile {
	return binaryFile{soname: soname, needed: needed}
}

func (b binaryFile) withRPATH(p string) binaryFile   { b.rpath = p; return b }
func (b binaryFile) withRUNPATH(p string) binaryFile { b.runpath = p; return b }

var dynamicCases = []dynamicCase{
	{what: "libraries of libraries, in the system's directories",
		files: map[string]binaryFile{testProg: program("liba.so.1"), "/usr/lib/liba.so.1": library("liba.so.1", "libb.so.1"), "/lib64/libb.so.1": library("libb.so.1")},
		want:  []string{testProg, testInterp, "/usr/lib/liba.so.1", "/lib64/libb.so.1"}},
	{what: "RUNPATH with $ORIGIN",
		files: map[string]binaryFile{testProg: program("liba.so").withRUNPATH("/nowhere:$ORIGIN/../lib"), "/opt/t/lib/liba.so": library("liba.so")},
		want:  []string{"/opt/t/lib/liba.so"}},
	{what: "RPATH with ${ORIGIN}",
		files: map[string]binaryFile{testProg: program("liba.so").withRPATH("${ORIGIN}/../lib"), "/opt/t/lib/liba.so": library("liba.so")},
		want:  []string{"/opt/t/lib/liba.so"}},
	{what: "RPATH holds for the libraries of a library",
		files: map[string]binaryFile{testProg: program("liba.so").withRPATH("$ORIGIN/../lib"), "/opt/t/lib/liba.so": library("liba.so", "libb.so"), "/opt/t/lib/libb.so": library("libb.so")},
		want:  []string{"/opt/t/lib/liba.so", "/opt/t/lib/libb.so"}},
	{what: "RUNPATH does not",
		files: map[string]binaryFile{testProg: program("liba.so").withRUNPATH("$ORIGIN/../lib"), "/opt/t/lib/liba.so": library("liba.so", "libb.so"), "/opt/t/lib/libb.so": library("libb.so")},
		err:   []string{testProg, "/opt/t/lib/liba.so", "libb.so", "not found"}},
	{what: "RUNPATH of a library keeps out the program's RPATH",
		files: map[string]binaryFile{testProg: program("liba.so").withRPATH("/opt/t/lib"), "/opt/t/lib/liba.so": library("liba.so", "libb.so").withRUNPATH("/opt/other"), "/opt/t/lib/libb.so": library("libb.so")},
		err:   []string{testProg, "libb.so"}},
	{what: "what the program has loaded serves its libraries",
		files: map[string]binaryFile{testProg: program("liba.so", "libb.so").withRUNPATH("/opt/t/lib"), "/opt/t/lib/liba.so": library("liba.so", "libb.so"), "/opt/t/lib/libb.so": library("libb.so")},
		want:  []string{"/opt/t/lib/liba.so", "/opt/t/lib/libb.so"}},
	{what: "a library is also known by its soname",
		files: map[string]binaryFile{testProg: program("libfile.so", "liba.so").withRUNPATH("/opt/t/lib"), "/opt/t/lib/libfile.so": library("libreal.so"), "/opt/t/lib/liba.so": library("liba.so", "libreal.so")},
		want:  []string{"/opt/t/lib/libfile.so", "/opt/t/lib/liba.so"}},
	{what: "$ORIGIN of a library is the directory where it was found",
		files: map[string]binaryFile{testProg: program("liba.so").withRUNPATH("/opt/t/lib"), "/opt/real/liba-1.so": library("liba.so", "libb.so").withRUNPATH("$ORIGIN/sub"), "/opt/t/lib/sub/libb.so": library("libb.so")},
		text:  map[string]string{"/opt/t/lib/liba.so": "-> ../../real/liba-1.so"},
		want:  []string{"/opt/t/lib/liba.so", "/opt/real/liba-1.so", "/opt/t/lib/sub/libb.so"}},
	{what: "$ORIGIN of a program is the directory of the file, not of the link", prog: "/usr/bin/prog",
		files: map[string]binaryFile{testProg: program("liba.so").withRUNPATH("$ORIGIN/../lib"), "/opt/t/lib/liba.so": library("liba.so")},
		text:  map[string]string{"/usr/bin/prog": "-> ../../opt/t/bin/prog"},
		want:  []string{"/usr/bin/prog", testProg, "/opt/t/lib/liba.so"}},
	{what: "$LIB",
		files: map[string]binaryFile{testProg: program("liba.so").withRUNPATH("$ORIGIN/../$LIB"), "/opt/t/lib/x86_64-linux-gnu/liba.so": library("liba.so"), "/opt/t/lib64/liba.so": library("liba.so")}},
	{what: "libraries that need each other",
		files: map[string]binaryFile{testProg: program("liba.so"), "/usr/lib/liba.so": library("liba.so", "libb.so"), "/usr/lib/libb.so": library("libb.so", "liba.so")},
		want:  []string{"/usr/lib/liba.so", "/usr/lib/libb.so"}},
	{what: "a library by its path",
		files: map[string]binaryFile{testProg: program("/opt/abs/liba.so"), "/opt/abs/liba.so": library("/opt/abs/liba.so")},
		want:  []string{"/opt/abs/liba.so"}},
	{what: "a directory of ld.so.conf",
		files: map[string]binaryFile{testProg: program("liba.so"), "/opt/conf/liba.so": library("liba.so")},
		text:  map[string]string{"/etc/ld.so.conf": "include ld.so.conf.d/*.conf\n", "/etc/ld.so.conf.d/t.conf": "# ours\n/opt/conf # more\n"},
		want:  []string{"/opt/conf/liba.so"}},
	{what: "a library that is not there",
		files: map[string]binaryFile{testProg: program("liba.so", "libgone.so.6"), "/usr/lib/liba.so": library("liba.so")},
		err:   []string{testProg, "libgone.so.6", "not found"}},
	{what: "a link to a library that is not there",
		files: map[string]binaryFile{testProg: program("liba.so")},
		text:  map[string]string{"/usr/lib/liba.so": "-> liba.so.1"},
		err:   []string{testProg, "liba.so"}},
	{what: "a library that is none",
		files: map[string]binaryFile{testProg: program("liba.so")},
		text:  map[string]string{"/usr/lib/liba.so": "INPUT(liba.so.1)\n"},
		err:   []string{testProg, "liba.so"}},
	{what: "an interpreter that is not there",
		files: map[string]binaryFile{testProg: {interp: "/lib64/ld-gone.so.2"}},
		err:   []string{testProg, "interpreter", "/lib64/ld-gone.so.2"}},
	{what: "a script",
		files: map[string]binaryFile{"/opt/t/bin/int": program("liba.so"), "/usr/lib/liba.so": library("liba.so")},
		text:  map[string]string{testProg: "#! /opt/t/bin/int -x\n"},
		want:  []string{"/opt/t/bin/int", "/usr/lib/liba.so"}},
	{what: "a script whose interpreter is not there",
		text: map[string]string{testProg: "#!/opt/t/bin/int\n"},
		err:  []string{testProg, "interpreter", "/opt/t/bin/int"}},
	{what: "a script whose interpreter lacks a library",
		files: map[string]binaryFile{"/opt/t/bin/int": program("libgone.so")},
		text:  map[string]string{testProg: "#!/opt/t/bin/int\n"},
		err:   []string{testProg, "/opt/t/bin/int", "libgone.so"}},
}

// setUp makes the files of a case below a root directory, by one of the makers.
func (c dynamicCase) setUp(t *testing.T, maker func(b binaryFile, at string)) (root string) {
	t.Helper()
	root = t.TempDir()
	for p, b := range c.files {
		at := filepath.Join(root, p)
		if err := os.MkdirAll(filepath.Dir(at), 0o755); err != nil {
			t.Fatal(err)
		}
		maker(b, at)
	}
	for p, s := range c.text {
		writeExecutable(t, root, p, s)
		at := filepath.Join(root, p)
		if target, ok := strings.CutPrefix(s, "-> "); ok {
			if err := os.Remove(at); err != nil {
				t.Fatal(err)
			}
			if err := os.Symlink(target, at); err != nil {
				t.Fatal(err)
			}
		}
	}
	return root
}

func (c dynamicCase) path() string {
	if c.prog != "" {
		return c.prog
	}
	return testProg
}

func (c dynamicCase) check(t *testing.T, root string) {
	t.Helper()
	tree := NewTree(root)
	err := newClosure(tree).Add(c.path())
	if c.err == nil && err != nil {
		t.Fatalf("cannot be added: %v", err)
	}
	if c.err != nil {
		for _, w := range c.err {
			if err == nil || !strings.Contains(err.Error(), w) {
				t.Errorf("error %v does not say %q", err, w)
			}
		}
		if left := tree.Entries(); len(left) > 0 {
			t.Errorf("it cannot be there, and %s is all the same", left[len(left)-1].Path)
		}
	}
	for _, p := range c.want {
		if !tree.Has(p) {
			t.Errorf("%s is not in the tree", p)
		}
	}
	for _, p := range c.not {
		if tree.Has(p) {
			t.Errorf("%s is in the tree", p)
		}
	}
}

func TestClosure(t *testing.T) {
	for _, c := range dynamicCases {
		t.Run(c.what, func(t *testing.T) {
			root := c.setUp(t, func(b binaryFile, at string) {
				if err := os.WriteFile(at, b.handmade(), 0o755); err != nil {
					t.Fatal(err)
				}
			})
			if err := os.MkdirAll(filepath.Join(root, "lib64"), 0o755); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(filepath.Join(root, testInterp), binaryFile{soname: "ld-linux-x86-64.so.2"}.handmade(), 0o755); err != nil {
				t.Fatal(err)
			}
			c.check(t, root)
		})
	}
}

// The dynamic linker of this machine is the judge: what the closure says of a
// program made by gcc, and puts into the tree, is true in a chroot.
func TestClosureAgainstLinker(t *testing.T) {
	needGCC(t)
	if os.Geteuid() != 0 {
		t.Skip("needs root for a chroot")
	}
	if _, err := os.Stat(testInterp); err != nil || runtime.GOARCH != "amd64" {
		t.Skipf("needs the dynamic linker of glibc on amd64: %v", err)
	}
	for _, c := range dynamicCases {
		t.Run(c.what, func(t *testing.T) {
			root := c.setUp(t, func(b binaryFile, at string) { b.compiled(t, at) })
			for _, f := range []string{testInterp, "/lib/x86_64-linux-gnu/libc.so.6", "/lib64/libc.so.6"} {
				if b, err := os.ReadFile(f); err == nil {
					writeExecutable(t, root, f, string(b))
				}
			}
			c.check(t, root)
			// What is in the tree alone must do; without it, all that is here must not.
			tree := NewTree(root)
			stage := root
			if err := newClosure(tree).Add(c.path()); err == nil {
				stage = t.TempDir()
				if err := stageEntries(stage, tree.Entries()); err != nil {
					t.Fatal(err)
				}
			}
			linkerCache(t, root, stage)
			if err := os.MkdirAll(filepath.Join(stage, "proc"), 0o755); err != nil {
				t.Fatal(err)
			}
			_, err := (&system.Host{}).Run(context.Background(), system.Command{Name: c.path(), Chroot: stage, Proc: true, Dir: "/"})
			if (err == nil) != (c.err == nil) {
				t.Errorf("the dynamic linker says: %v", err)
			}
			if err != nil && broken(system.Result{}, err) == nil {
				t.Errorf("is not seen as broken: %v", err)
			}
		})
	}
}

// linkerCache does for a stage what Contents.ldconfig does.
func linkerCache(t *testing.T, root, stage string) {
	t.Helper()
	c := Contents{Tree: NewTree(root)}
	for _, d := range libraryDirs(c.Tree) {
		c.Tree.AddDir(d, 0o755)
	}
	if err := os.MkdirAll(filepath.Join(stage, "etc"), 0o755); err != nil {
		t.Fatal(err)
	}
	c.ldconfig(t.Context(), &system.Host{}, stage)
	if len(c.Warnings) > 0 {
		t.Fatal(c.Warnings)
	}
}

// A 32-bit library is passed over for a 64-bit program.
func TestClosureTellsClasses(t *testing.T) {
	c := dynamicCase{
		files: map[string]binaryFile{testProg: {interp: "/ld.so", needed: []string{"liba.so"}, runpath: "/opt/32:/opt/64"}, "/ld.so": {},
			"/opt/32/liba.so": {class32: true, needed: []string{"libgone.so"}}, "/opt/64/liba.so": {}},
		want: []string{"/opt/64/liba.so"}, not: []string{"/opt/32/liba.so"},
	}
	c.check(t, c.setUp(t, func(b binaryFile, at string) {
		if err := os.WriteFile(at, b.handmade(), 0o755); err != nil {
			t.Fatal(err)
		}
	}))
}

// Libraries that are opened at run time come along as far as they are
// complete; one that is not is left out with what only it needs.
func TestClosureLateLibraries(t *testing.T) {
	needGCC(t)
	c := dynamicCase{
		files: map[string]binaryFile{
			testProg:                       {interp: "/ld.so", needed: []string{"libcryptsetup.so.12"}, dlopen: []string{"libnoted.so.1", "libabsent.so.1"}},
			"/ld.so":                       {},
			"/usr/lib/libc.so.6":           library("libc.so.6"),
			"/usr/lib/libgcc_s.so.1":       library("libgcc_s.so.1"),
			"/usr/lib/libcryptsetup.so.12": library("libcryptsetup.so.12"),
			"/usr/lib/libnoted.so.1":       library("libnoted.so.1", "libnotes.so.1"),
			"/usr/lib/libnotes.so.1":       library("libnotes.so.1"),
			"/usr/lib/cryptsetup/libcryptsetup-token-good.so": {needed: []string{"libtoken.so.1"}},
			"/usr/lib/libtoken.so.1":                          library("libtoken.so.1"),
			"/usr/lib/cryptsetup/libcryptsetup-token-bad.so":  {needed: []string{"libhalf.so.1", "libgone.so.1"}},
			"/usr/lib/libhalf.so.1":                           library("libhalf.so.1"),
		},
		want: []string{"/usr/lib/libcryptsetup.so.12", "/usr/lib/libgcc_s.so.1", "/usr/lib/libnoted.so.1", "/usr/lib/libnotes.so.1",
			"/usr/lib/cryptsetup/libcryptsetup-token-good.so", "/usr/lib/libtoken.so.1"},
		not: []string{"/usr/lib/cryptsetup/libcryptsetup-token-bad.so", "/usr/lib/libhalf.so.1"},
	}
	c.check(t, c.setUp(t, func(b binaryFile, at string) { b.compiled(t, at) }))
}

// A library that a failed program would have shared is still there for the next one.
func TestClosureAfterFailure(t *testing.T) {
	c := dynamicCase{files: map[string]binaryFile{
		testProg: {interp: "/ld.so", needed: []string{"liba.so", "libgone.so"}}, "/opt/t/bin/good": {interp: "/ld.so", needed: []string{"liba.so"}},
		"/ld.so": {}, "/usr/lib/liba.so": library("liba.so"),
	}}
	root := c.setUp(t, func(b binaryFile, at string) {
		if err := os.WriteFile(at, b.handmade(), 0o755); err != nil {
			t.Fatal(err)
		}
	})
	tree := NewTree(root)
	cl := newClosure(tree)
	if err := cl.Add(testProg); err == nil {
		t.Error("a program without its library was added")
	}
	if err := cl.Add("/opt/t/bin/good"); err != nil {
		t.Error(err)
	}
	if err := cl.Add(testProg); err == nil || tree.Has(testProg) {
		t.Errorf("the second time it is there: %v", err)
	}
	var paths []string
	for _, e := range tree.Entries() {
		if e.Mode.IsRegular() {
			paths = append(paths, e.Path)
		}
	}
	if want := []string{"/ld.so", "/opt/t/bin/good", "/usr/lib/liba.so"}; !slices.Equal(paths, want) {
		t.Errorf("in the tree: %v", paths)
	}
}
