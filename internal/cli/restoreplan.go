package cli

import (
	"context"
	"slices"

	"github.com/spf13/cobra"

	"github.com/mkcdrec/mkcdrec/internal/fail"
	"github.com/mkcdrec/mkcdrec/internal/fit"
	"github.com/mkcdrec/mkcdrec/internal/machine"
	"github.com/mkcdrec/mkcdrec/internal/plan"
	"github.com/mkcdrec/mkcdrec/internal/restore"
)

// answeredFlags are the flags that an answer file has in their place.
var answeredFlags = []string{"id", "verify", "disk", "map", "any-machine", "hostname", "address", "gateway", "luks-key", "drop", "no-swap", "size", "fs", "flatten", "mirror", "onto-one"}

// answered is what would be asked: from the answer file, or from the flags. A
// flag beside an answer file is refused: it would be a guard that does not hold.
func (f restoreFlags) answered(cmd *cobra.Command) (restore.Answers, error) {
	if f.answers != "" {
		for _, name := range answeredFlags {
			if cmd.Flags().Changed(name) {
				return restore.Answers{}, fail.Hint(fail.New(fail.Usage, "--%s and --answers exclude each other", name), "write it into the answer file")
			}
		}
		ans, err := restore.ReadAnswers(f.answers)
		ans.Clone = ans.Clone || f.clone
		return ans, err
	}
	keys, err := restore.ParseKeyFiles(f.keys)
	if err != nil {
		return restore.Answers{}, err
	}
	ans := restore.Answers{Keys: keys, Disks: f.disks, Map: f.maps, Verify: restore.VerifyMode(f.verify), Clone: f.clone,
		Hostname: f.hostname, Addresses: f.addresses, Gateway: f.gateway, Backup: f.id, Drop: f.drop, NoSwap: f.noSwap, Size: f.sizes, FS: f.kinds,
		Flatten: f.flatten, Mirror: f.mirror, OntoOne: f.ontoOne}
	if f.anyMachine {
		ans.Machine = "any"
	}
	return ans, ans.Validate()
}

// makePlan makes the plan of a restore, and says how much content it unpacks.
func makePlan(ctx context.Context, src *recovery, here machine.Machine, ans restore.Answers, grow bool) (plan.Plan, machine.Bytes, error) {
	w := ans.Wishes(src.protected)
	w.GrowLargest = grow
	changes, err := w.Changes(src.recorded)
	if err != nil {
		return plan.Plan{}, 0, err
	}
	info, content, err := planInfo(ctx, src, changes)
	if err != nil {
		return plan.Plan{}, 0, err
	}
	info.Clone, w.Content = ans.CloneWishes(), content
	fitted, choices, err := fit.Onto(src.recorded, here, w)
	if err != nil {
		return plan.Plan{}, 0, err
	}
	p, err := plan.Restore(fitted, choices, here, info)
	return p, info.Content, err
}

// planInfo is what a plan has to know about a backup, and the content on each
// recorded file system where something is changed: what is left out is not
// unpacked, and where content was compressed another kind of file system needs
// more room than was used.
func planInfo(ctx context.Context, src *recovery, c *plan.Changes) (info plan.Info, on map[string]machine.Bytes, err error) {
	m := &src.b.Manifest
	info = plan.Info{Backup: m.ID, Host: m.Host, Entries: m.Counts.Paths, Content: machine.Bytes(m.Counts.Content), Changes: c}
	if c == nil {
		return info, nil, nil
	}
	info.Entries, info.Content, on = 0, 0, map[string]machine.Bytes{}
	scope := &plan.Scope{}
	for _, mt := range src.recorded.Mounts {
		scope.Mounts = append(scope.Mounts, mt.Target)
	}
	for e, err := range src.b.Catalogue(ctx) {
		if err != nil {
			return info, nil, err
		}
		at := scope.MountOf(e.Name)
		if slices.Contains(c.LeftOut, at) {
			continue
		}
		info.Entries++
		on[at] += machine.Bytes(e.ContentSize())
		info.Content += machine.Bytes(e.ContentSize())
	}
	return info, on, nil
}
