package restore

import (
	"slices"
	"strings"

	"github.com/mkcdrec/mkcdrec/internal/archive"
	"github.com/mkcdrec/mkcdrec/internal/fail"
	"github.com/mkcdrec/mkcdrec/internal/plan"
)

// Covers refuses a backup that has only a part of what would be made anew: the
// whole machine, or with a scope the file systems in it. Such a backup records
// the layout of all disks; a restore would erase them, and bring a few paths
// back. The errors are of kind fail.Refused.
func Covers(m *archive.Manifest, scope *plan.Scope) error {
	if !m.Partial() {
		return nil
	}
	has := strings.Join(m.Only, ", ")
	if scope == nil {
		return fail.Hint(fail.New(fail.Refused, "this backup has only %s, not the whole machine: nothing else would come back to the disks that are erased", has),
			"take files out of it: mkcdrec extract; or bring back a file system that it has wholly: mkcdrec restore-fs")
	}
	for _, mount := range scope.Mounts {
		if !slices.ContainsFunc(m.Only, func(o string) bool { return mount == o || strings.HasPrefix(mount, o+"/") }) {
			return fail.Hint(fail.New(fail.Refused, "this backup has only %s, not the whole file system of %s", has, mount),
				"take files out of it: mkcdrec extract")
		}
	}
	return nil
}
