package mdadm

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/mkcdrec/mkcdrec/internal/machine"
	"github.com/mkcdrec/mkcdrec/internal/system"
)

// realDisks are loop devices of 64 MiB, full of something.
func realDisks(t *testing.T, n int) []string {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("making arrays needs root")
	}
	if _, err := exec.LookPath("mdadm"); err != nil {
		t.Skip("mdadm is not installed")
	}
	if _, err := os.Stat("/proc/mdstat"); err != nil {
		t.Skip("the running kernel has no md; in a virtual machine it has")
	}
	var out []string
	for i := range n {
		file := filepath.Join(t.TempDir(), fmt.Sprint("disk", i))
		if err := os.WriteFile(file, bytes.Repeat([]byte{byte('a' + i)}, 64<<20), 0o600); err != nil {
			t.Fatal(err)
		}
		dev, err := exec.Command("losetup", "--find", "--show", file).Output()
		if err != nil {
			t.Skipf("no loop device: %v", err)
		}
		d := strings.TrimSpace(string(dev))
		t.Cleanup(func() { _ = exec.Command("losetup", "--detach", d).Run() })
		out = append(out, d)
	}
	return out
}

// realShapes are arrays of every level, over disks of 64 MiB.
func realShapes() map[string]machine.Array {
	on := func(slots ...int) (m []machine.ArrayMember) {
		for _, s := range slots {
			m = append(m, machine.ArrayMember{Slot: s})
		}
		return m
	}
	const mib = machine.Bytes(1 << 20)
	mostly := on(0, 2) // slot 1 is missing
	mostly[1].WriteMostly = true
	return map[string]machine.Array{
		"linear":    {Level: "linear", Metadata: "1.2", Slots: 2, Label: "box:a", Offset: 2 * mib, Members: on(0, 1)},
		"raid0":     {Level: "raid0", Metadata: "1.2", Slots: 2, Label: "box:a", Chunk: 64 << 10, Offset: 2 * mib, Members: on(0, 1)},
		"esp":       {Level: "raid1", Metadata: "1.0", Slots: 2, Label: "esp", Component: 60 * mib, Members: on(0, 1)},
		"old":       {Level: "raid1", Metadata: "0.90", Slots: 2, Component: 60 * mib, Members: on(0, 1)},
		"start":     {Level: "raid1", Metadata: "1.1", Slots: 2, Label: "box:a", Component: 60*mib - 1024, Offset: 2 * mib, Members: on(0, 1)},
		"mostly":    {Level: "raid1", Metadata: "1.2", Slots: 3, Label: "box:a", Bitmap: "internal", Component: 60 * mib, Offset: mib, Members: mostly},
		"raid4":     {Level: "raid4", Metadata: "1.2", Slots: 3, Label: "box:a", Chunk: 64 << 10, Component: 60 * mib, Offset: mib, Members: on(0, 1, 2)},
		"raid5":     {Level: "raid5", Metadata: "1.2", Slots: 3, Label: "box:a", Chunk: 64 << 10, Layout: "left-asymmetric", Bitmap: "internal", Component: 60 * mib, Offset: mib, Members: on(0, 1, 2, -1)},
		"ppl":       {Level: "raid5", Metadata: "1.2", Slots: 3, Label: "box:a", Chunk: 64 << 10, Layout: "left-symmetric", Policy: "ppl", Component: 56 * mib, Offset: 4 * mib, Members: on(0, 1, 2)},
		"raid6":     {Level: "raid6", Metadata: "1.2", Slots: 4, Label: "box:a", Chunk: 64 << 10, Layout: "left-symmetric", Component: 60 * mib, Offset: mib, Members: on(0, 1, 3)},
		"raid10":    {Level: "raid10", Metadata: "1.2", Slots: 4, Label: "box:a", Chunk: 64 << 10, Layout: "near=2", Bitmap: "internal", Component: 60 * mib, Offset: mib, Members: on(0, 1, 2, 3)},
		"degraded4": {Level: "raid4", Metadata: "1.2", Slots: 3, Label: "box:a", Chunk: 64 << 10, Component: 60 * mib, Offset: mib, Members: on(1, 2)},
		"degraded5": {Level: "raid5", Metadata: "1.2", Slots: 3, Label: "box:a", Chunk: 64 << 10, Layout: "left-symmetric", Component: 60 * mib, Offset: mib, Members: on(0, 2)},
		"twice6":    {Level: "raid6", Metadata: "1.2", Slots: 4, Label: "box:a", Chunk: 64 << 10, Layout: "left-symmetric", Component: 60 * mib, Offset: mib, Members: on(0, 3)},
		"degraded0": {Level: "raid10", Metadata: "1.2", Slots: 4, Label: "box:a", Chunk: 64 << 10, Layout: "near=2", Component: 60 * mib, Offset: mib, Members: on(0, 1, 3)},
		"spare":     {Level: "raid1", Metadata: "1.2", Slots: 2, Label: "box:a", Component: 60 * mib, Offset: mib, Members: on(0, 1, -1)},
		"far":       {Level: "raid10", Metadata: "1.2", Slots: 2, Label: "box:a", Chunk: 64 << 10, Layout: "far=2", Component: 60 * mib, Offset: mib, Members: on(0, 1)},
		"offset":    {Level: "raid10", Metadata: "1.2", Slots: 3, Label: "box:a", Chunk: 64 << 10, Layout: "offset=2", Component: 60 * mib, Offset: mib, Members: on(2, 1, 0)},
		"mdadm own": {Level: "raid1", Metadata: "1.2", Slots: 2, Label: "box:a", Component: 50 * mib, Members: on(0, 1)},
	}
}

// TestRealArrays makes arrays with the real mdadm, sees that the kernel shows
// what was asked for, and starts each again from its members.
func TestRealArrays(t *testing.T) {
	disks := realDisks(t, 4)
	const node = "/dev/md99"
	r := &system.Host{}
	for name, a := range realShapes() {
		t.Run(name, func(t *testing.T) {
			a.UUID = "88888888:aaaaaaaa:bbbbbbbb:0000000a"
			members := disks[:len(a.Members)]
			if err := Create(t.Context(), r, a, node, members); err != nil {
				t.Fatal(err)
			}
			for i, m := range a.Members {
				if m.WriteMostly {
					if err := SetWriteMostly("/sys", filepath.Base(node), filepath.Base(members[i])); err != nil {
						t.Fatal(err)
					}
				}
			}
			looksLike(t, a, node, members)
			if err := Stop(t.Context(), r, node); err != nil {
				t.Fatal(err)
			}
			if err := Assemble(t.Context(), r, a.UUID, node, members); err != nil {
				t.Fatal(err)
			}
			looksLike(t, a, node, members)
			if a.Redundant() > 0 && a.Missing() == 0 {
				inSync(t, node)
			}
			if err := Stop(t.Context(), r, node); err != nil {
				t.Fatal(err)
			}
			for _, d := range members {
				if out, err := exec.Command("wipefs", "--all", d).CombinedOutput(); err != nil {
					t.Fatalf("%v: %s", err, out)
				}
			}
		})
	}
}

func looksLike(t *testing.T, a machine.Array, node string, members []string) {
	t.Helper()
	s, err := ReadState(os.DirFS("/sys/block/" + filepath.Base(node) + "/md"))
	if err != nil {
		t.Fatal(err)
	}
	e, err := Export(t.Context(), &system.Host{}, node)
	if err != nil {
		t.Fatal(err)
	}
	got := machine.Array{
		UUID: e.UUID, Label: e.Name, Level: s.Level, Metadata: s.Metadata, Slots: s.Slots, Chunk: s.Chunk, Layout: s.Layout,
		Component: s.Component, Bitmap: s.Bitmap, Offset: a.Offset, Members: make([]machine.ArrayMember, len(members)),
	}
	if s.Policy == "ppl" {
		got.Policy = s.Policy
	}
	for _, d := range s.Devices {
		for i, m := range members {
			if filepath.Base(m) == d.Name && !d.Is("faulty") {
				got.Members[i] = machine.ArrayMember{Slot: d.Slot, WriteMostly: d.Is("write_mostly")}
			}
		}
		if a.Offset > 0 && d.Offset != a.Offset {
			t.Errorf("the data of %s begins at %d, not %d", d.Name, d.Offset, a.Offset)
		}
	}
	if a.Level == "raid6" && a.Missing() == 1 && got.Missing() == 1 {
		got.Members = a.Members // mdadm leaves another slot empty: see Create
	}
	if !reflect.DeepEqual(got, a) {
		t.Errorf("made  %+v\nasked %+v", got, a)
	}
}

// inSync waits for the resync, then checks the array: members must agree.
func inSync(t *testing.T, node string) {
	t.Helper()
	md := "/sys/block/" + filepath.Base(node) + "/md/"
	_ = exec.Command("mdadm", "--wait", node).Run() // 1: there was nothing to wait for
	if err := os.WriteFile(md+"sync_action", []byte("check"), 0); err != nil {
		t.Fatal(err)
	}
	_ = exec.Command("mdadm", "--wait", node).Run()
	last, _ := os.ReadFile(md + "last_sync_action")
	if b, err := os.ReadFile(md + "mismatch_cnt"); err != nil || strings.TrimSpace(string(b)) != "0" || strings.TrimSpace(string(last)) != "check" {
		t.Errorf("after the %s members differ in %s sectors: %v", last, b, err)
	}
}
