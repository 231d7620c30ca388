package cli

import (
	"slices"
	"strings"
	"testing"

	"github.com/mkcdrec/mkcdrec/internal/fail"
	"github.com/mkcdrec/mkcdrec/internal/machine"
	"github.com/mkcdrec/mkcdrec/internal/machine/machinetest"
	"github.com/mkcdrec/mkcdrec/internal/plan"
	"github.com/mkcdrec/mkcdrec/internal/restore"
	"github.com/mkcdrec/mkcdrec/internal/ui"
)

// An unattended restore has nobody to ask: that is found when the medium is made.
func TestAnswersForEncryptedDevices(t *testing.T) {
	const disks = "disks = \"only\"\n"
	for text, ok := range map[string]bool{"": false, `luks_key = "/k:LABEL=K"`: true, `luks_key = {vda3_crypt = "/k"}`: true, `luks_key = {other = "/k"}`: false} {
		if err := answersOpen(machinetest.LUKSLVM(), written(t, disks+text)); (err == nil) != ok || err != nil && fail.KindOf(err) != fail.Usage {
			t.Errorf("%q: %v", text, err)
		}
	}
	if err := answersOpen(machinetest.UEFILVM(), written(t, disks)); err != nil {
		t.Errorf("a machine without encryption: %v", err)
	}
}

// The disk with the key file is never overwritten.
func TestDiskWithTheKeyIsProtected(t *testing.T) {
	m := machinetest.LUKSLVM()
	m.Disks = append(m.Disks, machine.Disk{Name: "sda", Path: "/dev/sda", Size: 1 << 30})
	m.FileSystems = append(m.FileSystems, machine.FileSystem{On: "disk:sda", Kind: "ext4", Label: "KEYS", UUID: "ab-cd"})
	for spec, want := range map[string][]string{"/k:LABEL=KEYS": {"sda"}, "/k:UUID=AB-CD": {"sda"}, "/k:/dev/sda": {"sda"}, "/k:LABEL=X": nil, "/k": nil} {
		if got := keyDisks(m, restore.KeyFiles{"": spec}); !slices.Equal(got, want) {
			t.Errorf("%s: %v, want %v", spec, got, want)
		}
	}
}

// Without a terminal and without a key file nothing is guessed.
func TestNoKeyNoQuestion(t *testing.T) {
	m := machinetest.LUKSLVM()
	p := plan.Plan{Steps: []plan.Step{{Kind: plan.MakeCrypt, Crypt: &m.Crypts[0]}}}
	a := &app{ui: &ui.Printer{Out: &strings.Builder{}, Err: &strings.Builder{}, In: strings.NewReader("secret\nsecret\n")}}
	for _, unattended := range []bool{true, false} {
		keys, err := a.keys(t.Context(), restore.Options{Plan: p}, nil, unattended)
		if err == nil || keys != nil {
			t.Errorf("unattended %v: %v, %v", unattended, keys, err)
		}
	}
}
