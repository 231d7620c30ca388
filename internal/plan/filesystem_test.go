package plan_test

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/mkcdrec/mkcdrec/internal/fail"
	"github.com/mkcdrec/mkcdrec/internal/fit"
	"github.com/mkcdrec/mkcdrec/internal/machine"
	"github.com/mkcdrec/mkcdrec/internal/machine/machinetest"
	"github.com/mkcdrec/mkcdrec/internal/plan"
)

func fsPlan(t *testing.T, name string, w fit.FSWishes, change func(here *machine.Machine)) plan.Plan {
	t.Helper()
	m, here := machinetest.Get(name), machinetest.Get(name)
	here.Mounts = nil
	if change != nil {
		change(&here)
	}
	target, scope, choices, err := fit.FileSystem(m, here, w)
	if err != nil {
		t.Fatal(err)
	}
	info := info
	info.Host = m.Hostname
	p, err := plan.FileSystem(target, scope, choices, here, info)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func spareDisk(here *machine.Machine) {
	here.Disks = append(here.Disks, machine.Disk{Name: "sdb", Path: "/dev/sdb", Size: 8 << 30, LogicalSector: 512, Model: "Spare", Serial: "SP1", Signatures: []string{"iso9660"}})
}

func TestDescribeFileSystems(t *testing.T) {
	for _, tt := range []struct {
		golden, machine string
		wishes          fit.FSWishes
		change          func(*machine.Machine)
		confirmation    string
	}{
		{"fs-lvm-home", "uefi-lvm", fit.FSWishes{Mount: "/home"}, nil, "erase vg0/home"},
		{"fs-lvm-root", "uefi-lvm", fit.FSWishes{Mount: "/"}, nil, "erase vg0/root"},
		{"fs-mbr-root-swapfile", "bios-mbr-logical", fit.FSWishes{Mount: "/"}, nil, "erase sda1"},
		{"fs-btrfs", "btrfs-subvols", fit.FSWishes{Mount: "/home"}, nil, "erase vda2"},
		{"fs-btrfs-keep", "btrfs-subvols", fit.FSWishes{Mount: "/home", Keep: true}, nil, "overwrite vda2"},
		{"fs-onto-disk", "uefi-lvm", fit.FSWishes{Mount: "/home", Onto: "/dev/sdb"}, spareDisk, "erase sdb"},
		{"fs-two-disks", "two-disks", fit.FSWishes{Mount: "/srv"}, nil, "erase vg-data/srv-fast"},
	} {
		t.Run(tt.golden, func(t *testing.T) {
			p := fsPlan(t, tt.machine, tt.wishes, tt.change)
			golden(t, tt.golden, p)
			if got := p.Confirmation(); got != tt.confirmation {
				t.Errorf("confirmation is %q", got)
			}
			b, err := json.Marshal(p)
			if err != nil {
				t.Fatal(err)
			}
			var q plan.Plan
			if err := json.Unmarshal(b, &q); err != nil || q.Digest() != p.Digest() {
				t.Errorf("the plan changed on its way through JSON: %v", err)
			}
		})
	}
}

// What the device held before does not belong to the digest: an interrupted
// restore goes on after mkfs.
func TestDigestOfAFileSystemPlan(t *testing.T) {
	w := fit.FSWishes{Mount: "/home", Onto: "/dev/sdb"}
	before := fsPlan(t, "uefi-lvm", w, spareDisk)
	after := fsPlan(t, "uefi-lvm", w, func(here *machine.Machine) {
		spareDisk(here)
		here.Disks[len(here.Disks)-1].Signatures = []string{"xfs"}
		fs := *here.FileSystemOn("lv:vg0/home")
		fs.On, fs.UUID = "disk:sdb", before.Target.FileSystems[0].UUID
		here.FileSystems = append(here.FileSystems, fs)
	})
	if before.Digest() != after.Digest() {
		t.Error("the digest depends on what the device held before")
	}
	if keep := fsPlan(t, "btrfs-subvols", fit.FSWishes{Mount: "/", Keep: true}, nil); keep.Digest() == fsPlan(t, "btrfs-subvols", fit.FSWishes{Mount: "/"}, nil).Digest() {
		t.Error("the digest does not tell whether the file system is kept")
	}
}

func TestFileSystemPlanTouchesNothingElse(t *testing.T) {
	for _, name := range machinetest.Names() {
		m := machinetest.Get(name)
		for _, mt := range m.Mounts {
			w := fit.FSWishes{Mount: mt.Target}
			w.Keep = len(m.FileSystemOn(mt.On).Devices) > 0 // those are made anew with the machine only
			p := fsPlan(t, name, w, nil)
			for _, s := range p.Steps {
				switch s.Kind {
				case plan.PartitionDisk, plan.CreatePV, plan.CreateVG, plan.CreateLV, plan.MakeSwap, plan.Identity, plan.Initramfs, plan.InstallLoader:
					t.Errorf("%s %s: step %s", name, mt.Target, s.ID)
				}
				if s.Device != "" && s.Device != mt.On {
					t.Errorf("%s %s: step %s is on %s", name, mt.Target, s.ID, s.Device)
				}
			}
		}
	}
}

func TestValidateRefusesOtherDevices(t *testing.T) {
	for _, tt := range []struct {
		name  string
		spoil func(p *plan.Plan)
		want  string
	}{
		{"step on another partition of the disk", func(p *plan.Plan) { p.Steps[1].Device = "part:vda/2" }, "does not name as erased"},
		{"step on the whole disk", func(p *plan.Plan) { p.Steps[1].Device = "disk:vda" }, "does not name as erased"},
		{"mount outside of the scope", func(p *plan.Plan) { p.Target.Mounts[0].Target = "/srv" }, "mounts something else"},
		{"nothing erased", func(p *plan.Plan) { p.Erases = nil }, "names no disk"},
		{"empty scope", func(p *plan.Plan) { p.Scope.Mounts = nil; p.Target.Mounts = nil }, "mounts something else"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			p := fsPlan(t, "uefi-lvm", fit.FSWishes{Mount: "/home"}, nil)
			if err := plan.Validate(p); err != nil {
				t.Fatal(err)
			}
			tt.spoil(&p)
			if err := plan.Validate(p); err == nil || fail.KindOf(err) != fail.Refused || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got %v, want %q", err, tt.want)
			}
		})
	}
}

func TestNothingInTheBackupIsNoPlan(t *testing.T) {
	m := machinetest.UEFILVM()
	target, scope, choices, err := fit.FileSystem(m, m, fit.FSWishes{Mount: "/home"})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := plan.FileSystem(target, scope, choices, m, plan.Info{}); fail.KindOf(err) != fail.Refused || err == nil {
		t.Errorf("a file system would be erased for nothing: %v", err)
	}
}

func TestScope(t *testing.T) {
	root := &plan.Scope{Mounts: []string{"/"}, Others: []string{"/boot", "/boot/efi", "/home", "/home/data"}}
	home := &plan.Scope{Mounts: []string{"/home"}, Others: []string{"/", "/home/data"}}
	both := &plan.Scope{Mounts: []string{"/", "/home"}, Others: []string{"/boot/efi"}}
	for _, c := range []struct {
		s    *plan.Scope
		name string
		in   bool
	}{
		{nil, "anything", true},
		{root, ".", true}, {root, "etc/passwd", true}, {root, "boot", false}, {root, "boot/vmlinuz", false}, {root, "bootx", true}, {root, "/homes/x", true},
		{home, "home", true}, {home, "home/a", true}, {home, ".", false}, {home, "etc", false}, {home, "home/data/x", false}, {home, "home/database", true}, {home, "homes", false},
		{both, "home/a", true}, {both, "boot/grub", true}, {both, "boot/efi/EFI", false},
	} {
		if got := c.s.Holds(c.name); got != c.in {
			t.Errorf("%+v holds %q: %v", c.s, c.name, got)
		}
	}
}
