package restore

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/mkcdrec/mkcdrec/internal/fail"
	"github.com/mkcdrec/mkcdrec/internal/machine"
	"github.com/mkcdrec/mkcdrec/internal/machine/machinetest"
	"github.com/mkcdrec/mkcdrec/internal/plan"
	"github.com/mkcdrec/mkcdrec/internal/system"
	"github.com/mkcdrec/mkcdrec/internal/tool/cryptsetup"
)

// luksHeader is a real header for the encrypted device of a machine, whose
// recorded offset it gets.
func luksHeader(t *testing.T, c *machine.Crypt, key string) []byte {
	t.Helper()
	if _, err := (&system.Host{}).LookPath("cryptsetup"); err != nil {
		t.Skip("cryptsetup is not installed")
	}
	file := filepath.Join(t.TempDir(), "device")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(file, 32<<20); err != nil {
		t.Fatal(err)
	}
	cheap := *c
	cheap.KDF = machine.KDF{Kind: "pbkdf2", Hash: "sha256", Iterations: 1000}
	if err := cryptsetup.Format(t.Context(), &system.Host{}, file, cheap, []byte(key)); err != nil {
		t.Fatal(err)
	}
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return b[:c.Offset]
}

// withHeader is the bench of luks-lvm with a copy of the header in the backup;
// cryptsetup itself says whether the key opens it, the rest is recorded.
func withHeader(t *testing.T) (Options, *probing, *fakeBackup) {
	t.Helper()
	m := machinetest.LUKSLVM()
	header := luksHeader(t, &m.Crypts[0], "hunter2")
	m.Crypts[0].Header = "luks-x.header"
	o, run, b := bench(t, m, m, plan.Info{})
	b.headers = map[string][]byte{"luks-x.header": header}
	o.System = &tester{probing: run}
	return o, run, b
}

// tester carries out --test-passphrase, and records all else.
type tester struct{ *probing }

func (x *tester) Run(ctx context.Context, c system.Command) (system.Result, error) {
	if c.Name == "cryptsetup" && slices.Contains(c.Args, "--test-passphrase") {
		return (&system.Host{}).Run(ctx, c)
	}
	return x.probing.Run(ctx, c)
}

func TestRecordedHeaderComesBack(t *testing.T) {
	o, run, _ := withHeader(t)
	if _, err := Run(t.Context(), o); err != nil {
		t.Fatal(err)
	}
	var got []string
	for i, c := range run.Commands() {
		if strings.Contains(c, "hunter2") {
			t.Errorf("a secret in a command: %s", c)
		}
		if strings.HasPrefix(c, "cryptsetup") {
			got = append(got, strings.Split(c, " --header-backup-file")[0]+" < "+run.Stdin(i))
		}
	}
	want := []string{"cryptsetup luksHeaderRestore --batch-mode /dev/vda3 < ", "cryptsetup open --batch-mode --type luks --key-file=- /dev/vda3 vda3_crypt < hunter2"}
	if !slices.Equal(got, want) {
		t.Errorf("got %q\nwant %q", got, want)
	}
	if left, _ := filepath.Glob(filepath.Join(filepath.Dir(o.Journal), "*")); len(left) > 0 {
		t.Errorf("left: %v", left)
	}
}

// Whatever is wrong with header or key is found before the first write.
func TestKeysAreCheckedFirst(t *testing.T) {
	tests := []struct {
		name  string
		spoil func(t *testing.T, o *Options, b *fakeBackup)
		kind  fail.Kind
		want  string
	}{
		{"wrong pass phrase", func(_ *testing.T, o *Options, _ *fakeBackup) { o.Keys["vda3_crypt"] = Key{Bytes: []byte("hunter3")} }, fail.WrongKey, "does not open"},
		{"no key", func(_ *testing.T, o *Options, _ *fakeBackup) { o.Keys = nil }, fail.Usage, "no pass phrase"},
		{"header of another disk", func(t *testing.T, _ *Options, b *fakeBackup) {
			c := machinetest.LUKSLVM().Crypts[0]
			c.UUID = "99999999-aaaa-4aaa-8aaa-999999999900"
			b.headers["luks-x.header"] = luksHeader(t, &c, "hunter2")
		}, fail.Damaged, "another device"},
		{"other offset", func(t *testing.T, _ *Options, b *fakeBackup) {
			c := machinetest.LUKSLVM().Crypts[0]
			c.Offset += 1 << 20
			b.headers["luks-x.header"] = luksHeader(t, &c, "hunter2")
		}, fail.Damaged, "another device"},
		{"not a header", func(_ *testing.T, _ *Options, b *fakeBackup) { b.headers["luks-x.header"] = make([]byte, 1<<20) }, fail.Damaged, "LUKS header"},
		{"header missing", func(_ *testing.T, _ *Options, b *fakeBackup) { b.headers = nil }, fail.Damaged, "no header"},
		{"open elsewhere", func(_ *testing.T, o *Options, _ *fakeBackup) {
			o.Look = func(context.Context) (machine.Machine, error) {
				m := machinetest.LUKSLVM()
				other := m.Disks[0]
				other.Name, other.Serial = "vdb", "OLD"
				m.Disks = append(m.Disks, other)
				m.VolumeGroups, m.Crypts[0].On = nil, machine.PartRef("vdb", 3)
				return m, nil
			}
		}, fail.Refused, "cannot be two"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			o, run, b := withHeader(t)
			tt.spoil(t, &o, b)
			_, err := Run(t.Context(), o)
			if fail.KindOf(err) != tt.kind || err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Fatalf("got %v (%s), want %s, %q", err, fail.KindOf(err).Name(), tt.kind.Name(), tt.want)
			}
			for _, c := range run.Commands() {
				if writes(c) || strings.HasPrefix(c, "cryptsetup") {
					t.Errorf("ran %s", c)
				}
			}
		})
	}
}

// A header that has no room on the device: cryptsetup would write it.
func TestHeaderThatDoesNotFit(t *testing.T) {
	o, _, b := withHeader(t)
	x := newExecutor(o)
	c := x.m.Crypts[0]
	x.m.Disks[0].Table.Partitions[2].Size = 8 << 11
	if err := x.headerFits(c, b.headers["luks-x.header"]); fail.KindOf(err) != fail.Refused || !strings.Contains(fmt.Sprint(err), "does not fit") {
		t.Errorf("got %v", err)
	}
}

// After a power cut the device is opened again before anything on it is
// believed; another key than then is an error, and nothing is made anew.
func TestResumeOpensTheDevice(t *testing.T) {
	for name, exit := range map[string]int{"the same key": 0, "another key": 2} {
		m := machinetest.LUKSLVM()
		o, run, b := bench(t, m, m, plan.Info{})
		b.unpackErr = fail.New(fail.Failed, "power cut")
		if _, err := Run(t.Context(), o); err == nil {
			t.Fatal("no error")
		}
		b.unpackErr = nil
		if err := os.MkdirAll(filepath.Join(o.Root, "dev"), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(o.Root, "dev/vda3"), luksHeader(t, &m.Crypts[0], "hunter2"), 0o600); err != nil {
			t.Fatal(err)
		}
		if exit != 0 {
			run.Answers = map[string]system.Answer{"cryptsetup open*": {ExitCode: exit}}
		}
		first := len(run.Commands())
		rep, err := Run(t.Context(), o)
		second := run.Commands()[first:]
		if exit != 0 {
			if fail.KindOf(err) != fail.WrongKey {
				t.Errorf("%s: %v", name, err)
			}
		} else if err != nil || rep.Resumed == 0 {
			t.Errorf("%s: %v, %+v", name, err, rep)
		}
		if !slices.ContainsFunc(second, func(c string) bool { return strings.HasPrefix(c, "cryptsetup open") }) {
			t.Errorf("%s: the device was not opened: %q", name, second)
		}
		if slices.ContainsFunc(second, func(c string) bool { return strings.HasPrefix(c, "sfdisk") || strings.Contains(c, "luksFormat") }) {
			t.Errorf("%s: made anew: %q", name, second)
		}
	}
}

// A new header of a machine with less memory asks for less, and says so; a key
// file of crypttab gets its key slot back.
func TestNewHeader(t *testing.T) {
	m := machinetest.LUKSLVM()
	o, run, b := bench(t, m, m, plan.Info{})
	b.files["etc/crypttab"] = "vda3_crypt UUID=x /etc/keys/root.key luks\nother UUID=y none luks\n"
	b.files["etc/keys/root.key"] = "key"
	if err := os.WriteFile(filepath.Join(o.Root, "proc/meminfo"), []byte("MemTotal: 1048576 kB\nMemFree: 1 kB\nMemAvailable: 900000 kB\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	run.Answers = map[string]system.Answer{"cryptsetup open --batch-mode --test-passphrase*": {ExitCode: 2}}
	rep, err := Run(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	all := strings.Join(run.Commands(), "\n")
	for _, want := range []string{"--pbkdf-memory 524288", "cryptsetup luksAddKey", "--key-file=- /dev/vda3 " + o.TargetRoot + "/etc/keys/root.key"} {
		if !strings.Contains(all, want) {
			t.Errorf("no %q in:\n%s", want, all)
		}
	}
	if w := strings.Join(rep.Warnings, "\n"); !strings.Contains(w, "524288 KiB of memory, recorded 1048576") {
		t.Errorf("warnings: %s", w)
	}
	if strings.Contains(all, "hunter2") || strings.Contains(fmt.Sprintf("%v %+v %#v", o.Keys, o.Keys, o.Keys), "hunter2") {
		t.Error("a secret is in the open")
	}
}

func TestKeyFiles(t *testing.T) {
	const disks = "disks = \"only\"\n"
	for text, want := range map[string]string{`luks_key = "/k"`: "/k", `luks_key = {other = "/a", home = "/b:LABEL=K"}`: "/b:LABEL=K", "": ""} {
		a, err := ParseAnswers([]byte(disks + text))
		if err != nil || a.Keys.For("home") != want {
			t.Errorf("%s: %q, %v", text, a.Keys.For("home"), err)
		}
	}
	for _, text := range []string{`luks_key = "k"`, `luks_key = 1`, `luks_key = {home = 1}`, `luks_key = ["/k"]`} {
		if _, err := ParseAnswers([]byte(disks + text)); fail.KindOf(err) != fail.Usage {
			t.Errorf("%s: %v", text, err)
		}
	}
	k, err := ParseKeyFiles([]string{"/k:LABEL=X=Y", "home=/h"})
	if err != nil || k.For("home") != "/h" || k.For("x") != "/k:LABEL=X=Y" {
		t.Errorf("%v, %v", k, err)
	}
	for _, bad := range [][]string{{"k"}, {"/a", "/b"}, {"home=k"}} {
		if _, err := ParseKeyFiles(bad); fail.KindOf(err) != fail.Usage {
			t.Errorf("%q: %v", bad, err)
		}
	}
}

// A line of text is tried with and without its newline; a new header gets what
// people can type.
func TestKeyFromFile(t *testing.T) {
	o, _, _ := withHeader(t)
	file := filepath.Join(t.TempDir(), "key")
	for text, want := range map[string]string{"hunter2": "hunter2", "hunter2\n": "hunter2", "hunter2\n\n": "", "": ""} {
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		key, err := KeyFromFile(t.Context(), o, Crypts(o.Plan)[0], file)
		if (err == nil) != (want != "") || err == nil && (string(key.Bytes) != want || !key.Tested) {
			t.Errorf("%q: %q, %v", text, key.Bytes, err)
		}
	}
	for text, want := range map[string]string{"new\n": "new", "a\nb\n": "a\nb\n", "\x00\n": "\x00\n"} {
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if key, err := KeyFromFile(t.Context(), o, machinetest.LUKSLVM().Crypts[0], file); err != nil || string(key.Bytes) != want {
			t.Errorf("new %q: %q, %v", text, key.Bytes, err)
		}
	}
}

// A key file on another device: that is mounted read-only, and not left mounted.
func TestKeyOnAnotherDevice(t *testing.T) {
	run := &system.Recorder{}
	if _, err := ReadKey(t.Context(), run, "/luks.key:LABEL=KEYS"); fail.KindOf(err) != fail.Failed || err == nil {
		t.Errorf("a key file that is not there: %v", err)
	}
	got := run.Commands()
	if len(got) != 3 || !strings.HasPrefix(got[1], "mount -t auto -o ro LABEL=KEYS /") || !strings.HasPrefix(got[2], "umount /") {
		t.Errorf("ran %q", got)
	}
}
