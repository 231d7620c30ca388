package backup_test

import (
	"context"
	"encoding/json"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/mkcdrec/mkcdrec/internal/archive"
	"github.com/mkcdrec/mkcdrec/internal/backup"
	"github.com/mkcdrec/mkcdrec/internal/machine"
	"github.com/mkcdrec/mkcdrec/internal/store"
	"github.com/mkcdrec/mkcdrec/internal/store/dir"
)

const (
	killedID  = "20261124T031500Z-0bad"
	machineID = "0123456789abcdef0123456789abcdef"
	markName  = ".mkcdrec-unfinished"
)

// killed has another process back root up into store and kills it half-way.
func killed(t *testing.T, root, store, id string) {
	t.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), killedEnv+"="+root+":"+store+":"+id)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	buf := make([]byte, 100)
	n, _ := out.Read(buf)
	_ = cmd.Process.Kill()
	err = cmd.Wait()
	var exit *exec.ExitError
	if !strings.HasPrefix(string(buf[:n]), "half") || !errors.As(err, &exit) || exit.Sys().(syscall.WaitStatus).Signal() != syscall.SIGKILL {
		t.Fatalf("the child was not killed in the middle: %v %s", err, buf[:n])
	}
}

// next makes a backup as a machine of an ID and gives what it said of leftovers.
func next(t *testing.T, root, to, id, machineID string) (left []store.Leftover) {
	t.Helper()
	opt := options(t, root, to, id)
	opt.Machine = &machine.Machine{MachineID: machineID}
	opt.OnLeftover = func(l store.Leftover) { left = append(left, l) }
	if _, err := backup.Run(context.Background(), opt); err != nil {
		t.Error(err)
	}
	whole(t, to, id)
	return left
}

// What a killed run left is removed by the next one of the same machine, and
// by no other; complete backups and what others have put there stay.
func TestNextBackupRemovesWhatAKilledOneLeft(t *testing.T) {
	root, to := t.TempDir(), t.TempDir()
	noise(t, root, 200, 40<<10)
	t.Cleanup(func() { os.Remove(to + ".lock") })
	if left := next(t, root, to, "20261123T031500Z-0001", machineID); len(left) > 0 {
		t.Errorf("left at first: %+v", left)
	}
	killed(t, root, to, killedID)
	in := filepath.Join(to, "host", killedID)
	mark, err := os.ReadFile(filepath.Join(in, markName))
	if err != nil {
		t.Fatal(err)
	}
	// The same twice more: where another ID is noted than the directory's, and
	// with a manifest.
	for _, c := range []string{`cp -a "$1" "$2/20261124T031500Z-0002"`, `cp -a "$1" "$2/20261124T031500Z-0003"
sed -i s/0bad/0003/ "$2/20261124T031500Z-0003/` + markName + `"; echo '{}' >"$2/20261124T031500Z-0003/manifest.json"`} {
		if out, err := exec.Command("sh", "-c", c, "sh", in, filepath.Dir(in)).CombinedOutput(); err != nil {
			t.Fatalf("%v %s", err, out)
		}
	}
	for _, other := range []string{"", "another"} {
		if left := next(t, root, to, "20261124T04150"+string(rune('0'+len(other)))+"Z-0004", other); len(left) > 0 {
			t.Errorf("machine %q: %+v", other, left)
		}
		if now, err := os.ReadFile(filepath.Join(in, markName)); err != nil || string(now) != string(mark) {
			t.Fatalf("machine %q has touched it: %v", other, err)
		}
	}
	left := next(t, root, to, "20261125T031500Z-0005", machineID)
	if len(left) != 1 || left[0].Name != "host/"+killedID || left[0].Kept != nil || left[0].Bytes < 1<<20 {
		t.Errorf("left: %+v", left)
	}
	var names []string
	list, _ := os.ReadDir(filepath.Dir(in))
	for _, e := range list {
		names = append(names, e.Name())
	}
	want := "20261123T031500Z-0001 20261124T031500Z-0002 20261124T031500Z-0003 20261124T041500Z-0004 20261124T041507Z-0004 20261125T031500Z-0005"
	if got := strings.Join(names, " "); got != want {
		t.Errorf("there is %s, want %s", got, want)
	}
	whole(t, to, "20261123T031500Z-0001")
	if marks, _ := filepath.Glob(filepath.Join(to, "host/*-000[145]", markName)); len(marks) > 0 {
		t.Errorf("complete backups have marks: %q", marks)
	}
}

// A leftover that holds something else is kept whole, and said.
func TestLeftoverWithForeignFilesIsKept(t *testing.T) {
	root, to := t.TempDir(), t.TempDir()
	noise(t, root, 200, 40<<10)
	t.Cleanup(func() { os.Remove(to + ".lock") })
	killed(t, root, to, killedID)
	in := filepath.Join(to, "host", killedID)
	if err := os.WriteFile(in+"/notes.txt", []byte("mine"), 0o600); err != nil {
		t.Fatal(err)
	}
	before, _ := os.ReadDir(in)
	left := next(t, root, to, "20261125T031500Z-0005", machineID)
	if len(left) != 1 || left[0].Kept == nil || !strings.Contains(left[0].Kept.Error(), "notes.txt") {
		t.Errorf("left: %+v", left)
	}
	if after, _ := os.ReadDir(in); len(after) != len(before) || len(after) < 3 {
		t.Errorf("before %v, after %v", before, after)
	}
}

// The note must say all of it: program, ID, host and machine.
func TestOnlyItsOwnNoteIsRecognised(t *testing.T) {
	root, to := t.TempDir(), t.TempDir()
	noise(t, root, 1, 10)
	good := map[string]string{"program": "mkcdrec backup", "id": killedID, "host": "host", "machine_id": machineID}
	for _, c := range []struct {
		base, key, value string
		removed          bool
	}{
		{killedID, "program", "mkcdrec backup", true},
		{killedID, "program", "borg", false},
		{killedID, "id", "20261124T031500Z-0bae", false},
		{killedID, "host", "host2", false},
		{killedID, "machine_id", "", false},
		{"photos", "id", "photos", false},
		{"20261324T031500Z-0bad", "id", "20261324T031500Z-0bad", false}, // no such month
		{"20261124T031500Z-0BAD", "id", "20261124T031500Z-0BAD", false},
		{"20261124T031500Z-0bad0", "id", "20261124T031500Z-0bad0", false},
		{"20261124T031500Z_0bad", "id", "20261124T031500Z_0bad", false},
	} {
		note := map[string]string{}
		for k, v := range good {
			note[k] = v
		}
		note[c.key] = c.value
		content, err := json.Marshal(note)
		if err != nil {
			t.Fatal(err)
		}
		in := filepath.Join(to, "host", c.base)
		if err := errors.Join(os.MkdirAll(in, 0o700), os.WriteFile(filepath.Join(in, markName), content, 0o600)); err != nil {
			t.Fatal(err)
		}
		opt := options(t, root, to, "")
		opt.Machine = &machine.Machine{MachineID: machineID}
		if _, err := backup.Run(context.Background(), opt); err != nil {
			t.Fatal(err)
		}
		if _, err := os.Stat(in); os.IsNotExist(err) != c.removed {
			t.Errorf("%s with %s = %q: %v", c.base, c.key, c.value, err)
		}
		os.RemoveAll(in)
	}
}

func TestIDs(t *testing.T) {
	id, err := backup.NewID(time.Now(), strings.NewReader("\x01\xfe"))
	if err != nil || !backup.IsID(id) {
		t.Errorf("%q, %v", id, err)
	}
	for _, name := range []string{"", "-", "lost+found", id + "x", id[1:], "." + id[1:], strings.ToLower(id)} {
		if backup.IsID(name) {
			t.Errorf("%q is called an ID", name)
		}
	}
	for name, want := range map[string]bool{"data.0001.tar.zst": true, "data.12345.tar.zst": true, "catalogue.zst": true, "layout.json": true,
		"data.0000.tar.zst": false, "data.1.tar.zst": false, "data.00001.tar.zst": false, "data.0001.tar.zst.bak": false, "data.+001.tar.zst": false, "manifest.json": false, "": false} {
		if archive.IsPart(name) != want {
			t.Errorf("IsPart(%q) is not %v", name, want)
		}
	}
}

// A sink that cannot be swept still takes the backup.
func TestFailedSweepKeepsNoBackupFromBeingMade(t *testing.T) {
	root, to := t.TempDir(), t.TempDir()
	noise(t, root, 1, 10)
	d, err := dir.Open(to)
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	opt := options(t, root, to, "one")
	opt.Machine = &machine.Machine{MachineID: machineID}
	opt.Sink = unswept{d}
	var left []store.Leftover
	opt.OnLeftover = func(l store.Leftover) { left = append(left, l) }
	if _, err := backup.Run(context.Background(), opt); err != nil {
		t.Error(err)
	}
	whole(t, to, "one")
	if len(left) != 1 || left[0].Name != "host" || !errors.Is(left[0].Kept, store.ErrUnreachable) {
		t.Errorf("left: %+v", left)
	}
}

type unswept struct{ *dir.Dir }

func (unswept) Sweep(context.Context, string, store.Sweep) ([]store.Leftover, error) {
	return nil, store.ErrUnreachable
}
