package store

import "context"

// Claimer is a store in which a run that is killed leaves files behind. A run
// claims the directory that it writes into, so that a later one can tell what
// is left of it from what somebody else has put there.
type Claimer interface {
	// Claim makes the directory name, which must not exist, and marks it as
	// being written, with a note for whoever finds it.
	Claim(ctx context.Context, name string, note []byte) (Claim, error)
	// Sweep removes the directories directly below parent that were claimed
	// and not finished, as s says. An error of one directory is in its Leftover.
	Sweep(ctx context.Context, parent string, s Sweep) ([]Leftover, error)
}

// Claim is a directory that is being written. Exactly one of its methods ends it.
type Claim interface {
	// Finish takes the mark away: the directory is complete.
	Finish() error
	// Drop takes the mark away, and the directory if nothing is in it.
	Drop() error
}

// Sweep says which directories are leftovers. One that holds anything else
// than what Made names is left as it is, whole.
type Sweep struct {
	Ours     func(base string, note []byte) bool // by its last component and its note
	Made     func(file string) bool              // names that a run gives to its files
	Finished string                              // a file that is in complete directories
}

// Leftover is a directory that an unfinished run has left.
type Leftover struct {
	Name  string
	Bytes int64 // of its files
	Kept  error // why it is still there; nil: it was removed
}
