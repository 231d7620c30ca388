package plan_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/mkcdrec/mkcdrec/internal/fail"
	"github.com/mkcdrec/mkcdrec/internal/fit"
	"github.com/mkcdrec/mkcdrec/internal/machine"
	"github.com/mkcdrec/mkcdrec/internal/machine/machinetest"
	"github.com/mkcdrec/mkcdrec/internal/plan"
)

func imagePlan(t *testing.T) plan.Plan {
	t.Helper()
	m := machinetest.BIOSMBRLogical()
	disk := machine.Disk{Name: "loop3", Path: "/dev/loop3", Size: m.Disks[0].Size, LogicalSector: 512, Model: "image /srv/web1.raw"}
	fitted, here, choices, err := fit.OntoImages(m, []machine.Disk{disk}, []string{"/srv/web1.raw"}, "", fit.Wishes{})
	if err != nil {
		t.Fatal(err)
	}
	i := info
	i.Host, i.Images = m.Hostname, []plan.Image{{Disk: "loop3", File: "/srv/web1.raw"}}
	p, err := plan.Restore(fitted, choices, here, i)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func TestGoldenImage(t *testing.T) {
	p := imagePlan(t)
	golden(t, "to-image", p)
	var b strings.Builder
	if err := plan.Describe(&b, p); err != nil {
		t.Fatal(err)
	}
	for _, wrong := range []string{"ERASED", "will be lost"} {
		if strings.Contains(b.String(), wrong) {
			t.Errorf("a plan that makes files says %q", wrong)
		}
	}
}

// Each tries to get a disk into a plan that makes image files.
func TestImagePlanHasNoDisk(t *testing.T) {
	for what, spoil := range map[string]func(*plan.Plan){
		"no file for a disk": func(p *plan.Plan) { p.Images[0].Disk = "vda" },
		"one disk more": func(p *plan.Plan) {
			p.Target.Disks = append(p.Target.Disks, machine.Disk{Name: "vda", Path: "/dev/vda", Size: 1 << 30})
		},
		"a file twice":         func(p *plan.Plan) { p.Images = append(p.Images, p.Images[0]) },
		"a device":             func(p *plan.Plan) { p.Images[0].File = "/dev/vda" },
		"a path with a way":    func(p *plan.Plan) { p.Images[0].File = "/srv/../dev/vda" },
		"a relative path":      func(p *plan.Plan) { p.Images[0].File = "web1.raw" },
		"a single file system": func(p *plan.Plan) { p.Scope = &plan.Scope{Mounts: []string{"/"}} },
	} {
		p := imagePlan(t)
		p.Images, p.Target.Disks = slices.Clone(p.Images), slices.Clone(p.Target.Disks)
		if err := plan.Validate(p); err != nil {
			t.Fatal(err)
		}
		spoil(&p)
		if err := plan.Validate(p); fail.KindOf(err) != fail.Refused {
			t.Errorf("%s: %v", what, err)
		}
	}
}

// A plan for images is another one than that for disks of the same names.
func TestDigestOfImages(t *testing.T) {
	p := imagePlan(t)
	q := p
	q.Images = nil
	if p.Digest() == q.Digest() {
		t.Error("a plan for images can be taken for one for disks")
	}
}
