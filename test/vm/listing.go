package vm

import (
	"bytes"
	"context"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/mkcdrec/mkcdrec/internal/rehearse/qemu"
)

// A Listing is what tools that are not ours say about every file of a
// machine: find, sha256sum, getfattr, getfacl, lsattr and filefrag. The key is
// "aspect path".
type Listing map[string]string

// exclusion is a path whose difference says nothing about the restore, and
// why.
type exclusion struct{ path, why string }

// notListed are trees that every boot or the scenario itself changes.
var notListed = []exclusion{
	{"/tmp/*", "not in a backup by default; emptied at boot"},
	{"/var/tmp/*", "not in a backup by default; systemd's private directories, the scenario's own files"},
	{"/var/lib/mkcdrec", "mkcdrec's own state"},
	{"/var/log/mkcdrec*", "mkcdrec's own log, to which it writes after the moment of the snapshot"},
	{"/var/log/journal", "written at every boot"},
	{"/var/log/wtmp", "every boot and login"},
	{"/var/log/lastlog", "every login"},
	{"/var/log/btmp", "every failed login"},
	{"/var/lib/systemd", "random seed, timers' stamps, catalogue: written at boot"},
	{"/var/lib/dhcp", "the leases of this boot"},
	{"/etc/resolv.conf", "written by dhclient at every boot"},
	{"/etc/lvm/archive", "LVM's own history of its volume groups"},
	{"/etc/lvm/backup", "LVM's own copy of its metadata, with a date"},
	{"/boot/efi/loader/random-seed", "systemd-boot renews it at every start"},
	{"/boot/extlinux/ldlinux.*", "EXTLINUX is installed anew, and knows on which sectors it lies"},
	{"/swapfile", "made anew, not copied: its content has no meaning"},
	{"/.snapshots/2/snapshot", "a read-only snapshot, which is left out and named"},
	{"/etc/fstab.before-mkcdrec", "kept beside a file that had to be changed"},
}

// timesNotCompared are paths whose content is compared, but whose times
// change at boot or when the boot loader is installed.
var timesNotCompared = []exclusion{
	{"/boot/grub", "the boot loader is installed anew"},
	{"/boot/efi", "the boot loader is installed anew"},
	{"/boot/extlinux", "the boot loader is installed anew"},
}

// directoryTimesNotCompared are single directories in which something from
// notListed is made or replaced.
var directoryTimesNotCompared = []exclusion{
	{"/", "file systems and swap file are made anew in it"},
	{"/etc", "dhclient replaces resolv.conf"},
	{"/etc/lvm", "LVM replaces its backup"},
	{"/dev", "the file system that the kernel mounts over it"},
	{"/proc", "the file system that the kernel mounts over it"},
	{"/run", "the file system that is mounted over it at boot"},
	{"/sys", "the file system that the kernel mounts over it"},
	{"/tmp", "see /tmp/*"},
	{"/var/tmp", "see /var/tmp/*"},
	{"/var/lib", "mkcdrec's own state"},
	{"/var/log", "logs of this boot"},
	{"/boot", "mount point of the ESP; GRUB's directory"},
	{"/lost+found", "made by mkfs"},
	{"/boot/lost+found", "made by mkfs"},
	{"/srv/lost+found", "made by mkfs"},
}

// large files, in find's units, are hashed by sumOfData: reading a terabyte of
// hole takes hours.
const large = "262144k"

// sumOfData prints the hash of what tar keeps of the file $1: its data and
// where they lie. The GNU format has no times of access and change.
const sumOfData = `printf "%s  %s\0" "$(tar --format=gnu --sparse -P -cf - -- "$1" | sha256sum | cut -c1-64)" "$1"`

// list asks the running machine about all of its real file systems.
func list(ctx context.Context, vm *qemu.VM, key string) (Listing, error) {
	l := Listing{}
	run := func(script string, stdin []byte) ([]byte, error) {
		return vm.SSH(ctx, key, "export LC_ALL=C; "+script, bytes.NewReader(stdin))
	}
	out, err := run("sync; findmnt -rn --real -o TARGET | sort -u", nil)
	if err != nil {
		return nil, err
	}
	roots := strings.Fields(string(out))
	if len(roots) == 0 {
		return nil, fmt.Errorf("%s: findmnt sees no file system", vm.Config.Name)
	}
	find := "find " + strings.Join(roots, " ") + ` -xdev \( -false`
	for _, e := range notListed {
		find += " -o -path '" + e.path + "'"
	}
	find += ` \) -prune -o `

	if out, err = run(find+`-printf '%p\t%y %m %U:%G\t%s\t%b\t%T@\t%n %D:%i\t%l\0'`, nil); err != nil {
		return nil, err
	}
	sparse, err := l.addFind(out)
	if err != nil {
		return nil, err
	}
	// Sockets are made by services at boot, devices have no size.
	if out, err = run(find+`\( -type b -o -type c \) -print0 | xargs -0 -r stat --printf '%t:%T  %n\0'`, nil); err != nil {
		return nil, err
	}
	l.addSums("device", out)
	if out, err = run(find+`-type f -size -`+large+` -print0 | xargs -0 -r sha256sum -z 2>/dev/null; true`, nil); err != nil {
		return nil, err
	}
	l.addSums("sha256", out)
	// Its path is too long to be opened from the root.
	if out, err = run(find+`-type f -name bottom -execdir sha256sum -z {} \;`, nil); err != nil {
		return nil, err
	}
	l.addSums("sha256", out)
	if out, err = run(find+`-type f ! -size -`+large+` -print0 | xargs -0 -r -n1 sh -c '`+sumOfData+`' -`, nil); err != nil {
		return nil, err
	}
	l.addSums("sha256 of data", out)
	if out, err = run(find+`-print0 | xargs -0 -r getfattr -h -d -m - -e hex --absolute-names 2>/dev/null; true`, nil); err != nil {
		return nil, err
	}
	l.addBlocks("xattr", "# file: ", out)
	if out, err = run(find+`! -type l -print0 | xargs -0 -r getfacl -p -s -n 2>/dev/null; true`, nil); err != nil {
		return nil, err
	}
	l.addBlocks("acl", "# file: ", out)
	// vfat has no such flags, hence the errors that are not read.
	if out, err = run(find+`\( -type f -o -type d \) -print0 | xargs -0 -r lsattr -d 2>/dev/null; true`, nil); err != nil {
		return nil, err
	}
	l.addFlags(out)
	if out, err = run(`xargs -0 -r filefrag -v -b1`, sparse); err != nil {
		return nil, err
	}
	if err := l.addExtents(out); err != nil {
		return nil, err
	}
	return l, l.complete()
}

// withoutFiles is the listing without what it says of some files.
func (l Listing) withoutFiles(paths []string) Listing {
	out := maps.Clone(l)
	maps.DeleteFunc(out, func(fact, _ string) bool {
		return slices.ContainsFunc(paths, func(p string) bool { return strings.HasSuffix(fact, " "+p) })
	})
	return out
}

// complete is an error if a file has no hash, or no file has one of the other
// aspects: what is not there on either side would count as equal.
func (l Listing) complete() error {
	const pathMax = 4096 // linux/limits.h
	files, seen := 0, map[string]bool{}
	for k, v := range l {
		aspect, _, _ := strings.Cut(k, " ")
		seen[aspect] = true
		path, ok := strings.CutPrefix(k, "stat ")
		if !ok || v[0] != 'f' || len(path) >= pathMax {
			continue
		}
		files++
		if l["sha256 "+path] == "" && l["sha256 of data "+path] == "" {
			return fmt.Errorf("the content of %q was not hashed", path)
		}
	}
	if files == 0 {
		return fmt.Errorf("the list holds no file")
	}
	for _, aspect := range []string{"device", "hardlinks", "xattr", "acl", "flags", "data"} {
		if !seen[aspect] { // its tool has failed
			return fmt.Errorf("the list holds no %s", aspect)
		}
	}
	return nil
}

// addFind takes find's records and returns the sparse files, each ended by a
// NUL.
func (l Listing) addFind(out []byte) (sparse []byte, err error) {
	links := map[string][]string{}
	for rec := range strings.SplitSeq(strings.TrimSuffix(string(out), "\x00"), "\x00") {
		// The path may hold tabs; the six fields after it do not, but for a
		// link's target, which is last.
		m := findRecord.FindStringSubmatch(rec)
		if m == nil {
			return nil, fmt.Errorf("cannot understand find's record %q", rec)
		}
		path, kind, size, blocks, mtime, nlink, inode, target := m[1], m[2], m[3], m[4], m[5], m[6], m[7], m[8]
		if strings.HasPrefix(kind, "s ") {
			continue // a socket is made by its service
		}
		value := kind
		if kind[0] != 'd' { // a directory's size is the file system's affair
			value += " size " + size
			if nlink != "1" {
				links[inode] = append(links[inode], path)
			}
		}
		if target != "" {
			value += " -> " + strconv.Quote(target)
		}
		l["stat "+path] = value
		if comparesTime(path) {
			l["mtime "+path] = mtime
		}
		n, _ := strconv.ParseInt(size, 10, 64)
		b, _ := strconv.ParseInt(blocks, 10, 64)
		if kind[0] == 'f' && b*512 < n {
			sparse = append(append(sparse, path...), 0)
		}
	}
	for _, paths := range links {
		slices.Sort(paths)
		for _, p := range paths {
			l["hardlinks "+p] = fmt.Sprintf("%q", paths)
		}
	}
	return sparse, nil
}

var findRecord = regexp.MustCompile(`(?s)^(.*?)\t(\w \d+ \d+:\d+)\t(\d+)\t(\d+)\t(-?[\d.]+)\t(\d+) (\d+:\d+)\t(.*)$`)

func comparesTime(path string) bool {
	for _, e := range timesNotCompared {
		if path == e.path || strings.HasPrefix(path, e.path+"/") {
			return false
		}
	}
	return !slices.ContainsFunc(directoryTimesNotCompared, func(e exclusion) bool { return e.path == path })
}

// addSums takes records "value, two spaces, path, NUL".
func (l Listing) addSums(aspect string, out []byte) {
	for rec := range strings.SplitSeq(strings.TrimSuffix(string(out), "\x00"), "\x00") {
		if value, path, ok := strings.Cut(rec, "  "); ok {
			l[aspect+" "+path] = value
		}
	}
}

// addBlocks takes blocks of lines that begin with a line of head and the path.
func (l Listing) addBlocks(aspect, head string, out []byte) {
	for block := range strings.SplitSeq(string(out), "\n\n") {
		first, rest, ok := strings.Cut(strings.TrimSpace(block), "\n")
		if !ok || !strings.HasPrefix(first, head) {
			continue
		}
		lines := strings.Split(rest, "\n")
		slices.Sort(lines)
		l[aspect+" "+strings.TrimPrefix(first, head)] = strings.Join(lines, " ")
	}
}

// addFlags takes lsattr's lines without the flags that the file system sets
// by itself: extents (e), indexed directory (I), inline data (N).
func (l Listing) addFlags(out []byte) {
	for line := range strings.SplitSeq(string(out), "\n") {
		flags, path, ok := strings.Cut(line, " ")
		if flags = strings.Trim(strings.NewReplacer("-", "", "e", "", "I", "", "N", "").Replace(flags), " "); ok && flags != "" {
			l["flags "+path] = flags
		}
	}
}

var (
	fragFile   = regexp.MustCompile(`^File size of (.*) is \d+ \(`)
	fragExtent = regexp.MustCompile(`^\s*\d+:\s*(\d+)\.\.\s*(\d+):.*?:\s*\d+:\s*(.*)$`)
)

// addExtents takes filefrag's lists and keeps where each file has data.
// Allocated blocks that were never written read as zeros and count as holes.
func (l Listing) addExtents(out []byte) error {
	path := ""
	var from, to int64 = -1, -1
	flush := func() {
		if from >= 0 {
			l["data "+path] += fmt.Sprintf("%d-%d ", from, to)
		}
		from, to = -1, -1
	}
	files := 0
	for line := range strings.SplitSeq(string(out), "\n") {
		if m := fragFile.FindStringSubmatch(line); m != nil {
			flush()
			path = m[1]
			l["data "+path] = ""
			files++
			continue
		}
		m := fragExtent.FindStringSubmatch(line)
		if m == nil || strings.Contains(m[3], "unwritten") {
			continue
		}
		first, err1 := strconv.ParseInt(m[1], 10, 64)
		last, err2 := strconv.ParseInt(m[2], 10, 64)
		if err1 != nil || err2 != nil {
			return fmt.Errorf("cannot understand filefrag's line %q", line)
		}
		if first != to+1 || from < 0 {
			flush()
			from = first
		}
		to = last
	}
	flush()
	if len(out) > 0 && files == 0 {
		return fmt.Errorf("cannot understand filefrag's output %.200q", out)
	}
	return nil
}

// diff says, for people, how got differs from the original, one line a
// difference and at most limit lines; "" when they are equal.
func (l Listing) diff(got Listing, limit int) string {
	var keys []string
	for k := range l {
		if v, ok := got[k]; !ok || v != l[k] {
			keys = append(keys, k)
		}
	}
	for k := range got {
		if _, ok := l[k]; !ok {
			keys = append(keys, k)
		}
	}
	if len(keys) == 0 {
		return ""
	}
	// By path, so that all about one file stands together.
	slices.SortFunc(keys, func(a, b string) int {
		_, pa, _ := strings.Cut(a, " ")
		_, pb, _ := strings.Cut(b, " ")
		if c := strings.Compare(pa, pb); c != 0 {
			return c
		}
		return strings.Compare(a, b)
	})
	show := func(m Listing, k string) string {
		if v, ok := m[k]; ok {
			return v
		}
		return "(nothing)"
	}
	var b strings.Builder
	fmt.Fprintf(&b, "%d differences in %d facts:\n", len(keys), len(l))
	for i, k := range keys {
		if i == limit {
			fmt.Fprintf(&b, "  ... and %d more\n", len(keys)-limit)
			break
		}
		aspect, path, _ := strings.Cut(k, " ")
		fmt.Fprintf(&b, "  %q: %s was %s, is %s\n", path, aspect, show(l, k), show(got, k))
	}
	return b.String()
}
