package restore

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/mkcdrec/mkcdrec/internal/fail"
	"github.com/mkcdrec/mkcdrec/internal/identity"
	"github.com/mkcdrec/mkcdrec/internal/machine"
	"github.com/mkcdrec/mkcdrec/internal/plan"
	"github.com/mkcdrec/mkcdrec/internal/tool/mdadm"
	"github.com/mkcdrec/mkcdrec/internal/tool/udev"
	"github.com/mkcdrec/mkcdrec/internal/tool/wipefs"
)

// findArrays finds out what the kernel calls the arrays of the plan now, by
// their UUIDs: an array that was md0 may run as md127.
func (x *executor) findArrays(ctx context.Context) {
	x.arrays = map[string]string{}
	if len(x.m.Arrays) == 0 {
		return
	}
	found, _ := filepath.Glob(filepath.Join(x.Root, "/sys/block/md*/md"))
	for _, dir := range found {
		name := filepath.Base(filepath.Dir(dir))
		// What cannot be asked is inactive: none of ours until it is started.
		e, err := mdadm.Export(ctx, x.System, "/dev/"+name)
		if err != nil || e.UUID == "" {
			continue
		}
		for _, a := range x.m.Arrays {
			if strings.EqualFold(a.UUID, e.UUID) {
				x.arrays[a.Name] = name
			}
		}
	}
}

// arrayFiles are the places of mdadm.conf(5).
var arrayFiles = []string{"etc/mdadm/mdadm.conf", "etc/mdadm.conf"}

// otherHome warns of arrays that start under another name when the clone has
// another host name than their superblocks, and no file names them.
func (x *executor) otherHome(hostname string) {
	if hostname == "" || len(x.m.Arrays) == 0 {
		return
	}
	var conf []byte
	_ = x.inRoot(func(r *os.Root) error {
		for _, name := range arrayFiles {
			b, _ := r.ReadFile(name) // one that is not there names none
			conf = append(conf, b...)
		}
		return nil
	})
	for _, a := range x.m.Arrays {
		if home, _, ok := strings.Cut(a.Label, ":"); ok && home != hostname && !identity.NamesArray(conf, a.UUID) {
			x.warn("array %s belongs to host %s by its superblock and is not in mdadm.conf: the clone may give it another name than %s", a.Name, home, a.Path)
		}
	}
}

// plainArray is what mdadm takes as a kernel name: others need a setting
// ("CREATE names=yes").
var plainArray = regexp.MustCompile(`^md\d{1,3}$`)

// freeArray is a kernel name for an array that is to run: the recorded one
// unless another array has it.
func (x *executor) freeArray(name string) (string, error) {
	taken := func(n string) bool {
		_, err := os.Stat(filepath.Join(x.Root, "/sys/block", n))
		return err == nil
	}
	if plainArray.MatchString(name) && !taken(name) {
		return name, nil
	}
	for n := 127; n >= 0; n-- {
		free := "md" + strconv.Itoa(n)
		// Not the name of another array that is still to be made.
		if !taken(free) && x.m.Array(free) == nil {
			return free, nil
		}
	}
	return "", fail.New(fail.Failed, "there is no free name for array %s", name)
}

// members are the nodes of an array's members, in the model's order.
func (x *executor) members(a *machine.Array) ([]string, error) {
	var out []string
	for _, m := range a.Members {
		dev, err := x.device(m.On)
		if err != nil {
			return nil, err
		}
		out = append(out, dev)
	}
	return out, nil
}

// makeArray makes and starts an array. It is not waited for until all members
// are in sync: md does that beside all else, and after the restart.
func (x *executor) makeArray(ctx context.Context, s plan.Step) error {
	devices, err := x.members(s.Array)
	if err != nil {
		return err
	}
	names := make([]string, len(devices)) // of the kernel
	for i, dev := range devices {
		if names[i], err = x.kernelName(s.Array.Members[i].On); err != nil {
			return err
		}
		// The array itself, when this is done once more; or half an older one.
		if err := x.free(ctx, names[i]); err != nil {
			return err
		}
		// Where a new partition begins an older array's member may have begun.
		if err := wipefs.Wipe(ctx, x.System, dev); err != nil {
			return err
		}
	}
	name, err := x.freeArray(s.Array.Name)
	if err != nil {
		return err
	}
	if err := mdadm.Create(ctx, x.System, *s.Array, "/dev/"+name, devices); err != nil {
		return err
	}
	x.arrays[s.Array.Name] = name
	const note = "arrays come into sync by themselves, also after the next start: see /proc/mdstat"
	if s.Array.Redundant() > 0 && !slices.Contains(x.report.Changes, note) {
		x.change("", note)
	}
	for i, m := range s.Array.Members {
		if m.WriteMostly && m.Slot >= 0 {
			if err := mdadm.SetWriteMostly(filepath.Join(x.Root, "/sys"), name, names[i]); err != nil {
				return err
			}
		}
	}
	if err := udev.Settle(ctx, x.System); err != nil {
		return err
	}
	b, err := os.ReadFile(filepath.Join(x.sysDir(name), "size"))
	if err != nil {
		return fmt.Errorf("array %s was made and is not there: %w", name, err)
	}
	// The kernel counts in 512-byte units. More than planned does no harm.
	n, err := strconv.ParseInt(strings.TrimSpace(string(b)), 10, 64)
	if err != nil || machine.Bytes(n)*512 < s.Array.Size {
		return fail.New(fail.Failed, "array %s has %s, and %s were planned", name, plan.Size(machine.Bytes(n)*512), plan.Size(s.Array.Size))
	}
	// Signatures of what lay there before would be found in the new array.
	return wipefs.Wipe(ctx, x.System, "/dev/"+name)
}

// assemble starts an array that was made before, unless it runs.
func (x *executor) assemble(ctx context.Context, a *machine.Array) error {
	if x.arrays[a.Name] != "" {
		return nil
	}
	devices, err := x.members(a)
	if err != nil {
		return err
	}
	name, err := x.freeArray(a.Name)
	if err != nil {
		return err
	}
	if err := mdadm.Assemble(ctx, x.System, a.UUID, "/dev/"+name, devices); err != nil {
		return err
	}
	x.arrays[a.Name] = name
	return udev.Settle(ctx, x.System)
}
