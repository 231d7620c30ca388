package rescue

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
