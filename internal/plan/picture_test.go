package plan_test

import (
	"encoding/xml"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/mkcdrec/mkcdrec/internal/fit"
	"github.com/mkcdrec/mkcdrec/internal/machine"
	"github.com/mkcdrec/mkcdrec/internal/machine/machinetest"
	"github.com/mkcdrec/mkcdrec/internal/plan"
)

// manyParts is a machine with a disk of n small partitions and a large one.
func manyParts(n int) machine.Machine {
	const gib = machine.Sectors(1 << 21)
	d := machine.Disk{Name: "vda", Path: "/dev/vda", Size: 1 << 40, LogicalSector: 512, Serial: "S1"}
	d.Table = &machine.PartitionTable{Kind: machine.GPT, ID: "A"}
	m := machine.Machine{Hostname: "many", BootLoader: machine.BootLoader{Kind: machine.NoBootLoader}}
	for i := 1; i <= n; i++ {
		d.Table.Partitions = append(d.Table.Partitions, machine.Partition{Number: i, Path: "/dev/vda1", Start: machine.Sectors(i) * 4096, Size: 4096, Type: "83"})
	}
	d.Table.Partitions = append(d.Table.Partitions, machine.Partition{Number: n + 1, Path: "/dev/vda9", Start: gib, Size: 500 * gib, Type: "83"})
	on := machine.PartRef("vda", n+1)
	m.FileSystems = []machine.FileSystem{{On: on, Kind: "ext4", Size: 1 << 30}}
	m.Mounts = []machine.Mount{{On: on, Target: "/"}}
	m.Disks = []machine.Disk{d}
	return m
}

func described(t *testing.T, p plan.Plan) string {
	t.Helper()
	var b strings.Builder
	if err := plan.Describe(&b, p); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

// Each half of a bar is as wide as its column, whatever the partitions are, and
// has the number of every one; where that cannot be it says so.
func TestBarsKeepSmallPartitionsVisible(t *testing.T) {
	const want = "[1|2|3|4|5============|..............]"
	m := manyParts(4)
	text := described(t, restorePlan(t, m, m, info, fit.Wishes{}))
	if !strings.Contains(text, "  "+want+"  "+want+"\n") {
		t.Errorf("no bars %s in:\n%s", want, text)
	}
	for _, n := range []int{1, 4, 10, 12, 13, 14, 40} {
		m := manyParts(n)
		text := described(t, restorePlan(t, m, m, info, fit.Wishes{}))
		for _, bar := range regexp.MustCompile(`(?m)^  (\[.*\])  (\[.*\])$`).FindAllStringSubmatch(text, -1) {
			if len(bar[1]) != 38 || bar[1] != bar[2] {
				t.Errorf("%d partitions: bars of %d columns: %s", n, len(bar[1]), bar[0])
			}
		}
		if drawn := !strings.Contains(text, "too many partitions"); drawn != (n <= 13) {
			t.Errorf("%d partitions: drawn %v", n, drawn)
		}
	}
}

// What is free, and what is lost of a used disk, is to scale: half of the disk
// is half of the bar.
func TestBarsAreToScale(t *testing.T) {
	m := machinetest.Get("whole-disk-ext4")
	here := m
	here.Disks = []machine.Disk{m.Disks[0]}
	d := &here.Disks[0]
	sectors := d.Sectors(d.Size)
	d.Table = &machine.PartitionTable{Kind: machine.GPT, Partitions: []machine.Partition{
		{Number: 1, Start: sectors / 4, Size: sectors / 4, Type: "83"},
		{Number: 2, Start: sectors / 2, Size: sectors / 4, Type: "83"},
	}}
	here.FileSystems, here.Mounts = nil, nil
	text := described(t, restorePlan(t, m, here, info, fit.Wishes{Map: map[string]string{m.Disks[0].Name: m.Disks[0].Name}}))
	if want := "[........|1========|2=======|........]"; !strings.Contains(text, want) {
		t.Errorf("no bar %s in:\n%s", want, text)
	}
}

// The picture is XML that loads nothing, whatever a label on a disk says.
func TestSVG(t *testing.T) {
	m := machinetest.Get("luks-lvm")
	here := m
	here.FileSystems = append([]machine.FileSystem(nil), m.FileSystems...)
	here.FileSystems[0].Label = "<script>\x1b[2J&\"'\x00"
	here.Mounts = nil
	p := restorePlan(t, m, here, info, fit.Wishes{})
	var b strings.Builder
	if err := plan.SVG(&b, p); err != nil {
		t.Fatal(err)
	}
	texts := ""
	for d := xml.NewDecoder(strings.NewReader(b.String())); ; {
		token, err := d.Token()
		if err == io.EOF {
			break
		}
		if err != nil {
			t.Fatalf("%v in:\n%s", err, b.String())
		}
		switch token := token.(type) {
		case xml.StartElement:
			if !strings.Contains(" svg title rect g text ", " "+token.Name.Local+" ") {
				t.Errorf("an element %s", token.Name.Local)
			}
		case xml.CharData:
			texts += string(token) + "\n"
		}
	}
	for _, want := range []string{"Now: will be lost", "After", "vault-vg", "LUKS2 vda3_crypt", "<script>?[2J&\"'?", "serial MKC-LUKS"} {
		if !strings.Contains(texts, want) {
			t.Errorf("no %q in the picture:\n%s", want, texts)
		}
	}
	if strings.Contains(strings.ReplaceAll(b.String(), "http://www.w3.org/2000/svg", ""), "://") || strings.Contains(b.String(), "<script") {
		t.Error("the picture refers to something outside of it")
	}
}

// A label cannot move the cursor of the terminal that shows what is erased.
func TestDescribeShowsLabelsHarmless(t *testing.T) {
	m := machinetest.Get("uefi-plain")
	here := m
	here.FileSystems = append([]machine.FileSystem(nil), m.FileSystems...)
	for i := range here.FileSystems {
		here.FileSystems[i].Label = "\x1b[2J\u202ex"
	}
	here.Mounts = nil
	text := described(t, restorePlan(t, m, here, info, fit.Wishes{}))
	if strings.ContainsAny(text, "\x1b\u202e") || strings.Count(text, "?[2J?x") < 4 {
		t.Errorf("%q", text)
	}
}

func TestSVGOfOneFileSystemIsEmpty(t *testing.T) {
	var b strings.Builder
	if err := plan.SVG(&b, plan.Plan{Scope: &plan.Scope{Mounts: []string{"/home"}}}); err != nil || b.Len() > 0 {
		t.Errorf("%v, %q", err, b.String())
	}
}

// The pictures of two machines are kept as files, to be looked at.
func TestGoldenSVG(t *testing.T) {
	here := machine.Machine{Disks: []machine.Disk{{Name: "nvme0n1", Path: "/dev/nvme0n1", Size: 32 << 30, LogicalSector: 512, Model: "Fast 32G", Serial: "N1"}}}
	lvm, raid := machinetest.UEFILVM(), machinetest.Get("raid1-lvm")
	for name, p := range map[string]plan.Plan{
		"clone-nvme": restorePlan(t, lvm, here, info, fit.Wishes{GrowLargest: true}),
		"raid1-lvm":  restorePlan(t, raid, raid, info, fit.Wishes{}),
	} {
		var b strings.Builder
		if err := plan.SVG(&b, p); err != nil {
			t.Fatal(err)
		}
		file := filepath.Join("testdata", name+".svg")
		if *update {
			if err := os.WriteFile(file, []byte(b.String()), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		want, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if b.String() != string(want) {
			t.Errorf("%s differs; got:\n%s", file, b.String())
		}
	}
}
