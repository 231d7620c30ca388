package backup

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/mkcdrec/mkcdrec/internal/archive"
	"github.com/mkcdrec/mkcdrec/internal/selection"
	"github.com/mkcdrec/mkcdrec/internal/snapshot"
	"github.com/mkcdrec/mkcdrec/internal/tool/fsfreeze"
)

// watchEvery is how often the snapshots are asked whether they are full.
const watchEvery = 5 * time.Second

// Skip says of an absolute path whether a backup with these options leaves it
// out: by its patterns, by its Only, or as a snapshot.
func Skip(opt Options) (func(string) bool, error) {
	walk := walkOptions(opt)
	pat, err := walk.patterns()
	if err != nil {
		return nil, err
	}
	only := selection.NewOnly(opt.Only)
	return func(p string) bool { return pat.ExcludedWithin(relative(p)) || !only.Wants(relative(p)) }, nil
}

// HasSnapshotHooks says whether there is anything to run around the snapshots.
func HasSnapshotHooks(dir string) bool {
	return dir != "" && len(findHooks(dir, "pre-snapshot"))+len(findHooks(dir, "post-snapshot")) > 0
}

// takeSnapshots takes what the plan says, between hooks of their own: a
// database stands still for so long, and not for the whole backup. Without a
// snapshot to take none is run. The Set is there also with an error.
func takeSnapshots(ctx context.Context, opt Options, res *Result) (set *snapshot.Set, err error) {
	plan := opt.Snapshots
	if plan == nil {
		plan = &snapshot.Plan{}
	}
	so := snapshot.Options{ID: opt.ID, Runner: opt.Runner, Now: opt.Writer.Now}
	if opt.Machine != nil {
		so.MachineID = opt.Machine.MachineID
	}
	take := func() (*snapshot.Set, error) { return snapshot.Take(ctx, plan, so) }
	mounts := plan.Takes()
	if len(mounts) == 0 {
		return take()
	}
	env := "MKCDREC_SNAPSHOTS=" + strings.Join(mounts, "\n")
	// What the first hook has stopped is started again whatever happens.
	defer func() {
		hookErr := runHooks(context.WithoutCancel(ctx), opt, "post-snapshot", env)
		switch {
		case hookErr == nil:
		case err != nil:
			err = fmt.Errorf("%w; and behind it: %w", err, hookErr)
		default:
			res.PostHook = hookErr
		}
	}()
	if err := runHooks(ctx, opt, "pre-snapshot", env); err != nil {
		return new(snapshot.Set), err
	}
	return take()
}

// walkSources walks what the snapshots show, and notices when one of them
// does not show it any more: then it is an error, whatever was read.
func walkSources(ctx context.Context, w *archive.Writer, walk WalkOptions, set *snapshot.Set) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	tick := time.NewTicker(watchEvery)
	defer tick.Stop()
	go set.Watch(ctx, tick.C, cancel)

	var notHeld []archive.Warning
	walk.Sources, walk.Hold = set.Dirs, map[string]func(context.Context) (func() error, error){}
	for i := range set.Choices {
		if c := &set.Choices[i]; c.Method == snapshot.Frozen {
			walk.Hold[c.Mount] = hold(set, c, &notHeld)
		}
	}
	if err := Walk(ctx, w, walk); err != nil {
		if cause := context.Cause(ctx); cause != nil && !errors.Is(cause, context.Canceled) {
			return cause
		}
		return err
	}
	if err := set.Check(ctx); err != nil {
		return err
	}
	for _, m := range set.Failed {
		for _, c := range set.Choices {
			if c.Mount == m {
				w.Warn(relative(m), "read while it was in use: "+c.Why)
			}
		}
	}
	for _, p := range notHeld {
		w.Warn(p.Path, p.Problem)
	}
	w.ReadFrom(sources(set))
	return nil
}

// hold freezes a mount for the walk. What goes wrong with that is a warning of
// the backup, unless snapshots are required: then it is the walk's error.
func hold(set *snapshot.Set, c *snapshot.Choice, problems *[]archive.Warning) func(context.Context) (func() error, error) {
	live := func(err error) error {
		if set.Required() {
			return err
		}
		c.Method, c.Why = snapshot.Live, err.Error()
		*problems = append(*problems, archive.Warning{Path: relative(c.Mount), Problem: "read while it was in use: " + c.Why})
		return nil
	}
	return func(ctx context.Context) (func() error, error) {
		thaw, err := set.Hold(ctx, c.Mount)
		if err != nil {
			return func() error { return nil }, live(err)
		}
		return func() error {
			err := thaw()
			if errors.Is(err, fsfreeze.ErrLimit) {
				return live(err)
			}
			return err
		}, nil
	}
}

// sources are what the manifest says of the set.
func sources(set *snapshot.Set) []archive.Source {
	var out []archive.Source
	for _, c := range set.Choices {
		s := archive.Source{Mount: c.Mount, By: string(c.Method), Why: c.Why}
		if at, ok := set.At[c.Mount]; ok {
			at = at.UTC()
			s.At = &at
		}
		out = append(out, s)
	}
	return out
}
