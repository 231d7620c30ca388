package backup

import (
	"context"
	"encoding/json"
	"fmt"
	"path"
	"time"

	"github.com/mkcdrec/mkcdrec/internal/archive"
	"github.com/mkcdrec/mkcdrec/internal/store"
)

// A run that is killed cannot remove what it wrote. It has claimed its
// directory with the note below; the next run of the same machine, which holds
// the lock, removes what such a note is in and no manifest.

// note says who writes a directory.
type note struct {
	Program   string `json:"program"` // always noteProgram
	ID        string `json:"id"`
	Host      string `json:"host"`       // the directory that the backup's own is in
	MachineID string `json:"machine_id"` // hosts may share a name
}

const noteProgram = "mkcdrec backup"

func noteOf(opt Options, prefix, id string) note {
	n := note{Program: noteProgram, ID: id, Host: prefix}
	if opt.Machine != nil {
		n.MachineID = opt.Machine.MachineID
	}
	return n
}

// IsID says whether a name is one that NewID makes.
func IsID(name string) bool {
	const layout = "20060102T150405Z"
	if len(name) != len(layout)+5 || name[len(layout)] != '-' {
		return false
	}
	for _, c := range name[len(layout)+1:] {
		if (c < '0' || c > '9') && (c < 'a' || c > 'f') {
			return false
		}
	}
	_, err := time.Parse(layout, name[:len(layout)])
	return err == nil
}

// tidy removes what earlier runs of this machine left unfinished below the
// prefix. Failing at that is told, and keeps no backup from being made. A
// machine without an ID cannot know its own, and removes nothing.
func tidy(ctx context.Context, opt Options) {
	c, ok := opt.Sink.(store.Claimer)
	if !ok || opt.Writer.Prefix == "" || opt.Machine == nil || opt.Machine.MachineID == "" {
		return
	}
	left, err := c.Sweep(ctx, opt.Writer.Prefix, store.Sweep{
		Ours: func(base string, content []byte) bool {
			var n note
			return IsID(base) && json.Unmarshal(content, &n) == nil && n == noteOf(opt, opt.Writer.Prefix, base)
		},
		Made: archive.IsPart, Finished: archive.ManifestName,
	})
	if err != nil {
		left = append(left, store.Leftover{Name: opt.Writer.Prefix, Kept: err})
	}
	for _, l := range left {
		if opt.OnLeftover != nil {
			opt.OnLeftover(l)
		}
	}
}

// claim marks the backup's directory where the store can; end takes the mark
// away.
func claim(ctx context.Context, opt Options) (end func(finished bool) error, err error) {
	c, ok := opt.Sink.(store.Claimer)
	if !ok {
		return func(bool) error { return nil }, nil
	}
	content, err := json.Marshal(noteOf(opt, path.Dir(opt.Writer.Prefix), opt.ID))
	if err != nil {
		return nil, fmt.Errorf("cannot note who writes the backup: %w", err)
	}
	held, err := c.Claim(ctx, opt.Writer.Prefix, content)
	if err != nil {
		return nil, err
	}
	return func(finished bool) error {
		if finished {
			return held.Finish()
		}
		return held.Drop()
	}, nil
}
