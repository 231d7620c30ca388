package rescue

import (
	"bufio"
	"bytes"
	"debug/elf"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
)

// errNoLibrary is wrapped when a library that a program needs is not here.
var errNoLibrary = errors.New("library not found")

// closure adds programs to a tree together with everything they need to run:
// interpreters, shared libraries and the libraries that they load at run time.
type closure struct {
	tree *Tree
	dirs []string         // where the dynamic linker looks, in order
	done map[string]error // real path -> result
}

func newClosure(t *Tree) *closure {
	return &closure{tree: t, dirs: libraryDirs(t), done: map[string]error{}}
}

// libraryDirs are the directories of ld.so.conf and the built-in ones of the
// distribution families (ld.so(8), ldconfig(8)).
func libraryDirs(t *Tree) []string {
	var dirs []string
	add := func(d string) {
		if fi, err := os.Stat(t.host(d)); err == nil && fi.IsDir() && !slices.Contains(dirs, d) {
			dirs = append(dirs, d)
		}
	}
	var read func(conf string, depth int)
	read = func(conf string, depth int) {
		b, err := os.ReadFile(t.host(conf))
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
				m, _ := filepath.Glob(t.host(pattern)) // its only error is a bad pattern, which ldconfig ignores too
				slices.Sort(m)
				for _, p := range m {
					if rel, err := filepath.Rel(t.Root, p); err == nil {
						read("/"+rel, depth+1)
					}
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

// Add adds a file and what it needs. The error names the file and the
// library that is missing; what was already added stays (libraries of a
// program that is left out are few and shared by others).
func (c *closure) Add(p string) error {
	real, err := c.tree.AddHost(p)
	if err != nil {
		return err
	}
	if err, ok := c.done[real]; ok {
		return err
	}
	c.done[real] = nil // a circle of libraries is fine
	err = c.needs(real)
	c.done[real] = err
	return err
}

func (c *closure) needs(real string) error {
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
		return c.script(real, head)
	case bytes.HasPrefix(head, []byte(elf.ELFMAG)):
		return c.elf(real, f)
	}
	return nil
}

// script adds the interpreter of a script, and for "env X" also X.
func (c *closure) script(real string, head []byte) error {
	line, _, _ := strings.Cut(string(head[2:]), "\n")
	f := strings.Fields(line)
	if len(f) == 0 {
		return nil
	}
	if err := c.Add(f[0]); err != nil {
		return fmt.Errorf("%s: interpreter %s: %w", real, f[0], err)
	}
	if path.Base(f[0]) != "env" {
		return nil
	}
	for _, a := range f[1:] {
		if strings.HasPrefix(a, "-") || strings.Contains(a, "=") {
			continue
		}
		p, ok := findProgram(c.tree, a)
		if !ok {
			return fmt.Errorf("%s: interpreter %s: %w", real, a, fs.ErrNotExist)
		}
		return c.Add(p)
	}
	return nil
}

func (c *closure) elf(real string, r io.ReaderAt) error {
	f, err := elf.NewFile(r)
	if err != nil {
		return fmt.Errorf("cannot read %s as ELF: %w", real, err)
	}
	if p, err := interpreter(f); err != nil {
		return fmt.Errorf("cannot read %s as ELF: %w", real, err)
	} else if p != "" {
		if err := c.Add(p); err != nil {
			return fmt.Errorf("%s: interpreter %s: %w", real, p, err)
		}
	}
	needed, err := f.DynString(elf.DT_NEEDED)
	if err != nil {
		return nil // no dynamic section: a static program
	}
	search := c.searchPath(f, real)
	for _, lib := range needed {
		if err := c.library(f, lib, search); err != nil {
			return fmt.Errorf("%s: %w", real, err)
		}
	}
	for _, lib := range dlopenNotes(f) {
		_ = c.library(f, lib, search) // loaded if there: a program copes without
	}
	for _, l := range lateLibraries {
		if l.user != path.Base(real) && !slices.ContainsFunc(append(needed, path.Base(real)), func(n string) bool {
			return strings.HasPrefix(n, l.user)
		}) {
			continue
		}
		for _, g := range l.globs {
			for _, p := range c.glob(g) {
				_ = c.Add(p) // same
			}
		}
	}
	return nil
}

// searchPath is where the linker looks for what this object needs: RUNPATH
// or RPATH with $ORIGIN, then the directories of the system (ld.so(8)).
func (c *closure) searchPath(f *elf.File, real string) []string {
	paths, err := f.DynString(elf.DT_RUNPATH)
	if err != nil || len(paths) == 0 {
		paths, _ = f.DynString(elf.DT_RPATH) // an object without either has the system's directories only
	}
	lib := "lib"
	if f.Class == elf.ELFCLASS64 {
		lib = "lib64"
	}
	expand := strings.NewReplacer("$ORIGIN", path.Dir(real), "${ORIGIN}", path.Dir(real), "$LIB", lib, "${LIB}", lib)
	var dirs []string
	for _, p := range paths {
		for _, d := range strings.Split(p, ":") {
			if d != "" {
				dirs = append(dirs, path.Clean(expand.Replace(d)))
			}
		}
	}
	return append(dirs, c.dirs...)
}

// library finds one needed library and adds it.
func (c *closure) library(user *elf.File, name string, search []string) error {
	if path.IsAbs(name) {
		return c.Add(name)
	}
	for _, d := range search {
		p := path.Join(d, name)
		if fits(c.tree, p, user) {
			return c.Add(p)
		}
	}
	return fmt.Errorf("%s: %w", name, errNoLibrary)
}

// fits says that a file is an ELF object of the user's kind: a 32-bit
// library in the same search path is passed over, as the linker does.
func fits(t *Tree, p string, user *elf.File) bool {
	real, _, err := t.Resolve(p)
	if err != nil {
		return false
	}
	f, err := elf.Open(t.host(real))
	if err != nil {
		return false
	}
	defer f.Close()
	return f.Class == user.Class && f.Machine == user.Machine
}

func (c *closure) glob(pattern string) []string {
	var out []string
	pats := []string{pattern}
	if !path.IsAbs(pattern) {
		pats = nil
		for _, d := range c.dirs {
			pats = append(pats, path.Join(d, pattern))
		}
	}
	seen := map[string]bool{}
	for _, p := range pats {
		m, _ := filepath.Glob(c.tree.host(p)) // patterns are constants
		slices.Sort(m)
		for _, f := range m {
			rel, err := filepath.Rel(c.tree.Root, f)
			if err != nil {
				continue
			}
			real, _, err := c.tree.Resolve("/" + rel)
			if err == nil && !seen[real] {
				seen[real] = true
				out = append(out, "/"+rel)
			}
		}
	}
	return out
}

// lateLibrary names libraries that a program or library opens by itself at
// run time, so that no ELF header speaks of them.
type lateLibrary struct {
	user  string   // program, or beginning of a library's name
	globs []string // relative to the library directories
}

var lateLibraries = []lateLibrary{
	{"libc.so.6", []string{"libnss_files.so.2", "libnss_dns.so.2", "libresolv.so.2", "libgcc_s.so.1"}}, // name service; pthread_cancel
	{"libcryptsetup.so", []string{"cryptsetup/libcryptsetup-token-*.so"}},
	{"libcrypto.so", []string{"ossl-modules/legacy.so"}}, // old LUKS hashes
	{"lvm", []string{"device-mapper/*.so", "libdevmapper-event-*.so*"}},
	{"dmeventd", []string{"device-mapper/*.so", "libdevmapper-event-*.so*"}},
	{"mkfs.fat", []string{"gconv/IBM850.so", "gconv/IBM437.so"}},
	{"fsck.fat", []string{"gconv/IBM850.so", "gconv/IBM437.so"}},
	{"libkmod.so", []string{"liblzma.so.5", "libzstd.so.1", "libz.so.1"}},
}

func interpreter(f *elf.File) (string, error) {
	for _, p := range f.Progs {
		if p.Type == elf.PT_INTERP {
			b, err := io.ReadAll(bufio.NewReader(p.Open()))
			return strings.TrimRight(string(b), "\x00"), err
		}
	}
	return "", nil
}

// dlopenNotes reads the libraries an object says it may open, as the
// .note.dlopen of systemd 256 and newer (uapi-group.org, ELF dlopen metadata).
func dlopenNotes(f *elf.File) []string {
	s := f.Section(".note.dlopen")
	if s == nil {
		return nil
	}
	b, err := s.Data()
	if err != nil {
		return nil
	}
	var out []string
	for len(b) >= 12 {
		nameLen := int(f.ByteOrder.Uint32(b))
		descLen := int(f.ByteOrder.Uint32(b[4:]))
		start := 12 + (nameLen+3)&^3
		end := start + descLen
		if nameLen < 0 || descLen < 0 || end > len(b) {
			break
		}
		var notes []struct {
			Priority string   `json:"priority"`
			Soname   []string `json:"soname"`
		}
		if json.Unmarshal(bytes.TrimRight(b[start:end], "\x00"), &notes) == nil {
			for _, n := range notes {
				if n.Priority != "suggested" {
					out = append(out, n.Soname...)
				}
			}
		}
		b = b[min(len(b), (end+3)&^3):]
	}
	return out
}

// programDirs is where programs are looked for, as system.Path.
var programDirs = []string{"/usr/local/sbin", "/usr/local/bin", "/usr/sbin", "/usr/bin", "/sbin", "/bin", "/usr/lib/systemd", "/lib/systemd"}

// findProgram is the path of a program on the machine below the tree's root.
func findProgram(t *Tree, name string) (string, bool) {
	if path.IsAbs(name) {
		_, _, err := t.Resolve(name)
		return name, err == nil
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
