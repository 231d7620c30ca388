package plan

import (
	"fmt"
	"slices"
	"strings"

	"github.com/mkcdrec/mkcdrec/internal/fail"
	"github.com/mkcdrec/mkcdrec/internal/machine"
)

// FileSystem makes the plan that brings one file system back and leaves all
// else alone. target has that file system alone, on its place (see
// fit.FileSystem); here is the machine as it is now. info.Entries and
// info.Content are those of the scope. The error is of kind fail.Refused.
func FileSystem(target machine.Machine, scope *Scope, choices []Choice, here machine.Machine, info Info) (Plan, error) {
	if scope == nil || len(target.FileSystems) != 1 {
		return Plan{}, fail.New(fail.Refused, "the plan is not for a single file system")
	}
	if info.Entries == 0 {
		return Plan{}, fail.Hint(fail.New(fail.Refused, "the backup has no files of %s", scope.Text()), "was it left out when the backup was made? see: mkcdrec list")
	}
	if used := target.FileSystems[0].Used; used > 0 {
		// A backup of some paths only is seen before it takes the place of all.
		choices = append(slices.Clone(choices), Choice{Subject: "files", Chosen: fmt.Sprintf("%d paths, %s", info.Entries, Size(info.Content)),
			Why: "when it was recorded, " + Size(used) + " were in use on it"})
	}
	on := target.FileSystems[0].On
	b := builder{p: Plan{Version: Version, Backup: info.Backup, Host: info.Host, Scope: scope, Target: target, Choices: choices}}
	e := Erased{Device: on}
	if under := here.DisksUnder(on); len(under) > 0 {
		e.Disk = under[0]
	}
	if s := holds(here, on); s != "" {
		e.Holds = []string{s}
	} else if dev, err := here.Resolve(on); err == nil && dev.Disk != nil && dev.Partition == nil && len(dev.Disk.Signatures) > 0 {
		e.Holds = []string{strings.Join(dev.Disk.Signatures, ", ")}
	} else {
		e.Holds = []string{"nothing that is known"}
	}
	b.p.Erases = []Erased{e}
	b.add(string(on), Step{Kind: Release, Device: on, Why: "an interrupted start may have left it mounted"})
	if !scope.Keep {
		b.add(string(on), Step{Kind: Wipe, Device: on, Why: "leftover signatures would be found again", Destroys: strings.Join(e.Holds, "; ")})
		b.fileSystems()
	}
	b.mounts()
	if inner := scope.inner(); len(inner) > 0 {
		b.add("", Step{Kind: MountPoints, Paths: inner, Why: "other file systems are mounted there"})
	}
	b.unpack(info)
	b.swapFiles()
	b.end()
	if err := Validate(b.p); err != nil {
		return Plan{}, err
	}
	return b.p, nil
}
