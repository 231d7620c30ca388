package backup_test

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/mkcdrec/mkcdrec/internal/archive"
	"github.com/mkcdrec/mkcdrec/internal/backup"
	"github.com/mkcdrec/mkcdrec/internal/testtree"
	"github.com/mkcdrec/mkcdrec/internal/unpack"
	"golang.org/x/sys/unix"
	"pgregory.net/rapid"
)

// grow makes a random small tree.
func grow(t *rapid.T, root string) {
	part := rapid.StringOfN(rapid.RuneFrom([]rune("ab \n\t'\"*?\\\u00e9-.|")), 1, 6, 20).Filter(func(s string) bool { return s != "." && s != ".." })
	dirs, files := []string{root}, []string{}
	must := func(err error) {
		if err != nil {
			t.Fatal(err)
		}
	}
	for i := range rapid.IntRange(1, 14).Draw(t, "paths") {
		p := filepath.Join(rapid.SampledFrom(dirs).Draw(t, "in"), part.Draw(t, "name")+fmt.Sprint(i))
		kind := rapid.SampledFrom([]string{"dir", "file", "sparse", "symlink", "fifo", "device", "hardlink"}).Draw(t, "kind")
		if kind == "hardlink" && len(files) == 0 {
			kind = "file"
		}
		switch kind {
		case "dir":
			must(os.Mkdir(p, 0o700))
			dirs = append(dirs, p)
		case "file":
			must(os.WriteFile(p, bytes.Repeat(rapid.SliceOfN(rapid.Byte(), 0, 9).Draw(t, "data"), rapid.SampledFrom([]int{1, 500, 8000, 150_000}).Draw(t, "times")), 0o600))
		case "sparse":
			f, err := os.Create(p)
			must(err)
			for range rapid.IntRange(0, 3).Draw(t, "extents") {
				_, err := f.WriteAt([]byte("data"), rapid.Int64Range(0, 400_000).Draw(t, "at"))
				must(err)
			}
			must(f.Truncate(rapid.Int64Range(0, 500_000).Draw(t, "size")))
			must(f.Close())
		case "symlink":
			must(os.Symlink(part.Draw(t, "target"), p))
		case "fifo":
			must(unix.Mkfifo(p, 0o600))
		case "device":
			must(unix.Mknod(p, unix.S_IFCHR|0o600, int(unix.Mkdev(rapid.Uint32Range(1, 500).Draw(t, "major"), rapid.Uint32Range(0, 1<<19).Draw(t, "minor")))))
		case "hardlink":
			must(os.Link(rapid.SampledFrom(files).Draw(t, "first"), p))
		}
		if kind != "dir" {
			files = append(files, p)
		}
		must(os.Lchown(p, rapid.IntRange(0, 70_000).Draw(t, "uid"), rapid.IntRange(0, 70_000).Draw(t, "gid")))
		if st, _ := os.Lstat(p); st.Mode().Type() != os.ModeSymlink {
			must(unix.Chmod(p, rapid.Uint32Range(0, 0o7777).Draw(t, "mode")))
			if st.Mode().IsRegular() && rapid.Bool().Draw(t, "attribute") {
				must(unix.Setxattr(p, "user."+rapid.StringMatching("[a-z]{1,9}").Draw(t, "attribute name"), rapid.SliceOfN(rapid.Byte(), 0, 20).Draw(t, "value"), 0))
			}
		}
	}
	for _, p := range append(files, dirs...) {
		ts := []unix.Timespec{unix.NsecToTimespec(time.Now().UnixNano()), {Sec: rapid.Int64Range(-1<<31, 1<<33).Draw(t, "seconds"), Nsec: rapid.Int64Range(0, 999_999_999).Draw(t, "ns")}}
		must(unix.UtimesNanoAt(unix.AT_FDCWD, p, ts, unix.AT_SYMLINK_NOFOLLOW))
	}
}

// Whatever the tree is, it comes back as it was, judged by tools not ours.
func TestAnyTreeComesBack(t *testing.T) {
	testtree.NeedRoot(t)
	testtree.Need(t, "getfattr", "lsattr")
	begun, trees := time.Now(), 0
	rapid.Check(t, func(rt *rapid.T) {
		if os.Getenv("MKCDREC_SLOW") == "" && trees > 3 && time.Since(begun) > 4*time.Second {
			return // enough for a quick test; MKCDREC_SLOW=1 takes all
		}
		trees++
		base, err := os.MkdirTemp("", "tree")
		if err != nil {
			rt.Fatal(err)
		}
		defer os.RemoveAll(base)
		from, to, store := base+"/from", base+"/to", base+"/store"
		for _, d := range []string{from, to, store} {
			if err := os.Mkdir(d, 0o755); err != nil {
				rt.Fatal(err)
			}
		}
		grow(rt, from)
		if err := os.WriteFile(from+"/a file in each tree", []byte("x"), 0o644); err != nil { // without one it is no backup
			rt.Fatal(err)
		}
		want := testtree.Describe(t, from)
		res, err := backup.Run(context.Background(), options(t, from, store, "one"))
		if err != nil || res.Manifest.Warned > 0 {
			rt.Fatalf("%v, warnings %v", err, res.Manifest)
		}
		b := whole(t, store, "one")
		r, err := unpack.Run(context.Background(), b.Entries(context.Background(), archive.ReadOptions{}), to, unpack.Options{})
		if err != nil || len(r.Problems) > 0 {
			rt.Fatalf("%v, problems %v", err, r.Problems)
		}
		if d := testtree.Diff(want, testtree.Describe(t, to)); d != "" {
			rt.Fatalf("differs:\n%s", d)
		}
	})
	t.Logf("%d trees", trees)
}
