package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"github.com/mkcdrec/mkcdrec/internal/fail"
	"github.com/mkcdrec/mkcdrec/internal/fit"
	"github.com/mkcdrec/mkcdrec/internal/machine"
	"github.com/mkcdrec/mkcdrec/internal/plan"
	"github.com/mkcdrec/mkcdrec/internal/restore"
)

// planFileText is what the manual says of plans that are kept.
const planFileText = `
--plan-out FILE keeps the plan, to be looked at and carried out later, and does
nothing else; --plan-in FILE carries out exactly that one, after the same checks
and the same question. It is refused where a disk of it is another one (by name,
serial number, WWN, size, sector size) or cannot be told from others, where the
backup is another, and where the file was edited: other wishes make another plan.
An answer file beside it names the disks, and decides nothing that the plan does.`

// planFileFlags are the flags for a plan that is kept.
type planFileFlags struct {
	out, in string
}

func (f *planFileFlags) add(c *cobra.Command) {
	c.Flags().StringVar(&f.out, "plan-out", "", "keep the plan in `FILE`, and do nothing else")
	c.Flags().StringVar(&f.in, "plan-in", "", "carry out the plan that was kept in `FILE`")
}

// besidePlan are the flags that decide nothing which a kept plan has decided.
var besidePlan = []string{"plan-in", "plan", "answers", "id", "verify", "any-machine", "fresh", "luks-key", "help"}

// answersBesidePlan are those answers, by their fields of restore.Answers.
var answersBesidePlan = []string{"Only", "Disks", "Machine", "Then", "Backup", "Verify", "Clone", "Keys"}

// read reads the plan of --plan-in; nil where none is given. The backup is that
// of the plan. Whatever else was said must not contradict the plan.
func (f planFileFlags) read(cmd *cobra.Command, ans *restore.Answers) (*plan.File, error) {
	if f.in == "" {
		return nil, nil
	}
	for _, name := range slices.Concat(answeredFlags, []string{"grow", "plan-out", "to-image", "image-size", "firmware"}) {
		if cmd.Flags().Changed(name) && !slices.Contains(besidePlan, name) {
			return nil, fail.Hint(fail.New(fail.Usage, "--%s and --plan-in exclude each other", name), "the plan has decided it; make another one with --plan-out")
		}
	}
	saved, err := readPlan(f.in)
	if err != nil {
		return nil, err
	}
	p := saved.Plan
	// What is not known here to decide nothing is refused: fail closed.
	rest := reflect.ValueOf(ans).Elem()
	decided := func(field string) bool {
		v := rest.FieldByName(field)
		return !v.IsZero() && (v.Kind() != reflect.Map || v.Len() > 0)
	}
	switch {
	case slices.ContainsFunc(reflect.VisibleFields(rest.Type()), func(f reflect.StructField) bool {
		return !slices.Contains(answersBesidePlan, f.Name) && decided(f.Name)
	}):
		return nil, fail.Hint(fail.New(fail.Usage, "the answers decide what the plan has decided"), "beside --plan-in they may have disks, machine, then, backup, verify, clone, luks_key")
	case p.Clone && !ans.Clone:
		return nil, fail.Hint(fail.New(fail.Usage, "the plan makes a clone"), "mkcdrec clone --plan-in %s", f.in)
	case !p.Clone && ans.Clone:
		return nil, fail.Hint(fail.New(fail.Usage, "the plan makes no clone"), "mkcdrec restore --plan-in %s", f.in)
	case ans.Backup != "" && ans.Backup != p.Backup:
		return nil, fail.New(fail.Refused, "the plan is for backup %s, not for %s", p.Backup, ans.Backup)
	}
	ans.Backup = p.Backup
	return &saved, nil
}

func readPlan(name string) (plan.File, error) {
	file, err := os.Open(name)
	if err != nil {
		return plan.File{}, fail.New(fail.Usage, "cannot read the plan: %w", err)
	}
	defer file.Close()
	b, err := io.ReadAll(io.LimitReader(file, plan.MaxFile+1))
	if err != nil {
		return plan.File{}, fail.New(fail.Usage, "cannot read the plan: %w", err)
	}
	saved, err := plan.ReadFile(b)
	if err != nil {
		return saved, fmt.Errorf("%s: %w", name, err)
	}
	return saved, nil
}

// ofPlan says of a backup that could not be opened that it is the one of the plan.
func ofPlan(saved *plan.File, err error) error {
	if saved == nil || !errors.Is(err, errNoSuchBackup) {
		return err
	}
	return fail.Hint(fail.New(fail.Refused, "the plan is for another backup: %w", err), "name where that backup is, or make the plan anew with --plan-out")
}

// planned is the plan to be carried out: a new one, or the one that was kept
// (see plan.Plan.Renew).
func planned(ctx context.Context, saved *plan.File, src *recovery, here machine.Machine, ans restore.Answers, grow, unattended bool) (plan.Plan, machine.Bytes, error) {
	if saved == nil {
		return makePlan(ctx, src, here, ans, grow)
	}
	if unattended {
		if err := named(saved.Plan, here, ans.Wishes(src.protected)); err != nil {
			return plan.Plan{}, 0, err
		}
	}
	info, _, err := planInfo(ctx, src, saved.Plan.Changes)
	if err != nil {
		return plan.Plan{}, 0, err
	}
	p, err := saved.Plan.Renew(here, src.protected, info)
	return p, info.Content, err
}

// named refuses a plan that overwrites a disk which the answers do not name.
func named(p plan.Plan, here machine.Machine, w fit.Wishes) error {
	usable, err := fit.Usable(here, w)
	if err != nil {
		return err
	}
	for _, d := range p.Target.Disks {
		if !slices.ContainsFunc(usable, func(u machine.Disk) bool { return u.Name == d.Name }) {
			return fail.New(fail.Refused, "the plan overwrites disk %s, which the answers do not name", fit.Describe(d))
		}
	}
	return nil
}

// keepPlan writes a plan to a new file. One that is there is never replaced:
// it may be the one that was reviewed.
func (a *app) keepPlan(p plan.Plan, here machine.Machine, src *recovery, name string) error {
	f, err := plan.NewFile(p, here, src.protected, Version, time.Now())
	if err != nil {
		return err
	}
	b, err := f.Encode()
	if err != nil {
		return err
	}
	if err := writeNew(name, b); err != nil {
		return err
	}
	a.ui.Event("plan_file", map[string]any{"file": name})
	for _, d := range p.Target.Disks {
		if d.Serial == "" && d.WWN == "" {
			a.ui.Note("disk %s has neither serial number nor WWN: the plan knows it by name and size alone", d.Name)
		}
	}
	if src.inRescue {
		a.ui.Note("the rescue system is in memory: what is not on another disk is gone with it")
	}
	verb := "restore"
	if p.Clone {
		verb = "clone"
	}
	a.ui.Say("")
	a.ui.Say("Nothing was changed. The plan is in %s; to carry it out in the rescue system: mkcdrec %s --plan-in %s", name, verb, filepath.Base(name))
	return nil
}

// writeNew writes a file that is not there yet, whole or not at all.
func writeNew(name string, content []byte) error {
	f, err := os.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		if errors.Is(err, os.ErrExist) {
			return fail.Hint(fail.New(fail.Usage, "%s is there already", name), "give another name, or remove it")
		}
		return fail.New(fail.Failed, "cannot keep the plan: %w", err)
	}
	_, err = f.Write(content)
	if err == nil {
		err = f.Sync()
	}
	if cerr := f.Close(); err == nil {
		err = cerr
	}
	if err != nil {
		_ = os.Remove(name)
		return fail.New(fail.Failed, "cannot keep the plan: %w", err)
	}
	return nil
}
