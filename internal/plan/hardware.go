package plan

import (
	"fmt"
	"slices"
	"strings"

	"github.com/mkcdrec/mkcdrec/internal/fail"
	"github.com/mkcdrec/mkcdrec/internal/machine"
)

// Hardware is what a disk is known by when a plan is carried out at another
// time than it was made.
type Hardware struct {
	Name   string        `json:"name"`
	Path   string        `json:"path"`
	Serial string        `json:"serial,omitempty"`
	WWN    string        `json:"wwn,omitempty"`
	Size   machine.Bytes `json:"size"`
	Sector machine.Bytes `json:"logical_sector"`
}

func hardware(d machine.Disk) Hardware {
	return Hardware{Name: d.Name, Path: d.Path, Serial: d.Serial, WWN: d.WWN, Size: d.Size, Sector: d.LogicalSector}
}

// alike says that two disks cannot be told apart but by their names, which the
// kernel gives anew at each start.
func (h Hardware) alike(o Hardware) bool {
	h.Name, h.Path = o.Name, o.Path
	return h == o
}

// SameDisk says whether d is the disk that was planned with; why names the
// first thing that differs.
func SameDisk(planned, d machine.Disk) (same bool, why string) {
	was, is := hardware(planned), hardware(d)
	switch {
	case is.Serial != was.Serial:
		why = fmt.Sprintf("serial %q, planned %q", is.Serial, was.Serial)
	case is.WWN != was.WWN:
		why = fmt.Sprintf("WWN %q, planned %q", is.WWN, was.WWN)
	case is.Size != was.Size:
		why = fmt.Sprintf("%s, planned %s", Size(is.Size), Size(was.Size))
	case is.Sector != was.Sector:
		why = fmt.Sprintf("sectors of %d bytes, planned %d", is.Sector, was.Sector)
	case is.Name != was.Name || is.Path != was.Path:
		why = fmt.Sprintf("it is %s at %s, planned %s at %s", is.Name, is.Path, was.Name, was.Path)
	}
	return is == was, why
}

// checkHardware refuses a plan whose disks are not those of here, or cannot be
// told from others. It is what stands between a plan that was kept and a disk
// that took the name of another one since.
func (p Plan) checkHardware(here machine.Machine, protected []string) error {
	for _, planned := range p.Target.Disks {
		if slices.Contains(protected, planned.Name) {
			return fail.New(fail.Refused, "disk %s holds the medium or the backup and is never overwritten", planned.Name)
		}
		var alike []string
		for _, d := range here.Disks {
			if hardware(d).alike(hardware(planned)) {
				alike = append(alike, d.Name)
			}
		}
		d := here.Disk(planned.Name)
		if d == nil {
			return moved(fail.New(fail.Refused, "disk %s is not here any more", planned.Name), alike)
		}
		if same, why := SameDisk(planned, *d); !same {
			return moved(fail.New(fail.Refused, "disk %s is not the one that the plan was made for: %s", d.Name, why), alike)
		}
		if len(alike) > 1 {
			return fail.Hint(fail.New(fail.Refused, "the disks %s cannot be told apart: they have the same size, and the same serial number and WWN or none", strings.Join(alike, " and ")),
				"a plan that is kept could overwrite the wrong one; restore without a plan file")
		}
		if d.ReadOnly {
			return fail.New(fail.Refused, "disk %s is read-only", d.Name)
		}
	}
	return nil
}

// moved is the hint for a disk that is not under its name.
func moved(err error, alike []string) error {
	if len(alike) == 1 {
		return fail.Hint(err, "the disk is %s now; make the plan anew with --plan-out", alike[0])
	}
	return fail.Hint(err, "make the plan anew with --plan-out")
}
