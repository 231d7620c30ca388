package backup

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/mkcdrec/mkcdrec/internal/archive"
	"github.com/mkcdrec/mkcdrec/internal/fail"
	"github.com/mkcdrec/mkcdrec/internal/machine"
	"github.com/mkcdrec/mkcdrec/internal/store/dir"
	"github.com/mkcdrec/mkcdrec/internal/system"
	"github.com/mkcdrec/mkcdrec/internal/tool/cryptsetup"
)

// encrypted is a machine with a real LUKS device in a file.
func encrypted(t *testing.T) (machine.Machine, string) {
	t.Helper()
	if _, err := (&system.Host{}).LookPath("cryptsetup"); err != nil {
		t.Skip("cryptsetup is not installed")
	}
	file := filepath.Join(t.TempDir(), "disk")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(file, 32<<20); err != nil {
		t.Fatal(err)
	}
	c := machine.Crypt{
		Name: "secret", On: "disk:vda", Version: 2, UUID: "11111111-2222-4333-8444-555555555555", Cipher: "aes-xts-plain64", KeyBits: 512, SectorSize: 512,
		Offset: 16 << 20, Size: 16 << 20, Slots: 2, Tokens: []string{"clevis"}, KDF: machine.KDF{Kind: "pbkdf2", Hash: "sha256", Iterations: 1000},
	}
	if err := cryptsetup.Format(t.Context(), &system.Host{}, file, c, []byte("secret")); err != nil {
		t.Fatal(err)
	}
	return machine.Machine{Disks: []machine.Disk{{Name: "vda", Path: file, Size: 32 << 20}}, Crypts: []machine.Crypt{c}}, file
}

// inMemory is a directory in memory that must be empty when the test ends.
func inMemory(t *testing.T) string {
	t.Helper()
	for _, d := range []string{"/dev/shm", "/run"} {
		var st unix.Statfs_t
		if unix.Statfs(d, &st) != nil || st.Type != unix.TMPFS_MAGIC {
			continue
		}
		dir, err := os.MkdirTemp(d, "mkcdrec-test-")
		if err != nil {
			continue
		}
		t.Cleanup(func() {
			if left, _ := filepath.Glob(dir + "/*"); len(left) > 0 {
				t.Errorf("left in memory: %v", left)
			}
			os.RemoveAll(dir)
		})
		return dir
	}
	t.Skip("no file system in memory can be written")
	return ""
}

// The copy is in the backup, listed and verified, and its keys open it.
func TestHeaderInTheBackup(t *testing.T) {
	m, file := encrypted(t)
	if got := NewKeys(m); len(got) != 1 || !strings.Contains(got[0], "2 key slots and tokens (clevis)") {
		t.Errorf("without a copy: %q", got)
	}
	files, err := LUKSHeaders(t.Context(), &system.Host{}, &m, inMemory(t))
	if err != nil {
		t.Fatal(err)
	}
	if len(NewKeys(m)) > 0 || m.Crypts[0].Header != archive.HeaderName(m.Crypts[0].UUID) {
		t.Errorf("with a copy: %+v", m.Crypts[0])
	}
	where := t.TempDir()
	store, err := dir.Open(where)
	if err != nil {
		t.Fatal(err)
	}
	root := t.TempDir()
	if err := os.WriteFile(root+"/file", []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
	res, err := Run(t.Context(), Options{Root: root, Only: []string{"/file"}, Sink: store, Lock: "-", Writer: archive.WriterOptions{Headers: files, WorkDir: t.TempDir()}})
	if err != nil {
		t.Fatal(err)
	}
	b, err := archive.Open(t.Context(), store, res.Prefix)
	if err != nil {
		t.Fatal(err)
	}
	got, err := b.Header(t.Context(), m.Crypts[0].Header)
	disk, _ := os.ReadFile(file)
	if err != nil || !bytes.Equal(got, disk[:16<<20]) {
		t.Errorf("the copy has %d bytes, and is not the beginning of the device (%v)", len(got), err)
	}
	if _, err := b.Verify(t.Context(), nil); err != nil {
		t.Fatal(err)
	}
	copied := filepath.Join(where, res.Prefix, m.Crypts[0].Header)
	if fi, err := os.Stat(copied); err != nil || fi.Mode().Perm()&0o077 != 0 {
		t.Errorf("the copy is %v (%v)", fi.Mode(), err)
	}
	got[100] ^= 1
	if err := os.WriteFile(copied, got, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := b.Verify(t.Context(), nil); fail.KindOf(err) != fail.Damaged {
		t.Errorf("verify of a damaged copy: %v", err)
	}
	if err := b.CheckPresence(t.Context()); fail.KindOf(err) != fail.Damaged {
		t.Errorf("check of a damaged copy: %v", err)
	}
	if _, err := b.Header(t.Context(), "luks-other.header"); fail.KindOf(err) != fail.Damaged {
		t.Errorf("a header that is not there: %v", err)
	}
}

func TestHeaderThatCannotBeCopied(t *testing.T) {
	m, _ := encrypted(t)
	m.Crypts[0].UUID = "11111111-2222-4333-8444-000000000000"
	if _, err := LUKSHeaders(t.Context(), &system.Host{}, &m, inMemory(t)); err == nil || !strings.Contains(err.Error(), "not its header") {
		t.Errorf("another device's header: %v", err)
	}
	if err := os.WriteFile(m.Disks[0].Path, make([]byte, 1<<20), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := LUKSHeaders(t.Context(), &system.Host{}, &m, inMemory(t)); err == nil {
		t.Error("a device without a header was copied")
	}
	if _, err := LUKSHeaders(t.Context(), &system.Host{}, &m, t.TempDir()); err == nil {
		t.Error("a copy was written to a disk")
	}
}
