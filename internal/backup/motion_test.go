package backup_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/mkcdrec/mkcdrec/internal/archive"
	"github.com/mkcdrec/mkcdrec/internal/backup"
	"github.com/mkcdrec/mkcdrec/internal/store/dir"
	"github.com/mkcdrec/mkcdrec/internal/testtree"
)

// meddler is the real writer, with something done to the tree once the walk
// has looked at a large file and before its content is read, or behind the
// first path.
type meddler struct {
	*archive.Writer
	before map[string]func()
}

func (m *meddler) Add(e *archive.Entry, r io.Reader) error {
	if f := m.before[e.Name]; f != nil && r != nil {
		f()
	}
	return m.Writer.Add(e, r)
}

// walked backs up root with meddling, and gives the manifest's warnings by
// path and the opened backup, which must verify.
func walked(t *testing.T, opt backup.WalkOptions, before map[string]func()) (map[string]string, *archive.Backup) {
	t.Helper()
	ctx, store := context.Background(), t.TempDir()
	d, err := dir.Open(store)
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	w, err := archive.NewWriter(ctx, d, archive.WriterOptions{Prefix: "host/one", BackupID: "one", Host: "host", FrameSize: 64 << 10})
	if err != nil {
		t.Fatal(err)
	}
	if err := backup.Walk(ctx, &meddler{w, before}, opt); err != nil {
		t.Fatal(err)
	}
	m, err := w.Close()
	if err != nil {
		t.Fatal(err)
	}
	warnings := map[string]string{}
	for _, x := range m.Warnings {
		warnings[x.Path] += x.Problem
	}
	return warnings, whole(t, store, "one")
}

// content reads one file of a backup; ok is false where it has none.
func content(t *testing.T, b *archive.Backup, name string) (data []byte, ok bool) {
	t.Helper()
	for e, err := range b.Catalogue(context.Background()) {
		if err != nil {
			t.Fatal(err)
		}
		if e.Name != name || e.Unreadable {
			continue
		}
		r, err := b.OpenEntry(context.Background(), e)
		if err != nil {
			t.Fatal(err)
		}
		defer r.Close()
		if data, err = io.ReadAll(r); err != nil {
			t.Fatal(err)
		}
		return data, true
	}
	return nil, false
}

func write(t testing.TB, name string, data []byte) {
	t.Helper()
	if err := os.WriteFile(name, data, 0o644); err != nil {
		t.Error(err)
	}
}

const big = 3 << 20 // above what is read ahead

func TestLargeFilesInMotion(t *testing.T) {
	old := bytes.Repeat([]byte("A"), big)
	for _, tt := range []struct {
		name   string
		meddle func(file string) error
		warn   string // "": no warning
		want   func([]byte) bool
	}{
		{"quiet", func(string) error { return nil }, "", func(b []byte) bool { return bytes.Equal(b, old) }},
		{"grows", func(f string) error { return os.Truncate(f, big+5000) }, "changed while read", func(b []byte) bool { return bytes.Equal(b, old) }},
		{"shrinks", func(f string) error { return os.Truncate(f, big/2) }, "changed while read",
			func(b []byte) bool { return bytes.Equal(b, append(old[:big/2:big/2], make([]byte, big/2)...)) }},
		{"is emptied", func(f string) error { return os.Truncate(f, 0) }, "changed while read", func(b []byte) bool { return bytes.Equal(b, make([]byte, big)) }},
		{"is written to", func(f string) error {
			h, err := os.OpenFile(f, os.O_WRONLY, 0)
			if err != nil {
				return err
			}
			_, err = h.WriteAt([]byte("B"), big-1)
			return errors.Join(err, h.Close())
		}, "changed while read", func(b []byte) bool { return len(b) == big && b[0] == 'A' }},
		{"is removed", os.Remove, "changed while read", func(b []byte) bool { return bytes.Equal(b, old) }},
	} {
		t.Run(tt.name, func(t *testing.T) {
			root := t.TempDir()
			file := filepath.Join(root, "large")
			write(t, file, old)
			write(t, filepath.Join(root, "beside"), []byte("whole"))
			warnings, b := walked(t, backup.WalkOptions{Root: root}, map[string]func(){"large": func() {
				if err := tt.meddle(file); err != nil {
					t.Error(err)
				}
			}})
			if got := warnings["large"]; (got == "") != (tt.warn == "") || !strings.Contains(got, tt.warn) {
				t.Errorf("warnings %q", warnings)
			}
			if len(warnings) > 1 {
				t.Errorf("others are warned about: %q", warnings)
			}
			if data, ok := content(t, b, "large"); !ok || !tt.want(data) {
				t.Errorf("content of %d bytes, %v", len(data), ok)
			}
			if data, _ := content(t, b, "beside"); string(data) != "whole" {
				t.Errorf("beside it: %q", data)
			}
		})
	}
}

// A small file that changes once is read again. One that is never still is
// kept as it was read last, and named; with holes it is not read as if it had
// none, which would not fit into memory.
func TestSmallFilesInMotion(t *testing.T) {
	data := bytes.Repeat([]byte("A"), 400_000)
	for _, tt := range []struct {
		name    string
		size    int64
		changes int // after how many of the reads it changes
		warn    bool
	}{
		{"still", 400_000, 0, false},
		{"changes once", 400_000, 1, false},
		{"grows all the time", 400_000, 99, true},
		{"grows all the time, with a hole", 1 << 40, 99, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			root := t.TempDir()
			file := filepath.Join(root, "small")
			write(t, filepath.Join(root, "beside"), []byte("whole"))
			write(t, file, data)
			if err := os.Truncate(file, tt.size); err != nil {
				t.Fatal(err)
			}
			reads := 0
			opt := backup.WalkOptions{Root: root}
			opt.AfterRead(func(name string) {
				if name != "small" {
					return
				}
				if reads++; reads <= tt.changes {
					if err := os.Truncate(file, tt.size+int64(reads)); err != nil {
						t.Error(err)
					}
				}
			})
			warnings, b := walked(t, opt, nil)
			if got := warnings["small"]; strings.Contains(got, "changed while read") != tt.warn || got != "" != tt.warn {
				t.Errorf("warnings %q", warnings)
			}
			delete(warnings, "small")
			if len(warnings) > 0 {
				t.Errorf("others are warned about: %q", warnings)
			}
			if got, ok := content(t, b, "small"); !ok || !bytes.HasPrefix(got, data) {
				t.Errorf("content of %d bytes", len(got))
			}
			if got, _ := content(t, b, "beside"); string(got) != "whole" {
				t.Errorf("beside it: %q", got)
			}
		})
	}
}

// The lister is held up by a full queue, so that what lies last has vanished
// when it is looked at.
func TestVanishedPathsAreNamed(t *testing.T) {
	root := t.TempDir()
	noise(t, root, 3000, 1)
	testtree.Shell(t, `mkdir "$1/zdir" && echo x >"$1/zdir/inner" && ln -s x "$1/zlink"`, root)
	opt := backup.WalkOptions{Root: root, Readers: 1}
	first := true
	opt.OnAdd = func(*archive.Entry, int64) {
		if first {
			testtree.Shell(t, `rm -r "$1/zdir" "$1/zlink" "$1/file2999"`, root)
		}
		first = false
	}
	warnings, b := walked(t, opt, nil)
	for _, n := range []string{"zdir", "zlink", "file2999"} {
		if !strings.Contains(warnings[n], "vanished") {
			t.Errorf("%s: %q", n, warnings[n])
		}
	}
	if n := len(names(t, b)); n != 1+2999 || len(warnings) != 3 {
		t.Errorf("%d paths, warnings %q", n, warnings)
	}
}

func TestForbiddenFilesAreNamed(t *testing.T) {
	testtree.NeedRoot(t)
	root, err := os.MkdirTemp("", "forbidden") // t.TempDir's parent is for its owner only
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(root) })
	testtree.Shell(t, `cd "$1"; chmod 755 .; echo x >secret; chmod 600 secret; mkdir closed; echo x >closed/inner; chmod 700 closed; echo whole >open
mkdir blind; echo x >blind/inner; chmod 744 blind`, root)
	// Effective user nobody, for all threads of this process.
	if err := syscall.Setresuid(-1, 65534, -1); err != nil {
		t.Fatal(err)
	}
	m := &collect{}
	walkErr := backup.Walk(context.Background(), m, backup.WalkOptions{Root: root})
	if err := syscall.Setresuid(-1, 0, -1); err != nil {
		t.Fatal(err)
	}
	if walkErr != nil {
		t.Fatal(walkErr)
	}
	for name, want := range map[string]string{"secret": "unreadable: permission denied", "closed": "permission denied", "blind/inner": "permission denied"} {
		if !strings.Contains(m.problems[name], want) {
			t.Errorf("%s: %q", name, m.problems[name])
		}
	}
	if len(m.problems) != 3 || !m.unreadable["secret"] || !m.whole["open"] {
		t.Errorf("problems %q, unreadable %v, whole %v", m.problems, m.unreadable, m.whole)
	}
}

// collect is a Sink that keeps the problems.
type collect struct {
	problems          map[string]string
	unreadable, whole map[string]bool
}

func (c *collect) Warn(path, problem string) {
	if c.problems == nil {
		c.problems, c.unreadable, c.whole = map[string]string{}, map[string]bool{}, map[string]bool{}
	}
	c.problems[path] += problem
}

func (c *collect) AddBytes(e *archive.Entry, data []byte) error {
	c.Warn(e.Name, "")
	if c.problems[e.Name] += e.Problem; c.problems[e.Name] == "" {
		delete(c.problems, e.Name)
	}
	c.unreadable[e.Name] = e.Unreadable
	c.whole[e.Name] = !e.Unreadable && int64(len(data)) == e.Size
	return nil
}

func (c *collect) Add(e *archive.Entry, r io.Reader) error {
	var data []byte
	if r != nil {
		var err error
		if data, err = io.ReadAll(r); err != nil {
			return err
		}
	}
	return c.AddBytes(e, data)
}

// Hard read errors, by btrfs: the data of two files is damaged on its disk.
func TestReadErrorsAreNamed(t *testing.T) {
	testtree.NeedRoot(t)
	testtree.Need(t, "mkfs.btrfs")
	base := t.TempDir()
	image, root := filepath.Join(base, "image"), filepath.Join(base, "mnt")
	testtree.Shell(t, `truncate -s 120M "$1"; mkdir "$2"; mkfs.btrfs -q -m dup -d single "$1"; mount -o loop "$1" "$2"
head -c 200000 /dev/zero | tr '\0' S >"$2/small"; head -c 3000000 /dev/zero | tr '\0' L >"$2/large"; head -c 3000000 /dev/zero | tr '\0' W >"$2/whole"
umount "$2"`, image, root)
	disk, err := os.OpenFile(image, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	all, err := io.ReadAll(disk)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []string{"S", "L"} {
		run := bytes.Index(all, bytes.Repeat([]byte(c), 100_000))
		if run < 0 {
			t.Fatalf("the data of %s is not in the image", c)
		}
		if _, err := disk.WriteAt([]byte("damaged"), int64(run)+80_000); err != nil {
			t.Fatal(err)
		}
	}
	if err := disk.Close(); err != nil {
		t.Fatal(err)
	}
	testtree.Shell(t, `mount -o loop "$1" "$2"`, image, root)
	t.Cleanup(func() { testtree.Shell(t, `umount "$1"`, root) })
	if _, err := os.ReadFile(root + "/small"); !errors.Is(err, syscall.EIO) {
		t.Fatalf("the fixture reads: %v", err)
	}
	warnings, b := walked(t, backup.WalkOptions{Root: root}, nil)
	for _, n := range []string{"small", "large"} {
		if !strings.Contains(warnings[n], "input/output error") {
			t.Errorf("%s: %q", n, warnings[n])
		}
	}
	if len(warnings) != 2 {
		t.Errorf("warnings %q", warnings)
	}
	if _, ok := content(t, b, "small"); ok {
		t.Error("the unreadable small file has content")
	}
	if data, _ := content(t, b, "whole"); len(data) != 3_000_000 {
		t.Errorf("the whole file has %d bytes", len(data))
	}
}

// An ordinary machine: file systems on empty mount points give no warning.
// What is hidden beneath one is named.
func TestMountPoints(t *testing.T) {
	root := testtree.Mount(t, "60M", "mkfs.ext4", "-q")
	other := testtree.Mount(t, "60M", "mkfs.ext4", "-q")
	testtree.Shell(t, `mkdir -p "$1/boot/efi" "$1/home" "$1/tmp"; echo k >"$1/boot/vmlinuz"; echo h >"$2/user"
mount --bind "$2" "$1/home"; mount -t tmpfs tmpfs "$1/tmp"; echo t >"$1/tmp/volatile"`, root, other)
	t.Cleanup(func() { testtree.Shell(t, `umount "$1/tmp" "$1/home"`, root) })
	opt := backup.WalkOptions{Root: root, Mounts: []string{"/", "/home"}}
	warnings, b := walked(t, opt, nil)
	if len(warnings) > 0 {
		t.Errorf("warnings %q", warnings)
	}
	got := strings.Join(names(t, b), " ")
	if got != ". boot boot/efi boot/vmlinuz home home/lost+found home/user lost+found tmp" {
		t.Errorf("got %s", got)
	}
	testtree.Shell(t, `umount "$1/home"; echo hidden >"$1/home/beneath"; mount --bind "$2" "$1/home"`, root, other)
	if warnings, _ = walked(t, opt, nil); len(warnings) != 1 || !strings.Contains(warnings["home"], "hidden beneath") {
		t.Errorf("warnings %q", warnings)
	}
}
