package vm

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/mkcdrec/mkcdrec/internal/rehearse/qemu"
)

// answersVault name the disk, since there is a stick beside it, and the pass
// phrase of the encrypted device in a file on that stick.
const answersVault = `disks = ["serial:` + replaced + `1"]
machine = "same"
then = "poweroff"
luks_key = "/luks.key:LABEL=KEYS"
`

// vaultPhrase opens the encrypted device of uefi-luks-lvm.
const vaultPhrase = "correct horse"

// dumpVault is all that cryptsetup says of the header, with every salt and
// digest, and its bytes up to the data.
const dumpVault = "set -e; cryptsetup luksDump /dev/vda3; cryptsetup luksDump --dump-json-metadata /dev/vda3; head -c 16M /dev/vda3 | sha256sum"

// vaultHeader keeps that of the original beside the medium.
const vaultHeader = "vault-header.txt"

// keyStick is a stick with the pass phrase in a file, as an editor leaves it.
func keyStick(t *testing.T) string {
	t.Helper()
	files, img := t.TempDir(), filepath.Join(t.TempDir(), "keys.img")
	if err := os.WriteFile(filepath.Join(files, "luks.key"), []byte(vaultPhrase+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command("mke2fs", "-q", "-t", "ext4", "-L", "KEYS", "-d", files, img, "16M").CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	return img
}

// sameVault compares the header of the restored device with the original's,
// and opens it by the pass phrase, by the program itself.
func sameVault(ctx context.Context, t *testing.T, vm *qemu.VM, f *Fixture, dir string) {
	t.Helper()
	if from := os.Getenv("MKCDREC_MEDIUM_FROM"); from != "" {
		dir = from
	}
	want, err := os.ReadFile(filepath.Join(dir, vaultHeader))
	if err != nil {
		t.Fatal(err)
	}
	got, err := vm.SSH(ctx, f.Key, dumpVault, nil)
	if err != nil {
		t.Fatal(err)
	}
	if len(want) < 500 || string(got) != string(want) {
		t.Errorf("the header is another one:\n%s\nwas:\n%s", got, want)
	}
	for phrase, opens := range map[string]bool{vaultPhrase: true, vaultPhrase + "x": false} {
		out, err := vm.SSH(ctx, f.Key, "cryptsetup open --test-passphrase --key-file=- /dev/vda3", strings.NewReader(phrase))
		if (err == nil) != opens {
			t.Errorf("%q opens the device: %v (%s)", phrase, err == nil, out)
		}
	}
	if out, err := vm.SSH(ctx, f.Key, "lsblk -nso TYPE /dev/vg0/root | xargs", nil); err != nil || strings.TrimSpace(string(out)) != "lvm crypt part disk" {
		t.Errorf("/ stands on %s (%v)", out, err)
	}
}

// opensByHand asks at the prompt for the plan of one file system that lies on
// the encrypted device, which the rescue system finds closed: a wrong pass
// phrase is refused, the right one opens it.
func (s scenario) opensByHand(ctx context.Context, t *testing.T, f *Fixture, vm *qemu.VM, disks []qemu.Disk, vars, dir, iso string, lap func(string)) {
	t.Helper()
	vm.Kill()
	for i := range disks {
		disks[i].Snapshot = true
	}
	vm = s.prompt(ctx, t, f, disks, vars, iso, filepath.Join(dir, "restore-fs.log"))
	type line struct{ wait, send string }
	for _, l := range []line{
		{"", "mkcdrec restore-fs --plan /; echo exit=$?"},
		{`Pass phrase of vault:`, vaultPhrase + "x"},
		{`does not open the encrypted device vault`, ""},
		{`Pass phrase of vault:`, vaultPhrase},
		{`place of /: vg0/root(?s:.*)exit=0\s`, ""},
	} {
		if l.wait != "" {
			if _, err := vm.WaitFor(ctx, l.wait, 3*time.Minute); err != nil {
				t.Fatal(err)
			}
		}
		if l.send != "" {
			if err := vm.Send(l.send + "\n"); err != nil {
				t.Fatal(err)
			}
		}
	}
	powerOff(ctx, t, vm)
	lap("opened it at the prompt, for a single file system")
}
