package restore

import (
	"context"
	"testing"
	"time"

	"github.com/mkcdrec/mkcdrec/internal/fail"
	"github.com/mkcdrec/mkcdrec/internal/machine"
	"github.com/mkcdrec/mkcdrec/internal/machine/machinetest"
	"github.com/mkcdrec/mkcdrec/internal/plan"
)

// fromFile takes a plan through its file, as --plan-out and --plan-in do.
func fromFile(t *testing.T, p plan.Plan, then, now machine.Machine) plan.Plan {
	t.Helper()
	f, err := plan.NewFile(p, then, nil, "1.0", time.Now())
	if err != nil {
		t.Fatal(err)
	}
	b, err := f.Encode()
	if err != nil {
		t.Fatal(err)
	}
	if f, err = plan.ReadFile(b); err != nil {
		t.Fatal(err)
	}
	out, err := f.Plan.Renew(now, nil, plan.Info{Backup: p.Backup, Host: p.Host, Entries: 3})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// A plan from a file does what the plan does, command for command.
func TestKeptPlanRunsTheSameCommands(t *testing.T) {
	for _, name := range []string{"uefi-lvm", "btrfs-subvols", "bios-mbr-logical", "two-disks", "raid1-lvm", "luks-lvm"} {
		m := machinetest.Get(name)
		direct, run, _ := bench(t, m, m, plan.Info{})
		if _, err := Run(t.Context(), direct); err != nil {
			t.Fatal(err)
		}
		kept, rerun, _ := bench(t, m, m, plan.Info{})
		kept.Plan = fromFile(t, kept.Plan, m, m)
		if _, err := Run(t.Context(), kept); err != nil {
			t.Fatal(err)
		}
		if got, want := commands(kept, rerun), commands(direct, run); got != want {
			t.Errorf("%s: got\n%s\nwant\n%s", name, got, want)
		}
	}
}

// An interrupted plan from a file goes on where it was when it is read again,
// though the disks hold other things by then.
func TestKeptPlanGoesOn(t *testing.T) {
	m := machinetest.UEFILVM()
	o, _, b := bench(t, m, m, plan.Info{})
	made := o.Plan
	o.Plan = fromFile(t, made, m, m)
	b.unpackErr = fail.New(fail.Failed, "broken off")
	if _, err := Run(t.Context(), o); err == nil {
		t.Fatal("no error")
	}
	b.unpackErr = nil
	here := m
	here.FileSystems, here.Mounts, here.Swaps = nil, nil, nil
	o.Plan = fromFile(t, made, m, here)
	rep, err := Run(t.Context(), o)
	if err != nil || rep.Resumed == 0 {
		t.Errorf("resumed %d steps: %v", rep.Resumed, err)
	}
}

// Between the question and the first write the disk could become another one.
func TestDiskWithOtherSectorsIsRefused(t *testing.T) {
	m := machinetest.UEFILVM()
	o, run, _ := bench(t, m, m, plan.Info{})
	o.Look = func(context.Context) (machine.Machine, error) {
		here := machinetest.UEFILVM()
		here.Disks[0].LogicalSector = 4096
		return here, nil
	}
	if _, err := Run(t.Context(), o); fail.KindOf(err) != fail.Refused || err == nil {
		t.Errorf("got %v", err)
	}
	for _, c := range run.Commands() {
		if writes(c) {
			t.Errorf("ran %s", c)
		}
	}
}
