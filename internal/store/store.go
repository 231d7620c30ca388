// Package store is where the files of backups go and come from. It knows
// names and bytes; what the bytes mean is archive's business. Each kind of
// store is a package below this one and passes storetest.Run.
package store

import (
	"context"
	"errors"
	"io"
)

// ErrNotExist is wrapped when a name is not in the store.
var ErrNotExist = errors.New("not in the store")

// ErrNoSpace is wrapped when the store is full.
var ErrNoSpace = errors.New("no space left in the store")

// ErrUnreachable is wrapped when the store could not be asked. It is never
// reported as damage.
var ErrUnreachable = errors.New("store cannot be reached")

// ErrUnreadable is wrapped by ReadAt when the store is there, and these bytes
// of the file cannot be had: bad sectors. Others may be readable.
var ErrUnreadable = errors.New("the medium cannot be read there")

// Info describes one file in a store.
type Info struct {
	Name string // slash-separated, relative: "web1/20261124T031500Z-ab12/manifest.json"
	Size int64
}

// Source is the reading side of a store. A finished recovery medium is a
// Source, too (iso9660).
type Source interface {
	// Open opens one file for reads at any offset.
	Open(ctx context.Context, name string) (ReadFile, error)
	// List lists the files whose names begin with prefix, sorted by name.
	List(ctx context.Context, prefix string) ([]Info, error)
	// String says where this is, for people.
	String() string
}

// ReadFile is an opened file. ReadAt may be called by several goroutines.
type ReadFile interface {
	io.ReaderAt
	io.Closer
	Size() int64
}

// Sink is the writing side of a store. Files may be created one after the
// other only: a recovery medium is written in one stream.
type Sink interface {
	// Create starts a file. It becomes visible under its name by Commit, whole.
	Create(ctx context.Context, name string) (WriteFile, error)
	// Free is the space left in bytes; -1 where that is not known.
	Free(ctx context.Context) (int64, error)
	String() string
}

// WriteFile is a file being written. Exactly one of Commit and Abort ends it.
type WriteFile interface {
	io.Writer
	Commit() error
	Abort() error
}

// Store is both sides.
type Store interface {
	Source
	Sink
	// Remove removes one file; the caller names only what this program made.
	Remove(ctx context.Context, name string) error
}
