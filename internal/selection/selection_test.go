package selection

import (
	"testing"

	"github.com/mkcdrec/mkcdrec/internal/fail"
)

func TestExcluded(t *testing.T) {
	for _, c := range []struct {
		pattern   string
		out, kept []string
	}{
		{"/var/cache", []string{"var/cache", "var/cache/apt/x"}, []string{"var", "var/cached", "srv/var/cache"}},
		{"/var/cache/", []string{"var/cache"}, []string{"var"}},
		{"/tmp/*", []string{"tmp/a", "tmp/a/b"}, []string{"tmp", "tmpx"}},
		{"*.tmp", []string{"a.tmp", "x/y/a.tmp", "x/a.tmp/inside"}, []string{"a.tmpx", "tmp"}},
		{"node_modules", []string{"srv/app/node_modules/x"}, []string{"srv/node_modules2"}},
		{"cache/*", []string{"a/cache/b"}, []string{"a/cache"}},
		{"/srv/**/log", []string{"srv/log", "srv/a/b/log/x"}, []string{"log", "srv/log2"}},
		{"/a?c", []string{"abc"}, []string{"ac", "a/c"}},
		{"/odd\nname[1]", []string{"odd\nname[1]"}, []string{"odd\nname1"}},
		{"/x*y", []string{"x\nzy"}, []string{"x/zy"}},
	} {
		p, err := Compile([]string{c.pattern})
		if err != nil {
			t.Fatal(err)
		}
		for _, n := range c.out {
			if !p.ExcludedWithin(n) {
				t.Errorf("%q does not leave out %q", c.pattern, n)
			}
		}
		for _, n := range append(c.kept, ".") {
			if p.ExcludedWithin(n) {
				t.Errorf("%q leaves out %q", c.pattern, n)
			}
		}
	}
}

func TestPatternOfEverythingIsRefused(t *testing.T) {
	for _, s := range []string{"", "/", "//"} {
		if _, err := Compile([]string{s}); fail.KindOf(err) != fail.Usage || fail.HintOf(err) == "" {
			t.Errorf("%q: %v", s, err)
		}
	}
}

func TestAddTakesTheNameAsItIs(t *testing.T) {
	p, err := Compile(nil)
	if err != nil {
		t.Fatal(err)
	}
	p.Add("/srv/a*b?")
	p.Add("/")
	if !p.ExcludedWithin("srv/a*b?/x") || p.Excluded("srv/aXbY") || p.Excluded("etc") {
		t.Error("a literal path was taken for a pattern, or the root for a path")
	}
}

func TestOnly(t *testing.T) {
	o := NewOnly([]string{"/srv/www", "/etc/"})
	for name, want := range map[string]bool{".": true, "srv": true, "srv/www": true, "srv/www/a": true, "etc/passwd": true, "srv/www2": false, "home": false, "et": false} {
		if o.Wants(name) != want {
			t.Errorf("%q: wanted %v", name, !want)
		}
	}
	for _, all := range []Only{nil, NewOnly(nil), NewOnly([]string{"/etc", "/"})} {
		if !all.Wants("home/x") {
			t.Errorf("%v does not pick all", all)
		}
	}
}
