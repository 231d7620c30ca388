package restore

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/mkcdrec/mkcdrec/internal/fail"
	"github.com/mkcdrec/mkcdrec/internal/machine"
	"github.com/mkcdrec/mkcdrec/internal/plan"
	"github.com/mkcdrec/mkcdrec/internal/tool/blkid"
	"github.com/mkcdrec/mkcdrec/internal/tool/cryptsetup"
	"github.com/mkcdrec/mkcdrec/internal/tool/lvm"
	"github.com/mkcdrec/mkcdrec/internal/tool/mount"
)

// journalOnTarget is the journal's copy in the restored root, which survives a
// power cut; the last step removes it.
const journalOnTarget = ".mkcdrec-restore.journal"

// record is one line of the journal.
type record struct {
	Time  time.Time `json:"time"`
	Plan  string    `json:"plan"` // plan.Plan.Digest
	Step  string    `json:"step"`
	State string    `json:"state"` // begun, done
	// Changed are the paths that differ from the backup on purpose so far.
	Changed []string `json:"changed,omitempty"`
}

// journal appends records to a file in the rescue system, and to its copy in
// the target once that is mounted.
type journal struct {
	digest string
	path   string
	files  []*os.File
	copies []string
}

func openJournal(path, digest string) (*journal, error) {
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return nil, fmt.Errorf("cannot keep a journal: %w", err)
	}
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return nil, fmt.Errorf("cannot keep a journal: %w", err)
	}
	return &journal{digest: digest, path: path, files: []*os.File{f}}, nil
}

// write appends a record and waits until it is on disk.
func (j *journal) write(step, state string, changed []string) error {
	b, err := json.Marshal(record{Time: time.Now().UTC(), Plan: j.digest, Step: step, State: state, Changed: changed})
	if err != nil {
		return err
	}
	for _, f := range j.files {
		if _, err := f.Write(append(b, '\n')); err != nil {
			return fmt.Errorf("cannot write the journal: %w", err)
		}
		if err := f.Sync(); err != nil {
			return fmt.Errorf("cannot write the journal: %w", err)
		}
	}
	return nil
}

// copyTo copies what was written so far and writes there, too, from now on.
func (j *journal) copyTo(path string) error {
	b, err := os.ReadFile(j.path)
	if err != nil {
		return fmt.Errorf("cannot copy the journal: %w", err)
	}
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return fmt.Errorf("cannot copy the journal: %w", err)
	}
	j.files, j.copies = append(j.files, f), append(j.copies, path)
	if _, err := f.Write(b); err != nil {
		return fmt.Errorf("cannot copy the journal: %w", err)
	}
	return f.Sync()
}

// dropCopies removes the copies, so that the target can be unmounted clean.
func (j *journal) dropCopies() error {
	for _, f := range j.files[1:] {
		_ = f.Close()
	}
	j.files = j.files[:1]
	for _, p := range j.copies {
		if err := os.Remove(p); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("cannot remove the journal's copy: %w", err)
		}
	}
	j.copies = nil
	return nil
}

func (j *journal) close() {
	for _, f := range j.files {
		_ = f.Close()
	}
	j.files = nil
}

// remove removes the journal of a finished restore.
func (j *journal) remove() { _ = os.Remove(j.path) }

// past is what a journal tells about an earlier start.
type past struct {
	begun, done map[string]bool
	changed     []string
	other       bool // there are records of another plan
}

// readJournal returns what a journal says of this plan. A last line that was
// cut off by a power cut is ignored.
func readJournal(path, digest string) (past, error) {
	p := past{begun: map[string]bool{}, done: map[string]bool{}}
	b, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return p, nil
	}
	if err != nil {
		return p, fmt.Errorf("cannot read the journal: %w", err)
	}
	for line := range strings.SplitSeq(string(b), "\n") {
		var r record
		if json.Unmarshal([]byte(line), &r) != nil {
			continue
		}
		if r.Plan != digest {
			p.other = true
			continue
		}
		switch r.State {
		case "begun":
			p.begun[r.Step] = true
		case "done":
			p.done[r.Step] = true
		}
		p.changed = append(p.changed, r.Changed...)
	}
	return p, nil
}

// resume opens the journal and says which steps an earlier start has done and
// which are still true: the devices must hold what was made on them. When they
// do not, everything begins anew.
func (x *executor) resume(ctx context.Context) (map[string]bool, error) {
	digest := x.Plan.Digest()
	var p past
	if !x.Fresh {
		var err error
		if p, err = readJournal(x.Journal, digest); err != nil {
			return nil, err
		}
		if len(p.done) == 0 {
			other := p.other
			if p, err = x.journalFromTarget(ctx, digest); err != nil {
				return nil, err
			}
			p.other = p.other || other
		}
	}
	if p.other && len(p.done) == 0 {
		x.change("", "a restore that was interrupted did not go on, for its plan was another one (disks, their names, wishes or backup): everything was done anew")
	}
	there, err := true, error(nil)
	if len(p.done) > 0 {
		if there, err = x.stillThere(ctx, p.done); err != nil {
			return nil, err
		}
	}
	if !there {
		x.warn("an earlier start left a journal, but the disks do not hold what it says; everything was done anew")
		p = past{}
	}
	for _, c := range p.changed {
		x.changed[c] = true
	}
	for _, s := range x.Plan.Steps {
		// Disk names that were exchanged must not be exchanged again in files
		// that were already rewritten, and of a clone it is not known what was
		// changed or removed so far, nor of what was wished: start from the
		// files of the backup.
		changes := len(x.Plan.Renames()) > 0 || s.Clone != nil || x.Plan.Changes != nil
		if s.Kind == plan.Identity && p.begun[s.ID] && !p.done[s.ID] && changes {
			for _, u := range x.Plan.Steps {
				if u.Kind == plan.Unpack {
					delete(p.done, u.ID)
				}
			}
		}
	}
	x.journal, err = openJournal(x.Journal, digest)
	if err != nil {
		return nil, err
	}
	for _, s := range x.Plan.Steps { // it begins with what is known to be done
		if p.done[s.ID] {
			if err := x.journal.write(s.ID, "done", p.changed); err != nil {
				return nil, err
			}
		}
	}
	return p.done, nil
}

// start makes the devices of a layer that was made before available again:
// after a restart of the machine they may not be.
func (x *executor) start(ctx context.Context, l machine.Layer) error {
	switch {
	case l.Array != nil:
		return x.assemble(ctx, l.Array)
	case l.Crypt != nil:
		return x.openAgain(ctx, *l.Crypt)
	case l.Group != nil:
		return lvm.Activate(ctx, x.System, l.Group.Name)
	}
	return nil
}

// stillThere looks whether every file system, swap area and physical volume
// that is called done is there with its UUID. The layers below are started
// first. The error says that the keys are other ones than those of the earlier
// start.
func (x *executor) stillThere(ctx context.Context, done map[string]bool) (bool, error) {
	for _, s := range x.Plan.Steps {
		var l machine.Layer
		switch s.Kind {
		case plan.MakeArray:
			l.Array = s.Array
		case plan.MakeCrypt:
			l.Crypt = s.Crypt
		case plan.CreateVG:
			l.Group = s.VG
		default:
			continue
		}
		if !done[s.ID] {
			continue
		}
		if err := x.start(ctx, l); errors.Is(err, cryptsetup.ErrWrongKey) {
			return false, fail.Hint(fail.New(fail.WrongKey, "an earlier start has made this device, with another key: %w", err),
				"give the same pass phrase or key file as then; or begin anew: --fresh")
		} else if err != nil {
			return false, nil
		}
	}
	for _, s := range x.Plan.Steps {
		uuid := ""
		switch s.Kind {
		case plan.MakeFS:
			uuid = s.FS.UUID
		case plan.MakeSwap:
			uuid = s.Swap.UUID
		case plan.CreatePV:
			uuid = s.PV.UUID
		}
		if uuid == "" || !done[s.ID] {
			continue
		}
		dev, err := x.device(s.Device)
		if err != nil {
			return false, nil
		}
		if p, err := blkid.Probe(ctx, x.System, dev); err != nil || p.UUID != uuid {
			return false, nil
		}
	}
	return true, nil
}

// journalFromTarget reads the copy of the journal from the first file system
// that is mounted, when that has been made before: after a power cut it is all
// that is left.
func (x *executor) journalFromTarget(ctx context.Context, digest string) (past, error) {
	tops := x.tops()
	if len(tops) == 0 {
		return past{}, nil
	}
	root := &tops[0]
	fs := x.m.FileSystemOn(root.On)
	below := x.m.Below(root.On)
	layers, err := x.m.Layers()
	if err != nil {
		return past{}, nil
	}
	for _, l := range layers {
		if slices.ContainsFunc(l.Gives(), func(r machine.Ref) bool { return slices.Contains(below, r) }) {
			// An error only says that there is no such layer yet.
			_ = x.start(ctx, l)
		}
	}
	dev, err := x.device(root.On)
	if err != nil || fs == nil || fs.UUID == "" {
		return past{}, nil
	}
	if p, err := blkid.Probe(ctx, x.System, dev); err != nil || p.UUID != fs.UUID {
		return past{}, nil
	}
	if err := os.MkdirAll(x.TargetRoot, 0o755); err != nil {
		return past{}, fmt.Errorf("cannot make %s: %w", x.TargetRoot, err)
	}
	if err := x.known(ctx, *fs); err != nil {
		return past{}, nil // one of its devices is not there: it was not made yet
	}
	if err := mount.Mount(ctx, x.System, dev, x.TargetRoot, string(fs.Kind), "ro,"+mountOptions(*fs, *root)); err != nil {
		return past{}, nil // nothing usable there: the restore begins anew
	}
	p, err := readJournal(filepath.Join(x.TargetRoot, journalOnTarget), digest)
	if uerr := mount.Unmount(ctx, x.System, x.TargetRoot); err == nil {
		err = uerr
	}
	return p, err
}
