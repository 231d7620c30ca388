// Package restore carries out a plan: it releases and rewrites disks, makes
// volumes and file systems, unpacks the backup, adapts the configuration,
// installs the boot loader and verifies the result. Each step is written to a
// journal, so that a second start goes on where the first one ended. What is
// to be done is decided before (fit, plan); nothing here asks anybody.
package restore

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"path/filepath"
	"slices"

	"github.com/mkcdrec/mkcdrec/internal/diskimage"
	"github.com/mkcdrec/mkcdrec/internal/fail"
	"github.com/mkcdrec/mkcdrec/internal/machine"
	"github.com/mkcdrec/mkcdrec/internal/plan"
	"github.com/mkcdrec/mkcdrec/internal/system"
)

// Default places in the rescue system.
const (
	DefaultTarget  = "/mnt/mkcdrec"
	DefaultJournal = "/run/mkcdrec/restore.journal"
)

// VerifyMode is how the result is compared with the catalogue.
type VerifyMode string

// The modes.
const (
	VerifyMetadata VerifyMode = "metadata" // sizes, owners, modes, times, attributes
	VerifyFull     VerifyMode = "full"     // and the content of every file
)

// Unpacked says what was unpacked. Problems name single paths that are not
// exactly as the backup has them.
type Unpacked struct {
	Paths    int64    `json:"paths"`
	Files    int64    `json:"files"`
	Bytes    int64    `json:"bytes"`
	Problems []string `json:"problems,omitempty"`
}

// Verified says what was compared. Differences name the paths.
type Verified struct {
	Paths       int64    `json:"paths"`
	Differences []string `json:"differences,omitempty"`
}

// Backup is what restore needs of a backup; FromArchive makes one.
type Backup interface {
	// Check says whether all that the scope holds is there and readable,
	// without unpacking. A nil scope holds everything. progress, here and
	// below, gets the bytes of content that were read so far.
	Check(ctx context.Context, scope *plan.Scope, progress func(done int64)) error
	// Has says whether the backup has a path, relative to the root.
	Has(ctx context.Context, path string) (bool, error)
	// Unpack puts what the scope holds below root.
	Unpack(ctx context.Context, root string, scope *plan.Scope, progress func(done int64)) (Unpacked, error)
	// Compare compares what the scope holds with root. Paths for which ignore
	// is true were changed on purpose.
	Compare(ctx context.Context, root string, scope *plan.Scope, mode VerifyMode, ignore func(path string) bool, progress func(done int64)) (Verified, error)
	// Header is the checked copy of a LUKS header, by machine.Crypt.Header.
	Header(ctx context.Context, name string) ([]byte, error)
}

// Event tells how the restore proceeds.
type Event struct {
	Step  plan.Step
	Index int    // of the step, from 0
	Of    int    // number of steps
	State string // "begun", "done", "skipped", or "progress"; before the first step "checking"
	Text  string // what is done, or was found
	Done  int64  // bytes of content, States "progress" and "checking"
}

// Options are what Run works with. Plan, Backup and System must be set.
type Options struct {
	Plan   plan.Plan
	Backup Backup
	System system.Runner
	// Look inspects this machine again before the first write, to see that
	// the disks are still those of the plan; nil: only their sizes are checked.
	Look func(ctx context.Context) (machine.Machine, error)
	// Protected are kernel names of the disks with the medium and the backup.
	Protected []string
	// Keys open the encrypted devices of the plan, by their names: what opens the
	// copy of a header, or the pass phrase of a new one.
	Keys       map[string]Key
	TargetRoot string // "": DefaultTarget
	Journal    string // "": DefaultJournal
	// Images are the disks of the plan where it makes image files; nil for disks.
	// System must then be Images.Confined().
	Images *diskimage.Set
	// Root is prefixed to /sys, /proc and /dev when they are read; "" outside of tests.
	Root     string
	Verify   VerifyMode // "": VerifyMetadata
	Fresh    bool       // ignore the journal of an interrupted restore
	Progress func(Event)
	// Sync waits until what was written to the file system of a directory is on
	// its disk; nil: system.SyncFS.
	Sync func(dir string) error
}

// Report says what was done.
type Report struct {
	Steps    int      `json:"steps"`    // carried out now
	Resumed  int      `json:"resumed"`  // found done by an earlier start
	Unpacked Unpacked `json:"unpacked"` // zero where an earlier start had unpacked
	Verified Verified `json:"verified"`
	Changes  []string `json:"changes,omitempty"`  // what differs from the backup on purpose, for people
	Warnings []string `json:"warnings,omitempty"` // everything that is not as recorded
}

// executor is one run.
type executor struct {
	Options
	m       *machine.Machine
	journal *journal
	report  Report
	changed map[string]bool   // paths, relative to the root, that Compare leaves out
	binds   []string          // mounts for the chroot, to be undone
	arrays  map[string]string // kernel name now of each array that runs, by its recorded one
}

// Run carries out the plan. All checks come before the first write
// (preflight). A nil error means that every step was done; Report.Warnings
// then still name what is not as recorded. When ctx ends, the error is of kind
// fail.Interrupted and a second Run with the same plan goes on.
func Run(ctx context.Context, opt Options) (Report, error) {
	x := newExecutor(opt)
	if x.Images != nil {
		return x.intoImages(ctx)
	}
	return x.run(ctx)
}

func (x *executor) run(ctx context.Context) (Report, error) {
	if err := x.preflight(ctx); err != nil {
		return x.report, err
	}
	done, err := x.resume(ctx)
	if err != nil {
		return x.report, x.unfinished(ctx, err)
	}
	defer x.journal.close()
	err = x.steps(ctx, done)
	if uerr := x.unbind(context.WithoutCancel(ctx)); err == nil {
		err = uerr
	}
	if err == nil {
		x.journal.remove()
		return x.report, nil
	}
	return x.report, x.unfinished(ctx, err)
}

// unfinished says of an error whether it was an interruption, and how to go on.
func (x *executor) unfinished(ctx context.Context, err error) error {
	if ctx.Err() != nil || errors.Is(err, context.Canceled) {
		err = &fail.Error{Kind: fail.Interrupted, Err: fmt.Errorf("the restore was interrupted: %w", err)}
	}
	if fail.HintOf(err) == "" && x.Images == nil {
		err = fail.Hint(err, "the restore is not finished; a second start goes on from here (journal: %s)", x.Journal)
	}
	return err
}

func newExecutor(opt Options) *executor {
	if opt.TargetRoot == "" {
		opt.TargetRoot = DefaultTarget
	}
	if opt.Journal == "" {
		opt.Journal = DefaultJournal
	}
	if opt.Verify == "" {
		opt.Verify = VerifyMetadata
	}
	if opt.Sync == nil {
		opt.Sync = system.SyncFS
	}
	x := &executor{Options: opt, changed: map[string]bool{}, arrays: map[string]string{}}
	x.m = &x.Plan.Target
	return x
}

// steps carries out what is not done yet.
func (x *executor) steps(ctx context.Context, done map[string]bool) error {
	for i, s := range x.Plan.Steps {
		if err := ctx.Err(); err != nil {
			return err
		}
		text := s.Text(*x.m)
		if done[s.ID] && !always(s.Kind) {
			x.report.Resumed++
			x.tell(Event{Step: s, Index: i, State: "skipped", Text: text})
			continue
		}
		x.tell(Event{Step: s, Index: i, State: "begun", Text: text})
		if err := x.journal.write(s.ID, "begun", nil); err != nil {
			return err
		}
		err := x.step(ctx, i, s)
		if err == nil {
			err = x.onDisk(s)
		}
		if err != nil {
			return fmt.Errorf("step %d of %d, %s: %w", i+1, len(x.Plan.Steps), text, err)
		}
		if s.Kind == plan.MountFS && s.Mount.Target == x.tops()[0].Target {
			// From here on the journal survives a power cut.
			if err := x.journal.copyTo(filepath.Join(x.TargetRoot, s.Mount.Target, journalOnTarget)); err != nil {
				return err
			}
		}
		if err := x.journal.write(s.ID, "done", x.changedPaths()); err != nil {
			return err
		}
		x.report.Steps++
		x.tell(Event{Step: s, Index: i, State: "done", Text: text})
	}
	return nil
}

// always says that a step is carried out again on every start: mounts do not
// survive, and what is verified is the end result.
func always(k plan.Kind) bool {
	return k == plan.MountFS || k == plan.VerifyRestored || k == plan.UnmountAll
}

func (x *executor) tell(e Event) {
	if x.Progress != nil {
		e.Of = len(x.Plan.Steps)
		x.Progress(e)
	}
}

// progress tells how far a step is.
func (x *executor) progress(i int, s plan.Step) func(done int64) {
	return func(done int64) { x.tell(Event{Step: s, Index: i, State: "progress", Done: done}) }
}

func (x *executor) warn(format string, args ...any) {
	x.report.Warnings = append(x.report.Warnings, fmt.Sprintf(format, args...))
}

func (x *executor) change(path, format string, args ...any) {
	if path != "" {
		x.changed[path] = true
	}
	x.report.Changes = append(x.report.Changes, fmt.Sprintf(format, args...))
}

// changedPaths is the set changed as the journal keeps it.
func (x *executor) changedPaths() []string {
	return slices.Sorted(maps.Keys(x.changed))
}

func (x *executor) step(ctx context.Context, i int, s plan.Step) error {
	if err := x.ours(s); err != nil {
		return err
	}
	switch s.Kind {
	case plan.Release:
		return x.release(ctx, s)
	case plan.Wipe:
		return x.wipe(ctx, s)
	case plan.PartitionDisk:
		return x.partition(ctx, s)
	case plan.MakeArray:
		return x.makeArray(ctx, s)
	case plan.MakeCrypt:
		return x.makeCrypt(ctx, s)
	case plan.CreatePV, plan.CreateVG, plan.CreateLV:
		return x.volumes(ctx, s)
	case plan.MakeFS:
		return x.makeFS(ctx, s)
	case plan.MakeSwap:
		return x.makeSwap(ctx, s)
	case plan.Subvolumes:
		return x.subvolumes(ctx, s)
	case plan.MountFS:
		return x.mount(ctx, s)
	case plan.MountPoints:
		return x.mountPoints(s)
	case plan.Unpack:
		return x.unpack(ctx, i, s)
	case plan.SwapFile:
		return x.swapFile(ctx, s)
	case plan.Identity:
		return x.identity(ctx, s)
	case plan.Initramfs:
		return x.initramfs(ctx)
	case plan.InstallLoader:
		return x.bootLoader(ctx, s)
	case plan.VerifyRestored:
		return x.verify(ctx, i, s)
	case plan.UnmountAll:
		return x.unmountAll(ctx)
	}
	return fail.New(fail.Unsupported, "this version does not know the step %q", s.Kind)
}
