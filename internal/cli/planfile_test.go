package cli

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/spf13/cobra"

	"github.com/mkcdrec/mkcdrec/internal/archive"
	"github.com/mkcdrec/mkcdrec/internal/fail"
	"github.com/mkcdrec/mkcdrec/internal/machine"
	"github.com/mkcdrec/mkcdrec/internal/machine/machinetest"
	"github.com/mkcdrec/mkcdrec/internal/plan"
	"github.com/mkcdrec/mkcdrec/internal/restore"
	"github.com/mkcdrec/mkcdrec/internal/ui"
)

// twoDisks is a machine with the recorded disk vda, and vdb beside it.
func twoDisks() machine.Machine {
	m := machinetest.UEFILVM()
	m.Disks = append(slices.Clone(m.Disks), machine.Disk{Name: "vdb", Path: "/dev/vdb", Size: 20 << 30, LogicalSector: 512, Serial: "OTHER"})
	return m
}

// fromBackup is a recovery by a backup that is there by its manifest alone.
func fromBackup(id string) *recovery {
	b := &opened{Backup: &archive.Backup{}}
	b.Manifest.ID, b.Manifest.Host, b.Manifest.Counts.Paths = id, "lvmbox", 7
	return &recovery{b: b, recorded: machinetest.UEFILVM(), protected: []string{"vdb"}}
}

// keptPlan makes a plan file as --plan-out does.
func keptPlan(t *testing.T, ans restore.Answers) (file, said string) {
	t.Helper()
	src := fromBackup("B1")
	p, _, err := planned(t.Context(), nil, src, twoDisks(), ans, false, false)
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	a := &app{ui: &ui.Printer{Out: &out, Err: &out, Now: time.Now}}
	file = filepath.Join(t.TempDir(), "plan.json")
	if err := a.keepPlan(p, twoDisks(), src, file); err != nil {
		t.Fatal(err)
	}
	return file, out.String()
}

// reading is what the verb of a command line makes of --plan-in.
func reading(t *testing.T, args ...string) (*plan.File, restore.Answers, error) {
	t.Helper()
	a := &app{ui: &ui.Printer{Out: &bytes.Buffer{}, Err: &bytes.Buffer{}, Now: time.Now}}
	f := restoreFlags{clone: args[0] == "clone", anyMachine: args[0] == "clone"}
	c := &cobra.Command{Use: args[0]}
	a.restoreFlags(c, &f)
	c.Flags().StringVar(&f.hostname, "hostname", "", "")
	if err := c.ParseFlags(args[1:]); err != nil {
		t.Fatal(err)
	}
	ans, err := f.answered(c)
	if err != nil {
		t.Fatal(err)
	}
	saved, err := f.file.read(c, &ans)
	return saved, ans, err
}

func TestKeptPlanIsCarriedOutAsItWas(t *testing.T) {
	for _, ans := range []restore.Answers{{}, {Clone: true, Hostname: "web2"}} {
		file, said := keptPlan(t, ans)
		verb := "restore"
		if ans.Clone {
			verb = "clone"
		}
		if !strings.Contains(said, "Nothing was changed") || !strings.Contains(said, "mkcdrec "+verb+" --plan-in plan.json") {
			t.Errorf("said: %s", said)
		}
		if fi, err := os.Stat(file); err != nil || fi.Mode().Perm() != 0o600 {
			t.Errorf("%v, %v", fi.Mode(), err)
		}
		saved, got, err := reading(t, verb, "--plan-in", file)
		if err != nil {
			t.Fatal(err)
		}
		if got.Backup != "B1" {
			t.Errorf("the backup to be opened is %q", got.Backup)
		}
		want, _, err := planned(t.Context(), nil, fromBackup("B1"), twoDisks(), ans, false, false)
		if err != nil {
			t.Fatal(err)
		}
		now, _, err := planned(t.Context(), saved, fromBackup("B1"), twoDisks(), got, false, false)
		if err != nil || now.Digest() != want.Digest() || now.Confirmation() != "erase vda" {
			t.Errorf("%s: another plan: %v", verb, err)
		}
	}
}

// A file that is there may be the plan that was reviewed.
func TestKeptPlanIsNotOverwritten(t *testing.T) {
	file, _ := keptPlan(t, restore.Answers{})
	before, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if err := writeNew(file, []byte("else")); fail.KindOf(err) != fail.Usage || err == nil {
		t.Errorf("got %v", err)
	}
	if after, err := os.ReadFile(file); err != nil || !bytes.Equal(before, after) {
		t.Errorf("the file was changed: %v", err)
	}
}

// The plan has decided: what is said beside it must not contradict it.
func TestWhatContradictsAKeptPlan(t *testing.T) {
	file, _ := keptPlan(t, restore.Answers{})
	clone, _ := keptPlan(t, restore.Answers{Clone: true})
	answers := func(text string) string {
		name := filepath.Join(t.TempDir(), "answers.toml")
		if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return name
	}
	for _, c := range []struct {
		args []string
		want string // "": accepted
		kind fail.Kind
	}{
		{[]string{"restore", "--plan-in", file, "--disk", "/dev/vdb"}, "--disk and --plan-in exclude each other", fail.Usage},
		{[]string{"restore", "--plan-in", file, "--map", "vda=vdb"}, "--map and", fail.Usage},
		{[]string{"restore", "--plan-in", file, "--grow"}, "--grow and", fail.Usage},
		{[]string{"restore", "--plan-in", file, "--plan-out", "x"}, "--plan-out and", fail.Usage},
		{[]string{"restore", "--plan-in", file, "--id", "B2"}, "the plan is for backup B1, not for B2", fail.Refused},
		{[]string{"restore", "--plan-in", clone}, "the plan makes a clone", fail.Usage},
		{[]string{"clone", "--plan-in", file}, "the plan makes no clone", fail.Usage},
		{[]string{"restore", "--plan-in", file + "x"}, "no such file", fail.Usage},
		{[]string{"restore", "--plan-in", file, "--answers", answers("disks = \"only\"\nmap = {vda = \"vdb\"}")}, "the answers decide", fail.Usage},
		{[]string{"clone", "--plan-in", clone, "--answers", answers("disks = \"only\"\nhostname = \"web3\"")}, "the answers decide", fail.Usage},
		{[]string{"restore", "--plan-in", file, "--answers", answers("disks = \"only\"\nbackup = \"B2\"")}, "the plan is for backup B1", fail.Refused},
		{[]string{"restore", "--plan-in", file, "--answers", answers("disks = \"only\"\nmachine = \"any\"\nverify = \"full\"\nthen = \"reboot\"\nbackup = \"B1\"")}, "", 0},
		{[]string{"restore", "--plan-in", file, "--luks-key", "/run/key"}, "", 0}, // a plan has no secret
		{[]string{"restore", "--plan-in", file, "--id", "B1", "--verify", "full", "--any-machine", "--fresh", "--plan"}, "", 0},
	} {
		_, _, err := reading(t, c.args...)
		if c.want == "" {
			if err != nil {
				t.Errorf("%v: %v", c.args, err)
			}
			continue
		}
		if err == nil || fail.KindOf(err) != c.kind || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%v: got %v, want %q", c.args, err, c.want)
		}
	}
}

// Each flag of the verbs either decides nothing, or is refused beside a plan:
// one that is new here has to be put on one side.
func TestEachFlagIsKnownBesideAPlan(t *testing.T) {
	a := &app{}
	file, _ := keptPlan(t, restore.Answers{})
	seen := 0
	for _, c := range []*cobra.Command{a.restoreCommand(), a.cloneCommand()} {
		for _, flag := range regexp.MustCompile(`(?m)^ +(?:-\w, )?--([a-z-]+)`).FindAllStringSubmatch(c.Flags().FlagUsages(), -1) {
			seen++
			if slices.Contains(besidePlan, flag[1]) {
				continue
			}
			c.Flags().Lookup(flag[1]).Changed = true
			_, err := planFileFlags{in: file}.read(c, &restore.Answers{Clone: c.Name() == "clone"})
			c.Flags().Lookup(flag[1]).Changed = false
			if err == nil || !strings.Contains(err.Error(), fmt.Sprintf("--%s and --plan-in", flag[1])) {
				t.Errorf("%s --%s beside --plan-in: %v", c.Name(), flag[1], err)
			}
		}
	}
	if seen < 20 {
		t.Errorf("looked at %d flags only", seen)
	}
}

// Unattended, a plan overwrites only disks that the answer file names, too.
func TestAnswersMustNameTheDisksOfAKeptPlan(t *testing.T) {
	file, _ := keptPlan(t, restore.Answers{})
	saved, err := readPlan(file)
	if err != nil {
		t.Fatal(err)
	}
	here := twoDisks()
	other := machine.Disk{Name: "vdc", Path: "/dev/vdc", Size: 20 << 30, LogicalSector: 512, Serial: "THIRD"}
	for _, c := range []struct {
		ans   restore.Answers
		extra bool
		want  string
	}{
		{restore.Answers{Disks: []string{"serial:MKC-LVM"}}, true, ""},
		{restore.Answers{Disks: []string{"/dev/vda", "/dev/vdc"}}, true, ""},
		{restore.Answers{Only: true}, false, ""},
		{restore.Answers{Only: true}, true, "there are 2 disks"},
		{restore.Answers{Disks: []string{"/dev/vdc"}}, true, "which the answers do not name"},
		{restore.Answers{Disks: []string{"/dev/vdb"}}, true, "never overwritten"},
		{restore.Answers{Disks: []string{"serial:NONE"}}, true, "no disk here"},
	} {
		m := here
		if c.extra {
			m.Disks = append(slices.Clone(here.Disks), other)
		}
		_, _, err := planned(t.Context(), &saved, fromBackup("B1"), m, c.ans, false, true)
		if c.want == "" {
			if err != nil {
				t.Errorf("%+v: %v", c.ans, err)
			}
			continue
		}
		if err == nil || fail.KindOf(err) != fail.Refused || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%+v: got %v, want %q", c.ans, err, c.want)
		}
	}
}

// A plan meets neither another backup nor a protected disk.
func TestKeptPlanMeetsItsGuards(t *testing.T) {
	file, _ := keptPlan(t, restore.Answers{})
	saved, err := readPlan(file)
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := planned(t.Context(), &saved, fromBackup("B2"), twoDisks(), restore.Answers{}, false, false); fail.KindOf(err) != fail.Refused || err == nil {
		t.Errorf("another backup: %v", err)
	}
	src := fromBackup("B1")
	src.protected = []string{"vda"}
	if _, _, err := planned(t.Context(), &saved, src, twoDisks(), restore.Answers{}, false, false); fail.KindOf(err) != fail.Refused || err == nil {
		t.Errorf("a protected disk: %v", err)
	}
	_, err = openBackup(t.Context(), partialBackup(t), "B9", false)
	if err = ofPlan(&saved, err); fail.KindOf(err) != fail.Refused || err == nil || !strings.Contains(err.Error(), "another backup") {
		t.Errorf("the backup is not there: %v", err)
	}
}
