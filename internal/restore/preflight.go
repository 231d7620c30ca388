package restore

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"sort"
	"strconv"
	"strings"

	"github.com/mkcdrec/mkcdrec/internal/fail"
	"github.com/mkcdrec/mkcdrec/internal/machine"
	"github.com/mkcdrec/mkcdrec/internal/plan"
)

// preflight makes all checks that come before the first write, and writes
// nothing: the plan is consistent, every disk is still the one that the plan
// names and holds neither medium nor backup, nothing of it is in use, the
// tools are there, the backup is complete and readable.
func (x *executor) preflight(ctx context.Context) error {
	if err := plan.Validate(x.Plan); err != nil {
		return err
	}
	switch kind := x.m.BootLoader.Kind; {
	case x.m.BootLoader.Foreign(): // the administrator left it out of the backup by name
		if x.Plan.Scope == nil {
			x.warn("the recorded boot loader is of a kind that this version cannot install (%s): the machine does not start before one is installed by hand", x.m.BootLoader.Kind)
		}
	case !slices.Contains([]machine.BootLoaderKind{machine.GRUBBIOS, machine.GRUBEFI, machine.SystemdBoot, machine.UKI, machine.EFIProgram, machine.EXTLINUX, machine.NoBootLoader, ""}, kind):
		return fail.New(fail.Unsupported, "this version cannot install the boot loader %q", kind)
	}
	if err := x.checkImages(); err != nil {
		return err
	}
	if err := x.checkDevices(ctx); err != nil {
		return err
	}
	if x.Look != nil {
		here, err := x.Look(ctx)
		if err != nil {
			return fail.New(fail.Failed, "cannot look at this machine again: %w", err)
		}
		if err := x.checkHere(here); err != nil {
			return err
		}
	}
	if err := CheckLoader(ctx, x.Plan, x.Backup); err != nil {
		return err
	}
	if err := CheckMirrors(ctx, x.Plan, x.Backup); err != nil {
		return err
	}
	checking := func(done int64) { x.tell(Event{State: "checking", Done: done}) }
	if err := x.Backup.Check(ctx, x.Plan.Paths(), checking); err != nil {
		return fmt.Errorf("the backup was checked before any disk was touched: %w", err)
	}
	return x.checkKeys(ctx)
}

// checkErased refuses a device that is protected, of another size than
// planned, or in use by somebody else.
func (x *executor) checkErased(e plan.Erased) error {
	what := e.Name(*x.m)
	for _, d := range x.m.Disks {
		if slices.Contains(x.Protected, d.Name) {
			return fail.New(fail.Refused, "disk %s holds the medium or the backup and is never overwritten", d.Name)
		}
	}
	planned, err := x.m.Resolve(e.Device)
	if err != nil {
		return fail.New(fail.Refused, "%w", err)
	}
	name, err := x.kernelName(e.Device)
	if err != nil {
		return fail.New(fail.Refused, "%s cannot be overwritten: %w", what, err)
	}
	b, err := os.ReadFile(filepath.Join(x.sysDir(name), "size"))
	if err != nil {
		return fail.New(fail.Refused, "%s is not here any more", what)
	}
	// The kernel counts in 512-byte units, whatever the disk's sectors are.
	n, err := strconv.ParseInt(strings.TrimSpace(string(b)), 10, 64)
	if err != nil || machine.Bytes(n)*512 != planned.Size {
		return fail.New(fail.Refused, "%s has another size than planned: %s, not %s", what, plan.Size(machine.Bytes(n)*512), plan.Size(planned.Size))
	}
	mounts, err := x.mounts(name)
	if err != nil {
		return err
	}
	for _, m := range mounts {
		if !x.below(m.Mountpoint) {
			return fail.Hint(fail.New(fail.Refused, "%s is in use: %s is mounted on %s", what, m.Source, m.Mountpoint), "umount %s", m.Mountpoint)
		}
	}
	return nil
}

// checkHere compares the disks with a fresh look, and refuses a volume group
// of a planned name that lives on other disks: LVM cannot have two.
func (x *executor) checkHere(here machine.Machine) error {
	target := map[string]bool{}
	for _, planned := range x.m.Disks {
		d := here.Disk(planned.Name)
		if d == nil {
			return fail.New(fail.Refused, "disk %s is not here any more", planned.Name)
		}
		if same, why := plan.SameDisk(planned, *d); !same {
			return fail.New(fail.Refused, "disk %s is not the one that the plan was made for: %s", d.Name, why)
		}
		if d.ReadOnly {
			return fail.New(fail.Refused, "disk %s is read-only", d.Name)
		}
		target[d.Name] = true
	}
	for _, e := range x.Plan.Erases {
		if x.Plan.Scope == nil {
			break
		}
		if err := samePlace(x.m, &here, e); err != nil {
			return err
		}
	}
	if err := x.otherArrays(&here, target); err != nil {
		return err
	}
	if err := x.otherBtrfs(&here, target); err != nil {
		return err
	}
	if err := x.checkMappings(here, target); err != nil {
		return err
	}
	for _, s := range x.Plan.Steps {
		if s.Kind != plan.CreateVG {
			continue
		}
		g := s.VG
		there := here.VolumeGroup(g.Name)
		if there == nil {
			continue
		}
		for _, pv := range there.Physical {
			for _, d := range here.DisksUnder(pv.On) {
				if !target[d.Name] {
					return fail.Hint(fail.New(fail.Refused, "a volume group %s lies on disk %s, which is not to be overwritten; there cannot be two of that name", g.Name, d.Name),
						"detach that disk, or rename its group: vgrename %s NEW", g.Name)
				}
			}
		}
	}
	return nil
}

// otherArrays refuses an array of a planned UUID that runs on other disks:
// names and files that go by the UUID would mean both.
func (x *executor) otherArrays(here *machine.Machine, target map[string]bool) error {
	for _, s := range x.Plan.Steps {
		if s.Kind != plan.MakeArray {
			continue
		}
		for _, there := range here.Arrays {
			if !strings.EqualFold(there.UUID, s.Array.UUID) {
				continue
			}
			for _, d := range here.DisksUnder(machine.ArrayRef(there.Name)) {
				if !target[d.Name] {
					return fail.Hint(fail.New(fail.Refused, "array %s, which is to be made, runs on disk %s, which is not to be overwritten; there cannot be two of it", s.Array.Name, d.Name),
						"stop it (mdadm --stop /dev/%s) and detach that disk", there.Name)
				}
			}
		}
	}
	return nil
}

// Tools are the programs that a plan calls in the rescue system, sorted: what
// has to be on a medium that is made for it.
func Tools(p plan.Plan) []string {
	need := map[string]bool{"mount": true, "umount": true, "udevadm": true, "blkid": true, "wipefs": true, "dd": true}
	if len(p.Images) > 0 {
		need["losetup"] = true
	}
	for _, d := range p.Target.Disks {
		if d.Multipath() {
			need["multipath"], need["kpartx"], need["dmsetup"] = true, true, true
		}
	}
	for _, s := range p.Steps {
		switch s.Kind {
		case plan.PartitionDisk:
			need["sfdisk"], need["blockdev"] = true, true
		case plan.MakeArray:
			need["mdadm"] = true
		case plan.MakeCrypt:
			need["cryptsetup"] = true
		case plan.CreatePV:
			need["pvcreate"] = true
		case plan.CreateVG:
			need["vgcreate"], need["vgchange"] = true, true
			need["pvchange"] = need["pvchange"] || slices.ContainsFunc(s.VG.Physical, func(p machine.PhysicalVolume) bool { return len(p.Tags) > 0 })
		case plan.CreateLV:
			need["lvcreate"] = true
			if s.LV.Pool != nil {
				need["lvm"], need["lvconvert"], need["lvchange"], need["lvremove"] = true, true, true, true
			}
		case plan.MakeFS:
			switch s.FS.Kind {
			case "ext2", "ext3", "ext4":
				need["mke2fs"], need["tune2fs"] = true, true
			case "exfat":
				need["mkfs.exfat"], need["tune.exfat"] = true, true
			default:
				need["mkfs."+string(s.FS.Kind)] = true
				need["btrfs"] = need["btrfs"] || s.FS.Kind == "btrfs"
			}
		case plan.Subvolumes:
			need["btrfs"] = true
		case plan.MakeSwap:
			need["mkswap"] = true
		case plan.SwapFile:
			need["mkswap"], need["fallocate"] = true, true
		case plan.InstallLoader:
			switch s.BootLoader.Kind {
			case machine.GRUBEFI, machine.SystemdBoot, machine.UKI, machine.EFIProgram:
				need["efibootmgr"] = true
			}
		}
	}
	out := make([]string, 0, len(need))
	for n, needed := range need {
		if needed {
			out = append(out, n)
		}
	}
	sort.Strings(out)
	return out
}

func (x *executor) checkTools() error {
	var missing []string
	for _, n := range Tools(x.Plan) {
		if n == "efibootmgr" {
			// A medium of another machine may lack it. No restore is refused for
			// a boot entry: the fallback path is always made (see efi), and a
			// warning says that the entry is not there.
			continue
		}
		if _, err := x.System.LookPath(n); err != nil {
			missing = append(missing, n)
		}
	}
	if len(missing) > 0 && x.Images != nil {
		return fail.Hint(fail.New(fail.Unsupported, "programs are missing here: %s", strings.Join(missing, ", ")), "install them, or make the image in the rescue system")
	}
	if len(missing) > 0 {
		return fail.Hint(fail.New(fail.Unsupported, "programs are missing here: %s", strings.Join(missing, ", ")),
			"use a medium of mkcdrec that was made on the recorded machine")
	}
	return nil
}

// SameMachine says whether here is the recorded machine; why names what
// differs. Firmware that tells nothing (no UUID, no serial) is compared by its
// network cards.
func SameMachine(recorded, here machine.Machine) (same bool, why string) {
	a, b := recorded.Product, here.Product
	if a.UUID != "" && b.UUID != "" {
		return strings.EqualFold(a.UUID, b.UUID), fmt.Sprintf("product UUID %s, recorded %s", b.UUID, a.UUID)
	}
	if a.Serial != "" && b.Serial != "" {
		return a.Serial == b.Serial && a.Name == b.Name, fmt.Sprintf("%s serial %s, recorded %s serial %s", b.Name, b.Serial, a.Name, a.Serial)
	}
	var was, is []string
	for _, i := range recorded.Network.Interfaces {
		if i.MAC != "" && i.Kind == "" {
			was = append(was, strings.ToLower(i.MAC))
		}
	}
	for _, i := range here.Network.Interfaces {
		if i.MAC != "" && i.Kind == "" {
			is = append(is, strings.ToLower(i.MAC))
		}
	}
	for _, m := range is {
		if slices.Contains(was, m) {
			return true, ""
		}
	}
	return false, fmt.Sprintf("network cards %s, recorded %s", orNone(is), orNone(was))
}

func orNone(s []string) string {
	if len(s) == 0 {
		return "none"
	}
	return strings.Join(s, ", ")
}
