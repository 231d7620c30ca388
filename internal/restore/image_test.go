package restore

import (
	"context"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/mkcdrec/mkcdrec/internal/diskimage"
	"github.com/mkcdrec/mkcdrec/internal/fail"
	"github.com/mkcdrec/mkcdrec/internal/machine/machinetest"
	"github.com/mkcdrec/mkcdrec/internal/plan"
	"github.com/mkcdrec/mkcdrec/internal/system"
	"github.com/mkcdrec/mkcdrec/internal/testtree"
)

// A plan for disks is never carried out as one for images, nor the other way.
func TestImagesAndDisksAreNotMixed(t *testing.T) {
	m := machinetest.UEFIPlain()
	o, run, _ := bench(t, m, m, plan.Info{})
	o.Images = &diskimage.Set{}
	if _, err := Run(t.Context(), o); fail.KindOf(err) != fail.Refused {
		t.Errorf("a plan for disks, with images: %v", err)
	}
	o.Images = nil
	o.Plan.Images = []plan.Image{{Disk: o.Plan.Target.Disks[0].Name, File: "/srv/a.raw"}}
	if _, err := Run(t.Context(), o); fail.KindOf(err) != fail.Refused {
		t.Errorf("a plan for images, without any: %v", err)
	}
	o.Images = &diskimage.Set{Files: []diskimage.File{{Wanted: diskimage.Wanted{File: "/srv/a.raw"}, Disk: o.Plan.Target.Disks[0].Name}}}
	if _, err := Run(t.Context(), o); fail.KindOf(err) != fail.Refused {
		t.Errorf("a disk that calls itself an image: %v", err)
	}
	for _, c := range run.Commands() {
		for _, word := range []string{"wipefs", "sfdisk", "dd", "mkfs", "mke2fs"} {
			if strings.HasPrefix(c, word) {
				t.Errorf("was run: %s", c)
			}
		}
	}
}

// Every step asks anew.
func TestStepsOnOtherDisksAreRefused(t *testing.T) {
	m := machinetest.UEFILVM()
	p, err := plan.Restore(m, nil, m, plan.Info{})
	if err != nil {
		t.Fatal(err)
	}
	x := newExecutor(Options{Plan: p, System: &system.Recorder{}, Images: &diskimage.Set{}})
	asked := 0
	for i, s := range p.Steps {
		if s.Device == "" {
			continue
		}
		asked++
		if err := x.step(t.Context(), i, s); fail.KindOf(err) != fail.Refused {
			t.Errorf("%s: %v", s.ID, err)
		}
	}
	if asked < 10 || len(x.System.(*system.Recorder).Commands()) > 0 {
		t.Errorf("%d steps, commands %q", asked, x.System.(*system.Recorder).Commands())
	}
}

// The firmware of the machine that makes an image is not touched: the image
// starts by the fallback path, and programs inside see no firmware.
func TestImagesLeaveTheFirmwareAlone(t *testing.T) {
	m := machinetest.UEFIPlain()
	o, run, backup := bench(t, m, m, plan.Info{})
	if err := os.MkdirAll(filepath.Join(o.Root, "sys/firmware/efi/efivars"), 0o755); err != nil {
		t.Fatal(err)
	}
	o.Images = &diskimage.Set{}
	x := newExecutor(o)
	if _, err := backup.Unpack(t.Context(), x.TargetRoot, nil, nil); err != nil {
		t.Fatal(err)
	}
	for _, s := range o.Plan.Steps {
		if s.Kind == plan.InstallLoader {
			if err := x.bootLoader(t.Context(), s); err != nil {
				t.Fatal(err)
			}
		}
	}
	if got, err := os.ReadFile(filepath.Join(o.TargetRoot, "boot/efi/EFI/BOOT/BOOTX64.EFI")); err != nil || string(got) != "shim" {
		t.Errorf("fallback path: %q, %v", got, err)
	}
	if slices.ContainsFunc(run.Commands(), func(c string) bool { return strings.Contains(c, "efibootmgr") }) {
		t.Errorf("commands: %q", run.Commands())
	}
	// As /sys of this machine shows it, bound into the restored system.
	if err := os.MkdirAll(filepath.Join(o.TargetRoot, "sys/firmware/efi/efivars"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := x.bind(t.Context()); err != nil {
		t.Fatal(err)
	}
	hidden := "mount -t tmpfs -o ro,size=4k none " + filepath.Join(o.TargetRoot, "sys/firmware/efi")
	binds := slices.IndexFunc(run.Commands(), func(c string) bool { return strings.HasSuffix(c, "/sys "+filepath.Join(o.TargetRoot, "sys")) })
	if at := slices.Index(run.Commands(), hidden); at < 0 || binds < 0 || at < binds {
		t.Errorf("the firmware is not hidden behind the bind of /sys: %q", run.Commands())
	}
}

// swapping gives the loop device of an image to another file before a program.
type swapping struct {
	system.Runner
	t       *testing.T
	program string
	disk    string
	other   string
}

func (s *swapping) Run(ctx context.Context, c system.Command) (system.Result, error) {
	if c.Name == s.program && s.other != "" {
		testtree.Shell(s.t, `losetup --detach "$1" && losetup "$1" "$2"`, "/dev/"+s.disk, s.other)
		s.other = ""
	}
	return s.Runner.Run(ctx, c)
}

// A device that shows somebody else's file by now is not written to.
func TestRealImageIsTaken(t *testing.T) {
	r := newReal(t)
	r.backUp(t)
	for _, program := range []string{"wipefs", "dd", "mke2fs"} {
		o, set := r.intoImages(t)
		other := filepath.Join(t.TempDir(), "other")
		testtree.Shell(t, `head -c 64M /dev/zero | tr '\0' x >"$1"`, other)
		disk := set.Files[0].Disk
		o.System = &swapping{Runner: o.System, t: t, program: program, disk: disk, other: other}
		_, err := Run(t.Context(), o)
		if fail.KindOf(err) != fail.Refused || !strings.Contains(err.Error(), other) {
			t.Errorf("%s: %v", program, err)
		}
		testtree.Shell(t, `losetup --detach "$1"`, "/dev/"+disk)
		if got := testtree.Shell(t, `tr -d x <"$1" | wc -c`, other); strings.TrimSpace(got) != "0" {
			t.Errorf("%s: the other file was written to: %s bytes", program, got)
		}
		if err := set.Close(t.Context()); err != nil {
			t.Error(err)
		}
		if err := set.Remove(); err != nil {
			t.Error(err)
		}
	}
}
