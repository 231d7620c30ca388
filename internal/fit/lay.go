package fit

import (
	"cmp"
	"fmt"
	"slices"

	"github.com/mkcdrec/mkcdrec/internal/fail"
	"github.com/mkcdrec/mkcdrec/internal/machine"
)

// apart are the volumes whose legs lay on disks of their own when they were
// recorded: they survived the loss of a disk.
func apart(m *machine.Machine) map[machine.Ref]bool {
	out := map[machine.Ref]bool{}
	for i := range m.VolumeGroups {
		g := &m.VolumeGroups[i]
		for _, lv := range g.Logical {
			if lv.Redundant() && disksOf(m, lv.Devices) >= lv.Legs() {
				out[machine.LVRef(g.Name, lv.Name)] = true
			}
		}
	}
	return out
}

// disksOf is how many disks these devices lie on of which each has one of its own.
func disksOf(m *machine.Machine, refs []machine.Ref) int {
	seen := map[string]bool{}
	n := 0
	for _, r := range refs {
		own := true
		for _, d := range m.DisksUnder(r) {
			own = own && !seen[d.Name]
			seen[d.Name] = true
		}
		if own {
			n++
		}
	}
	return n
}

// enoughMembers refuses a group that has not enough members, or disks below
// them, for what its volumes are to survive. It is not made less in silence.
func (f *fitter) enoughMembers(g *machine.VolumeGroup) error {
	var members []machine.Ref
	for _, p := range g.Physical {
		members = append(members, p.On)
	}
	disks := disksOf(f.m, members)
	for _, lv := range g.Logical {
		for _, p := range lv.Parts() {
			short := ""
			switch {
			case p.Legs() > len(members):
				short = fmt.Sprintf("%d physical volumes, and volume group %s has %d", p.Legs(), g.Name, len(members))
			case f.apart[machine.LVRef(g.Name, lv.Name)] && p.Redundant() && p.Legs() > disks:
				short = fmt.Sprintf("%d disks, and volume group %s lies on %d here", p.Legs(), g.Name, disks)
			default:
				continue
			}
			return fail.Hint(fail.New(fail.Refused, "volume %s/%s is %s and needs %s", g.Name, lv.Name, p.Kind, short),
				"use as many disks as were recorded; or convert the volume (lvconvert --type linear %s/%s) and back up again", g.Name, lv.Name)
		}
	}
	return nil
}

// lay finds for each volume the members of the group that it lies on, in the
// order in which volumes are made. set writes down what was found. The error
// says which volume finds no room.
func (f *fitter) lay(g *machine.VolumeGroup, set bool) error {
	l := layer{m: f.m, free: map[machine.Ref]machine.Bytes{}}
	for _, p := range g.Physical {
		l.order = append(l.order, p.On)
		l.free[p.On] = p.Size / extent(g) * extent(g)
	}
	for _, lv := range g.Order() {
		own := f.apart[machine.LVRef(g.Name, lv.Name)]
		for i, p := range lv.Parts() {
			on, ok := p.Devices, true
			if p.Legs() > 1 {
				on, ok = l.spread(p, extent(g), own)
			} else {
				on, ok = l.put(p.Leg(extent(g)), p.Devices)
			}
			if !ok {
				return fail.New(fail.Refused, "volume %s/%s finds no room on the disks of volume group %s", g.Name, lv.Name, g.Name)
			}
			if v := g.Volume(lv.Name); set && i == 0 {
				f.sayWhere(g, lv, on)
				v.Devices = on
			} else if set {
				v.Pool.Metadata.Devices = on
			}
		}
	}
	if _, ok := l.put(g.Spare, nil); !ok {
		return fail.New(fail.Refused, "volume group %s has no room for the spare metadata of its pools", g.Name)
	}
	return nil
}

// sayWhere says that a volume lies on other members than recorded.
func (f *fitter) sayWhere(g *machine.VolumeGroup, lv machine.LogicalVolume, on []machine.Ref) {
	switch {
	case len(lv.Devices) == 0 || slices.Equal(lv.Devices, on):
	case len(on) == 0:
		f.say("volume "+g.Name+"/"+lv.Name, "anywhere in its group", "there is no room for it on %s, where it lay", bodies(lv.Devices))
	default:
		f.say("volume "+g.Name+"/"+lv.Name, "on "+bodies(on), "each of its parts needs room on a disk of its own; it lay on %s", bodies(lv.Devices))
	}
}

// layer is what is free on the members of a group while volumes are laid out.
type layer struct {
	m     *machine.Machine
	order []machine.Ref
	free  map[machine.Ref]machine.Bytes
}

// put takes space for a volume that may lie in pieces: from the devices that
// held it where they have room, else from any. It returns those devices, or
// none where it may lie anywhere.
func (l *layer) put(size machine.Bytes, devices []machine.Ref) ([]machine.Ref, bool) {
	take := func(from []machine.Ref) bool {
		var all machine.Bytes
		for _, r := range from {
			all += l.free[r]
		}
		if all < size {
			return false
		}
		rest := size
		for _, r := range from {
			n := min(rest, l.free[r])
			l.free[r] -= n
			rest -= n
		}
		return true
	}
	if len(devices) > 0 && take(devices) {
		return devices, true
	}
	return nil, take(l.most(l.order))
}

// most are devices with those first that have the most room.
func (l *layer) most(refs []machine.Ref) []machine.Ref {
	out := slices.Clone(refs)
	slices.SortStableFunc(out, func(a, b machine.Ref) int { return cmp.Compare(l.free[b], l.free[a]) })
	return out
}

// spread takes space for a volume of several legs, each from devices of its
// own; own says that each needs disks of its own, too. The devices that held
// it come first.
func (l *layer) spread(p machine.LogicalVolume, extent machine.Bytes, own bool) (on []machine.Ref, ok bool) {
	leg := p.Leg(extent)
	used := map[machine.Ref]bool{}
	disks := map[string]bool{}
	usable := func(r machine.Ref) bool {
		return !used[r] && l.free[r] > 0 && !(own && slices.ContainsFunc(l.m.DisksUnder(r), func(d machine.Disk) bool { return disks[d.Name] }))
	}
	candidates := slices.Concat(p.Devices, l.most(slices.DeleteFunc(slices.Clone(l.order), func(r machine.Ref) bool { return slices.Contains(p.Devices, r) })))
	for range p.Legs() {
		var chosen []machine.Ref
		if i := slices.IndexFunc(candidates, func(r machine.Ref) bool { return usable(r) && l.free[r] >= leg }); i >= 0 {
			chosen = candidates[i : i+1]
		} else {
			// No device holds a whole leg: several may.
			var all machine.Bytes
			for _, r := range l.most(candidates) {
				if all < leg && usable(r) {
					chosen = append(chosen, r)
					all += l.free[r]
				}
			}
			if all < leg {
				return nil, false
			}
		}
		rest := leg
		for _, r := range chosen {
			n := min(rest, l.free[r])
			l.free[r] -= n
			rest -= n
			used[r] = true
			for _, d := range l.m.DisksUnder(r) {
				disks[d.Name] = true
			}
		}
		on = append(on, chosen...)
	}
	return on, true
}
