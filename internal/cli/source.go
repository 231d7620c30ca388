package cli

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"time"

	"golang.org/x/sys/unix"

	"github.com/mkcdrec/mkcdrec/internal/backup"
	"github.com/mkcdrec/mkcdrec/internal/machine"
	"github.com/mkcdrec/mkcdrec/internal/snapshot"
	"github.com/mkcdrec/mkcdrec/internal/tool/lvm"
	"github.com/mkcdrec/mkcdrec/internal/ui"
)

// sweep removes the snapshots that a backup which was killed has left.
func (j *job) sweep(ctx context.Context) {
	for _, l := range snapshot.Sweep(ctx, &j.m, snapshot.Options{MachineID: j.m.MachineID, Runner: j.host}) {
		j.ui.Event("leftover", map[string]any{"name": l.Name, "removed": l.Kept == nil})
		if l.Kept != nil {
			j.warn("what an earlier backup has left stays as it is: %s: %v", l.Name, l.Kept)
			continue
		}
		j.ui.Say("    removed what an earlier backup has left: %s", l.Name)
	}
}

// chooseSource decides from where each mount is read. It changes nothing.
func (j *job) chooseSource(ctx context.Context) error {
	skip, err := backup.Skip(backup.Options{Machine: &j.m, Exclude: j.f.exclude, Only: j.f.only, LeaveOut: j.snapshots})
	if err != nil {
		return err
	}
	w := snapshot.Wishes{
		Mode: snapshot.Mode(j.f.snapshots), Freeze: j.f.freeze, FreezeLimit: time.Duration(j.settings.FreezeSeconds) * time.Second,
		Skip: skip, Busy: j.busy,
	}
	var rep lvm.Report
	if w.Mode != snapshot.Off && slices.ContainsFunc(j.m.Mounts, func(mt machine.Mount) bool { return mt.On.Kind() == machine.RefLV }) {
		rep, w.LVMMissing = lvm.Read(ctx, j.host)
	}
	p, err := snapshot.Choose(&j.m, rep, w)
	if err != nil {
		return err
	}
	j.source = *p
	if len(j.source.Takes()) == 0 && backup.HasSnapshotHooks(existing(j.settings.HooksDir)) {
		j.ui.Note("no snapshot is taken, so the hooks pre-snapshot and post-snapshot do not run")
	}
	return nil
}

// readFrom says for people from where a mount is read.
func (j *job) readFrom(target string) string {
	i := slices.IndexFunc(j.source.Choices, func(c snapshot.Choice) bool { return c.Mount == target })
	if i < 0 {
		return "left out"
	}
	switch c := j.source.Choices[i]; c.Method {
	case snapshot.Live:
		return "live: " + c.Why
	case snapshot.LVM:
		return fmt.Sprintf("%s of %s", c.Method, ui.Size(int64(c.Size)))
	case snapshot.Frozen:
		return fmt.Sprintf("frozen, for %s at most", j.source.FreezeLimit)
	default:
		return c.Method.String()
	}
}

// own are the directories of this run that are no part of the machine.
func (j *job) own() []string {
	own := []string{j.work, j.f.out}
	if p, err := localPath(j.f.to); err == nil && j.f.to != "" {
		own = append(own, p)
	}
	return own
}

// busy says what would wait for us if a file system were frozen: what we write
// to, and what the system must write to so that we get on.
func (j *job) busy(target string) string {
	var at, st unix.Stat_t
	if err := unix.Stat(target, &at); err != nil {
		return fmt.Sprintf("it cannot be looked at: %v", err)
	}
	on := func(p string) bool {
		for unix.Stat(p, &st) != nil {
			if p == "/" || p == "." {
				return false
			}
			p = filepath.Dir(p) // what is to be made there
		}
		return st.Dev == at.Dev
	}
	for _, p := range append(j.own(), j.settings.WorkDir) {
		if p != "" && on(p) {
			return "this run writes to " + p
		}
	}
	if j.log != nil && on(j.log.Name()) {
		return "the log is on it, " + j.log.Name()
	}
	for _, f := range []*os.File{os.Stdin, os.Stdout, os.Stderr} {
		if unix.Fstat(int(f.Fd()), &st) == nil && st.Dev == at.Dev {
			return "the output of this run goes to a file on it"
		}
	}
	for _, p := range []string{"/", "/etc", "/run", "/tmp", "/var", "/var/log", "/var/tmp", "/root"} {
		if on(p) {
			return "the system itself writes to " + p
		}
	}
	for _, s := range j.m.Swaps {
		if s.File != "" && on(s.File) {
			return "swap file " + s.File + " is on it"
		}
	}
	return ""
}
