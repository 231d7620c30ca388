package restore

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"

	"github.com/mkcdrec/mkcdrec/internal/identity"
	"github.com/mkcdrec/mkcdrec/internal/machine"
	"github.com/mkcdrec/mkcdrec/internal/plan"
	"github.com/mkcdrec/mkcdrec/internal/tool/lvm"
	"github.com/mkcdrec/mkcdrec/internal/tool/udev"
)

// volumes carries out the steps of LVM.
func (x *executor) volumes(ctx context.Context, s plan.Step) error {
	switch s.Kind {
	case plan.CreatePV:
		dev, err := x.device(s.Device)
		if err != nil {
			return err
		}
		return lvm.CreatePhysical(ctx, x.System, dev, *s.PV)
	case plan.CreateVG:
		var members []machine.Ref
		for _, pv := range s.VG.Physical {
			members = append(members, pv.On)
		}
		devices, err := x.devices(members)
		if err != nil {
			return err
		}
		return lvm.CreateGroup(ctx, x.System, *s.VG, devices)
	}
	devices, err := x.devices(s.LV.Devices)
	if err != nil {
		return err
	}
	if err := x.makeVolume(ctx, s.VG, *s.LV, devices); err != nil {
		return err
	}
	return udev.Settle(ctx, x.System)
}

// devices are the nodes of devices now.
func (x *executor) devices(refs []machine.Ref) ([]string, error) {
	var out []string
	for _, r := range refs {
		dev, err := x.device(r)
		if err != nil {
			return nil, err
		}
		out = append(out, dev)
	}
	return out, nil
}

// makeVolume makes a logical volume on the members of its group that the plan
// says. One that need not lie there for its redundancy or speed is made
// anywhere if LVM finds no room for it on them.
func (x *executor) makeVolume(ctx context.Context, g *machine.VolumeGroup, lv machine.LogicalVolume, devices []string) error {
	if lv.Pool != nil {
		on, err := x.devices(lv.Pool.Metadata.Devices)
		if err != nil {
			return err
		}
		return lvm.CreatePool(ctx, x.System, g.Name, lv, devices, on, g.Spare > 0)
	}
	err := lvm.CreateVolume(ctx, x.System, g.Name, lv, devices)
	if err == nil || len(devices) == 0 || lv.Legs() > 1 || ctx.Err() != nil {
		return err
	}
	if lvm.CreateVolume(ctx, x.System, g.Name, lv, nil) != nil {
		return err
	}
	x.warn("volume %s/%s lies on other physical volumes of its group than recorded, where there was no room for it", g.Name, lv.Name)
	return nil
}

// volumeLinks are the nodes of the volumes by the recorded UUIDs of group and
// volume: LVM gives new ones, and files may go by the old.
func (x *executor) volumeLinks() map[string]string {
	out := map[string]string{}
	for _, g := range x.m.VolumeGroups {
		for _, lv := range g.Logical {
			if g.UUID != "" && lv.UUID != "" {
				out[g.UUID+lv.UUID] = machine.MapperPath(g.Name, lv.Name)
			}
		}
	}
	return out
}

// lvmFilters may say which devices LVM looks at.
var lvmFilters = []string{"etc/lvm/lvm.conf", "etc/lvm/lvmlocal.conf"}

// devicesFile lists the devices that LVM looks at (lvmdevices(8)).
const devicesFile = "etc/lvm/devices/system.devices"

// lvmFiles adapts which devices LVM looks at. A filter may name disks that have
// other names now; a list of devices by the IDs of the old disks is put aside,
// without which LVM looks at all.
func (x *executor) lvmFiles(renames map[string]string) error {
	for _, name := range lvmFilters {
		err := x.edit(name, func(b []byte) ([]byte, string) {
			out, pinned := identity.LVMConf(b, renames)
			for _, p := range pinned {
				x.warn("/%s names %s, which belongs to the recorded hardware", name, p)
			}
			return out, "names of disks"
		})
		if err != nil {
			return err
		}
	}
	var ids []string
	for _, d := range x.m.Disks {
		ids = append(ids, d.Serial, d.WWN)
	}
	const aside = devicesFile + ".before-mkcdrec"
	err := x.inRoot(func(r *os.Root) error {
		b, err := r.ReadFile(devicesFile)
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if err != nil {
			return err
		}
		foreign := identity.ForeignDevice(b, ids)
		if foreign == "" {
			return nil
		}
		if err := r.Rename(devicesFile, aside); err != nil {
			return err
		}
		x.changed[aside], x.changed["etc/lvm/devices"] = true, true
		x.change(devicesFile, "/%s: put aside as %s, because it names the disk %s, which is not here (vgimportdevices --all makes it anew)", devicesFile, aside, foreign)
		return nil
	})
	if err != nil {
		return fmt.Errorf("cannot adapt /%s: %w", devicesFile, err)
	}
	return nil
}
