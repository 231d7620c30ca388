// Package selection decides by name which paths a backup has: what is left out
// by pattern, and what was asked for. It is pure.
package selection

import (
	"path"
	"regexp"
	"strings"

	"github.com/mkcdrec/mkcdrec/internal/fail"
)

// Patterns decides by name what is left out. The zero value leaves out nothing.
type Patterns struct {
	plain map[string]bool
	globs []*regexp.Regexp
}

// Compile reads exclude patterns. A pattern is an absolute path, which
// leaves out that path and everything below it; it may hold * and ? (within
// one component), and ** (any number of components). "/dir/*" keeps the
// directory and leaves out its content. A pattern without a leading slash may
// begin in any directory: "*.tmp", "node_modules", "cache/*".
func Compile(patterns []string) (*Patterns, error) {
	p := &Patterns{plain: map[string]bool{}}
	for _, s := range patterns {
		if strings.Trim(s, "/") == "" {
			return nil, fail.Hint(fail.New(fail.Usage, "exclude pattern %q would leave out everything", s),
				"write an absolute path such as /var/cache, or a pattern such as *.tmp")
		}
		s = strings.TrimRight(s, "/")
		if strings.HasPrefix(s, "/") && !strings.ContainsAny(s, "*?") {
			p.plain[path.Clean(s)] = true
			continue
		}
		p.globs = append(p.globs, globExpr(s))
	}
	return p, nil
}

// Add leaves out one path more, with everything below it, whatever letters its
// name has. The root cannot be left out.
func (p *Patterns) Add(literal string) {
	if literal = path.Clean("/" + literal); literal != "/" {
		p.plain[literal] = true
	}
}

func globExpr(s string) *regexp.Regexp {
	var b strings.Builder
	b.WriteString("^(?s:")
	if !strings.HasPrefix(s, "/") {
		b.WriteString("(?:/.*)?/")
	}
	for i := 0; i < len(s); i++ {
		switch {
		case strings.HasPrefix(s[i:], "**/"):
			b.WriteString("(?:.*/)?")
			i += 2
		case strings.HasPrefix(s[i:], "**"):
			b.WriteString(".*")
			i++
		case s[i] == '*':
			b.WriteString("[^/]*")
		case s[i] == '?':
			b.WriteString("[^/]")
		default:
			b.WriteString(regexp.QuoteMeta(s[i : i+1]))
		}
	}
	b.WriteString(")$")
	return regexp.MustCompile(b.String())
}

// Excluded says whether a name (relative to the root, as in Entry.Name) is
// matched itself; what lies below a matched name is left out with it.
func (p *Patterns) Excluded(name string) bool {
	if p == nil || name == "." {
		return false
	}
	abs := "/" + name
	if p.plain[abs] {
		return true
	}
	for _, g := range p.globs {
		if g.MatchString(abs) {
			return true
		}
	}
	return false
}

// ExcludedWithin is Excluded for a name or any directory above it.
func (p *Patterns) ExcludedWithin(name string) bool {
	for n := name; n != "."; n = path.Dir(n) {
		if p.Excluded(n) {
			return true
		}
	}
	return false
}

// Only picks paths: those asked for, all below them, and the directories
// that lead to them. The zero value picks all.
type Only []string

// NewOnly takes absolute paths; one that is the root picks all.
func NewOnly(paths []string) Only {
	var o Only
	for _, p := range paths {
		p = strings.TrimPrefix(path.Clean("/"+p), "/")
		if p == "" {
			return nil
		}
		o = append(o, p)
	}
	return o
}

// Wants says whether a name, relative to the root, is picked.
func (o Only) Wants(name string) bool {
	if len(o) == 0 || name == "." {
		return true
	}
	for _, p := range o {
		if name == p || strings.HasPrefix(name, p+"/") || strings.HasPrefix(p, name+"/") {
			return true
		}
	}
	return false
}
