package restore

import (
	"context"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/mkcdrec/mkcdrec/internal/diskimage"
	"github.com/mkcdrec/mkcdrec/internal/fail"
	"github.com/mkcdrec/mkcdrec/internal/fit"
	"github.com/mkcdrec/mkcdrec/internal/machine"
	"github.com/mkcdrec/mkcdrec/internal/plan"
	"github.com/mkcdrec/mkcdrec/internal/system"
	"github.com/mkcdrec/mkcdrec/internal/testtree"
	"github.com/mkcdrec/mkcdrec/internal/tool/sfdisk"
)

// intoImages attaches images for the recorded machine, and plans the restore.
func (r *realMachine) intoImages(t *testing.T, sizes ...machine.Bytes) (Options, *diskimage.Set) {
	t.Helper()
	needed, err := fit.Needed(r.Machine, fit.Wishes{})
	if err != nil {
		t.Fatal(err)
	}
	var wanted []diskimage.Wanted
	var files []string
	base := t.TempDir()
	for i, d := range needed {
		w := diskimage.Wanted{File: filepath.Join(base, d.Name+".raw"), Size: d.Size}
		if i < len(sizes) {
			w.Size = sizes[i]
		}
		wanted, files = append(wanted, w), append(files, w.File)
	}
	root := filepath.Join(t.TempDir(), "target")
	set, err := diskimage.Make(t.Context(), &system.Host{}, wanted, t.TempDir(), root)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { set.Close(context.Background()) })
	info := plan.Info{Backup: r.backup.Manifest.ID, Host: r.Hostname, Entries: 1}
	for _, f := range set.Files {
		info.Images = append(info.Images, plan.Image{Disk: f.Disk, File: f.File})
	}
	fitted, here, choices, err := fit.OntoImages(r.Machine, diskimage.Disks(set.Files), files, "", fit.Wishes{})
	if err != nil {
		t.Fatal(err)
	}
	p, err := plan.Restore(fitted, choices, here, info)
	if err != nil {
		t.Fatal(err)
	}
	return Options{Plan: p, Backup: FromArchive(r.backup), System: set.Confined(), Images: set, Verify: VerifyFull, Fresh: true,
		TargetRoot: root, Journal: filepath.Join(base, "journal")}, set
}

// mountImage shows a part of an image at a directory until the test ends.
func mountImage(t *testing.T, file string, offset, size machine.Bytes, kind string) string {
	t.Helper()
	at := t.TempDir()
	options := "ro,loop,offset=" + plainBytes(offset) + ",sizelimit=" + plainBytes(size)
	if kind == "xfs" {
		options += ",nouuid"
	}
	testtree.Shell(t, `mount -t "$1" -o "$2" "$3" "$4"`, kind, options, file, at)
	t.Cleanup(func() { testtree.Shell(t, `umount "$1"`, at) })
	return at
}

func plainBytes(b machine.Bytes) string { return strconv.FormatInt(int64(b), 10) }

// attachedTo are the loop devices that show a file.
func attachedTo(t *testing.T, file string) string {
	t.Helper()
	return testtree.Shell(t, `losetup --noheadings --output NAME --associated "$1"`, file)
}

// While the file systems of the recorded machine are mounted here under the
// very same UUIDs, it is restored into image files: one for each disk.
func TestRealMachineIntoImages(t *testing.T) {
	r := newReal(t)
	data := r.loop(t, "512M", "mkfs.xfs", "-q", "-L", "data")
	r.record(t, data, "xfs")
	r.mount(t, data, "/data", "")
	testtree.Everything(t, filepath.Join(r.root, "data/tree"))
	r.backUp(t)
	disks := r.sums(t)
	o, set := r.intoImages(t)
	rep, err := Run(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	if len(rep.Warnings) > 0 || rep.Verified.Paths == 0 {
		t.Errorf("report: %+v", rep)
	}
	if err := set.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	for i, f := range set.Files {
		if got := attachedTo(t, f.File); got != "" {
			t.Errorf("%s is still attached: %s", f.File, got)
		}
		target, kind := "", "ext4"
		if i == 1 {
			target, kind = "data", "xfs"
		}
		at := mountImage(t, f.File, 0, f.Size, kind)
		want := testtree.Describe(t, filepath.Join(r.root, target, map[bool]string{true: "tree", false: "etc"}[i == 1]))
		got := testtree.Describe(t, filepath.Join(at, map[bool]string{true: "tree", false: "etc"}[i == 1]))
		if d := testtree.Diff(want, got); d != "" || len(want) == 0 {
			t.Errorf("%s: the tree differs: %s", f.File, d)
		}
	}
	for disk, sum := range r.sums(t) {
		if disks[disk] != sum {
			t.Errorf("disk %s of the recorded machine was written to", disk)
		}
	}
	if got := testtree.Shell(t, `grep -F " $1" /proc/self/mountinfo || true`, o.TargetRoot); got != "" {
		t.Errorf("left mounted: %s", got)
	}
	for _, left := range []string{o.Journal, o.TargetRoot} {
		if _, err := os.Stat(left); err == nil {
			t.Errorf("%s was left", left)
		}
	}
}

// withPartitions has / and /data on partitions of one recorded disk.
func withPartitions(t *testing.T) *realMachine {
	t.Helper()
	r := newReal(t)
	data := r.loop(t, "512M", "mkfs.xfs", "-q", "-L", "data")
	r.record(t, data, "xfs")
	r.mount(t, data, "/data", "")
	testtree.Shell(t, `mkdir "$1"; cd "$1"; echo one > a; ln a b; ln -s a c; chmod 640 a; setfattr -n user.a -v b a`, filepath.Join(r.root, "data/tree"))
	const id = "5A6C1F0E-41C4-4F0C-8F1A-2D9B7E3C0A"
	disk := machine.Disk{Name: "sda", Path: "/dev/sda", Size: 640 << 20, LogicalSector: 512, Serial: "RECORDED", Table: &machine.PartitionTable{
		Kind: machine.GPT, ID: id + "00", FirstLBA: 2048, LastLBA: (640<<20)/512 - 34, Partitions: []machine.Partition{
			{Number: 1, Path: "/dev/sda1", Start: 2048, Size: (64 << 20) / 512, Type: "0FC63DAF-8483-4772-8E79-3D69D8477DE4", UUID: id + "01", Name: "root"},
			{Number: 3, Path: "/dev/sda3", Start: 2048 + (64<<20)/512, Size: (512 << 20) / 512, Type: "0FC63DAF-8483-4772-8E79-3D69D8477DE4", UUID: id + "03", Name: "data"},
		}}}
	r.Disks = []machine.Disk{disk}
	for i, n := range []int{1, 3} {
		r.FileSystems[i].On, r.Mounts[i].On = machine.PartRef("sda", n), machine.PartRef("sda", n)
	}
	return r
}

func TestRealPartitionsIntoAnImage(t *testing.T) {
	r := withPartitions(t)
	r.backUp(t)
	o, set := r.intoImages(t, 704<<20) // it grows by 64 MiB
	if _, err := Run(t.Context(), o); err != nil {
		t.Fatal(err)
	}
	if err := set.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	f := set.Files[0]
	got, err := sfdisk.Read(t.Context(), &system.Host{}, f.File)
	if err != nil || len(got.Partitions) != 2 || got.ID != r.Disks[0].Table.ID {
		t.Fatalf("table %+v, %v", got, err)
	}
	for i, p := range got.Partitions {
		was := r.Disks[0].Table.Partitions[i]
		if p.Number != was.Number || !strings.EqualFold(p.UUID, was.UUID) || p.Name != was.Name || p.Start != was.Start {
			t.Errorf("partition %+v, recorded %+v", p, was)
		}
	}
	// What was free behind it is its own then, too.
	if grown := got.Partitions[1].Size - r.Disks[0].Table.Partitions[1].Size; grown != (126<<20)/512 {
		t.Errorf("the last partition grew by %d sectors", grown)
	}
	p := got.Partitions[1]
	at := mountImage(t, f.File, machine.Bytes(p.Start)*512, machine.Bytes(p.Size)*512, "xfs")
	want := testtree.Describe(t, filepath.Join(r.root, "data/tree"))
	if d := testtree.Diff(want, testtree.Describe(t, filepath.Join(at, "tree"))); d != "" || len(want) == 0 {
		t.Errorf("the tree differs: %s", d)
	}
	if got := attachedTo(t, f.File); strings.Count(got, "\n") != 1 { // the one of mountImage
		t.Errorf("attached: %s", got)
	}
}

// interrupting is a runner that ends the run before a program, as a signal does.
type interrupting struct {
	system.Runner
	program string
	cancel  context.CancelFunc
}

func (i interrupting) Run(ctx context.Context, c system.Command) (system.Result, error) {
	if c.Name == i.program {
		i.cancel()
	}
	return i.Runner.Run(ctx, c)
}

// Interrupted anywhere, nothing stays mounted or attached.
func TestRealImageIsInterrupted(t *testing.T) {
	r := withPartitions(t)
	r.backUp(t)
	for _, program := range []string{"wipefs", "sfdisk", "mke2fs", "mkfs.xfs", "mount", "umount"} {
		o, set := r.intoImages(t)
		ctx, cancel := context.WithCancel(t.Context())
		o.System = interrupting{o.System, program, cancel}
		_, err := Run(ctx, o)
		if fail.KindOf(err) != fail.Interrupted {
			t.Errorf("%s: %v", program, err)
		}
		if got := testtree.Shell(t, `grep -F " $1" /proc/self/mountinfo || true`, o.TargetRoot); got != "" {
			t.Errorf("%s: left mounted: %s", program, got)
		}
		if err := set.Close(t.Context()); err != nil {
			t.Errorf("%s: %v", program, err)
		}
		if got := attachedTo(t, set.Files[0].File); got != "" {
			t.Errorf("%s: left attached: %s", program, got)
		}
		if err := set.Remove(); err != nil {
			t.Error(err)
		}
		for _, left := range []string{o.Journal, o.TargetRoot, set.Files[0].File} {
			if _, err := os.Stat(left); err == nil {
				t.Errorf("%s: %s was left", program, left)
			}
		}
		cancel()
	}
}
