package restore

import (
	"path"
	"slices"
	"strings"

	"github.com/mkcdrec/mkcdrec/internal/archive"
	"github.com/mkcdrec/mkcdrec/internal/fail"
	"github.com/mkcdrec/mkcdrec/internal/plan"
	"github.com/mkcdrec/mkcdrec/internal/selection"
)

// Covers refuses a backup that has only a part of what would be made anew: the
// whole machine, or with a scope the file systems in it. Such a backup records
// the layout of all disks; a restore would erase them, and bring a few paths
// back. The errors are of kind fail.Refused.
func Covers(m *archive.Manifest, scope *plan.Scope) error {
	if scope != nil {
		if err := coversFS(m, scope); err != nil {
			return err
		}
	}
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

// coversFS refuses a backup in which all that is on a file system was left out
// by pattern. Single files that match one are what the administrator did
// without.
func coversFS(m *archive.Manifest, scope *plan.Scope) error {
	patterns, err := selection.Compile(m.Exclude)
	if err != nil {
		return fail.New(fail.Damaged, "the exclude patterns in the manifest: %w", err)
	}
	for _, mount := range scope.Mounts {
		// A name that nobody has is matched by what matches every name.
		if patterns.ExcludedWithin(path.Join(mount, "any\x00name")[1:]) {
			return fail.Hint(fail.New(fail.Refused, "what is on %s was left out of this backup: %s", mount, m.Exclude),
				"choose another backup: --id; see: mkcdrec list")
		}
	}
	return nil
}
