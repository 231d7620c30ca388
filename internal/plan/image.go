package plan

import (
	"path/filepath"
	"strings"

	"github.com/mkcdrec/mkcdrec/internal/fail"
	"github.com/mkcdrec/mkcdrec/internal/machine"
)

// Image is a file that takes the place of a disk: it is made by the plan.
type Image struct {
	Disk string `json:"disk"` // kernel name of the device that the file is while the plan is carried out
	File string `json:"file"` // absolute
}

// validImages checks that a plan into image files has no other disk: each of
// its disks is one of the files, and each file one of its disks.
func (p Plan) validImages() error {
	if len(p.Images) == 0 {
		return nil
	}
	if p.Scope != nil {
		return fail.New(fail.Refused, "the plan is for a single file system, and makes image files of disks")
	}
	files := map[string]bool{}
	for _, i := range p.Images {
		switch {
		case p.Target.Disk(i.Disk) == nil:
			return fail.New(fail.Refused, "the plan makes %s, and has no disk in it", i.File)
		case !filepath.IsAbs(i.File) || filepath.Clean(i.File) != i.File || strings.HasPrefix(i.File, "/dev/"):
			return fail.New(fail.Refused, "%q cannot be an image file", i.File)
		case files[i.File]:
			return fail.New(fail.Refused, "the plan makes %s twice", i.File)
		}
		files[i.File] = true
	}
	for _, d := range p.Target.Disks {
		if p.Image(d.Name) == "" {
			return fail.New(fail.Refused, "the plan makes image files, and overwrites disk %s", d.Name)
		}
	}
	return nil
}

// Image is the file that takes the place of a disk, or "".
func (p Plan) Image(disk string) string {
	for _, i := range p.Images {
		if i.Disk == disk {
			return i.File
		}
	}
	return ""
}

// describeImages says what is made where nothing is erased.
func (p Plan) describeImages(out *strings.Builder) {
	out.WriteString("\nThese files will be MADE; no disk is touched:\n")
	for _, i := range p.Images {
		size := machine.Bytes(0)
		if d := p.Target.Disk(i.Disk); d != nil {
			size = d.Size
		}
		wrap(out, "  ", i.File+", "+Size(size)+", as "+i.Disk)
	}
}
