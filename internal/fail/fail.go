// Package fail holds the kinds of error that mkcdrec distinguishes, their
// exit codes and the hints that go with them. It does not print: ui does.
package fail

import (
	"errors"
	"fmt"
)

// Kind says what sort of failure an error is; it decides the exit code.
type Kind int

// The kinds, in the order of their exit codes. docs/exit-codes.md is the
// same table for people; a test compares the two.
const (
	Failed      Kind = 1 // something that was attempted did not work
	Usage       Kind = 2 // the command line, settings or answer file is wrong
	Warnings    Kind = 3 // done, with warnings, each named
	Refused     Kind = 4 // refused for safety: nothing was changed
	Damaged     Kind = 5 // the archive or medium is damaged or incomplete
	WrongKey    Kind = 6 // the backup cannot be decrypted with the keys given
	Unsupported Kind = 7 // cannot be recorded or rebuilt here (missing tool, unknown storage)
	Interrupted Kind = 8 // interrupted; a second start goes on from there
)

// Name is the kind's name as the JSON output says it.
func (k Kind) Name() string {
	switch k {
	case Usage:
		return "usage"
	case Warnings:
		return "warnings"
	case Refused:
		return "refused"
	case Damaged:
		return "damaged"
	case WrongKey:
		return "wrong-key"
	case Unsupported:
		return "unsupported"
	case Interrupted:
		return "interrupted"
	}
	return "failed"
}

// Error is an error with a kind and, where there is one, a hint: what the
// administrator can do next, as a sentence without a full stop.
type Error struct {
	Kind Kind
	Hint string
	Err  error
}

func (e *Error) Error() string { return e.Err.Error() }
func (e *Error) Unwrap() error { return e.Err }

// New makes an error of a kind. The format may use %w.
func New(kind Kind, format string, args ...any) error {
	return &Error{Kind: kind, Err: fmt.Errorf(format, args...)}
}

// Hint adds a hint to an error and keeps its kind; nil stays nil.
func Hint(err error, format string, args ...any) error {
	if err == nil {
		return nil
	}
	return &Error{Kind: KindOf(err), Hint: fmt.Sprintf(format, args...), Err: err}
}

// KindOf is the kind of the outermost Error in the chain; an error without
// one counts as Failed.
func KindOf(err error) Kind {
	var e *Error
	if errors.As(err, &e) {
		return e.Kind
	}
	return Failed
}

// HintOf is the first hint found from the outside in, or "".
func HintOf(err error) string {
	for err != nil {
		var e *Error
		if !errors.As(err, &e) {
			return ""
		}
		if e.Hint != "" {
			return e.Hint
		}
		err = e.Err
	}
	return ""
}

// ExitCode is the process exit code for an error; 0 for nil.
func ExitCode(err error) int {
	if err == nil {
		return 0
	}
	return int(KindOf(err))
}
