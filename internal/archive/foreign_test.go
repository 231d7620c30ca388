package archive

import (
	stdtar "archive/tar"
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// tarStream is what `cat data.*.tar.zst | zstd -d` gives.
func tarStream(t *testing.T, path string) []byte {
	t.Helper()
	if _, err := exec.LookPath("zstd"); err != nil {
		t.Skip("needs the zstd program as the judge")
	}
	cmd := exec.Command("sh", "-c", "cat data.*.tar.zst | zstd -d")
	cmd.Dir = filepath.Join(path, "b")
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("zstd: %v: %s", err, &stderr)
	}
	return out
}

func TestGoTarReads(t *testing.T) {
	path := t.TempDir()
	in := samples()
	write(t, path, in, WriterOptions{FrameSize: 64 << 10, VolumeSize: 150_000})
	r := stdtar.NewReader(bytes.NewReader(tarStream(t, path)))
	for _, s := range in {
		if !inTar(&s.Entry) {
			continue
		}
		h, err := r.Next()
		if err != nil {
			t.Fatalf("%s: %v", Show(s.Name), err)
		}
		if strings.TrimSuffix(h.Name, "/") != s.Name || h.Mode != int64(s.Mode) || uint32(h.Uid) != s.UID || uint32(h.Gid) != s.GID ||
			!h.ModTime.Equal(s.MTime) || h.Linkname != s.Link || h.Size != s.Size ||
			uint32(h.Devmajor) != s.DevMajor || uint32(h.Devminor) != s.DevMinor {
			t.Errorf("got %+v\nwant %+v", h, s.Entry)
		}
		for k, v := range s.Xattrs {
			if got := h.PAXRecords["SCHILY.xattr."+xattrEscape.Replace(k)]; got != v {
				t.Errorf("%s: xattr %s = %q", s.Name, k, got)
			}
		}
		b, err := io.ReadAll(r)
		if err != nil || int64(len(b)) != s.Size {
			t.Errorf("%s: %d bytes, %v", s.Name, len(b), err)
		}
		if s.Sparse == nil && !bytes.Equal(b, s.data) {
			t.Errorf("%s: content differs", s.Name)
		}
	}
	if _, err := r.Next(); !errors.Is(err, io.EOF) {
		t.Errorf("after the last path: %v", err)
	}
}

func TestGNUTarRestores(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("needs root: owners and devices")
	}
	path, into := t.TempDir(), t.TempDir()
	in := samples()
	write(t, path, in, WriterOptions{FrameSize: 64 << 10, VolumeSize: 150_000, Workers: 2})
	cmd := exec.Command("tar", "-x", "-p", "--numeric-owner", "--xattrs", "--xattrs-include=*", "--acls", "-C", into)
	cmd.Stdin = bytes.NewReader(tarStream(t, path))
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("tar: %v: %s", err, out)
	}
	for line := range strings.SplitSeq(strings.TrimSpace(string(out)), "\n") {
		if line != "" && !strings.Contains(line, "Ignoring unknown extended header keyword") && !strings.Contains(line, "implausibly old time stamp") {
			t.Errorf("tar says: %s", line)
		}
	}
	for _, s := range in {
		if !inTar(&s.Entry) {
			continue
		}
		onDisk(t, filepath.Join(into, s.Name), s)
	}
	acl, err := exec.Command("getfacl", "-cn", filepath.Join(into, "d/xattrs")).Output()
	if err != nil || !strings.Contains(string(acl), "user:1000:r--") {
		t.Errorf("getfacl: %s, %v", acl, err)
	}
	var st syscall.Stat_t
	if err := syscall.Stat(filepath.Join(into, "d/sparse"), &st); err != nil || st.Blocks*512 > 100<<10 {
		t.Errorf("d/sparse takes %d bytes on disk, %v", st.Blocks*512, err)
	}
}

func onDisk(t *testing.T, file string, s sample) {
	t.Helper()
	var st syscall.Stat_t
	if err := syscall.Lstat(file, &st); err != nil {
		t.Errorf("%s: %v", Show(s.Name), err)
		return
	}
	kinds := map[Kind]uint32{File: syscall.S_IFREG, Hardlink: syscall.S_IFREG, Dir: syscall.S_IFDIR, Subvolume: syscall.S_IFDIR,
		Symlink: syscall.S_IFLNK, FIFO: syscall.S_IFIFO, CharDev: syscall.S_IFCHR, BlockDev: syscall.S_IFBLK}
	got := fmt.Sprintf("%o %d:%d %d.%09d", st.Mode, st.Uid, st.Gid, st.Mtim.Sec, st.Mtim.Nsec)
	mode := kinds[s.Kind] | s.Mode
	if s.Name == "d/xattrs" {
		mode = syscall.S_IFREG | 0o644 // as its access control list says
	}
	want := fmt.Sprintf("%o %d:%d %d.%09d", mode, s.UID, s.GID, s.MTime.Unix(), s.MTime.Nanosecond())
	if got != want {
		t.Errorf("%s: %s, want %s", Show(s.Name), got, want)
	}
	for k, v := range s.Xattrs {
		if strings.HasPrefix(k, "system.") {
			continue // getfacl judges
		}
		b := make([]byte, 100)
		n, err := syscall.Getxattr(file, k, b)
		if err != nil || string(b[:max(n, 0)]) != v {
			t.Errorf("%s: xattr %s = %q, %v", s.Name, k, b[:max(n, 0)], err)
		}
	}
	if s.Kind == File {
		b, err := os.ReadFile(file)
		full := make([]byte, s.Size)
		if s.Sparse == nil {
			full = s.data
		}
		at := 0
		for _, x := range s.Sparse {
			at += copy(full[x.Offset:x.Offset+x.Length], s.data[at:])
		}
		if err != nil || sha256.Sum256(b) != sha256.Sum256(full) {
			t.Errorf("%s: content differs, %v", Show(s.Name), err)
		}
	}
}

// A restore by hand checks the manifest like this (docs/format.md).
func TestManifestDigestByHand(t *testing.T) {
	path := t.TempDir()
	write(t, path, samples(), WriterOptions{})
	cmd := exec.Command("sh", "-c", `test "$(head -n -2 manifest.json | sha256sum | cut -c1-64)" = "$(tail -n 2 manifest.json | grep -o '[0-9a-f]\{64\}')"`)
	cmd.Dir = filepath.Join(path, "b")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("%v: %s", err, out)
	}
}
