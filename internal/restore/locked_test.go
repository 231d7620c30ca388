package restore

import (
	"slices"
	"strings"
	"testing"

	"github.com/mkcdrec/mkcdrec/internal/fail"
	"github.com/mkcdrec/mkcdrec/internal/machine"
	"github.com/mkcdrec/mkcdrec/internal/machine/machinetest"
	"github.com/mkcdrec/mkcdrec/internal/system"
)

func TestLocked(t *testing.T) {
	recorded, here := machinetest.LUKSLVM(), machinetest.LUKSLVM()
	if got := Locked(recorded, here, "/"); len(got) > 0 {
		t.Errorf("it is open: %v", got)
	}
	here.Crypts, here.VolumeGroups = nil, nil
	if got := Locked(recorded, here, "/"); len(got) != 1 || got[0].UUID != recorded.Crypts[0].UUID {
		t.Errorf("it is closed: %v", got)
	}
	if got := Locked(recorded, here, "/boot"); len(got) > 0 {
		t.Errorf("/boot is not encrypted: %v", got)
	}
	if got := Locked(recorded, here, "/nowhere"); len(got) > 0 {
		t.Errorf("/nowhere: %v", got)
	}
}

func TestUnlock(t *testing.T) {
	recorded := machinetest.LUKSLVM()
	c := recorded.Crypts[0]
	luks := system.Answer{Stdout: "TYPE=crypto_LUKS\nUUID=" + c.UUID + "\n"}
	// A mirror with its superblock at the end: each member shows the header.
	mirrored := machinetest.RAID1LVM()
	mirrored.VolumeGroups = nil
	onMirror := map[string]system.Answer{"blkid -p -o export /dev/md/*": luks, "blkid -p -o export /dev/vd*": luks, "blkid -p -o export /dev/sd*": luks}
	tests := []struct {
		name    string
		here    machine.Machine
		answers map[string]system.Answer
		kind    fail.Kind
		want    string // the device that is opened, or the error
	}{
		{"there", machinetest.LUKSLVM(), map[string]system.Answer{"blkid -p -o export /dev/vda3": luks}, fail.Kind(0), "/dev/vda3"},
		{"wrong key", machinetest.LUKSLVM(), map[string]system.Answer{"blkid -p -o export /dev/vda3": luks, "cryptsetup open*": {ExitCode: 2}}, fail.WrongKey, "does not open"},
		{"not here", machinetest.LUKSLVM(), nil, fail.Refused, "is not here"},
		{"twice", machinetest.TwoDisks(), map[string]system.Answer{"blkid*": luks}, fail.Refused, "cannot tell which"},
		{"on a mirror", mirrored, onMirror, fail.Refused, "cannot tell which"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			tt.here.Crypts, tt.here.VolumeGroups = nil, nil
			run := &system.Recorder{Answers: tt.answers}
			err := Unlock(t.Context(), run, tt.here, c, Key{Bytes: []byte("hunter2")})
			opened := slices.IndexFunc(run.Commands(), func(c string) bool { return strings.HasPrefix(c, "cryptsetup open") })
			if tt.kind == 0 {
				if err != nil || opened < 0 || !strings.HasSuffix(run.Commands()[opened], tt.want+" "+c.Name) || run.Stdin(opened) != "hunter2" {
					t.Fatalf("%v: %q", err, run.Commands())
				}
				return
			}
			if fail.KindOf(err) != tt.kind || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got %v, want %q", err, tt.want)
			}
			if opened >= 0 && tt.kind == fail.Refused {
				t.Errorf("opened: %q", run.Commands())
			}
			for _, member := range []string{"vda1", "vda2"} {
				if tt.name == "on a mirror" && strings.Contains(err.Error(), member) {
					t.Errorf("a member of an array is a candidate: %v", err)
				}
			}
		})
	}
}
