package cryptsetup

import (
	"bytes"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"strconv"
	"strings"
	"testing"

	"github.com/mkcdrec/mkcdrec/internal/machine"
	"github.com/mkcdrec/mkcdrec/internal/system"
)

var samples = []machine.Crypt{
	{Version: 2, UUID: "11111111-2222-4333-8444-555555555555", Label: "my disk", Subsystem: "sub", Cipher: "aes-xts-plain64", KeyBits: 512, SectorSize: 4096,
		Offset: 16 << 20, KDF: machine.KDF{Kind: "argon2id", Hash: "sha256", Iterations: 4, Memory: 32, Threads: 1}, Slots: 1},
	{Version: 2, UUID: "11111111-2222-4333-8444-555555555557", Cipher: "aes-cbc-essiv:sha256", KeyBits: 256, SectorSize: 512,
		Offset: 18 << 20, KDF: machine.KDF{Kind: "pbkdf2", Hash: "sha512", Iterations: 1000}, Slots: 1},
	{Version: 1, UUID: "11111111-2222-4333-8444-555555555556", Cipher: "aes-xts-plain64", KeyBits: 512, SectorSize: 512,
		Offset: 2 << 20, KDF: machine.KDF{Kind: "pbkdf2", Hash: "sha256", Iterations: 1000}, Slots: 1},
}

// device makes a device with a header by the real program.
func device(t testing.TB, c machine.Crypt, key string) string {
	t.Helper()
	host := &system.Host{}
	if _, err := host.LookPath("cryptsetup"); err != nil {
		t.Skip("cryptsetup is not installed")
	}
	file := filepath.Join(t.TempDir(), "device")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(file, 32<<20); err != nil {
		t.Fatal(err)
	}
	if err := Format(t.Context(), host, file, c, []byte(key)); err != nil {
		t.Fatal(err)
	}
	return file
}

func header(t testing.TB, file string) Header {
	t.Helper()
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	h, err := ReadHeader(bytes.NewReader(b))
	if err != nil {
		t.Fatal(err)
	}
	return h
}

// What was asked for is what is read, and what luksDump says.
func TestFormatAndRead(t *testing.T) {
	t.Parallel()
	for _, c := range samples {
		file := device(t, c, "secret")
		if got := header(t, file); !reflect.DeepEqual(got.Crypt, c) {
			t.Errorf("got  %+v\nwant %+v", got.Crypt, c)
		}
		res, err := (&system.Host{}).Run(t.Context(), system.Command{Name: "cryptsetup", Args: []string{"luksDump", file}})
		if err != nil {
			t.Fatal(err)
		}
		words := strings.Join(strings.Fields(string(res.Stdout)), " ")
		for _, w := range []string{c.UUID, c.Label, c.Subsystem, c.KDF.Hash} {
			if !strings.Contains(words, w) {
				t.Errorf("luksDump does not say %q: %s", w, res.Stdout)
			}
		}
	}
}

// The header's JSON is that which the program prints.
func TestAgainstDumpJSON(t *testing.T) {
	t.Parallel()
	file := device(t, samples[0], "secret")
	host := &system.Host{}
	second := filepath.Join(t.TempDir(), "key")
	if err := os.WriteFile(second, []byte("another\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := AddFile(t.Context(), host, file, samples[0], second, []byte("secret")); err != nil {
		t.Fatal(err)
	}
	token := system.Command{Name: "cryptsetup", Args: []string{"token", "import", file}, Stdin: strings.NewReader(`{"type":"clevis","keyslots":["1"],"jwe":{}}`)}
	if _, err := host.Run(t.Context(), token); err != nil {
		t.Fatal(err)
	}
	res, err := host.Run(t.Context(), system.Command{Name: "cryptsetup", Args: []string{"luksDump", "--dump-json-metadata", file}})
	if err != nil {
		t.Fatal(err)
	}
	said, err := luks2JSON(res.Stdout)
	if err != nil {
		t.Fatal(err)
	}
	got := header(t, file)
	if got.Crypt.Slots != 2 || !reflect.DeepEqual(got.Crypt.Tokens, []string{"clevis"}) || got.Length != samples[0].Offset {
		t.Errorf("got %+v", got)
	}
	said.Crypt.UUID, said.Crypt.Label, said.Crypt.Subsystem, said.Length = got.Crypt.UUID, got.Crypt.Label, got.Crypt.Subsystem, got.Length
	if !reflect.DeepEqual(got, said) {
		t.Errorf("got  %+v\nsaid %+v", got, said)
	}
	if err := TestFile(t.Context(), host, file, second); err != nil {
		t.Error(err)
	}
}

// A copy of the header brings all keys onto another device.
func TestHeaderCopy(t *testing.T) {
	t.Parallel()
	host := &system.Host{}
	for _, c := range samples {
		file, other := device(t, c, "secret"), device(t, c, "other")
		copied := filepath.Join(t.TempDir(), "copy")
		if err := BackupHeader(t.Context(), host, file, copied); err != nil {
			t.Fatal(err)
		}
		if fi, err := os.Stat(copied); err != nil || fi.Mode().Perm()&0o077 != 0 {
			t.Errorf("the copy is %v (%v)", fi.Mode(), err)
		}
		if got := header(t, copied); !reflect.DeepEqual(got.Crypt, c) {
			t.Errorf("the copy: %+v", got.Crypt)
		}
		for _, f := range []string{copied, file} {
			if err := Test(t.Context(), host, f, []byte("secret")); err != nil {
				t.Errorf("LUKS%d: %v", c.Version, err)
			}
			if err := Test(t.Context(), host, f, []byte("secret\n")); !errors.Is(err, ErrWrongKey) {
				t.Errorf("LUKS%d with a wrong key: %v", c.Version, err)
			}
		}
		if err := Test(t.Context(), host, other, []byte("secret")); !errors.Is(err, ErrWrongKey) {
			t.Fatalf("the other device: %v", err)
		}
		if err := RestoreHeader(t.Context(), host, other, copied); err != nil {
			t.Fatal(err)
		}
		if err := Test(t.Context(), host, other, []byte("secret")); err != nil {
			t.Error(err)
		}
	}
}

// The second copy of a LUKS2 header is taken where the first is damaged; what
// is damaged twice is no header.
func TestDamagedHeader(t *testing.T) {
	t.Parallel()
	b, err := os.ReadFile(device(t, samples[0], "secret"))
	if err != nil {
		t.Fatal(err)
	}
	for _, damage := range [][]int{{0}, {4100}, {0, 4100}} {
		d := bytes.Clone(b)
		for _, i := range damage {
			d[i] ^= 1
		}
		if h, err := ReadHeader(bytes.NewReader(d)); err != nil || h.Crypt.UUID != samples[0].UUID {
			t.Errorf("damaged at %v: %v", damage, err)
		}
	}
	d := bytes.Clone(b)
	d[4100] ^= 1
	d[16384+4100] ^= 1
	for name, bad := range map[string][]byte{"twice damaged": d, "zeros": make([]byte, 1<<20), "short": b[:500], "cut": b[:8192], "empty": nil} {
		if h, err := ReadHeader(bytes.NewReader(bad)); !errors.Is(err, ErrNot) {
			t.Errorf("%s: %+v, %v", name, h, err)
		}
	}
}

// No secret is in any command, and every command is one that the program takes.
func TestCommands(t *testing.T) {
	t.Parallel()
	r := &system.Recorder{}
	ctx, key := t.Context(), []byte("hunter2")
	for _, err := range []error{
		Format(ctx, r, "/dev/vda3", samples[0], key), Open(ctx, r, "/dev/vda3", "root", nil, key),
		Open(ctx, r, "/dev/vda3", "root", []string{"allow-discards", "no-read-workqueue", "unheard-of"}, key),
		Test(ctx, r, "/run/copy", key), AddFile(ctx, r, "/dev/vda3", samples[0], "/mnt/key", key), Close(ctx, r, "root"),
	} {
		if err != nil {
			t.Error(err)
		}
	}
	want := []string{
		"cryptsetup luksFormat --batch-mode --type luks2 --uuid 11111111-2222-4333-8444-555555555555 --cipher aes-xts-plain64 --key-size 512 --hash sha256" +
			" --label 'my disk' --subsystem sub --sector-size 4096 --pbkdf argon2id --pbkdf-force-iterations 4 --pbkdf-memory 32 --pbkdf-parallel 1 --offset 32768 --key-file=- /dev/vda3",
		"cryptsetup open --batch-mode --type luks --key-file=- /dev/vda3 root",
		"cryptsetup open --batch-mode --type luks --allow-discards --perf-no_read_workqueue --persistent --key-file=- /dev/vda3 root",
		"cryptsetup open --batch-mode --test-passphrase --type luks --key-file=- /run/copy",
		"cryptsetup luksAddKey --batch-mode --pbkdf argon2id --pbkdf-force-iterations 4 --pbkdf-memory 32 --pbkdf-parallel 1 --key-file=- /dev/vda3 /mnt/key",
		"cryptsetup close --batch-mode root",
	}
	if got := r.Commands(); !reflect.DeepEqual(got, want) {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	for i := range 5 {
		if got := r.Stdin(i); got != "hunter2" {
			t.Errorf("command %d was given %q", i, got)
		}
	}
	for code, want := range map[int]error{2: ErrWrongKey, 3: ErrMemory, 5: ErrBusy} {
		r := &system.Recorder{Answers: map[string]system.Answer{"cryptsetup*": {ExitCode: code, Stderr: "No key available"}}}
		if err := Test(ctx, r, "/dev/x", key); !errors.Is(err, want) || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("exit code %d: %v", code, err)
		}
	}
}

// capture is a header that cryptsetup 2.6.1 wrote, and what it says of it.
func capture(t testing.TB, name string) []byte {
	t.Helper()
	b, err := os.ReadFile(filepath.Join("testdata", name))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// Headers are read where there is no cryptsetup, too.
func TestCapturedHeaders(t *testing.T) {
	h, err := ReadHeader(bytes.NewReader(capture(t, "luks1.header")))
	words := strings.Join(strings.Fields(string(capture(t, "luks1.txt"))), " ")
	for _, want := range []string{"UUID: " + h.Crypt.UUID, "Hash spec: " + h.Crypt.KDF.Hash, "MK bits: " + strconv.Itoa(h.Crypt.KeyBits), "Iterations: " + strconv.Itoa(h.Crypt.KDF.Iterations),
		"Payload offset: " + strconv.Itoa(int(h.Crypt.Offset/sector))} {
		if err != nil || !strings.Contains(words, want) {
			t.Errorf("LUKS1: no %q in luksDump (%v)", want, err)
		}
	}
	said, err := luks2JSON(capture(t, "luks2.json"))
	if err != nil {
		t.Fatal(err)
	}
	if h, err = ReadHeader(bytes.NewReader(capture(t, "luks2.header"))); err != nil || h.Crypt.Label != "L1" || h.Crypt.Subsystem != "sub" {
		t.Fatalf("LUKS2: %+v, %v", h, err)
	}
	said.Crypt.UUID, said.Crypt.Label, said.Crypt.Subsystem, said.Length = h.Crypt.UUID, h.Crypt.Label, h.Crypt.Subsystem, h.Length
	if !reflect.DeepEqual(h, said) {
		t.Errorf("got  %+v\nsaid %+v", h, said)
	}
}

func FuzzReadHeader(f *testing.F) {
	f.Add(capture(f, "luks1.header"))
	f.Add(capture(f, "luks2.header"))
	f.Fuzz(func(t *testing.T, b []byte) {
		h, err := ReadHeader(bytes.NewReader(b))
		if err != nil {
			return
		}
		if err := h.check(); err != nil || h.Data < 0 || h.Length < 0 {
			t.Errorf("%+v: %v", h, err)
		}
	})
}

// The checksum keeps a fuzzer out of the JSON: that alone.
func FuzzMetadata(f *testing.F) {
	f.Add([]byte(`{"keyslots":{"0":{"type":"luks2","key_size":64,"af":{"hash":"sha256"},"kdf":{"type":"argon2id","time":4,"memory":32,"cpus":1}}},
		"tokens":{"0":{"type":"clevis"}},"segments":{"0":{"type":"crypt","offset":"16777216","size":"dynamic","encryption":"aes-xts-plain64","sector_size":512}},
		"config":{"json_size":"12288","keyslots_size":"16744448","flags":["allow-discards"],"requirements":{"mandatory":["online-reencrypt-v2"]}}}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		h, err := luks2JSON(b)
		if err == nil && (h.Length < 0 || h.Data < 0 || !json.Valid(b)) {
			t.Errorf("%+v of %q", h, b)
		}
	})
}
