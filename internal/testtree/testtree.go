// Package testtree makes directories with every kind of metadata for tests,
// describes a directory by tools that are not ours (find, getfattr, lsattr,
// sha256sum, filefrag), and mounts file systems in image files. It is for
// tests only.
package testtree

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
)

// NeedRoot skips a test that only root can run.
func NeedRoot(t testing.TB) {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("needs root: owners, devices, attributes, mounts")
	}
}

// Need skips a test when a program is missing.
func Need(t testing.TB, programs ...string) {
	t.Helper()
	for _, p := range programs {
		if _, err := exec.LookPath(p); err != nil {
			t.Skipf("needs the program %s", p)
		}
	}
}

// Everything makes dir with test/vm/make-metadata-tree.sh, the same that the
// VM fixtures run, and gives the lines "not made: ...".
func Everything(t testing.TB, dir string) string {
	t.Helper()
	_, here, _, _ := runtime.Caller(0)
	script := filepath.Join(filepath.Dir(here), "../../test/vm/make-metadata-tree.sh")
	out := Shell(t, `sh "$1" "$2"`, script, dir)
	t.Cleanup(func() { Unlock(dir) })
	return out
}

// Unlock clears the flags below dir that keep it from being removed.
func Unlock(dir string) {
	_ = exec.Command("sh", "-c", `find "$1" -xdev \( -type f -o -type d \) -execdir chattr -i -a -- {} +`, "sh", dir).Run()
}

// Shell runs a script and gives what it prints; a failure ends the test.
func Shell(t testing.TB, script string, args ...string) string {
	t.Helper()
	cmd := exec.Command("bash", append([]string{"-euo", "pipefail", "-c", script, "bash"}, args...)...)
	cmd.Env = append(os.Environ(), "LC_ALL=C", "TZ=UTC")
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%s %q: %v\n%s%s", strings.SplitN(script, "\n", 2)[0], args, err, out, stderr.String())
	}
	return string(out)
}

// describe prints everything about a tree in a fixed order. Every path is
// reached by -execdir, so that names and depth do not matter. Not described:
// change times and inode numbers, which cannot be restored, link counts of
// directories, which differ between file systems, and sockets, which are not
// restored. Hard links are grouped by the first name of their inode.
const describe = `
cd "$1"
echo "== stat"
find . -xdev ! -type s -printf '%p|%y|%#m|%U|%G|%T@|%l\0' | tr '\n' '\001' | tr '\0' '\n' | sort
echo "== sizes"
find . -xdev -type f -printf '%p|%s|%n\0' | tr '\n' '\001' | tr '\0' '\n' | sort
echo "== devices"
find . -xdev \( -type b -o -type c \) -execdir stat -c '%N %t:%T' {} \; | sort
echo "== links"
find . -xdev ! -type d ! -type s -links +1 -printf '%i|%p\0' | tr '\n' '\001' | tr '\0' '\n' | sort -t'|' -k2 |
	awk -F'|' '{ if (!($1 in first)) first[$1] = $2; print $2 " = " first[$1] }'
echo "== attributes"
find . -xdev ! -type s -printf '\001%p ' -execdir getfattr -h -d -m - -e hex -- {} \; 2>/dev/null |
	tr '\n\001' '|\n' | sed -n '/# file/p' | sort
echo "== flags"
find . -xdev \( -type f -o -type d \) -printf '%p\0' -execdir lsattr -d -- {} \; 2>/dev/null | tr '\0' ' ' | sed 's/e\(-*\) /-\1 /' | sort
echo "== content"
find . -xdev -type f -size -100M -printf '%p ' -execdir sh -c 'sha256sum < "$1"' sh {} \; | sort
`

// holes prints the data extents of every file with holes.
const holes = `
cd "$1"
find . -xdev -type f -printf '%p|%s|%b\n' | sort | while IFS='|' read -r p s b; do
	[ "$((b * 512))" -lt "$s" ] || continue
	echo "$p"
	filefrag -e "$p" | sed 's/\.\.\|:/ /g' | awk '$1 ~ /^[0-9]+$/ { print $2, $3 }' | merge
done
`

// Describe describes everything of a tree that a restore has to bring back.
func Describe(t testing.TB, dir string) string {
	t.Helper()
	return Shell(t, describe, dir)
}

// DescribeAccess describes the access times; take it before anything reads.
func DescribeAccess(t testing.TB, dir string) string {
	t.Helper()
	return Shell(t, `cd "$1"; find . -xdev ! -type s ! -type d -printf '%p|%A@\0' | tr '\n' '\001' | tr '\0' '\n' | sort`, dir)
}

// DescribeHoles describes the logical extents of files with holes, by filefrag.
func DescribeHoles(t testing.TB, dir string) string {
	t.Helper()
	const merge = `merge() { awk '{ if (NR > 1 && $1 == e + 1) { e = $2; next } if (NR > 1) print s, e; s = $1; e = $2 } END { if (NR) print s, e }'; }
sync -f "$1"
`
	return Shell(t, merge+holes, dir)
}

// Mount makes a file system in an image file of a size ("300M") and mounts it
// until the test ends. mkfs is the program with its options.
func Mount(t testing.TB, size string, mkfs ...string) string {
	t.Helper()
	NeedRoot(t)
	Need(t, mkfs[0], "losetup")
	base := t.TempDir()
	image, dir := filepath.Join(base, "image"), filepath.Join(base, "mnt")
	Shell(t, `truncate -s "$1" "$2"; mkdir "$3"`, size, image, dir)
	Shell(t, `"$@" >/dev/null`, append(mkfs, image)...)
	if out, err := exec.Command("mount", "-o", "loop", image, dir).CombinedOutput(); err != nil {
		t.Skipf("cannot mount %s here: %v: %s", mkfs[0], err, out)
	}
	t.Cleanup(func() { _ = exec.Command("umount", dir).Run() })
	return dir
}

// Diff gives the lines that are only in one of two descriptions, shortened.
func Diff(want, got string) string {
	if want == got {
		return ""
	}
	count := map[string]int{}
	for l := range strings.SplitSeq(want, "\n") {
		count[l]--
	}
	for l := range strings.SplitSeq(got, "\n") {
		count[l]++
	}
	var out []string
	for l, n := range count {
		if len(l) > 300 {
			l = l[:140] + " ... " + l[len(l)-140:]
		}
		switch {
		case n < 0:
			out = append(out, "- "+l)
		case n > 0:
			out = append(out, "+ "+l)
		}
	}
	if len(out) > 40 {
		out = append(out[:40], "...")
	}
	if out == nil {
		return "same lines in another order"
	}
	return strings.Join(out, "\n")
}
