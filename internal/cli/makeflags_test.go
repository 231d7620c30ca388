package cli

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/mkcdrec/mkcdrec/internal/config"
	"github.com/mkcdrec/mkcdrec/internal/fail"
	"github.com/mkcdrec/mkcdrec/internal/machine/machinetest"
)

// written is a file with that content.
func written(t *testing.T, content string) string {
	t.Helper()
	p := filepath.Join(t.TempDir(), "answers.toml")
	if err := os.WriteFile(p, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	return p
}

// refusedEarly says that a command line is wrong, and that nothing was looked
// at or done before that was said.
func refusedEarly(t *testing.T, says, out string, code int) {
	t.Helper()
	if code != int(fail.Usage) || !strings.Contains(out, says) || strings.Contains(out, "==>") {
		t.Errorf("no %q, or too late; exit code %d:\n%s", says, code, out)
	}
}

// An answer file goes on the medium only as restore will be able to read it.
func TestAnswersAreReadWhenTheMediumIsMade(t *testing.T) {
	good := written(t, "disks = \"only\"\nthen = \"poweroff\"\n")
	if err := (makeFlags{answers: good}).checkAnswers(""); err != nil {
		t.Errorf("good answers: %v", err)
	}
	for _, c := range []struct {
		args []string
		says string
	}{
		{[]string{"backup", "--answers", written(t, `dissks = "only"`)}, `unknown answer "dissks"`},
		{[]string{"backup", "--answers", written(t, `disks = "onyl"`)}, `disks = "onyl" is not allowed`},
		{[]string{"backup", "--answers", written(t, "disks = \"only\"\nthen = \"halt\"")}, `then = "halt" is not allowed`},
		{[]string{"backup", "--answers", written(t, "then = \"reboot\"")}, "the answers name no disk"},
		{[]string{"backup", "--answers", written(t, "disks = [")}, "answers.toml: cannot read the answers"},
		{[]string{"backup", "--answers", written(t, "disks = \"only\"\nbackup = \"20261124T031500Z-1f0e\"")}, "cannot be the one that is made now"},
		{[]string{"backup", "--answers", filepath.Join(t.TempDir(), "none.toml")}, "none.toml: no such file"},
		{[]string{"backup", "--answers", good, "--only", "/etc"}, "--only and --answers exclude each other"},
		{[]string{"backup", "--answers", good, "--to", t.TempDir()}, "--answers needs the backup on the medium"},
		{[]string{"rescue", "--answers", good}, "unknown flag: --answers"},
	} {
		for _, args := range [][]string{append(slices.Clone(c.args), "--plan"), append(slices.Clone(c.args), "--out", "/dev/null/no")} {
			out, code := says(t, args...)
			refusedEarly(t, c.says, out, code)
		}
	}
}

// Whatever is wrong with the flags of backup is said before anything is looked
// at, with --plan as without.
func TestFlagsAreCheckedFirst(t *testing.T) {
	for _, c := range []struct {
		args []string
		says string
	}{
		{[]string{"--volume-size", "foo"}, `--volume-size: "foo" is not a size`},
		{[]string{"--volume-size", "1"}, `--volume-size: "1" is too small for a volume, it may be 16.0 MiB or more`},
		{[]string{"--volume-size", "15MiB"}, "too small"},
		{[]string{"--to", "ftp://x"}, "cannot use ftp:// as a store"},
		{[]string{"--to", "file://mnt/nas"}, "not a file:// URL of a local path"},
		{[]string{"--only", "/nonexistent"}, "--only /nonexistent: it is not here"},
		{[]string{"--only", "/etc", "--only", "relative"}, `--only "relative" is not an absolute path`},
		{[]string{"--only", ""}, `--only "" is not an absolute path`},
		{[]string{"--exclude", "/"}, "would leave out everything"},
		{[]string{"--no-medium"}, "--no-medium needs a place"},
		{[]string{"--snapshots", "yes"}, `--snapshots "yes" is not allowed: auto, off or require`},
		{[]string{"--freeze", "srv"}, `--freeze "srv" is not an absolute path`},
	} {
		args := append([]string{"backup"}, c.args...)
		for _, args := range [][]string{append(slices.Clone(args), "--plan"), append(slices.Clone(args), "--out", "/dev/null/no")} {
			out, code := says(t, args...)
			refusedEarly(t, c.says, out, code)
		}
	}
	gone := filepath.Join(t.TempDir(), "not-mounted")
	if out, code := says(t, "backup", "--plan", "--to", gone); code != int(fail.Failed) || !strings.Contains(out, "hint:  mount the destination") || strings.Contains(out, "==>") {
		t.Errorf("a destination that is not there: exit code %d:\n%s", code, out)
	}
}

func TestCheckedFlags(t *testing.T) {
	to := t.TempDir()
	s := config.Settings{VolumeSize: "4 GiB", BackupTo: to, Snapshots: "require", Freeze: []string{"/srv"}}
	f, err := makeFlags{only: []string{"/etc/", "/usr/../usr"}}.checked(s)
	if err != nil || f.to != to || f.volume != 4<<30 || !slices.Equal(f.only, []string{"/etc", "/usr"}) || f.snapshots != "require" || !slices.Equal(f.freeze, s.Freeze) {
		t.Errorf("%+v: %v", f, err)
	}
	// The whole machine is no part of it.
	f, err = makeFlags{only: []string{"/etc", "/"}, volumeSize: "16MiB", snapshots: "off", freeze: []string{"/opt"}}.checked(s)
	if err != nil || len(f.only) > 0 || f.volume != minVolume || f.snapshots != "off" || !slices.Equal(f.freeze, []string{"/srv", "/opt"}) {
		t.Errorf("%+v: %v", f, err)
	}
	if _, err := (makeFlags{}).checked(config.Settings{VolumeSize: "1k", Snapshots: "auto"}); fail.KindOf(err) != fail.Usage || !strings.Contains(err.Error(), "volume_size in the settings") {
		t.Errorf("a small volume in the settings: %v", err)
	}
}

// What an answer file wishes is tried on this machine while the medium is made.
func TestWishesInTheAnswersOfABackup(t *testing.T) {
	job := func(answers string) *job {
		j := &job{kind: "backup", m: machinetest.Get("uefi-lvm")}
		j.f.answers = written(t, "disks = 'only'\n"+answers)
		return j
	}
	for answers, kind := range map[string]fail.Kind{"drop = ['/hom']": fail.Usage, "drop = ['/boot']": fail.Refused, "size = {'/boot/efi' = '1G'}": fail.Refused, "fs = {'/' = 'xfs'}": fail.Refused} {
		if err := job(answers).planRestore(); fail.KindOf(err) != kind || err == nil || !strings.Contains(err.Error(), "answers.toml") {
			t.Errorf("%s: %v", answers, err)
		}
	}
	good := job("drop = ['/home']\nno_swap = true\nsize = {'/' = '3G'}")
	if err := good.planRestore(); err != nil || slices.Contains(good.tools, "mkfs.btrfs") {
		t.Errorf("%v, tools %v", err, good.tools)
	}
	other := job("fs = {'/home' = 'btrfs'}")
	if err := other.planRestore(); err != nil || !slices.Contains(other.tools, "mkfs.btrfs") {
		t.Errorf("the medium need not have what the restore calls: %v, %v", other.tools, err)
	}
}
