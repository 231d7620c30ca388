package machine

// Array is an md RAID array (md(4)). From above it is a disk: it has sectors
// and may have a partition table, and its partitions are named by PartRef with
// the array's Name.
type Array struct {
	// Disk has the array's kernel name (md0, md127), its size, and the table.
	// Path is the name that mdadm.conf or udev gives it where there is one
	// (/dev/md/root), else /dev/NAME.
	Disk
	UUID     string `json:"uuid"`            // as mdadm writes it: four groups of eight hex digits
	Label    string `json:"label,omitempty"` // the name in the superblock, "host:root"
	Level    string `json:"level"`           // linear raid0 raid1 raid4 raid5 raid6 raid10, as sysfs has it
	Metadata string `json:"metadata"`        // 0.90 1.0 1.1 1.2
	// Slots is how many members the array is made for, missing ones included,
	// spares not.
	Slots  int    `json:"slots"`
	Chunk  Bytes  `json:"chunk,omitempty"`  // 0 for raid1
	Layout string `json:"layout,omitempty"` // left-symmetric, near=2, far=2 ... as mdadm --detail has it
	Bitmap string `json:"bitmap,omitempty"` // "internal", or "" for none
	// Policy is "ppl" for a raid5 with a partial parity log; "" for all that
	// needs no word beside Bitmap.
	Policy string `json:"policy,omitempty"`
	// Offset is where the data begins on each member; 0 where it is at the
	// start, where members differ, or where mdadm may choose.
	Offset Bytes `json:"offset,omitempty"`
	// Component is how much of each member holds data; what a member has more
	// are superblock, bitmap and rounding. raid0 uses all that a member has.
	Component Bytes         `json:"component,omitempty"`
	Members   []ArrayMember `json:"members"` // those that were there, by slot, then spares
	// Added says that the recorded machine did not have this array: it was wished.
	Added bool `json:"added,omitempty"`
}

// ArrayMember is one device of an array.
type ArrayMember struct {
	On Ref `json:"on"`
	// Slot is its place, from 0; -1 for a spare.
	Slot int `json:"slot"`
	// WriteMostly says that reads go elsewhere if they can (raid1).
	WriteMostly bool `json:"write_mostly,omitempty"`
}

// Missing is how many members the array lacked when it was recorded.
func (a *Array) Missing() int {
	n := a.Slots
	for _, m := range a.Members {
		if m.Slot >= 0 {
			n--
		}
	}
	return max(n, 0)
}

// Redundant is how many members of the array may fail before data is lost.
// raid10 survives more when luck has it that no two copies are hit.
func (a *Array) Redundant() int {
	switch a.Level {
	case "raid1":
		return max(a.Slots-1, 0)
	case "raid4", "raid5":
		return 1
	case "raid6":
		return 2
	case "raid10":
		return max(a.copies()-1, 0)
	}
	return 0
}

// copies is how often a raid10 has each block: near=2, far=2, offset=3.
func (a *Array) copies() int {
	for i := len(a.Layout) - 1; i >= 0; i-- {
		if c := a.Layout[i]; c >= '1' && c <= '9' {
			return int(c - '0')
		}
	}
	return 2
}

// Capacity is the size of the array over members that hold component bytes
// each. Of raid0, whose members may differ, it is that over equal ones.
func (a *Array) Capacity(component Bytes) Bytes {
	n := Bytes(a.Slots)
	switch a.Level {
	case "raid1":
		return component
	case "raid4", "raid5":
		return component * max(n-1, 0)
	case "raid6":
		return component * max(n-2, 0)
	case "raid10":
		return component * n / Bytes(a.copies())
	}
	return component * n
}
