package rescue

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"
)

// unpacked is one path as the kernel has it after unpacking.
type unpacked struct {
	mode         uint32
	data         string // content, or target of a link
	major, minor uint32
	mtime        int64
	nlink        int
}

// unpackAsKernel reads an archive by the rules of init/initramfs.c of Linux:
// each header in eight hex digits a field, names and contents padded to four
// bytes, directories before what is in them, nothing twice, hard links by
// inode number and mode, content with any one of their names.
func unpackAsKernel(b []byte) (map[string]*unpacked, error) {
	out := map[string]*unpacked{}
	type key struct{ ino, major, minor, mode uint64 }
	links := map[key]*unpacked{}
	off := 0
	take := func(n int) ([]byte, error) {
		if n < 0 || off+n > len(b) {
			return nil, fmt.Errorf("at %d: the archive ends inside of %d bytes", off, n)
		}
		off += n
		return b[off-n : off], nil
	}
	align := func() { off += -off & 3 }
	for {
		at := off
		head, err := take(110)
		if err != nil {
			return nil, err
		}
		if string(head[:6]) != "070701" {
			return nil, fmt.Errorf("at %d: magic %q", at, head[:6])
		}
		var f [13]uint64
		for i := range f {
			if f[i], err = strconv.ParseUint(string(head[6+8*i:14+8*i]), 16, 32); err != nil {
				return nil, fmt.Errorf("at %d: field %d: %w", at, i, err)
			}
		}
		ino, mode, uid, gid, nlink, mtime, size, rmajor, rminor, nameLen := f[0], f[1], f[2], f[3], f[4], f[5], f[6], f[9], f[10], f[11]
		if nameLen < 1 || nameLen > 4096 {
			return nil, fmt.Errorf("at %d: a name of %d bytes", at, nameLen)
		}
		raw, err := take(int(nameLen))
		if err != nil {
			return nil, err
		}
		if raw[nameLen-1] != 0 || bytes.IndexByte(raw, 0) != int(nameLen)-1 {
			return nil, fmt.Errorf("at %d: name %q", at, raw)
		}
		name := string(raw[:nameLen-1])
		align()
		body, err := take(int(size))
		if err != nil {
			return nil, err
		}
		align()
		if name == "TRAILER!!!" {
			for _, rest := range b[off:] {
				if rest != 0 {
					return nil, errors.New("something comes behind the trailer")
				}
			}
			return out, nil
		}
		if path.IsAbs(name) || path.Clean(name) != name {
			return nil, fmt.Errorf("name %q", name)
		}
		if out[name] != nil {
			return nil, fmt.Errorf("%s comes twice", name)
		}
		if up := path.Dir(name); up != "." && (out[up] == nil || out[up].mode&0o170000 != 0o040000) {
			return nil, fmt.Errorf("%s comes before its directory", name)
		}
		if uid != 0 || gid != 0 {
			return nil, fmt.Errorf("%s belongs to %d:%d", name, uid, gid)
		}
		u := &unpacked{mode: uint32(mode), data: string(body), major: uint32(rmajor), minor: uint32(rminor), mtime: int64(mtime), nlink: 1}
		if k := (key{ino, f[7], f[8], mode}); nlink >= 2 && mode&0o170000 != 0o040000 {
			if first := links[k]; first != nil {
				if first.data != "" && size > 0 {
					return nil, fmt.Errorf("%s has its content twice", name)
				}
				first.data += u.data
				first.nlink++
				u = first
			}
			links[k] = u
		}
		out[name] = u
	}
}

// cpioTree is a tree of every kind of entry, from files made below a root in
// the order and with the times that the caller wants.
func cpioTree(t *testing.T, names []string, at time.Time) *Tree {
	t.Helper()
	root := t.TempDir()
	files := map[string]string{"/usr/bin/one": "1", "/usr/bin/prog": "#!/bin/sh\n", "/etc/four": "4444", "/etc/empty": "", "/opt/a b\nc": "odd", "/opt/ü": "u", "/usr/lib/big": strings.Repeat("0123456789", 99_999)}
	for _, n := range names {
		write(t, root, n, files[n])
		if err := os.Chtimes(filepath.Join(root, n), at, at); err != nil {
			t.Fatal(err)
		}
	}
	modes := map[string]fs.FileMode{"/usr/bin/prog": 0o755 | fs.ModeSetuid, "/etc/four": 0o640, "/etc/empty": 0o444}
	for n, m := range modes {
		if err := os.Chmod(filepath.Join(root, n), m); err != nil {
			t.Fatal(err)
		}
	}
	for _, n := range []string{"/usr/bin/prog2", "/sbin/prog3"} {
		if err := os.MkdirAll(filepath.Dir(filepath.Join(root, n)), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.Link(filepath.Join(root, "/usr/bin/prog"), filepath.Join(root, n)); err != nil {
			t.Fatal(err)
		}
	}
	tree := NewTree(root)
	for _, n := range append([]string{"/usr/bin/prog2", "/sbin/prog3"}, names...) {
		if _, err := tree.AddHost(n); err != nil {
			t.Fatal(err)
		}
	}
	tree.AddDir("/tmp", 0o777|fs.ModeSticky)
	tree.AddDir("/root", 0o700)
	tree.AddLink("/bin", "usr/bin")
	tree.AddLink("/bin/sh", "/usr/bin/prog")
	tree.AddData("/etc/made", 0o600, []byte("made here"))
	tree.AddChar("/dev/console", 0o600, 5, 1)
	tree.AddChar("/dev/null", 0o666, 1, 3)
	return tree
}

var cpioNames = []string{"/usr/bin/one", "/usr/bin/prog", "/etc/four", "/etc/empty", "/opt/a b\nc", "/opt/ü", "/usr/lib/big"}

var cpioTime = time.Unix(1_700_000_000, 0)

func packed(t *testing.T, tree *Tree) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := writeCpio(t.Context(), &b, tree.Entries(), cpioTime); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func TestCpioAsKernelReadsIt(t *testing.T) {
	got, err := unpackAsKernel(packed(t, cpioTree(t, cpioNames, time.Now())))
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]unpacked{
		"bin": {mode: 0o120777, data: "usr/bin"}, "dev": {mode: 0o040755}, "etc": {mode: 0o040755}, "opt": {mode: 0o040755}, "root": {mode: 0o040700}, "sbin": {mode: 0o040755},
		"tmp": {mode: 0o041777}, "usr": {mode: 0o040755}, "usr/bin": {mode: 0o040755}, "usr/lib": {mode: 0o040755},
		"dev/console": {mode: 0o020600, major: 5, minor: 1}, "dev/null": {mode: 0o020666, major: 1, minor: 3},
		"etc/empty": {mode: 0o100444}, "etc/four": {mode: 0o100640, data: "4444"}, "etc/made": {mode: 0o100600, data: "made here"},
		"opt/a b\nc": {mode: 0o100600, data: "odd"}, "opt/ü": {mode: 0o100600, data: "u"},
		"usr/bin/one": {mode: 0o100600, data: "1"}, "usr/bin/sh": {mode: 0o120777, data: "/usr/bin/prog"},
		// No set-user-ID bit: everyone in the rescue system is root.
		"usr/bin/prog": {mode: 0o100755, data: "#!/bin/sh\n", nlink: 3}, "usr/bin/prog2": {mode: 0o100755, data: "#!/bin/sh\n", nlink: 3}, "sbin/prog3": {mode: 0o100755, data: "#!/bin/sh\n", nlink: 3},
		"usr/lib/big": {mode: 0o100600, data: strings.Repeat("0123456789", 99_999)},
	}
	for n, w := range want {
		w.nlink, w.mtime = max(1, w.nlink), cpioTime.Unix()
		switch g := got[n]; {
		case g == nil:
			t.Errorf("%s is not in the archive", n)
		case *g != w:
			t.Errorf("%s: %o %d:%d, %d names, %d, %.20q", n, g.mode, g.major, g.minor, g.nlink, g.mtime, g.data)
		}
	}
	for n := range got {
		if _, ok := want[n]; !ok {
			t.Errorf("%s is in the archive", n)
		}
	}
}

// cpio and bsdcpio, which know nothing of us, unpack what was packed.
func TestCpioByForeignTools(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("needs root to unpack devices")
	}
	tree := cpioTree(t, cpioNames, time.Now())
	archive := packed(t, tree)
	for _, c := range []struct {
		name    string
		list    []string
		extract []string
	}{
		{"cpio", []string{"-it", "--quiet"}, []string{"-idm", "--quiet", "--no-absolute-filenames"}},
		{"bsdcpio", []string{"-it", "--quiet"}, []string{"-idm", "--quiet"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			if _, err := exec.LookPath(c.name); err != nil {
				t.Skipf("needs %s", c.name)
			}
			run := func(dir string, args ...string) string {
				cmd := exec.Command(c.name, args...)
				cmd.Dir, cmd.Stdin, cmd.Env = dir, bytes.NewReader(archive), append(os.Environ(), "LC_ALL=C.UTF-8")
				var stderr bytes.Buffer
				cmd.Stderr = &stderr
				out, err := cmd.Output()
				if err != nil || stderr.Len() > 0 {
					t.Fatalf("%s %v: %v %s", c.name, args, err, &stderr)
				}
				return string(out)
			}
			if n := strings.Count(run(".", c.list...), "\n"); n < len(tree.Entries()) {
				t.Errorf("it lists %d of %d names", n, len(tree.Entries()))
			}
			dir := t.TempDir()
			run(dir, c.extract...)
			for _, e := range tree.Entries() {
				sameAsEntry(t, dir, e)
			}
			one, err := os.Stat(filepath.Join(dir, "usr/bin/prog"))
			if err != nil {
				t.Fatal(err)
			}
			for _, n := range []string{"usr/bin/prog2", "sbin/prog3"} {
				if other, err := os.Stat(filepath.Join(dir, n)); err != nil || !os.SameFile(one, other) {
					t.Errorf("%s is another file: %v", n, err)
				}
			}
		})
	}
}

// sameAsEntry compares a path that a foreign tool unpacked with its entry.
func sameAsEntry(t *testing.T, dir string, e *Entry) {
	t.Helper()
	at := filepath.Join(dir, e.Path)
	cmd := exec.Command("stat", "-c", "%f %t:%T %u:%g %Y", at)
	out, err := cmd.Output()
	if err != nil {
		t.Errorf("%s: %v", e.Path, err)
		return
	}
	kind := map[fs.FileMode]uint32{0: 0o100000, fs.ModeDir: 0o040000, fs.ModeSymlink: 0o120000, fs.ModeDevice | fs.ModeCharDevice: 0o020000}[e.Mode.Type()]
	mode := kind | uint32(e.Mode.Perm())
	if e.Mode&fs.ModeSticky != 0 {
		mode |= 0o1000
	}
	want := fmt.Sprintf("%x %x:%x 0:0 %d", mode, e.Major, e.Minor, cpioTime.Unix())
	got := strings.TrimSpace(string(out))
	if !e.Mode.IsRegular() { // cpio sets no times of links, and a directory's changes while it is filled
		got, want = got[:strings.LastIndexByte(got, ' ')], want[:strings.LastIndexByte(want, ' ')]
	}
	if got != want {
		t.Errorf("%s: unpacked %s, not %s", e.Path, got, want)
	}
	switch {
	case e.Mode.Type() == fs.ModeSymlink:
		if l, _ := os.Readlink(at); l != e.Link {
			t.Errorf("%s leads to %s, not %s", e.Path, l, e.Link)
		}
	case e.Mode.IsRegular():
		want := e.Data
		if e.Source != "" {
			if want, err = os.ReadFile(e.Source); err != nil {
				t.Fatal(err)
			}
		}
		if got, err := os.ReadFile(at); err != nil || !bytes.Equal(got, want) {
			t.Errorf("%s has %d bytes of %d: %v", e.Path, len(got), len(want), err)
		}
	}
}

// The same content gives the same bytes, whatever the times of the files, the
// order in which they were made, and so their inode numbers.
func TestCpioIsReproducible(t *testing.T) {
	backwards := make([]string, len(cpioNames))
	for i, n := range cpioNames {
		backwards[len(cpioNames)-1-i] = n
	}
	a, b := cpioTree(t, cpioNames, time.Unix(1_000_000_000, 0)), cpioTree(t, backwards, time.Unix(1_234_567_890, 5))
	if pa, pb := packed(t, a), packed(t, b); !bytes.Equal(pa, pb) {
		t.Errorf("%d and %d bytes, and not the same", len(pa), len(pb))
	}
	var images [2][]byte
	for i, tree := range []*Tree{a, b} {
		out := filepath.Join(t.TempDir(), "initramfs.img")
		if _, err := pack(t.Context(), out, tree, cpioTime, 0); err != nil {
			t.Fatal(err)
		}
		var err error
		if images[i], err = os.ReadFile(out); err != nil {
			t.Fatal(err)
		}
	}
	if !bytes.Equal(images[0], images[1]) {
		t.Error("the images differ")
	}
}

// A file that does not have the size that it had is an error that names it, and no image.
func TestPackFileThatShrinks(t *testing.T) {
	tree := cpioTree(t, cpioNames, time.Now())
	dir := t.TempDir()
	e := tree.entries["/etc/four"]
	if err := os.Remove(e.Source); err != nil {
		t.Fatal(err)
	}
	out := filepath.Join(dir, "initramfs.img")
	if _, err := pack(t.Context(), out, tree, cpioTime, 0); err == nil || !strings.Contains(err.Error(), "/etc/four") {
		t.Errorf("packing without a file: %v", err)
	}
	if left, err := os.ReadDir(dir); err != nil || len(left) > 0 {
		t.Errorf("left behind: %v, %v", left, err)
	}
}
