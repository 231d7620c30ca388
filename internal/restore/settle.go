package restore

import (
	"fmt"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"github.com/mkcdrec/mkcdrec/internal/fail"
	"github.com/mkcdrec/mkcdrec/internal/machine"
	"github.com/mkcdrec/mkcdrec/internal/plan"
	"github.com/mkcdrec/mkcdrec/internal/tool/mdadm"
	"github.com/mkcdrec/mkcdrec/internal/wording"
)

// settles says of a step that it writes to the mounted file systems.
func settles(k plan.Kind) bool {
	switch k {
	case plan.MountPoints, plan.Unpack, plan.SwapFile, plan.Identity, plan.Initramfs, plan.InstallLoader:
		return true
	}
	return false
}

// settle waits until all that was written to the file systems of the plan is on
// their disks. The journal must not say "done" before: what is still in memory
// is lost in a power cut, and a second start would not write it again. A disk
// that has failed on a write shows here.
func (x *executor) settle() error {
	for _, s := range x.Plan.Steps {
		if s.Kind != plan.MountFS {
			continue
		}
		if err := x.Sync(path.Join(x.TargetRoot, s.Mount.Target)); err != nil {
			return fail.Hint(fail.New(fail.Failed, "%s (%s) has not taken everything that was written to it: %w", s.Mount.Target, x.place(s.Device), err),
				"a disk fails, or is not there any more: see dmesg; what is on it now is not the backup")
		}
	}
	return nil
}

// place names a device and the disks that it lies on.
func (x *executor) place(r machine.Ref) string {
	name := r.Body()
	if dev, err := x.m.Resolve(r); err == nil {
		name = dev.Path
	}
	var disks []string
	for _, d := range x.m.DisksUnder(r) {
		disks = append(disks, d.Name)
	}
	if len(disks) == 0 {
		return name
	}
	return name + " on " + strings.Join(disks, ", ")
}

// checkMembers names arrays that have lost members while they were restored:
// the files are there, on the others, and nothing else would tell.
func (x *executor) checkMembers() {
	for _, s := range x.Plan.Steps {
		name := ""
		if s.Kind == plan.MakeArray {
			name = x.arrays[s.Array.Name]
		}
		if name == "" {
			continue
		}
		st, err := mdadm.ReadState(os.DirFS(filepath.Join(x.Root, "/sys/block", name, "md")))
		if err != nil {
			x.warn("cannot see whether array %s has all its members: %v", s.Array.Path, err)
			continue
		}
		var lost []string
		for _, m := range s.Array.Members {
			member, err := x.kernelName(m.On)
			if err != nil {
				member = m.On.Body()
			}
			if !slices.ContainsFunc(st.Devices, func(d mdadm.Device) bool { return d.Name == member && !d.Is("faulty") }) {
				lost = append(lost, member)
			}
		}
		if len(lost) > 0 {
			x.warn("array %s has lost %s while it was restored: %s. What was restored is on the others alone; see dmesg, replace the disk, and add it: mdadm --manage /dev/%s --add DEVICE",
				s.Array.Path, wording.Count(len(lost), "member"), strings.Join(lost, ", "), name)
		}
	}
}

// onDisk makes sure of a step before the journal says that it is done.
func (x *executor) onDisk(s plan.Step) error {
	if !settles(s.Kind) {
		return nil
	}
	if err := x.settle(); err != nil {
		return fmt.Errorf("it was carried out, and: %w", err)
	}
	return nil
}
