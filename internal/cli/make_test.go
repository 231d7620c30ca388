package cli

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/mkcdrec/mkcdrec/internal/config"
	"github.com/mkcdrec/mkcdrec/internal/doctor"
	"github.com/mkcdrec/mkcdrec/internal/fail"
	"github.com/mkcdrec/mkcdrec/internal/machine"
	"github.com/mkcdrec/mkcdrec/internal/machine/machinetest"
	"github.com/mkcdrec/mkcdrec/internal/medium"
	"github.com/mkcdrec/mkcdrec/internal/rescue"
	"github.com/mkcdrec/mkcdrec/internal/system"
	"github.com/mkcdrec/mkcdrec/internal/ui"
)

// What a restore calls has its line in the table of programs: without one it
// would be on no medium, or without its package's name and its trial.
func TestRestoreToolsAreInTheTable(t *testing.T) {
	t.Parallel()
	table := rescue.Table()
	for _, name := range machinetest.Names() {
		tools, err := restoreTools(machinetest.Get(name))
		if len(tools) == 0 || err != nil {
			t.Errorf("%s: restoring it calls no program: %v", name, err)
		}
		for _, tool := range tools {
			if !slices.ContainsFunc(table, func(p rescue.Program) bool { return p.Name == tool }) {
				t.Errorf("%s: restoring it calls %s, which is not in the table", name, tool)
			}
		}
	}
}

// The boot entry of a machine that starts by UEFI is made by efibootmgr: doctor
// says that its medium needs it, and which package has it.
func TestDoctorNeedsEfibootmgrForUEFI(t *testing.T) {
	t.Parallel()
	for name, want := range map[string]bool{"uefi-lvm": true, "bios-mbr-logical": false} {
		m := machinetest.Get(name)
		tools, err := restoreTools(m)
		if err != nil {
			t.Fatal(err)
		}
		checks := doctor.Run(t.Context(), doctor.Options{Runner: &system.Recorder{}, Root: t.TempDir(), Machine: m, RestoreTools: tools})
		got := slices.ContainsFunc(checks, func(c doctor.Check) bool {
			return c.Name == "program efibootmgr" && c.Needed && c.Status == doctor.NotFound && slices.Equal(c.Packages, []string{"efibootmgr"})
		})
		if got != want {
			t.Errorf("%s: efibootmgr is needed is not %v: %+v", name, want, checks)
		}
	}
}

// A backup that nobody could restore is not made; a rescue medium of the same
// machine is of use, and a backup of some paths as well.
func TestMachineThatCannotBePlannedFor(t *testing.T) {
	m := machinetest.Get("uefi-plain")
	m.Mounts = nil
	_, planned := restoreTools(m)
	if planned == nil {
		t.Fatal("a machine without a root file system was planned for")
	}
	for _, c := range []struct {
		kind    string
		only    []string
		refused bool
	}{{"backup", nil, true}, {"backup", []string{"/etc"}, false}, {"rescue", nil, false}} {
		var out bytes.Buffer
		a := &app{ui: &ui.Printer{Out: &out, Err: &out, Now: time.Now}}
		_, err := a.newJob(m, makeFlags{out: t.TempDir(), plan: true, only: c.only}, c.kind)
		if c.refused && (err == nil || fail.KindOf(err) != fail.KindOf(planned) || fail.HintOf(err) != fail.HintOf(planned) || !strings.Contains(err.Error(), "no root file system")) {
			t.Errorf("%s: %v", c.kind, err)
		}
		if !c.refused && (err != nil || !strings.Contains(out.String(), "warning: cannot plan the restore of this machine: no root file system")) {
			t.Errorf("%s %v: %v\n%s", c.kind, c.only, err, out.String())
		}
	}
}

// The build of the rescue system shows its stages: it can take a minute.
func TestBuildShowsItsStages(t *testing.T) {
	var out bytes.Buffer
	j := &job{app: &app{ui: &ui.Printer{Out: &out, Err: &out, Now: time.Now}}, tools: []string{"sfdisk"}}
	o := j.rescueOptions(j.ui.Progress("rescue system").Stage)
	o.Progress("trying programs", 12, 250)
	if !strings.Contains(out.String(), "trying programs 12/250") || !slices.Equal(o.RestoreTools, j.tools) {
		t.Errorf("%q", out.String())
	}
}

// A medium says that there is a backup on it only where there is one, and its
// first entry restores only what can be restored.
func TestMediumSaysWhatIsOnIt(t *testing.T) {
	for _, c := range []struct {
		f                   makeFlags
		id                  string
		partial, unattended bool
	}{
		{makeFlags{}, "id", false, false},
		{makeFlags{answers: "answers.toml"}, "id", false, true},
		{makeFlags{to: "/mnt"}, "", false, false},
		{makeFlags{only: []string{"/etc"}}, "id", true, false},
		{makeFlags{only: []string{"/etc"}, to: "/mnt"}, "", true, false},
	} {
		j := &job{app: &app{settings: config.Default()}, f: c.f, identity: rescue.Identity{BackupID: "id"}}
		o, err := j.mediumOptions(rescue.Result{}, medium.Loaders{})
		if err != nil || o.BackupID != c.id || o.Menu.Partial != c.partial || o.Menu.Unattended != c.unattended || (len(o.Extra) == 1) != c.unattended {
			t.Errorf("%+v: %+v, %v", c.f, o, err)
		}
	}
}

// A program learns from --plan which image would be made, what of, and where
// the backup goes; and nothing is made.
func TestPlanOfMediumAndBackup(t *testing.T) {
	m := machinetest.Get("btrfs-subvols")
	var once machine.Bytes
	for _, fs := range m.FileSystems {
		if len(m.MountsOn(fs.On)) > 0 {
			once += fs.Used
		}
	}
	for _, c := range []struct {
		what, kind     string
		f              makeFlags
		image, to      string // parts of them; "": not there
		only, noBackup bool
	}{
		{what: "rescue", kind: "rescue", image: "/" + m.Hostname + "-rescue-", noBackup: true},
		{what: "into the image", kind: "backup", image: "/" + m.Hostname + "-backup-", to: "/" + m.Hostname + "-backup-"},
		{what: "elsewhere", kind: "backup", f: makeFlags{to: "file:///mnt/nas"}, image: "/" + m.Hostname + "-backup-", to: "file:///mnt/nas"},
		{what: "without medium", kind: "backup", f: makeFlags{to: "/mnt/nas", noMedium: true}, to: "/mnt/nas"},
		{what: "a part", kind: "backup", f: makeFlags{only: []string{"/etc"}}, image: "/" + m.Hostname + "-partial-", to: "/" + m.Hostname + "-partial-", only: true},
	} {
		t.Run(c.what, func(t *testing.T) {
			var out bytes.Buffer
			a := &app{ui: &ui.Printer{Out: &out, Err: &out, Now: time.Now, JSON: true}, settings: config.Default()}
			c.f.out, c.f.plan = filepath.Join(t.TempDir(), "images"), true
			j, err := a.newJob(m, c.f, c.kind)
			if err != nil {
				t.Fatal(err)
			}
			if done, err := j.show(); !done || err != nil {
				t.Fatal(done, err)
			}
			var e struct {
				Event string
				mediumPlan
			}
			if err := json.Unmarshal(out.Bytes(), &e); err != nil {
				t.Fatalf("not one object: %v\n%s", err, out.String())
			}
			if e.Event != "plan" || e.Makes != c.kind || e.Host != m.Hostname || !strings.Contains(e.Image, c.image) || (e.Image == "") != (c.image == "") {
				t.Errorf("%+v", e)
			}
			if e.Image != "" && (!strings.HasPrefix(e.Image, c.f.out) || e.Rescue == nil || e.Rescue.Modules != "generic" || !slices.Contains(e.Rescue.RestoreTools, "mkfs.btrfs")) {
				t.Errorf("%s, %+v", e.Image, e.Rescue)
			}
			if e.Image == "" && e.Rescue != nil {
				t.Errorf("%+v", e.Rescue)
			}
			if (e.Backup == nil) != c.noBackup {
				t.Fatalf("%+v", e.Backup)
			}
			if b := e.Backup; b != nil && (!strings.Contains(b.To, c.to) || len(b.Mounts) != len(m.Mounts) || b.Used != once || (len(b.Only) > 0) != c.only) {
				t.Errorf("%+v; used are %d", b, once)
			}
			if _, err := os.Stat(c.f.out); err == nil {
				t.Error("a plan made the directory of the image")
			}
		})
	}
}
