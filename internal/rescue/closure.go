package rescue

import (
	"bytes"
	"debug/elf"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"slices"
	"strings"
)

// errNoLibrary is wrapped when a library that a program needs is not here.
var errNoLibrary = errors.New("library not found")

// closure adds programs to a tree together with everything they need to run:
// interpreters, shared libraries and the libraries that they load at run time.
// It goes the way of the dynamic linker, program by program: which file a
// library's name means depends on who asks (ld.so(8)).
type closure struct {
	tree    *Tree
	dirs    []string           // where the dynamic linker looks, in order
	objects map[string]*object // by real path; nil: not an ELF file that can be read
	whole   map[string]bool    // paths that are in the tree with all they need
	placed  map[string]bool    // libraries that are in the tree
	failed  map[string]error   // paths that cannot be there, and why
}

func newClosure(t *Tree) *closure {
	return &closure{tree: t, dirs: libraryDirs(t), objects: map[string]*object{}, whole: map[string]bool{}, placed: map[string]bool{}, failed: map[string]error{}}
}

// Add adds a file and what it needs, or nothing: the error names the file,
// and the library or interpreter that is missing.
func (c *closure) Add(p string) error {
	if err := c.failed[p]; err != nil || c.whole[p] {
		return err
	}
	mark := c.tree.mark()
	err := c.add(p, 0)
	if err != nil {
		c.undo(mark)
		c.failed[p] = err
		return err
	}
	c.whole[p] = true
	return nil
}

// undo takes out of the tree what came since the mark. What is known to be in
// the tree is forgotten with it: it is found again.
func (c *closure) undo(mark int) {
	c.tree.back(mark)
	clear(c.whole)
	clear(c.placed)
}

// maxScripts is how many scripts may be each other's interpreters, as in the kernel (execve(2)).
const maxScripts = 5

func (c *closure) add(p string, depth int) error {
	real, err := c.tree.AddHost(p)
	if err != nil {
		return err
	}
	f, err := os.Open(c.tree.host(real))
	if err != nil {
		return fmt.Errorf("cannot read %s: %w", real, err)
	}
	defer f.Close()
	head := make([]byte, 256)
	n, err := io.ReadFull(f, head)
	if err != nil && !errors.Is(err, io.ErrUnexpectedEOF) && !errors.Is(err, io.EOF) {
		return fmt.Errorf("cannot read %s: %w", real, err)
	}
	head = head[:n]
	switch {
	case bytes.HasPrefix(head, []byte("#!")):
		if depth > maxScripts {
			return fmt.Errorf("%s: too many scripts that interpret scripts", real)
		}
		return c.script(real, head, depth)
	case bytes.HasPrefix(head, []byte(elf.ELFMAG)):
		return c.program(real, f)
	}
	return nil
}

// script adds the interpreter of a script, and for "env X" also X.
func (c *closure) script(real string, head []byte, depth int) error {
	interp, byEnv := shebang(head)
	if interp == "" {
		return nil
	}
	if err := c.add(interp, depth+1); err != nil {
		return fmt.Errorf("%s: interpreter %s: %w", real, interp, err)
	}
	if byEnv == "" {
		return nil
	}
	p, ok := findProgram(c.tree, byEnv)
	if !ok {
		return fmt.Errorf("%s: interpreter %s: %w", real, byEnv, fs.ErrNotExist)
	}
	return c.add(p, depth+1)
}

// shebang takes the first line of a script apart: "#!/usr/bin/env -S X=1 perl -w"
// has the interpreter /usr/bin/env, and that one starts perl.
func shebang(head []byte) (interp, byEnv string) {
	line, _, _ := strings.Cut(string(bytes.TrimPrefix(head, []byte("#!"))), "\n")
	f := strings.Fields(line)
	if len(f) == 0 {
		return "", ""
	}
	if path.Base(f[0]) == "env" {
		for _, a := range f[1:] {
			if !strings.HasPrefix(a, "-") && !strings.Contains(a, "=") {
				return f[0], a
			}
		}
	}
	return f[0], ""
}

// mapped is an object in the memory of a program.
type mapped struct {
	*object
	path string  // as it was found: $ORIGIN is its directory
	by   *mapped // who asked for it; nil: the program
}

func (c *closure) program(real string, r io.ReaderAt) error {
	o, err := readObject(r)
	if err != nil {
		return fmt.Errorf("cannot read %s as ELF: %w", real, err)
	}
	c.objects[real] = o
	have := map[string]bool{}
	if o.interp != "" {
		interp, err := c.tree.AddHost(o.interp)
		if err != nil {
			return fmt.Errorf("%s: interpreter %s: %w", real, o.interp, err)
		}
		have[path.Base(o.interp)] = true
		if i := c.object(interp); i != nil {
			have[i.soname] = true
		}
	}
	all, err := c.load(&mapped{object: o, path: real}, have)
	if err != nil {
		return fmt.Errorf("%s: %w", real, err)
	}
	c.late(all, have)
	return nil
}

// load adds what an object needs, breadth first as the linker does, and
// returns all of it. have are the names of what is loaded already.
func (c *closure) load(first *mapped, have map[string]bool) ([]*mapped, error) {
	all := []*mapped{first}
	for i := 0; i < len(all); i++ {
		for _, name := range all[i].needed {
			if have[name] {
				continue
			}
			next, err := c.library(name, all[i])
			if err == nil {
				err = c.place(next)
			}
			if err != nil {
				if i > 0 {
					return nil, fmt.Errorf("%s: %w", all[i].path, err)
				}
				return nil, err
			}
			have[name], have[next.soname] = true, true
			all = append(all, next)
		}
	}
	return all, nil
}

// library finds one needed library.
func (c *closure) library(name string, user *mapped) (*mapped, error) {
	for _, p := range c.places(name, user) {
		real, _, err := c.tree.Resolve(p)
		if err != nil {
			continue
		}
		if o := c.object(real); o != nil && o.class == user.class && o.machine == user.machine {
			return &mapped{object: o, path: p, by: user}, nil
		}
		// A 32-bit library in the same search path is passed over, as the linker does.
	}
	return nil, fmt.Errorf("%s: %w", name, errNoLibrary)
}

func (c *closure) place(m *mapped) error {
	if c.placed[m.path] {
		return nil
	}
	_, err := c.tree.AddHost(m.path)
	c.placed[m.path] = err == nil
	return err
}

// places are the paths that a name may mean for an object: RPATH of the
// object and of all who led to it, unless it has a RUNPATH; its RUNPATH; the
// directories of the system (ld.so(8)).
func (c *closure) places(name string, user *mapped) (out []string) {
	if strings.Contains(name, "/") {
		if !path.IsAbs(name) {
			return nil // relative to wherever the program is started
		}
		return []string{name}
	}
	add := func(m *mapped, dirs []string) {
		for _, d := range dirs {
			for _, d := range expand(d, m) {
				out = append(out, path.Join(d, name))
			}
		}
	}
	if user.runpath == nil {
		for m := user; m != nil; m = m.by {
			add(m, m.rpath)
		}
	}
	add(user, user.runpath)
	for _, d := range c.dirs {
		out = append(out, path.Join(d, name))
	}
	return out
}

// expand replaces $ORIGIN, $LIB and $PLATFORM in a directory of a search
// path. $LIB differs by distribution: each of its values is tried.
func expand(dir string, m *mapped) []string {
	if dir == "" {
		return nil
	}
	platform, libs := "x86_64", []string{"lib/x86_64-linux-gnu", "lib64", "lib"}
	switch {
	case m.machine == elf.EM_AARCH64:
		platform, libs = "aarch64", []string{"lib/aarch64-linux-gnu", "lib64", "lib"}
	case m.class == elf.ELFCLASS32:
		platform, libs = "i686", []string{"lib/i386-linux-gnu", "lib"}
	}
	if !strings.Contains(dir, "LIB") {
		libs = libs[:1]
	}
	var out []string
	for _, lib := range libs {
		origin := path.Dir(m.path)
		d := strings.NewReplacer("$ORIGIN", origin, "${ORIGIN}", origin, "$LIB", lib, "${LIB}", lib, "$PLATFORM", platform, "${PLATFORM}", platform).Replace(dir)
		if path.IsAbs(d) {
			out = append(out, path.Clean(d))
		}
	}
	return out
}

// object reads an ELF file of the machine once; nil if it is none.
func (c *closure) object(real string) *object {
	o, ok := c.objects[real]
	if ok {
		return o
	}
	if f, err := os.Open(c.tree.host(real)); err == nil {
		o, _ = readObject(f) // not an ELF file: the linker passes over it
		f.Close()
	}
	c.objects[real] = o
	return o
}

// libraryDirs are the directories of ld.so.conf and the built-in ones of the
// distribution families (ld.so(8), ldconfig(8)).
func libraryDirs(t *Tree) []string {
	var dirs []string
	add := func(d string) {
		if isDir(t, d) && !slices.Contains(dirs, d) {
			dirs = append(dirs, d)
		}
	}
	var read func(conf string, depth int)
	read = func(conf string, depth int) {
		b, err := readHost(t, conf)
		if err != nil || depth > 5 {
			return
		}
		for line := range strings.Lines(string(b)) {
			line, _, _ = strings.Cut(line, "#")
			f := strings.FieldsFunc(line, func(r rune) bool { return strings.ContainsRune(" \t\n,:", r) })
			switch {
			case len(f) == 2 && f[0] == "include":
				pattern := f[1]
				if !path.IsAbs(pattern) {
					pattern = path.Join(path.Dir(conf), pattern)
				}
				for _, p := range t.glob(pattern) {
					read(p, depth+1)
				}
			default:
				for _, d := range f {
					if path.IsAbs(d) {
						add(d)
					}
				}
			}
		}
	}
	read("/etc/ld.so.conf", 0)
	for _, d := range []string{
		"/lib/x86_64-linux-gnu", "/usr/lib/x86_64-linux-gnu", "/lib/aarch64-linux-gnu", "/usr/lib/aarch64-linux-gnu",
		"/lib64", "/usr/lib64", "/lib", "/usr/lib",
	} {
		add(d)
	}
	return dirs
}

// programDirs is where programs are looked for, as system.Path.
var programDirs = []string{"/usr/local/sbin", "/usr/local/bin", "/usr/sbin", "/usr/bin", "/sbin", "/bin", "/usr/lib/systemd", "/lib/systemd"}

// findProgram is the path of a program on the machine below the tree's root.
func findProgram(t *Tree, name string) (string, bool) {
	if path.IsAbs(name) {
		return name, isFile(t, name)
	}
	for _, d := range programDirs {
		p := path.Join(d, name)
		real, _, err := t.Resolve(p)
		if err != nil {
			continue
		}
		if fi, err := os.Stat(t.host(real)); err == nil && fi.Mode().IsRegular() && fi.Mode()&0o111 != 0 {
			return p, true
		}
	}
	return "", false
}
