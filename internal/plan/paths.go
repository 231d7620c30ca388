package plan

import (
	"strings"

	"github.com/mkcdrec/mkcdrec/internal/fail"
	"github.com/mkcdrec/mkcdrec/internal/machine"
)

// validPaths checks that each name leads where devices of its kind are. Guards
// go by names and programs by paths: a path that leads elsewhere would get past
// every guard.
func validPaths(m machine.Machine) error {
	name := func(what, s string) error {
		if s == "" || s == "." || s == ".." || strings.Contains(s, "/") {
			return fail.New(fail.Refused, "%s has the name %q", what, s)
		}
		return nil
	}
	for _, a := range m.Arrays {
		named, ok := strings.CutPrefix(a.Path, "/dev/md/")
		if a.Path != "/dev/"+a.Name && (!ok || name("an array", named) != nil) {
			return fail.New(fail.Refused, "array %s is to be at %s, where no array can be", a.Name, a.Path)
		}
	}
	for _, c := range m.Crypts {
		if err := name("an encrypted device", c.Name); err != nil {
			return err
		}
	}
	for _, g := range m.VolumeGroups {
		if err := name("a volume group", g.Name); err != nil {
			return err
		}
		for _, lv := range g.Logical {
			if err := name("a volume of "+g.Name, lv.Name); err != nil {
				return err
			}
		}
	}
	return nil
}
