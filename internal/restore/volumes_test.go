package restore

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/mkcdrec/mkcdrec/internal/machine"
	"github.com/mkcdrec/mkcdrec/internal/machine/machinetest"
	"github.com/mkcdrec/mkcdrec/internal/plan"
	"github.com/mkcdrec/mkcdrec/internal/system"
)

// A volume that only happened to lie on a member goes elsewhere if there is no
// room for it; a mirror does not.
func TestVolumeOnOtherMembers(t *testing.T) {
	m := machinetest.LVMThin()
	for name, want := range map[string]int{"swap": 2, "srv": 1} {
		run := &system.Recorder{Answers: map[string]system.Answer{"lvcreate*": {ExitCode: 5, Stderr: "Insufficient free space"}}}
		g := &m.VolumeGroups[0]
		lv := *g.Volume(name)
		elsewhere := "lvcreate -y -W y -Z y -n swap -L 536870912b vg0"
		run.Answers[elsewhere] = system.Answer{}
		x := newExecutor(Options{Plan: plan.Plan{Target: m}, System: run})
		err := x.makeVolume(t.Context(), g, lv, []string{"/dev/vdb"})
		if got := len(run.Commands()); got != want || (err == nil) != (name == "swap") || len(x.report.Warnings) != want-1 {
			t.Errorf("%s: %v, warned %v, ran %v", name, err, x.report.Warnings, run.Commands())
		}
	}
}

// lvmFilesAfter puts files into a restored root, and says what becomes of them.
func lvmFilesAfter(t *testing.T, renames map[string]string, files map[string]string) (*executor, func(string) string) {
	t.Helper()
	m := machinetest.LVMThin()
	x := newExecutor(Options{Plan: plan.Plan{Target: m}, TargetRoot: t.TempDir()})
	for name, text := range files {
		f := filepath.Join(x.TargetRoot, name)
		if err := os.MkdirAll(filepath.Dir(f), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(f, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if err := x.lvmFiles(renames); err != nil {
		t.Fatal(err)
	}
	return x, func(name string) string {
		b, err := os.ReadFile(filepath.Join(x.TargetRoot, name))
		if err != nil {
			return "none"
		}
		return string(b)
	}
}

func TestDevicesThatLVMLooksAt(t *testing.T) {
	const own = "IDTYPE=sys_serial IDNAME=MKC-THIN1 DEVNAME=/dev/vda3 PVID=x PART=3\n"
	const foreign = own + "IDTYPE=sys_wwid IDNAME=naa.5000c500aaaaaaaa DEVNAME=/dev/sdb PVID=y\n"
	x, now := lvmFilesAfter(t, nil, map[string]string{devicesFile: foreign})
	if now(devicesFile) != "none" || now(devicesFile+".before-mkcdrec") != foreign || len(x.report.Changes) != 1 || !strings.Contains(x.report.Changes[0], "naa.5000c500aaaaaaaa") {
		t.Errorf("a list with a disk that is not here: %v", x.report.Changes)
	}
	x, now = lvmFilesAfter(t, map[string]string{"sda": "vda"}, map[string]string{devicesFile: own, "etc/lvm/lvm.conf": "filter = [ \"a|/dev/sda3|\", \"a|/dev/disk/by-path/pci-0|\" ]\n"})
	if now(devicesFile) != own || !strings.Contains(now("etc/lvm/lvm.conf"), "/dev/vda3") || len(x.report.Warnings) != 1 {
		t.Errorf("a list of disks that are here, a filter: %v, %v", x.report.Changes, x.report.Warnings)
	}
	if x, _ := lvmFilesAfter(t, nil, nil); len(x.report.Changes)+len(x.report.Warnings) > 0 {
		t.Errorf("no files: %v %v", x.report.Changes, x.report.Warnings)
	}
}

func TestVolumeLinks(t *testing.T) {
	m := machinetest.LVMThin()
	x := newExecutor(Options{Plan: plan.Plan{Target: m}})
	g := m.VolumeGroups[0]
	if got := x.volumeLinks()[g.UUID+g.Volume("root").UUID]; got != machine.MapperPath("vg0", "root") {
		t.Errorf("the link to root becomes %q", got)
	}
}
