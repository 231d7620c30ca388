package plan_test

import (
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/mkcdrec/mkcdrec/internal/fail"
	"github.com/mkcdrec/mkcdrec/internal/fit"
	"github.com/mkcdrec/mkcdrec/internal/machine"
	"github.com/mkcdrec/mkcdrec/internal/machine/machinetest"
	"github.com/mkcdrec/mkcdrec/internal/plan"
)

var update = flag.Bool("update", false, "write the golden files anew")

var info = plan.Info{Backup: "20261124T040000Z-ab12", Entries: 41519, Content: 1170 << 20}

func restorePlan(t *testing.T, m, here machine.Machine, info plan.Info, w fit.Wishes) plan.Plan {
	t.Helper()
	info.Host = m.Hostname
	fitted, choices, err := fit.Onto(m, here, w)
	if err != nil {
		t.Fatal(err)
	}
	p, err := plan.Restore(fitted, choices, here, info)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func golden(t *testing.T, name string, p plan.Plan) {
	t.Helper()
	var b strings.Builder
	if err := plan.Describe(&b, p); err != nil {
		t.Fatal(err)
	}
	for line := range strings.SplitSeq(b.String(), "\n") {
		if len(line) > 80 {
			t.Errorf("line of %d columns: %s", len(line), line)
		}
	}
	file := filepath.Join("testdata", name+".txt")
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

func TestDescribeNamedMachines(t *testing.T) {
	for _, name := range machinetest.Names() {
		m := machinetest.Get(name)
		golden(t, name, restorePlan(t, m, m, info, fit.Wishes{}))
	}
}

func TestDescribeCloneOntoLargerNVMe(t *testing.T) {
	m := machinetest.UEFILVM()
	here := machine.Machine{Disks: []machine.Disk{{Name: "nvme0n1", Path: "/dev/nvme0n1", Size: 32 << 30, LogicalSector: 512, Model: "Fast 32G", Serial: "N1"}}}
	clone := info
	clone.Clone = &plan.CloneWishes{Hostname: "web2"}
	p := restorePlan(t, m, here, clone, fit.Wishes{GrowLargest: true})
	golden(t, "clone-nvme", p)
	if got := p.Confirmation(); got != "erase nvme0n1" {
		t.Errorf("confirmation is %q", got)
	}
}

func TestPlanSurvivesJSONAndKeepsItsDigest(t *testing.T) {
	m := machinetest.TwoDisks()
	p := restorePlan(t, m, m, info, fit.Wishes{})
	b, err := json.Marshal(p)
	if err != nil {
		t.Fatal(err)
	}
	var q plan.Plan
	if err := json.Unmarshal(b, &q); err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(p.Steps, q.Steps) || p.Digest() != q.Digest() {
		t.Error("the plan changed on its way through JSON")
	}
	blank := m
	blank.Disks = nil
	for _, d := range m.Disks {
		d.Table, d.Signatures = nil, nil
		blank.Disks = append(blank.Disks, d)
	}
	blank.VolumeGroups, blank.FileSystems = nil, nil
	if r := restorePlan(t, m, blank, info, fit.Wishes{}); r.Digest() != p.Digest() {
		t.Error("the digest depends on what the disks held before")
	}
	other := info
	other.Backup = "another"
	if r := restorePlan(t, m, m, other, fit.Wishes{}); r.Digest() == p.Digest() {
		t.Error("the digest is the same for another backup")
	}
}

func TestOtherFirmwareIsRefused(t *testing.T) {
	m := machinetest.UEFIPlain()
	here := m
	here.Firmware.Kind = machine.BIOS
	fitted, choices, err := fit.Onto(m, m, fit.Wishes{}) // not fitted onto the other firmware
	if err != nil {
		t.Fatal(err)
	}
	if _, err := plan.Restore(fitted, choices, here, info); fail.KindOf(err) != fail.Unsupported {
		t.Fatalf("got %v", err)
	}
	if _, err := plan.Restore(fitted, choices, m, info); err != nil {
		t.Fatal(err)
	}
}

func TestValidateRefuses(t *testing.T) {
	fresh := func() plan.Plan {
		m := machinetest.UEFILVM()
		return restorePlan(t, m, m, info, fit.Wishes{})
	}
	tests := []struct {
		name  string
		spoil func(p *plan.Plan)
		want  string
	}{
		{"overlap", func(p *plan.Plan) { p.Target.Disks[0].Table.Partitions[1].Start -= 2048 }, "overlap"},
		{"beyond the disk", func(p *plan.Plan) { p.Target.Disks[0].Table.Partitions[2].Size += 1 << 21 }, "does not lie on the disk"},
		{"too large volume", func(p *plan.Plan) { p.Target.VolumeGroups[0].Logical[0].Size = 1 << 40 }, "its volumes need"},
		{"disk not named as erased", func(p *plan.Plan) { p.Erases[0].Device = "disk:vdb" }, "does not name as erased"},
		{"no disk", func(p *plan.Plan) { p.Erases = nil }, "names no disk"},
		{"device not there", func(p *plan.Plan) { p.Steps[0].Device = "disk:vdq" }, "no such disk"},
		{"same ID", func(p *plan.Plan) { p.Steps[1].ID = p.Steps[0].ID }, "two steps"},
		{"nothing to mount", func(p *plan.Plan) { p.Target.FileSystems = p.Target.FileSystems[:1] }, "nothing is to be made"},
		{"no root", func(p *plan.Plan) { p.Target.Mounts = p.Target.Mounts[1:] }, "no root"},
	}
	if err := plan.Validate(fresh()); err != nil {
		t.Fatal(err)
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			p := fresh()
			tt.spoil(&p)
			err := plan.Validate(p)
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Fatalf("got %v, want %q", err, tt.want)
			}
		})
	}
}

// A wish that cannot be fulfilled is found while planning, not on erased disks.
func TestImpossibleCloneIsNoPlan(t *testing.T) {
	m := machinetest.Get("uefi-plain")
	fitted, choices, err := fit.Onto(m, m, fit.Wishes{})
	if err != nil {
		t.Fatal(err)
	}
	for _, w := range []plan.CloneWishes{{Hostname: "-web"}, {Addresses: []string{"192.0.2.7"}}, {Gateway: "192.0.2.1"}} {
		bad := info
		bad.Clone = &w
		if _, err := plan.Restore(fitted, choices, m, bad); fail.KindOf(err) != fail.Usage || err == nil {
			t.Errorf("%+v: %v", w, err)
		}
	}
}

func TestRefusesToMountWhatIsLeftOut(t *testing.T) {
	m := machinetest.UEFILVM()
	if _, err := plan.Restore(m, nil, m, plan.Info{Changes: &plan.Changes{LeftOut: []string{"/home"}}}); err == nil || !strings.Contains(err.Error(), "mounts what it leaves out") {
		t.Errorf("got %v", err)
	}
	p, err := plan.Restore(m, nil, m, plan.Info{Changes: &plan.Changes{}})
	if err != nil || p.Changes != nil || p.Paths() != nil {
		t.Errorf("wishes that change nothing are in the plan: %+v, %v", p.Changes, err)
	}
}

// onDisks are blank disks of a machine with the firmware of m.
func onDisks(m machine.Machine, size machine.Bytes, names ...string) machine.Machine {
	here := machine.Machine{Firmware: machine.Firmware{Kind: m.Firmware.Kind}}
	for i, n := range names {
		here.Disks = append(here.Disks, machine.Disk{Name: n, Path: "/dev/" + n, Size: size, LogicalSector: 512, Model: "Fast", Serial: "N" + string(rune('1'+i))})
	}
	return here
}

// Fewer and more disks than were recorded: what the plan says of them, and that
// a plan that is kept is the same when it is carried out.
func TestDescribeOtherNumbersOfDisks(t *testing.T) {
	for _, c := range []struct {
		name string
		m    machine.Machine
		here machine.Machine
		w    fit.Wishes
	}{
		{"raid1-lvm-flattened", machinetest.RAID1LVM(), onDisks(machinetest.RAID1LVM(), 12<<30, "nvme0n1"), fit.Wishes{Flatten: []string{fit.FlattenAll}}},
		{"uefi-plain-mirrored", machinetest.UEFIPlain(), onDisks(machinetest.UEFIPlain(), 8<<30, "sda", "sdb"), fit.Wishes{Mirror: fit.MirrorAny}},
		{"two-disks-onto-one", machinetest.TwoDisks(), onDisks(machinetest.TwoDisks(), 48<<30, "nvme0n1"), fit.Wishes{Map: map[string]string{"sda": "nvme0n1", "sdb": "nvme0n1"}}},
	} {
		changes, err := c.w.Changes(c.m)
		if err != nil {
			t.Fatal(err)
		}
		with := info
		with.Changes = changes
		p := restorePlan(t, c.m, c.here, with, c.w)
		golden(t, c.name, p)
		f, err := plan.NewFile(p, c.here, nil, "test", time.Unix(0, 0))
		if err != nil {
			t.Fatal(err)
		}
		b, err := f.Encode()
		if err != nil {
			t.Fatal(err)
		}
		kept, err := plan.ReadFile(b)
		if err != nil {
			t.Fatalf("%s: %v", c.name, err)
		}
		with.Host = c.m.Hostname
		if again, err := kept.Plan.Renew(c.here, nil, with); err != nil || again.Digest() != p.Digest() {
			t.Errorf("%s: the plan that was kept is another one: %v", c.name, err)
		}
	}
}
