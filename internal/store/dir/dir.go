// Package dir is a store in a directory: a local disk, a mounted NFS share.
// It does not mount anything, and never creates the directory it is given.
package dir

import (
	"errors"

	"github.com/mkcdrec/mkcdrec/internal/store"
)

// Open opens the directory root as a store. It must exist.
func Open(root string) (store.Store, error) { return nil, errors.New("dir: not built yet") }
