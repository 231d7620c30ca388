package rescue

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"
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
	Lang           string    // the locale where no file of the machine names one
	Identity       Identity  // Kernel and MemoryNeeded are filled in here
	WorkDir        string    // where the stage and the result go; "": a new one below /var/tmp
	Level          int       // zstd; 0: DefaultLevel
	SourceDate     time.Time // time of every file; zero: Identity.Made
	// OwnPages writes the manual pages of mkcdrec itself, dated by Identity.Made;
	// may be nil. The binary on board knows them, whatever is installed here.
	OwnPages func(made time.Time) ([]Page, error)
	// without are paths of programs, or of a locale, that are there and are left
	// out all the same.
	without map[string]bool
	// Progress is told of each stage, with a count where there is one; may be nil.
	Progress func(stage string, done, total int)
}

func (o Options) progress(stage string, done, total int) {
	if o.Progress != nil {
		o.Progress(stage, done, total)
	}
}

// Page is a manual page that is on no machine's disk.
type Page struct {
	Name string // file name: "mkcdrec-restore.8"
	Text []byte // roff
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
	Notes           []string // what is not as on this machine, and is no fault
	Identity        Identity // as Options.Identity, with what was found here

	closure    *closure // of everything in Tree
	localeFrom string   // the file or directory with the locale; "": C.UTF-8 alone
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
var Names = []string{"start-restore.sh", "clone-disk.sh", "clone-dsk.sh", "restore-fs.sh", "poweroff", "reboot", "halt"}

// Gather decides what goes into the rescue system of a machine. It reads
// files and runs programs that only read (see record). A needed program that
// is not there is a fail.Unsupported error that names all of them.
func Gather(ctx context.Context, r system.Runner, m machine.Machine, o Options) (Contents, error) {
	c := Contents{Tree: NewTree(o.Root)}
	c.closure = newClosure(c.Tree)
	var err error
	if c.Kernel, err = FindKernel(o.Root, m.Kernel, o.Kernel); err != nil {
		return c, err
	}
	if err := unpacksZstd(c.Tree, c.Kernel); err != nil {
		return c, err
	}
	if c.Kernel.Version != m.Kernel && o.Kernel == "" && m.Kernel != "" {
		c.Notes = append(c.Notes, fmt.Sprintf("the running kernel %s is not installed with its modules; the medium gets %s", m.Kernel, c.Kernel.Version))
	}
	addBase(c.Tree)
	o.progress("programs", 0, 0)
	if err := c.addPrograms(ctx, r, o); err != nil {
		return c, err
	}
	o.progress("modules", 0, 0)
	if err := c.addModules(m, o); err != nil {
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
	if err := c.addManual(o); err != nil {
		return c, err
	}
	o.progress("record", 0, 0)
	if err := c.addRecord(ctx, r, m); err != nil {
		return c, err
	}
	c.addKeymap(ctx, r, &o.Identity)
	if err := c.addLocale(&o); err != nil {
		return c, err
	}
	if err := c.addSettings(m, o); err != nil {
		return c, err
	}
	c.Identity = o.Identity
	return c, nil
}

func (c *Contents) addModules(m machine.Machine, o Options) error {
	mods, err := readModules(c.Tree, c.Kernel)
	if err != nil {
		return err
	}
	set := o.Modules
	if set == "" {
		set = GenericModules
	}
	used, err := mods.usedModules(m)
	if err != nil {
		return err
	}
	files, firmware, unknown, err := mods.choose(set, used, o.ExtraModules, o.ExcludeModules)
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

// addUserFile adds a file, or a directory with all below it, that the settings
// name. Programs and libraries in it get what they need; what lacks something
// here comes as it is, for it may be meant for another machine.
func (c *Contents) addUserFile(f string) error {
	before := c.Tree.mark()
	err := c.Tree.AddHostTree(f, nil)
	if errors.Is(err, fs.ErrNotExist) {
		return fail.Hint(fail.New(fail.Usage, "cannot put %s into the rescue system: %w", f, err), "take it out of the list of files in the settings")
	}
	if err != nil {
		return err
	}
	for _, p := range slices.Clone(c.Tree.order[before:]) {
		if c.Tree.entries[p].Source == "" {
			continue
		}
		if err := c.closure.Add(p); err != nil {
			c.Warnings = append(c.Warnings, fmt.Sprintf("%s will not run in the rescue system: %v (settings: files)", p, err))
		}
	}
	return nil
}
