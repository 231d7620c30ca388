package rescue

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strings"
	"time"

	"github.com/mkcdrec/mkcdrec/internal/fail"
	"github.com/mkcdrec/mkcdrec/internal/machine"
	"github.com/mkcdrec/mkcdrec/internal/system"
)

// Options say what goes into a rescue system. The zero value makes a generic
// one of this machine.
type Options struct {
	Root           string    // where files are taken from; "": /
	Binary         string    // the mkcdrec binary; "": /proc/self/exe
	Kernel         string    // version or path of the image; "": the running one, else the newest installed
	Modules        ModuleSet // "": GenericModules
	ExtraModules   []string  // by name
	ExcludeModules []string  // by name
	Programs       []string  // further programs: names or paths; each is needed then
	RestoreTools   []string  // the programs that restoring this machine calls (restore.Tools)
	Files          []string  // further files and directories
	ManualPages    []string  // further pages: name or name.section
	PrivateKeys    []string  // paths of private keys that may go on the medium
	Identity       Identity  // Kernel and MemoryNeeded are filled in here
	WorkDir        string    // where the stage and the result go; "": a new one below /var/tmp
	Level          int       // zstd; 0: DefaultLevel
	SourceDate     time.Time // time of every file; zero: Identity.Made
	// Progress is told of each stage, with a count where there is one; may be nil.
	Progress func(stage string, done, total int)
}

func (o Options) progress(stage string, done, total int) {
	if o.Progress != nil {
		o.Progress(stage, done, total)
	}
}

// Contents is what goes into a rescue system, decided and not yet packed.
type Contents struct {
	Tree    *Tree
	Kernel  Kernel
	Modules []string // module files below /lib/modules/VERSION
	// MissingFirmware is what the modules name and this machine does not have.
	MissingFirmware []string
	Programs        []Installed
	Warnings        []string
	Identity        Identity // as Options.Identity, with what was found here
}

// Installed is a program of the table, or a user's own, with the path that was found.
type Installed struct {
	Program
	Path string `json:"path"`
	// Applet says that busybox stands in for it.
	Applet bool `json:"applet,omitempty"`
}

// BinaryPath is where the mkcdrec binary lies in the rescue system; /init is a link to it.
const BinaryPath = "/usr/bin/mkcdrec"

// Names are the names that people know mkcdrec's verbs by; rescueinit's links.
var Names = []string{"start-restore.sh", "clone-disk.sh", "clone-dsk.sh", "poweroff", "reboot", "halt"}

// Gather decides what goes into the rescue system of a machine. It reads
// files and runs programs that only read (see record). A needed program that
// is not there is a fail.Unsupported error that names all of them.
func Gather(ctx context.Context, r system.Runner, m machine.Machine, o Options) (Contents, error) {
	c := Contents{Tree: NewTree(o.Root)}
	var err error
	if c.Kernel, err = FindKernel(o.Root, m.Kernel, o.Kernel); err != nil {
		return c, err
	}
	if c.Kernel.Version != m.Kernel && o.Kernel == "" && m.Kernel != "" {
		c.Warnings = append(c.Warnings, fmt.Sprintf("the running kernel %s is not installed with its modules; the medium gets %s", m.Kernel, c.Kernel.Version))
	}
	addBase(c.Tree)
	o.progress("programs", 0, 0)
	if err := c.addPrograms(ctx, r, o); err != nil {
		return c, err
	}
	o.progress("modules", 0, 0)
	if err := c.addModules(o); err != nil {
		return c, err
	}
	o.progress("files", 0, 0)
	for _, f := range o.Files {
		if err := c.addUserFile(f); err != nil {
			return c, err
		}
	}
	if err := c.addUdev(); err != nil {
		return c, err
	}
	if err := c.addManual(o.ManualPages); err != nil {
		return c, err
	}
	o.progress("record", 0, 0)
	if err := c.addRecord(ctx, r, m); err != nil {
		return c, err
	}
	c.addKeymap(ctx, r, &o.Identity)
	if err := c.addSettings(m, o); err != nil {
		return c, err
	}
	c.Identity = o.Identity
	return c, nil
}

// addPrograms adds the table's programs and the user's with their libraries.
func (c *Contents) addPrograms(ctx context.Context, r system.Runner, o Options) error {
	cl := newClosure(c.Tree)
	table := TableFor(o.RestoreTools, o.Programs)
	if o.Identity.Settings.ConsoleLogin {
		table = append(table, Program{Name: "sulogin", Group: "shell", Needed: true, For: "asking for root's password on the consoles (settings: console_login)", Pkg: utilLinux})
	}
	var missing, packages []string
	var absent []Program
	family := hostFamily(c.Tree)
	for _, p := range table {
		where, ok := Find(c.Tree.Root, p)
		if !ok {
			absent = append(absent, p)
			continue
		}
		if err := cl.Add(where); err != nil {
			if p.Needed {
				return fail.New(fail.Unsupported, "cannot put %s into the rescue system: %w", p.Name, err)
			}
			c.Warnings = append(c.Warnings, fmt.Sprintf("%s is left out: %v", p.Name, err))
			continue
		}
		if path.Base(where) != path.Base(p.Name) && !c.Tree.Has("/usr/bin/"+p.Name) && p.Name != "systemd-udevd" {
			c.Tree.AddLink("/usr/bin/"+p.Name, where)
		}
		c.Programs = append(c.Programs, Installed{Program: p, Path: where})
		if err := addCompanions(cl, p.Name); err != nil {
			return err
		}
	}
	applets := c.applets(ctx, r)
	for _, p := range absent {
		switch {
		case slices.Contains(applets, p.Name):
			c.Tree.AddLink("/usr/bin/"+p.Name, "busybox")
			c.Programs = append(c.Programs, Installed{Program: p, Path: "/usr/bin/" + p.Name, Applet: true})
		case p.Needed:
			missing = append(missing, p.Name)
			if s := p.Package(family); s != "" && !slices.Contains(packages, s) {
				packages = append(packages, s)
			}
		}
	}
	if len(missing) > 0 {
		return fail.Hint(fail.New(fail.Unsupported, "cannot make a rescue system without: %s", strings.Join(missing, ", ")),
			"install %s", strings.Join(packages, " "))
	}
	return nil
}

// applets are the programs that busybox can stand in for, if it is on board in its static form or not.
func (c *Contents) applets(ctx context.Context, r system.Runner) []string {
	i := slices.IndexFunc(c.Programs, func(p Installed) bool { return p.Name == "busybox" })
	if i < 0 || r == nil {
		return nil
	}
	res, err := r.Run(ctx, system.Command{Name: c.Programs[i].Path, Args: []string{"--list"}})
	if err != nil {
		c.Warnings = append(c.Warnings, fmt.Sprintf("cannot ask busybox for its programs: %v", err))
		return nil
	}
	return strings.Fields(string(res.Stdout))
}

// Find finds a program of the table below a root directory.
func Find(root string, p Program) (string, bool) {
	t := NewTree(root)
	for _, n := range append([]string{p.Name}, p.Or...) {
		if where, ok := findProgram(t, n); ok {
			return where, true
		}
	}
	return "", false
}

func (c *Contents) addModules(o Options) error {
	mods, err := readModules(c.Tree, c.Kernel)
	if err != nil {
		return err
	}
	set := o.Modules
	if set == "" {
		set = GenericModules
	}
	files, firmware, unknown, err := mods.choose(set, loadedModules(c.Tree), o.ExtraModules, o.ExcludeModules)
	if err != nil {
		return err
	}
	for _, n := range unknown {
		c.Warnings = append(c.Warnings, fmt.Sprintf("kernel %s has no module %s (settings: extra_modules)", c.Kernel.Version, n))
	}
	c.Modules = files
	missing, err := mods.addModules(c.Modules, firmware)
	if err != nil {
		return err
	}
	c.MissingFirmware = missing
	return nil
}

// addUserFile adds a file, or a directory with all below it, that the settings name.
func (c *Contents) addUserFile(f string) error {
	err := c.Tree.AddHostTree(f, nil)
	if errors.Is(err, fs.ErrNotExist) {
		return fail.Hint(fail.New(fail.Usage, "cannot put %s into the rescue system: %w", f, err), "take it out of the list of files in the settings")
	}
	return err
}
