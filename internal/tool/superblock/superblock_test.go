package superblock

import (
	"bytes"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"sort"
	"strconv"
	"strings"
	"testing"

	"github.com/mkcdrec/mkcdrec/internal/machine"
)

const testUUID = "0a1b2c3d-4e5f-4a6b-8c7d-9e0f1a2b3c4d"

// image makes an image file with a real mkfs program.
func image(t testing.TB, size int64, name string, args ...string) string {
	t.Helper()
	tool := name
	if p := "/usr/sbin/" + name; exists(p) {
		tool = p
	} else if p := "/sbin/" + name; exists(p) {
		tool = p
	}
	if _, err := exec.LookPath(tool); err != nil {
		t.Skipf("%s is not installed", name)
	}
	path := filepath.Join(t.TempDir(), "image")
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := f.Truncate(size); err != nil {
		t.Fatal(err)
	}
	f.Close()
	cmd := exec.Command(tool, append(args, path)...)
	cmd.Env = append(os.Environ(), "LC_ALL=C.UTF-8")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%s %v: %v: %s", name, args, err, out)
	}
	return path
}

func exists(p string) bool {
	_, err := os.Stat(p)
	return err == nil
}

func read(t testing.TB, kind machine.FSKind, path string) machine.FileSystem {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	fs, err := Read(kind, f)
	if err != nil {
		t.Fatal(err)
	}
	return fs
}

func check(t *testing.T, what string, got, want any) {
	t.Helper()
	if got != want {
		t.Errorf("%s is %v, want %v", what, got, want)
	}
}

// TestExtAgainstTune2fs compares with tune2fs -l, line by line.
func TestExtAgainstTune2fs(t *testing.T) {
	tune2fs := "/sbin/tune2fs"
	if !exists(tune2fs) {
		t.Skip("tune2fs is not installed")
	}
	for _, c := range []struct {
		kind machine.FSKind
		args []string
	}{
		{"ext2", []string{"-q", "-t", "ext2", "-b", "1024"}},
		{"ext3", []string{"-q", "-t", "ext3", "-m", "1"}},
		{"ext4", []string{"-q", "-t", "ext4", "-U", testUUID, "-L", "my disk", "-m", "2.5", "-I", "512", "-N", "5000"}},
		{"ext4", []string{"-q", "-t", "ext4", "-O", "bigalloc,quota,project,^resize_inode,casefold", "-C", "65536", "-E", "stride=4,stripe_width=16"}},
		{"ext4", []string{"-q", "-t", "ext4", "-O", "inline_data,metadata_csum_seed,large_dir,^64bit,^has_journal"}},
	} {
		path := image(t, 64<<20, "mke2fs", c.args...)
		fs := read(t, c.kind, path)
		out, err := exec.Command(tune2fs, "-l", path).Output()
		if err != nil {
			t.Fatal(err)
		}
		said := map[string]string{}
		for line := range strings.Lines(string(out)) {
			k, v, _ := strings.Cut(line, ":")
			said[k] = strings.TrimSpace(v)
		}
		num := func(b machine.Bytes) string { return fmtInt(int64(b)) }
		check(t, "kind", fs.Kind, c.kind)
		check(t, "UUID", fs.UUID, said["Filesystem UUID"])
		if l := said["Filesystem volume name"]; l != "<none>" {
			check(t, "label", fs.Label, l)
		}
		check(t, "features", strings.Join(fs.Features, " "), said["Filesystem features"])
		check(t, "inodes", fmtInt(fs.Inodes), said["Inode count"])
		check(t, "block size", num(fs.BlockSize), said["Block size"])
		check(t, "inode size", num(fs.InodeSize), said["Inode size"])
		check(t, "blocks", num(fs.Size/fs.BlockSize), said["Block count"])
		check(t, "reserved blocks", fs.Options["reserved_blocks"], said["Reserved block count"])
		check(t, "hash seed", fs.Options["hash_seed"], said["Directory Hash Seed"])
		check(t, "hash", fs.Options["hash_alg"], said["Default directory hash"])
		check(t, "stride", fs.Options["stride"], said["RAID stride"])
		check(t, "cluster size", fs.Options["cluster_size"], said["Cluster size"])
		check(t, "mount options", strings.ReplaceAll(fs.Options["default_mount_options"], ",", " "), said["Default mount options"])
	}
}

func fmtInt(n int64) string { return strconv.FormatInt(n, 10) }

// TestXFSAgainstXFSDB compares with what xfs_db prints of the superblock.
func TestXFSAgainstXFSDB(t *testing.T) {
	const xfsDB = "/usr/sbin/xfs_db"
	if !exists(xfsDB) {
		t.Skip("xfs_db is not installed")
	}
	for _, c := range []struct {
		args     []string
		features string
	}{
		{[]string{"-q", "-L", "data", "-m", "uuid=" + testUUID}, "bigtime crc finobt ftype inobtcount reflink sparse"},
		{[]string{"-q", "-m", "reflink=0,bigtime=0,inobtcount=0", "-i", "sparse=0,size=1024", "-b", "size=2048"}, "crc finobt ftype"},
		{[]string{"-q", "-m", "rmapbt=1", "-n", "size=8192"}, "bigtime crc finobt ftype inobtcount reflink rmapbt sparse"},
		{[]string{"-q", "-m", "crc=0", "-n", "ftype=1"}, "ftype"},
	} {
		path := image(t, 320<<20, "mkfs.xfs", c.args...)
		fs := read(t, "xfs", path)
		sort.Strings(fs.Features)
		check(t, "features", strings.Join(fs.Features, " "), c.features)
		out, err := exec.Command(xfsDB, "-r", "-c", "sb 0", "-c", "p", path).Output()
		if err != nil {
			t.Fatal(err)
		}
		said := map[string]string{}
		for line := range strings.Lines(string(out)) {
			k, v, _ := strings.Cut(line, " = ")
			said[k] = strings.Trim(strings.TrimSpace(v), `"`)
		}
		check(t, "UUID", fs.UUID, said["uuid"])
		check(t, "label", fs.Label, strings.TrimRight(said["fname"], `\0`))
		check(t, "blocks", fmtInt(int64(fs.Size/fs.BlockSize)), said["dblocks"])
		check(t, "block size", fmtInt(int64(fs.BlockSize)), said["blocksize"])
		check(t, "inode size", fmtInt(int64(fs.InodeSize)), said["inodesize"])
		check(t, "sector size", fs.Options["sector_size"], said["sectsize"])
		check(t, "groups", fs.Options["agcount"], said["agcount"])
		check(t, "log blocks", fs.Options["log_blocks"], said["logblocks"])
		check(t, "imax", fs.Options["imax_percent"], said["imax_pct"])
	}
}

// TestBtrfsAgainstDumpSuper compares with btrfs inspect-internal dump-super.
func TestBtrfsAgainstDumpSuper(t *testing.T) {
	for _, args := range [][]string{
		{"-q", "-L", "system", "-U", testUUID},
		{"-q", "--csum", "sha256", "-n", "32768", "-O", "^no-holes"},
	} {
		path := image(t, 256<<20, "mkfs.btrfs", args...)
		fs := read(t, "btrfs", path)
		out, err := exec.Command("btrfs", "inspect-internal", "dump-super", path).Output()
		if err != nil {
			t.Fatal(err)
		}
		field := func(name string) string {
			m := regexp.MustCompile(`(?m)^` + name + `[ \t]*(.*)$`).FindSubmatch(out)
			if m == nil {
				return ""
			}
			return strings.TrimSpace(string(m[1]))
		}
		check(t, "UUID", fs.UUID, field("fsid"))
		check(t, "label", fs.Label, field("label"))
		check(t, "size", fmtInt(int64(fs.Size)), field("total_bytes"))
		check(t, "node size", fs.Options["node_size"], field("nodesize"))
		check(t, "sector", fmtInt(int64(fs.BlockSize)), field("sectorsize"))
		if csum := fs.Options["csum"]; !strings.Contains(field("csum_type"), "("+csum+")") {
			t.Errorf("csum is %s, want %s", csum, field("csum_type"))
		}
		var want []string
		for _, m := range regexp.MustCompile(`\b[A-Z][A-Z0-9_]{4,}\b`).FindAll(out[bytes.Index(out, []byte("compat_ro_flags")):], -1) {
			want = append(want, string(m))
		}
		got := slices.Clone(fs.Features)
		sort.Strings(got)
		sort.Strings(want)
		check(t, "features", strings.Join(got, " "), strings.Join(want, " "))
	}
}

func TestFAT(t *testing.T) {
	for _, c := range []struct {
		size        int64
		args        []string
		bits, label string
	}{
		{2 << 20, []string{"-F", "12", "-n", "SMALL"}, "12", "SMALL"},
		{32 << 20, []string{"-F", "16", "-n", "MIDDLE"}, "16", "MIDDLE"},
		{64 << 20, []string{"-F", "32", "-n", "ESP"}, "32", "ESP"},
		{300 << 20, []string{"-F", "32", "-S", "4096"}, "32", ""},
	} {
		fs := read(t, "vfat", image(t, c.size, "mkfs.vfat", append([]string{"-i", "5a3c11b0"}, c.args...)...))
		check(t, "bits", fs.Options["fat_bits"], c.bits)
		check(t, "UUID", fs.UUID, "5A3C-11B0")
		check(t, "label", fs.Label, c.label)
		if fs.Size > machine.Bytes(c.size) || fs.Size < machine.Bytes(c.size-1<<16) {
			t.Errorf("size is %d in an image of %d", fs.Size, c.size)
		}
	}
}

func TestSwap(t *testing.T) {
	path := image(t, 8<<20, "mkswap", "-q", "-U", testUUID, "-L", "SWP")
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	got, err := Swap(f)
	if want := (machine.Swap{Size: 8 << 20, UUID: testUUID, Label: "SWP"}); err != nil || got != want {
		t.Errorf("got %+v, %v; want %+v", got, err, want)
	}
}

// TestNot reads every kind from zeros and from an image that is too short.
func TestNot(t *testing.T) {
	for kind := range readers {
		for _, n := range []int{0, 100, 1 << 20} {
			if _, err := Read(kind, bytes.NewReader(make([]byte, n))); !errors.Is(err, ErrNot) {
				t.Errorf("%s in %d zeros: %v", kind, n, err)
			}
		}
	}
	if _, err := Read("zfs", bytes.NewReader(nil)); err == nil {
		t.Error("zfs was read")
	}
}

func FuzzRead(f *testing.F) {
	for _, c := range []struct {
		name string
		size int64
		args []string
	}{{"mke2fs", 1 << 20, []string{"-q"}}, {"mkfs.vfat", 1 << 20, nil}, {"mkswap", 1 << 20, []string{"-q"}}, {"mkfs.exfat", 4 << 20, nil}, {"mkfs.f2fs", 64 << 20, []string{"-q"}}} {
		b, err := os.ReadFile(image(f, c.size, c.name, c.args...))
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b[:8192])
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		for kind := range readers {
			if fs, err := Read(kind, bytes.NewReader(b)); err == nil && fs.Size < 0 {
				t.Errorf("%s of %d bytes", kind, fs.Size)
			}
		}
		_, _ = Swap(bytes.NewReader(b))
	})
}
