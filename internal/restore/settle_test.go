package restore

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/mkcdrec/mkcdrec/internal/fail"
	"github.com/mkcdrec/mkcdrec/internal/machine/machinetest"
	"github.com/mkcdrec/mkcdrec/internal/plan"
)

// A disk that fails on what was unpacked shows when it is written out. The step
// is not done then, and a second start does it again.
func TestUnpackedIsDoneWhenItIsOnDisk(t *testing.T) {
	m := machinetest.UEFILVM()
	o, _, b := bench(t, m, m, plan.Info{})
	var synced []string
	broken := errors.New("input/output error")
	o.Sync = func(dir string) error {
		dir = strings.TrimPrefix(dir, o.TargetRoot)
		synced = append(synced, dir)
		if dir == "/home" {
			return broken
		}
		return nil
	}
	_, err := Run(t.Context(), o)
	if !errors.Is(err, broken) || fail.KindOf(err) != fail.Failed {
		t.Fatalf("got %v", err)
	}
	if s := err.Error(); !strings.Contains(s, "/home (/dev/") || !strings.Contains(s, "on vda") || !strings.Contains(s, "unpack") {
		t.Errorf("the error does not say what failed: %v", err)
	}
	if !strings.Contains(fail.HintOf(err), "dmesg") {
		t.Errorf("hint: %s", fail.HintOf(err))
	}
	if len(synced) == 0 || b.unpacked != 1 {
		t.Errorf("written out: %q, unpacked %d times", synced, b.unpacked)
	}
	all := map[string]int{}
	o.Sync = func(dir string) error { all[strings.TrimPrefix(dir, o.TargetRoot)]++; return nil }
	if _, err := Run(t.Context(), o); err != nil {
		t.Fatal(err)
	}
	if b.unpacked != 2 {
		t.Error("what was lost was not unpacked again")
	}
	for _, mt := range m.Mounts {
		if n := all[strings.TrimSuffix(mt.Target, "/")]; n < 2 { // unpacked, and at the end
			t.Errorf("%s was written out %d times", mt.Target, n)
		}
	}
}

// The journal calls a step done behind the writing out, not before.
func TestJournalWaitsForTheDisk(t *testing.T) {
	m := machinetest.UEFILVM()
	o, _, _ := bench(t, m, m, plan.Info{})
	step := ""
	o.Progress = func(e Event) {
		if e.State == "begun" {
			step = e.Step.ID
		}
	}
	waited := map[string]bool{}
	o.Sync = func(string) error {
		j, err := os.ReadFile(o.Journal)
		if err != nil || strings.Contains(string(j), `"step":"`+step+`","state":"done"`) {
			t.Errorf("%s was called done before it was on disk (%v)", step, err)
		}
		waited[step] = true
		return nil
	}
	if _, err := Run(t.Context(), o); err != nil {
		t.Fatal(err)
	}
	for _, s := range o.Plan.Steps {
		if settles(s.Kind) != waited[s.ID] && s.Kind != plan.UnmountAll {
			t.Errorf("%s: waited %v", s.ID, waited[s.ID])
		}
	}
}

// md goes on without a member that fails; the restore says that it did.
func TestLostMemberIsNamed(t *testing.T) {
	for name, lose := range map[string]func(dir string) error{
		"faulty":  func(dir string) error { return os.WriteFile(filepath.Join(dir, "state"), []byte("faulty\n"), 0o644) },
		"removed": os.RemoveAll,
	} {
		t.Run(name, func(t *testing.T) {
			m := machinetest.RAID1LVM()
			o, _, _ := bench(t, m, m, plan.Info{})
			a := m.Arrays[0]
			dev, err := m.Resolve(a.Members[1].On)
			if err != nil {
				t.Fatal(err)
			}
			member := filepath.Base(dev.Path)
			o.Progress = func(e Event) {
				if e.Step.Kind != plan.Unpack || e.State != "begun" {
					return
				}
				found, _ := filepath.Glob(filepath.Join(o.Root, "sys/block/md*/md/dev-"+member))
				if len(found) != 1 {
					t.Fatalf("member %s: %q", member, found)
				}
				if err := lose(found[0]); err != nil {
					t.Fatal(err)
				}
			}
			rep, err := Run(t.Context(), o)
			if err != nil {
				t.Fatal(err)
			}
			if w := strings.Join(rep.Warnings, "\n"); !strings.Contains(w, "array "+a.Path+" has lost 1 member while it was restored: "+member+".") {
				t.Errorf("warnings: %s", w)
			}
		})
	}
}

// A second start by another plan does everything anew, and says why.
func TestJournalOfAnotherPlanIsNamed(t *testing.T) {
	m := machinetest.UEFILVM()
	for _, inMemory := range []bool{true, false} {
		o, _, b := bench(t, m, m, plan.Info{})
		b.unpackErr = fail.New(fail.Failed, "power cut")
		if _, err := Run(t.Context(), o); err == nil {
			t.Fatal("no error")
		}
		if !inMemory { // the power was cut
			if err := os.Remove(o.Journal); err != nil {
				t.Fatal(err)
			}
		}
		b.unpackErr = nil
		o.Plan.Backup = "B2"
		rep, err := Run(t.Context(), o)
		if err != nil {
			t.Fatal(err)
		}
		if rep.Resumed != 0 || !strings.Contains(strings.Join(rep.Changes, "\n"), "its plan was another one") {
			t.Errorf("in memory %v: %+v", inMemory, rep)
		}
	}
}
