package machine

import (
	"cmp"
	"slices"
)

// FSDevice is one of several devices of a btrfs (btrfs-device(8)).
type FSDevice struct {
	On   Ref    `json:"on"`
	ID   uint64 `json:"id"` // the number within the file system, from 1
	Size Bytes  `json:"size"`
}

// Profiles are how a btrfs keeps data and metadata on its devices
// (mkfs.btrfs(8), "PROFILES"), by the keys of FileSystem.Options. A file system
// of mixed block groups has one for both.
const (
	DataProfile     = "data"
	MetadataProfile = "metadata"
	SystemProfile   = "system"
)

// Profile is what is known of a profile: the least number of devices that it
// is made on, and what of a device's space is left for data.
type profile struct {
	least          int
	copies, parity int
	stripes        bool // over as many devices as there are
}

var profiles = map[string]profile{
	"single": {1, 1, 0, false}, "dup": {1, 2, 0, false},
	"raid0": {2, 1, 0, true}, "raid10": {4, 2, 0, true}, "raid5": {2, 1, 1, true}, "raid6": {3, 1, 2, true},
	"raid1": {2, 2, 0, false}, "raid1c3": {3, 3, 0, false}, "raid1c4": {4, 4, 0, false},
}

// KnownProfile says that a profile is one of those of mkfs.btrfs(8).
func KnownProfile(name string) bool { _, ok := profiles[name]; return ok }

// ProfileDevices is the least number of devices that a profile is made on; 1
// for one that is not known.
func ProfileDevices(name string) int { return max(profiles[name].least, 1) }

// Capacity is how much a btrfs can hold of what is kept by a profile, on
// devices of these sizes. One that is not known counts as "single".
func Capacity(name string, sizes []Bytes) Bytes {
	p, ok := profiles[name]
	if !ok {
		p = profiles["single"]
	}
	s := slices.Clone(sizes)
	slices.SortFunc(s, func(a, b Bytes) int { return cmp.Compare(b, a) })
	var sum Bytes
	for _, b := range s {
		sum += b
	}
	switch {
	case p.stripes:
		return striped(p, s)
	case p.least == 1:
		return sum / Bytes(p.copies)
	}
	// Each copy lies on another device: the largest cannot be used for more
	// than the others hold.
	best := sum / Bytes(p.copies)
	rest := sum
	for i := range min(p.copies-1, len(s)) {
		rest -= s[i]
		best = min(best, rest/Bytes(p.copies-i-1))
	}
	return best
}

// striped is the capacity of a profile that uses all devices at once, as long
// as they have room: first all of them up to the size of the smallest, then
// those that are left.
func striped(p profile, descending []Bytes) Bytes {
	var out, done Bytes
	// Newer kernels make some of them on fewer devices than they were made for once.
	for n := len(descending); n >= min(p.least, len(descending)) && n > 0; n-- {
		layer := descending[n-1] - done
		done += layer
		wide := n / p.copies * p.copies // raid10 stripes over pairs
		out += layer * Bytes(max(wide-p.parity, 0)) / Bytes(p.copies)
	}
	return out
}

// Sizes are those of the devices of a file system.
func (fs *FileSystem) Sizes() []Bytes {
	if len(fs.Devices) == 0 {
		return []Bytes{fs.Size}
	}
	var out []Bytes
	for _, d := range fs.Devices {
		out = append(out, d.Size)
	}
	return out
}

// Refs are all devices of a file system, also where it is only one.
func (fs *FileSystem) Refs() []Ref {
	if len(fs.Devices) == 0 {
		return []Ref{fs.On}
	}
	var out []Ref
	for _, d := range fs.Devices {
		out = append(out, d.On)
	}
	return out
}

// Device is the one of several devices of a file system that r is, or nil.
func (fs *FileSystem) Device(r Ref) *FSDevice {
	for i := range fs.Devices {
		if fs.Devices[i].On == r {
			return &fs.Devices[i]
		}
	}
	return nil
}

// Resize tells a file system that one of its devices has another size now.
func (fs *FileSystem) Resize(r Ref, now Bytes) {
	d := fs.Device(r)
	if d == nil {
		fs.Size = now
		return
	}
	d.Size = now
	fs.Size = 0
	for _, d := range fs.Devices {
		fs.Size += d.Size
	}
}

// together are the devices of the file system that r belongs to, r first; r
// alone where it holds none, or one on one device.
func (m *Machine) together(r Ref) []Ref {
	out := []Ref{r}
	if fs := m.FileSystemOn(r); fs != nil {
		for _, d := range fs.Devices {
			if d.On != r {
				out = append(out, d.On)
			}
		}
	}
	return out
}

// devices checks a file system over several devices.
func (v *validator) devices(fs *FileSystem, what string) {
	if fs.Kind != "btrfs" || fs.Missing < 0 || len(fs.Devices) == 0 || len(fs.Devices)+fs.Missing < 2 {
		v.bad("%s cannot have %d devices, and %d missing", what, len(fs.Devices), fs.Missing)
		v.put(fs.On, "a file system")
		return
	}
	if fs.Devices[0].On != fs.On {
		v.bad("%s begins on another device than its first, %s", what, fs.Devices[0].On)
	}
	ids := map[uint64]bool{}
	var sum Bytes
	for _, d := range fs.Devices {
		if dev, ok := v.resolve(what, d.On); ok && (d.Size < 1 || d.Size > dev.Size) {
			v.bad("%s uses %d bytes of %s, which has %d", what, d.Size, d.On, dev.Size)
		}
		if d.ID == 0 || ids[d.ID] {
			v.bad("%s has two devices of number %d, or one without", what, d.ID)
		}
		ids[d.ID] = true
		sum += max(min(d.Size, 1<<60), 0)
		v.put(d.On, "a file system")
	}
	if fs.Missing == 0 && fs.Size > sum {
		v.bad("%s has %d bytes, its devices %d", what, fs.Size, sum)
	}
	for _, key := range []string{DataProfile, MetadataProfile, SystemProfile} {
		if p := fs.Options[key]; p != "" && !KnownProfile(p) {
			v.bad("%s keeps its %s by the profile %q", what, key, p)
		}
	}
}
