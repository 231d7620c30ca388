package restore

import (
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"regexp"
	"strings"
	"testing"

	"github.com/mkcdrec/mkcdrec/internal/fit"
	"github.com/mkcdrec/mkcdrec/internal/machine"
	"github.com/mkcdrec/mkcdrec/internal/system"
	"github.com/mkcdrec/mkcdrec/internal/testtree"
	"github.com/mkcdrec/mkcdrec/internal/tool/e2fs"
	"github.com/mkcdrec/mkcdrec/internal/tool/superblock"
	"github.com/mkcdrec/mkcdrec/internal/tool/xfs"
)

// TestFileSystemsOfAllFlagsAreMadeAgain makes file systems with the flags and
// parameters that servers have, records them, makes them again on a blank image,
// and compares what the file systems' own tools say of both.
func TestFileSystemsOfAllFlagsAreMadeAgain(t *testing.T) {
	for _, tt := range []struct{ kind, args string }{
		{"ext4", ""}, {"ext4", "-O ^has_journal"}, {"ext4", "-O bigalloc -C 65536"}, {"ext4", "-O quota"}, {"ext4", "-O quota,project -E quotatype=usrquota:grpquota:prjquota"},
		{"ext4", "-O casefold"}, {"ext4", "-O encrypt,verity,stable_inodes"}, {"ext4", "-O inline_data"}, {"ext4", "-O ^64bit"}, {"ext4", "-O metadata_csum_seed"},
		{"ext4", "-O orphan_file"}, {"ext4", "-O sparse_super2,^resize_inode"}, {"ext4", "-O large_dir,ea_inode,mmp"}, {"ext4", "-O fast_commit"}, {"ext4", "-O ^metadata_csum,uninit_bg"},
		{"ext4", "-b 1024 -I 128 -O ^extra_isize"}, {"ext4", "-E stride=16,stripe_width=64"}, {"ext4", "-G 32"}, {"ext4", "-J size=8"}, {"ext4", "-m 0"}, {"ext4", "-m 12.5 -L label"}, {"ext4", "-i 65536"},
		{"ext4", "-O ^flex_bg,meta_bg,^resize_inode"}, {"ext3", ""}, {"ext2", ""}, {"ext2", "-O none"}, {"ext4", "-O casefold -E encoding_flags=strict"}, {"ext4", "-O quota -E quotatype=grpquota"},
		{"xfs", ""}, {"xfs", "-m reflink=0"}, {"xfs", "-m rmapbt=1"}, {"xfs", "-m bigtime=0,inobtcount=0"}, {"xfs", "-m crc=0"}, {"xfs", "-m crc=0 -n ftype=0"}, {"xfs", "-m finobt=0 -i sparse=0"},
		{"xfs", "-d su=64k,sw=4"}, {"xfs", "-n size=8192"}, {"xfs", "-i size=1024,maxpct=50"}, {"xfs", "-s size=4096"}, {"xfs", "-b size=1024"}, {"xfs", "-i nrext64=1 -L label"},
	} {
		t.Run(tt.kind+" "+tt.args, func(t *testing.T) {
			name := "mkfs." + tt.kind
			testtree.Need(t, name)
			size := machine.Bytes(128 << 20)
			args := append(strings.Fields("-q -F "+tt.args), "")
			if tt.kind == "xfs" {
				testtree.Need(t, "xfs_db")
				size, args = 2<<30, append(strings.Fields("-q -f "+tt.args), "")
			}
			was, is := image(t, size), image(t, size)
			args[len(args)-1] = was
			if out, err := exec.Command(name, args...).CombinedOutput(); err != nil {
				t.Skipf("%s here does not know it: %s", name, out)
			}
			fs := read(t, machine.FSKind(tt.kind), was)
			var err error
			if tt.kind == "xfs" {
				err = xfs.Make(t.Context(), &system.Host{}, is, fs)
			} else {
				err = e2fs.Make(t.Context(), &system.Host{}, is, fs)
			}
			if err != nil {
				t.Fatal(err)
			}
			if again := read(t, machine.FSKind(tt.kind), is); !reflect.DeepEqual(again, fs) {
				t.Errorf("made as\n%+v\nand recorded was\n%+v", again, fs)
			}
			if before, after := own(t, tt.kind, was), own(t, tt.kind, is); before != after {
				t.Errorf("its tools say\n%s\nand said before\n%s", after, before)
			}
		})
	}
}

func read(t *testing.T, kind machine.FSKind, p string) machine.FileSystem {
	t.Helper()
	f, err := os.Open(p)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	fs, err := superblock.Read(kind, f)
	if err != nil {
		t.Fatal(err)
	}
	return fs
}

// changing are the lines in which two file systems of the same parameters
// differ: times, what is free, and seeds that go by the time.
var changing = regexp.MustCompile(`(?m)^( *mmp_(sequence|update_date|update_time|node_name|device_name)|Filesystem created|Last (write|check)ed?.*|Last write time|Next check after|Lifetime writes|Checksum|Checksum seed|Journal checksum.*|Journal sequence|Free (blocks|inodes)|Overhead clusters|MMP update interval|.*quota inode):.*\n`)

// own is what the file system's own tools say of its parameters.
func own(t *testing.T, kind, p string) string {
	t.Helper()
	cmd := exec.Command("dumpe2fs", "-h", p)
	if kind == "xfs" {
		cmd = exec.Command("xfs_db", "-r", "-c", "info", "-c", "version", p)
	}
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%v: %v", cmd.Args, err)
	}
	return changing.ReplaceAllString(strings.ReplaceAll(string(out), p, "IMAGE"), "")
}

// TestRealProjectsComeBack: quotas of directory trees count by the project of
// each file, and by what a directory hands on to new files.
func TestRealProjectsComeBack(t *testing.T) {
	for _, tt := range []struct {
		kind machine.FSKind
		mkfs []string
	}{
		{"ext4", []string{"mkfs.ext4", "-q", "-O", "quota,project", "-E", "quotatype=prjquota"}},
		{"xfs", []string{"mkfs.xfs", "-q"}},
	} {
		t.Run(string(tt.kind), func(t *testing.T) {
			testtree.Need(t, "chattr", "lsattr")
			r := newReal(t)
			data := r.loop(t, "400M", tt.mkfs...)
			// An ext4 with projects needs CONFIG_QUOTA and CONFIG_QFMT_V2.
			if out, err := exec.Command("mount", r.Disk(data).Path, r.root).CombinedOutput(); err != nil {
				t.Skipf("the running kernel does not mount a new %s with projects: %s", tt.kind, out)
			}
			testtree.Shell(t, `umount "$1"`, r.root)
			r.record(t, data, tt.kind)
			r.mount(t, data, "/data", "")
			at := filepath.Join(r.root, "data")
			testtree.Shell(t, `cd "$1"; mkdir tree tree/inner plain; chattr -p 42 tree; chattr +P tree; echo a > tree/inherits; mkdir tree/later; echo b > tree/later/deep
				chattr -p 4000000000 plain; echo c > plain/file; echo d > lone; chattr -p 7 lone; ln lone lone2; chattr +i tree/inherits`, at)
			describe := func() string {
				t.Helper()
				return testtree.Shell(t, `cd "$1"; find . -xdev \( -type f -o -type d \) ! -name lost+found -execdir lsattr -pd -- {} \; | sort`, at)
			}
			want := describe()
			for _, s := range []string{"42 ", "4000000000 ", "7 ", "P"} {
				if !strings.Contains(want, s) {
					t.Fatalf("no %q in\n%s", s, want)
				}
			}
			r.backUp(t)
			testtree.Unlock(at)
			r.unmount(t, "/data")
			r.restore(t, fit.FSWishes{Mount: "/data"})
			testtree.Shell(t, `mount "$1" "$2"`, r.Disk(data).Path, at)
			if got := describe(); got != want {
				t.Errorf("made anew:\n%s\nwant\n%s", got, want)
			}
			// Others' numbers, given meanwhile, go when it is unpacked over.
			testtree.Unlock(at)
			testtree.Shell(t, `cd "$1"; chattr -p 9 tree plain lone tree/later; chattr -P tree`, at)
			r.unmount(t, "/data")
			r.restore(t, fit.FSWishes{Mount: "/data", Keep: true})
			testtree.Shell(t, `mount "$1" "$2"`, r.Disk(data).Path, at)
			if got := describe(); got != want {
				t.Errorf("unpacked over:\n%s\nwant\n%s", got, want)
			}
			testtree.Unlock(at)
		})
	}
}
