package rescue

import (
	"bytes"
	"cmp"
	"context"
	"fmt"
	"path"
	"regexp"
	"slices"
	"strings"

	"github.com/mkcdrec/mkcdrec/internal/fail"
	"github.com/mkcdrec/mkcdrec/internal/system"
)

// Family is a family of distributions that share package names.
type Family string

// The families whose package names the table knows.
const (
	Debian Family = "debian"
	Fedora Family = "fedora"
	SUSE   Family = "suse"
	Arch   Family = "arch"
)

// Program is one row of the table that doctor and rescue both read.
type Program struct {
	Name   string   // as it is typed; its manual page has the same name
	Or     []string // other names of what does the same, taken if Name is not there
	Group  string   // shell, files, disk, filesystem, volumes, network, editor, system, manual, compression
	Needed bool     // no rescue system without it
	For    string   // what it is needed for
	// Pkg is its package by family; a family that is not named uses the Debian name.
	Pkg map[Family]string
	// Check are the arguments that make it say who it is and do nothing.
	// nil: --version. An empty list: no arguments.
	Check []string
	// NoCheck is the reason why it is not started while building, or "".
	NoCheck string
}

// Package is the package that brings the program in a family.
func (p Program) Package(f Family) string {
	if s, ok := p.Pkg[f]; ok {
		return s
	}
	return p.Pkg[Debian]
}

// Args are the arguments of the check.
func (p Program) Args() []string {
	if p.Check == nil {
		return []string{"--version"}
	}
	return p.Check
}

// pkg writes the packages of the four families; fewer names repeat the last.
func pkg(names ...string) map[Family]string {
	m := map[Family]string{}
	for i, f := range []Family{Debian, Fedora, SUSE, Arch} {
		m[f] = names[min(i, len(names)-1)]
	}
	return m
}

// rows makes rows that share everything but the name.
func rows(group string, needed bool, purpose string, pkgs map[Family]string, check []string, names ...string) []Program {
	out := make([]Program, len(names))
	for i, n := range names {
		out[i] = Program{Name: n, Group: group, Needed: needed, For: purpose, Pkg: pkgs, Check: check}
	}
	return out
}

// Find finds a program of the table below a root directory.
func Find(root string, p Program) (string, bool) { return find(NewTree(root), p, nil) }

// find is Find with paths that do not count.
func find(t *Tree, p Program, without map[string]bool) (string, bool) {
	for _, n := range append([]string{p.Name}, p.Or...) {
		if where, ok := findProgram(t, n); ok && !without[where] {
			return where, true
		}
	}
	return "", false
}

// addPrograms adds the table's programs and the user's with their libraries.
func (c *Contents) addPrograms(ctx context.Context, r system.Runner, o Options) error {
	table := TableFor(o.RestoreTools, o.Programs)
	if o.Identity.Settings.ConsoleLogin {
		table = append(table, Program{Name: "sulogin", Group: "shell", Needed: true, For: "asking for root's password on the consoles (settings: console_login)", Pkg: utilLinux})
	}
	var missing, packages []string
	var absent []Program
	family := hostFamily(c.Tree)
	for _, p := range table {
		where, ok := find(c.Tree, p, o.without)
		if !ok {
			absent = append(absent, p)
			continue
		}
		if err := c.addProgram(p, where); err != nil {
			if p.Needed {
				return fail.New(fail.Unsupported, "cannot put %s into the rescue system: %w", p.Name, err)
			}
			c.Warnings = append(c.Warnings, fmt.Sprintf("%s is left out: %v", p.Name, err))
		}
	}
	box, applets := c.applets(ctx, r)
	for _, p := range absent {
		switch {
		case slices.Contains(applets, p.Name) && !o.without["/usr/bin/"+p.Name]:
			c.Tree.AddLink("/usr/bin/"+p.Name, box)
			c.Programs = append(c.Programs, Installed{Program: p, Path: "/usr/bin/" + p.Name, Applet: true})
		case p.Needed:
			missing = append(missing, p.Name)
			if s := p.Package(family); s != "" && !slices.Contains(packages, s) {
				packages = append(packages, s)
			}
		}
	}
	if len(missing) > 0 {
		err := fail.New(fail.Unsupported, "cannot make a rescue system without: %s", strings.Join(missing, ", "))
		if len(packages) == 0 {
			return fail.Hint(err, "install what brings these programs, or take them out of the list of programs in the settings")
		}
		return fail.Hint(err, "install %s", strings.Join(packages, " "))
	}
	return nil
}

// addProgram adds one program with all that it needs, or nothing.
func (c *Contents) addProgram(p Program, where string) error {
	mark := c.Tree.mark()
	if err := c.closure.Add(where); err != nil {
		return err
	}
	if err := c.addCompanions(p.Name); err != nil {
		c.closure.undo(mark)
		return err
	}
	if path.Base(where) != path.Base(p.Name) && !c.Tree.Has("/usr/bin/"+p.Name) && p.Name != "systemd-udevd" {
		c.Tree.AddLink("/usr/bin/"+p.Name, where)
	}
	c.Programs = append(c.Programs, Installed{Program: p, Path: where})
	if b, err := readHost(c.Tree, where); p.NoCheck != "" && err == nil && bytes.HasPrefix(b, []byte("#!")) {
		interp, byEnv := shebang(b[:min(len(b), 256)])
		if lang := path.Base(cmp.Or(byEnv, interp)); modular.MatchString(lang) {
			c.Warnings = append(c.Warnings, fmt.Sprintf("%s is written in %s, whose modules do not come along by themselves: add their directories to the list of files (settings: files)", where, lang))
		}
	}
	return nil
}

// modular are the interpreters that are of little use without modules in files of their own.
var modular = regexp.MustCompile(`^(perl|python|ruby|tclsh|node|php|guile|lua)[0-9.]*$`)

// applets are the programs that busybox can stand in for, if it is on board,
// and its path. The busybox of the recorded machine is asked, not another.
func (c *Contents) applets(ctx context.Context, r system.Runner) (box string, names []string) {
	i := slices.IndexFunc(c.Programs, func(p Installed) bool { return p.Name == "busybox" })
	if i < 0 || r == nil {
		return "", nil
	}
	res, err := r.Run(ctx, c.onMachine(system.Command{Name: c.Programs[i].Path, Args: []string{"--list"}}))
	if err != nil {
		c.Warnings = append(c.Warnings, fmt.Sprintf("cannot ask busybox for its programs: %v", err))
		return "", nil
	}
	return c.Programs[i].Path, strings.Fields(string(res.Stdout))
}

// onMachine is a command for the machine whose files are taken, where that is not the one we run on.
func (c *Contents) onMachine(cmd system.Command) system.Command {
	if c.Tree.Root != "/" {
		cmd.Chroot, cmd.Dir = c.Tree.Root, "/"
	}
	return cmd
}
