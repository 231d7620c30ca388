// Package backup backs up a running machine: it walks the recorded file
// systems of a live root and hands every path to an archive, between the
// administrator's hooks and under a lock. It neither knows the format
// (archive) nor where volumes go (store), and it changes nothing on the
// machine, but for the snapshots that it has taken (snapshot).
package backup

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"path/filepath"
	"sort"
	"strings"
	"time"

	"github.com/mkcdrec/mkcdrec/internal/archive"
	"github.com/mkcdrec/mkcdrec/internal/fail"
	"github.com/mkcdrec/mkcdrec/internal/machine"
	"github.com/mkcdrec/mkcdrec/internal/selection"
	"github.com/mkcdrec/mkcdrec/internal/snapshot"
	"github.com/mkcdrec/mkcdrec/internal/store"
	"github.com/mkcdrec/mkcdrec/internal/system"
	"golang.org/x/sys/unix"
)

// Options say what is backed up and how.
type Options struct {
	Machine  *machine.Machine // its mounts are walked, its swap files left out
	Root     string           // the live root; "": "/"
	Exclude  []string         // see selection.Compile
	Only     []string         // absolute paths; nil: everything
	LeaveOut []Snapshots      // see LeaveOutSnapshots
	// Own are directories of this run that are not part of the machine: the
	// work directory, the destination, where images go.
	Own     []string
	Readers int // see WalkOptions

	Sink store.Sink
	// Writer is passed on; Prefix is the directory that the backup's own
	// directory is made in, BackupID is filled in.
	Writer archive.WriterOptions
	ID     string // "": NewID

	// Snapshots say from where each mount is read; nil: everything live.
	Snapshots *snapshot.Plan

	Lock   string        // "": LockFile; "-": the caller holds the lock
	Hooks  string        // directory with the hooks, file or directory each; "": none
	Runner system.Runner // runs the hooks, and takes the snapshots

	OnProgress func(Progress)       // called from the walking goroutine, for each path
	OnLeftover func(store.Leftover) // called for what earlier runs left in the sink, before the backup begins
}

// Progress is how far a backup is.
type Progress struct {
	Path  string
	Paths int64
	Bytes int64 // content read
	Total int64 // bytes used on the file systems when they were recorded, an estimate; 0: not known, as with Only
}

// Result says what was backed up. Warnings in the manifest mean that the
// backup is there, and not complete: exit code 3.
type Result struct {
	ID       string
	Prefix   string
	Manifest *archive.Manifest
	// PostHook is what went wrong with a hook behind a finished backup, or
	// behind the snapshots it was made of.
	PostHook error
	// Unremoved is what went wrong with removing the snapshots.
	Unremoved error
}

// NewID makes a backup's name from its time and chance, e.g.
// 20261124T031500Z-1a2b; names sort by time.
func NewID(now time.Time, random io.Reader) (string, error) {
	var b [2]byte
	if _, err := io.ReadFull(random, b[:]); err != nil {
		return "", fmt.Errorf("cannot read random bytes: %w", err)
	}
	return now.UTC().Format("20060102T150405Z") + "-" + hex.EncodeToString(b[:]), nil
}

// Run makes one backup. Without an error there is a manifest; with one there
// is none, and what this run wrote was removed where the store can.
func Run(ctx context.Context, opt Options) (res Result, err error) {
	if opt.Lock == "" {
		opt.Lock = LockFile
	}
	if opt.Lock != "-" {
		release, err := Lock(opt.Lock)
		if err != nil {
			return Result{}, err
		}
		defer release()
	}
	if opt.Root == "" {
		opt.Root = "/"
	}
	now := time.Now
	if opt.Writer.Now != nil {
		now = opt.Writer.Now
	}
	if opt.ID == "" {
		if opt.ID, err = NewID(now(), rand.Reader); err != nil {
			return Result{}, err
		}
	}
	res = Result{ID: opt.ID, Prefix: path.Join(opt.Writer.Prefix, opt.ID)}
	tidy(ctx, opt) // Writer.Prefix is that of all backups of this machine still
	opt.Writer.BackupID, opt.Writer.Prefix = opt.ID, res.Prefix
	opt.Writer.Only, opt.Writer.Exclude = opt.Only, opt.Exclude
	if opt.Writer.Host == "" && opt.Machine != nil {
		opt.Writer.Host = opt.Machine.Hostname
	}

	// The post hook undoes what the pre hook did (start a database again), so
	// it runs whatever happens, also when ctx has ended.
	defer func() {
		hookErr := runHooks(context.WithoutCancel(ctx), opt, "post-backup")
		switch {
		case hookErr == nil:
		case err != nil:
			err = fmt.Errorf("%w; and behind it: %w", err, hookErr)
		default:
			res.PostHook = errors.Join(res.PostHook, hookErr)
		}
	}()
	if err := runHooks(ctx, opt, "pre-backup"); err != nil {
		return res, err
	}
	set, err := takeSnapshots(ctx, opt, &res)
	defer func() {
		switch rmErr := set.Remove(context.WithoutCancel(ctx)); {
		case rmErr == nil:
		case err != nil:
			err = fmt.Errorf("%w; and behind it: %w", err, rmErr)
		default:
			res.Unremoved = rmErr
		}
	}()
	if err == nil {
		res.Manifest, err = write(ctx, opt, set)
	}
	return res, ended(ctx, err)
}

// write makes the archive, in a directory that is claimed where the store can.
func write(ctx context.Context, opt Options, set *snapshot.Set) (*archive.Manifest, error) {
	var m *archive.Manifest
	end, err := claim(ctx, opt)
	if err == nil {
		m, err = writeArchive(ctx, opt, set)
		// Behind a manifest the backup is complete, whatever becomes of the mark.
		if endErr := end(err == nil); endErr != nil && err != nil {
			err = fmt.Errorf("%w; %w", err, endErr)
		}
	}
	return m, err
}

// ended says what an error means where the run was interrupted, or the
// destination is full.
func ended(ctx context.Context, err error) error {
	switch {
	case err == nil:
	case ctx.Err() != nil:
		return fail.Hint(fail.New(fail.Interrupted, "the backup was interrupted, none was made: %w", err),
			"start it again; earlier backups are as they were")
	case errors.Is(err, unix.ENOSPC) || errors.Is(err, unix.EDQUOT):
		return fail.Hint(fail.New(fail.Failed, "no space left in the destination, no backup was made: %w", err),
			"make room there, choose another destination, or leave out more with --exclude")
	}
	return err
}

func writeArchive(ctx context.Context, opt Options, set *snapshot.Set) (*archive.Manifest, error) {
	w, err := archive.NewWriter(ctx, opt.Sink, opt.Writer)
	if err != nil {
		return nil, err
	}
	m, err := fillArchive(ctx, opt, w, set)
	if err == nil {
		return m, nil
	}
	if abortErr := w.Abort(); abortErr != nil {
		err = fmt.Errorf("%w; and the unfinished backup could not be removed: %w", err, abortErr)
	}
	return nil, err
}

func fillArchive(ctx context.Context, opt Options, w *archive.Writer, set *snapshot.Set) (*archive.Manifest, error) {
	walk := walkOptions(opt)
	var paths, files int64
	var total int64
	if selection.NewOnly(opt.Only) == nil { // nobody has counted what lies below a few paths
		total = used(opt.Machine)
	}
	walk.OnAdd = func(e *archive.Entry, done int64) {
		paths++
		if e.Kind != archive.Dir && e.Kind != archive.Subvolume && e.Kind != archive.Socket && !e.Unreadable {
			files++
		}
		if opt.OnProgress != nil {
			p := Progress{Path: e.Name, Paths: paths, Bytes: done}
			if total > 0 {
				p.Total = max(total, done)
			}
			opt.OnProgress(p)
		}
	}
	if err := walkSources(ctx, w, walk, set); err != nil {
		return nil, err
	}
	if paths == 0 {
		return nil, fail.Hint(fail.New(fail.Failed, "there is nothing to back up: no path was selected"),
			"look at --only and --exclude")
	}
	if files == 0 {
		return nil, fail.Hint(fail.New(fail.Failed, "there is nothing to back up: directories were selected, and no file in them that could be read"),
			"look at --only and --exclude, and at exclude in the settings")
	}
	for _, p := range walk.Only {
		if _, err := os.Lstat(filepath.Join(opt.Root, p)); err != nil {
			w.Warn(relative(p), fmt.Sprintf("was asked for and is not there: %v", err))
		}
	}
	return w.Close()
}

// walkOptions are the recorded mounts, and what is never part of a backup.
func walkOptions(opt Options) WalkOptions {
	wo := WalkOptions{Root: opt.Root, Only: opt.Only, Readers: opt.Readers}
	wo.Exclude = append(wo.Exclude, opt.Exclude...)
	wo.Literal = append(wo.Literal, opt.Own...)
	for _, s := range opt.LeaveOut {
		wo.Literal = append(wo.Literal, s.Paths...)
	}
	wo.Exclude = append(wo.Exclude, "/var/tmp/mkcdrec*")
	if opt.Machine != nil {
		for _, m := range opt.Machine.Mounts {
			wo.Mounts = append(wo.Mounts, m.Target)
		}
		for _, s := range opt.Machine.Swaps {
			if s.File != "" {
				wo.Literal = append(wo.Literal, s.File)
			}
		}
	}
	return wo
}

// used is how much the mounted file systems hold.
func used(m *machine.Machine) int64 {
	if m == nil {
		return 0
	}
	mounted := map[machine.Ref]bool{}
	for _, mt := range m.Mounts {
		mounted[mt.On] = true
	}
	var sum machine.Bytes
	for _, fs := range m.FileSystems {
		if mounted[fs.On] {
			sum += fs.Used
		}
	}
	return int64(sum)
}

// runHooks runs DIR/NAME if it is an executable file, or the executables in
// DIR/NAME.d and DIR/NAME if it is a directory, in the order of their names.
// The first that fails ends the row, except behind a backup or its snapshots.
func runHooks(ctx context.Context, opt Options, name string, env ...string) error {
	if opt.Hooks == "" {
		return nil
	}
	var errs []error
	for _, file := range findHooks(opt.Hooks, name) {
		_, err := opt.Runner.Run(ctx, system.Command{Name: file, Env: append([]string{"MKCDREC_BACKUP_ID=" + opt.ID}, env...)})
		if err == nil {
			continue
		}
		errs = append(errs, fail.Hint(fail.New(fail.Failed, "the hook %s failed: %w", file, err),
			"correct it, or take away its execute permission"))
		if strings.HasPrefix(name, "pre-") {
			break
		}
	}
	return errors.Join(errs...)
}

func findHooks(dir, name string) []string {
	var found []string
	for _, p := range []string{filepath.Join(dir, name), filepath.Join(dir, name+".d")} {
		fi, err := os.Stat(p)
		if err != nil {
			continue
		}
		files := []string{p}
		if fi.IsDir() {
			files, _ = filepath.Glob(filepath.Join(p, "*"))
			sort.Strings(files)
		}
		for _, f := range files {
			if fi, err := os.Stat(f); err == nil && fi.Mode().IsRegular() && fi.Mode()&0o111 != 0 {
				found = append(found, f)
			}
		}
	}
	return found
}
