package archive

import (
	"bytes"
	"io"
	"math/rand/v2"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/mkcdrec/mkcdrec/internal/store/dir"
)

// sample is one path of a test backup with its content.
type sample struct {
	Entry
	data []byte
}

func noise(seed uint64, n int) []byte {
	r := rand.New(rand.NewPCG(seed, 7))
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(r.Uint32()) & 0x3f // compressible, but not by much
	}
	return b
}

var when = time.Unix(1_700_000_000, 123_456_789)

func plain(name string, data []byte) sample {
	return sample{Entry{Name: name, Kind: File, Mode: 0o644, Size: int64(len(data)), MTime: when, ATime: when, CTime: when}, data}
}

// samples has every kind of path and the odd cases of each.
func samples() []sample {
	long := strings.Repeat("long-directory-name/", 12) + "file"
	acl := "\x02\x00\x00\x00\x01\x00\x06\x00\xff\xff\xff\xff\x02\x00\x04\x00\xe8\x03\x00\x00\x04\x00\x04\x00\xff\xff\xff\xff" +
		"\x10\x00\x04\x00\xff\xff\xff\xff\x20\x00\x04\x00\xff\xff\xff\xff"
	sparse := Entry{Name: "d/sparse", Kind: File, Mode: 0o600, Size: 10 << 20, MTime: when, Sparse: []Extent{{4096, 8192}, {1 << 20, 4096}}}
	hole := Entry{Name: "d/hole", Kind: File, Mode: 0o600, Size: 1 << 20, MTime: when, Sparse: []Extent{}}
	s := []sample{
		{Entry{Name: ".", Kind: Dir, Mode: 0o755, MTime: when}, nil},
		{Entry{Name: "d", Kind: Dir, Mode: 0o1777, UID: 5, GID: 6, MTime: when}, nil},
		plain("d/empty", []byte{}),
		plain("d/small", []byte("hello\n")),
		plain("d/block", noise(1, 512)),
		plain("d/large", noise(2, 700_001)),
		{sparse, append(bytes.Repeat([]byte("A"), 8192), bytes.Repeat([]byte("B"), 4096)...)},
		{hole, []byte{}},
		{Entry{Name: "d/link", Kind: Symlink, Mode: 0o777, Link: "../" + strings.Repeat("x", 120), MTime: when}, nil},
		{Entry{Name: "d/hard", Kind: Hardlink, Mode: 0o644, Link: "d/small", MTime: when, ATime: when, CTime: when}, nil},
		{Entry{Name: "d/fifo", Kind: FIFO, Mode: 0o640, MTime: when}, nil},
		{Entry{Name: "d/null", Kind: CharDev, Mode: 0o666, DevMajor: 1, DevMinor: 3, MTime: when}, nil},
		{Entry{Name: "d/disk", Kind: BlockDev, Mode: 0o660, DevMajor: 259, DevMinor: 1_048_575, MTime: when}, nil},
		{Entry{Name: "d/sock", Kind: Socket, Mode: 0o755, MTime: when}, nil},
		{Entry{Name: "d/subvol", Kind: Subvolume, Mode: 0o755, MTime: when}, nil},
		{Entry{Name: "d/secret", Kind: File, Mode: 0, Size: 77, Unreadable: true, Problem: "unreadable: permission denied", MTime: when}, nil},
		plain("d/bad\xff\xfe name\nwith newline", []byte("odd")),
		plain(long, []byte("long")),
	}
	x := plain("d/xattrs", []byte("x"))
	x.UID, x.GID, x.Flags, x.Project = 3_000_000_000, 4_000_000, 0x10, 4_000_000_000
	x.User, x.Group = strings.Repeat("u", 40), "staff"
	x.MTime, x.ATime = time.Unix(-2, 750_000_000), time.Unix(-1, 500_000_000)
	x.Xattrs = map[string]string{"user.a": "1", "user.eq=%3D": "\x00\xff\n", "system.posix_acl_access": acl}
	return append(s, x)
}

func open(t *testing.T, path string) *dir.Dir {
	t.Helper()
	d, err := dir.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { d.Close() })
	return d
}

// write makes a backup named b in path.
func write(t *testing.T, path string, in []sample, opt WriterOptions) *Manifest {
	t.Helper()
	opt.Prefix, opt.WorkDir = "b", t.TempDir()
	w, err := NewWriter(t.Context(), open(t, path), opt)
	if err != nil {
		t.Fatal(err)
	}
	for i := range in {
		e := in[i].Entry
		if err := w.Add(&e, bytes.NewReader(in[i].data)); err != nil {
			t.Fatal(err)
		}
	}
	m, err := w.Close()
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func reopen(t *testing.T, path string) *Backup {
	t.Helper()
	b, err := Open(t.Context(), open(t, path), "b")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { b.Close() })
	return b
}

func content(t *testing.T, it *Item) []byte {
	t.Helper()
	if it.Content == nil {
		return bytes.Clone(it.Data)
	}
	b, err := io.ReadAll(it.Content)
	if err != nil {
		t.Errorf("%s: %v", Show(it.Entry.Name), err)
	}
	return b
}

// flip inverts one bit of a file.
func flip(t *testing.T, file string, at int64) {
	t.Helper()
	f, err := os.OpenFile(file, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	var b [1]byte
	if _, err := f.ReadAt(b[:], at); err != nil {
		t.Fatal(err)
	}
	b[0] ^= 0x10
	if _, err := f.WriteAt(b[:], at); err != nil {
		t.Fatal(err)
	}
}

// copyVerified copies the content of e and checks size and hash on the way.
func copyVerified(w io.Writer, e *Entry, r io.Reader) error {
	h := NewHasher(e)
	if _, err := io.Copy(io.MultiWriter(w, h), r); err != nil {
		return err
	}
	return h.Check()
}
