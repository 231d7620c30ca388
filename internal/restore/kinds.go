package restore

import (
	"fmt"
	"iter"
	"strings"

	"github.com/mkcdrec/mkcdrec/internal/archive"
	"github.com/mkcdrec/mkcdrec/internal/inode"
	"github.com/mkcdrec/mkcdrec/internal/machine"
	"github.com/mkcdrec/mkcdrec/internal/plan"
)

// kindFlags are the chattr flags that a file of a kind of file system can be
// given (chattr(1), ext4(5), xfs(5), btrfs(5)): without those that depend on a
// feature which a file system of another kind is not made with.
var kindFlags = map[machine.FSKind]uint32{
	"ext4": inode.FlagSecrm | inode.FlagUnrm | inode.FlagSync | inode.FlagImmutable | inode.FlagAppend | inode.FlagNodump |
		inode.FlagNoatime | inode.FlagJournalData | inode.FlagNotail | inode.FlagDirsync | inode.FlagTopdir,
	"xfs":   inode.FlagSync | inode.FlagImmutable | inode.FlagAppend | inode.FlagNodump | inode.FlagNoatime,
	"btrfs": inode.FlagSync | inode.FlagImmutable | inode.FlagAppend | inode.FlagNodump | inode.FlagNoatime | inode.FlagDirsync | inode.FlagNocow,
}

// losing counts the paths that lose something on a file system of another kind.
type losing struct {
	scope *plan.Scope
	paths int64
	first string
}

// adapt takes from an entry what the file system that it goes to cannot hold.
func (l *losing) adapt(e *archive.Entry) {
	kind := l.scope.KindAt(e.Name)
	if kind == "" {
		return
	}
	lost := e.Flags&^kindFlags[kind] != 0
	e.Flags &= kindFlags[kind]
	if e.Project != 0 && kind != "xfs" { // the ext4 is made without the feature
		e.Project, lost = 0, true
	}
	for name := range e.Xattrs {
		if strings.HasPrefix(name, "btrfs.") && kind != "btrfs" {
			delete(e.Xattrs, name)
			lost = true
		}
	}
	if !lost {
		return
	}
	if l.paths++; l.paths == 1 {
		l.first = archive.Show(e.Name)
	}
}

// problem says what was lost; "" for nothing.
func (l *losing) problem() string {
	if l.paths == 0 {
		return ""
	}
	return fmt.Sprintf("flags or properties that the new kind of file system does not have are lost on %d paths, the first is %s", l.paths, l.first)
}

// adapted are entries as they can be on the file systems that they go to.
func adapted[T any](l *losing, in iter.Seq2[T, error], entry func(T) *archive.Entry) iter.Seq2[T, error] {
	return func(yield func(T, error) bool) {
		for v, err := range in {
			if err == nil {
				l.adapt(entry(v))
			}
			if !yield(v, err) {
				return
			}
		}
	}
}
