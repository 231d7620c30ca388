// Package doctor checks whether everything is here that a recovery medium of
// this machine needs, and what it will boot on. It changes nothing and
// installs nothing; it returns the checks as values.
package doctor

import (
	"context"
	"path/filepath"
	"slices"

	"github.com/mkcdrec/mkcdrec/internal/machine"
	"github.com/mkcdrec/mkcdrec/internal/rescue"
	"github.com/mkcdrec/mkcdrec/internal/system"
)

// Status is the result of a check.
type Status int

// The results.
const (
	Passed        Status = iota // a condition holds
	Found                       // something is here
	NotFound                    // something is missing, or a condition does not hold
	NotApplicable               // there is nothing to check here
)

// String is the result for people.
func (s Status) String() string {
	return [...]string{"passed", "found", "not found", "not applicable"}[s]
}

// MarshalText writes the result by its name.
func (s Status) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// Check is one finished check.
type Check struct {
	Name   string `json:"name"`
	Status Status `json:"status"`
	// Needed: without it no medium can be made.
	Needed bool `json:"needed"`
	// Detail is what was found, or what is needed for what.
	Detail string `json:"detail,omitempty"`
	// Packages are what to install for it, by this distribution's names.
	Packages []string `json:"packages,omitempty"`
}

// Options say what is checked.
type Options struct {
	Runner      system.Runner
	Root        string // "": /
	Machine     machine.Machine
	Destination string   // where the image will go
	BackupTo    string   // directory where the backup goes; "": into the image
	WorkDir     string   // where temporary files go
	Exclude     []string // patterns and names of findings from the settings
	Kernel      string   // wish from the settings
	Programs    []string // further programs from the settings
	// RestoreTools are the programs that restoring this machine calls (restore.Tools).
	RestoreTools []string
}

// environment is what the checks share.
type environment struct {
	Options
	family rescue.Family
	kernel *rescue.Kernel
}

// path is a path of the machine that is checked.
func (e *environment) path(p string) string { return filepath.Join("/", e.Root, p) }

// Run makes all checks, in a fixed order.
func Run(ctx context.Context, o Options) []Check {
	e := &environment{Options: o, family: rescue.FamilyAt(o.Root)}
	var all []Check
	for _, checks := range []func(context.Context, *environment) []Check{
		host, kernel, programs, fileSystems, network, findings, bootLoaders, memory, space,
	} {
		all = append(all, checks(ctx, e)...)
	}
	return all
}

// Packages are all packages to install, needed or useful, sorted.
func Packages(checks []Check) []string {
	var all []string
	for _, c := range checks {
		if c.Status == NotFound {
			all = append(all, c.Packages...)
		}
	}
	slices.Sort(all)
	return slices.Compact(all)
}

// passed is Passed or NotFound.
func passed(ok bool) Status {
	if ok {
		return Passed
	}
	return NotFound
}
