package rescue

import (
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"sort"
	"strings"
	"syscall"

	"github.com/mkcdrec/mkcdrec/internal/machine"
)

// Entry is one path of the rescue system. Exactly one of Source, Data, Link,
// Device or a directory mode gives its content.
type Entry struct {
	Path   string      // absolute inside the rescue system
	Mode   fs.FileMode // type and permission bits; owner is always root
	Source string      // file on this machine whose content it gets
	Data   []byte      // content made here
	Link   string      // target of a symbolic link
	Major  uint32      // of a character device
	Minor  uint32
	Size   machine.Bytes
	inode  inode // of Source, if it has several names
}

// inode is which file it is on this machine.
type inode struct{ dev, ino uint64 }

// Tree is the content of a rescue system by path. Root is the root directory
// of the machine that files are taken from, "/" or a test's directory.
type Tree struct {
	Root    string
	entries map[string]*Entry
	order   []string // paths in the order in which they came, for mark and back
}

// NewTree makes an empty tree that takes files from root.
func NewTree(root string) *Tree {
	if root == "" {
		root = "/"
	}
	return &Tree{Root: root, entries: map[string]*Entry{}}
}

// put sets an entry.
func (t *Tree) put(e *Entry) {
	if t.entries[e.Path] == nil {
		t.order = append(t.order, e.Path)
	}
	t.entries[e.Path] = e
}

// mark remembers what the tree holds; back takes out what came since.
func (t *Tree) mark() int { return len(t.order) }

func (t *Tree) back(mark int) {
	for _, p := range t.order[mark:] {
		delete(t.entries, p)
	}
	t.order = t.order[:mark]
}

// Entries are all entries, sorted by path: parents before children.
func (t *Tree) Entries() []*Entry {
	out := make([]*Entry, 0, len(t.entries))
	for _, e := range t.entries {
		out = append(out, e)
	}
	sort.Slice(out, func(i, j int) bool { return out[i].Path < out[j].Path })
	return out
}

// host is where a path of the recorded machine lies for this process.
func (t *Tree) host(p string) string { return filepath.Join(t.Root, p) }

// maxLinks is how many symbolic links one path may go through; as Linux (path_resolution(7)).
const maxLinks = 40

// Resolve follows every symbolic link of a path inside Root and returns the
// real path and the links that were met, by their real paths. The path need
// not exist below the last link; the error is os.Lstat's then.
func (t *Tree) Resolve(p string) (real string, links map[string]string, err error) {
	links = map[string]string{}
	rest := strings.Split(strings.Trim(path.Clean(p), "/"), "/")
	cur := "/"
	for n := 0; len(rest) > 0; {
		name := rest[0]
		rest = rest[1:]
		switch name {
		case "", ".":
			continue
		case "..":
			cur = path.Dir(cur)
			continue
		}
		next := path.Join(cur, name)
		fi, err := os.Lstat(t.host(next))
		if err != nil {
			return "", links, fmt.Errorf("cannot resolve %s: %w", p, err)
		}
		if fi.Mode()&fs.ModeSymlink == 0 {
			cur = next
			continue
		}
		if n++; n > maxLinks {
			return "", links, fmt.Errorf("cannot resolve %s: %w", p, syscall.ELOOP)
		}
		target, err := os.Readlink(t.host(next))
		if err != nil {
			return "", links, fmt.Errorf("cannot resolve %s: %w", p, err)
		}
		links[next] = target
		if path.IsAbs(target) {
			cur = "/"
		}
		rest = append(strings.Split(strings.Trim(target, "/"), "/"), rest...)
	}
	return cur, links, nil
}

// AddHost adds a file or directory of the machine under its own name, with
// the symbolic links on the way and its parent directories. A directory is
// added without its content (see AddHostTree). It returns the real path.
func (t *Tree) AddHost(p string) (string, error) {
	real, links, err := t.Resolve(p)
	if err != nil {
		return "", err
	}
	for from, to := range links {
		t.parents(from)
		t.put(&Entry{Path: from, Mode: fs.ModeSymlink | 0o777, Link: to})
	}
	fi, err := os.Stat(t.host(real))
	if err != nil {
		return "", fmt.Errorf("cannot add %s: %w", p, err)
	}
	switch {
	case fi.IsDir():
		t.parents(real)
		if t.entries[real] == nil {
			t.put(&Entry{Path: real, Mode: fs.ModeDir | fi.Mode().Perm()})
		}
	case fi.Mode().IsRegular():
		t.parents(real)
		// No set-user-ID bits: everyone in the rescue system is root.
		e := &Entry{Path: real, Mode: fi.Mode().Perm(), Source: t.host(real), Size: machine.Bytes(fi.Size())}
		if st, ok := fi.Sys().(*syscall.Stat_t); ok && st.Nlink > 1 {
			e.inode = inode{uint64(st.Dev), st.Ino}
		}
		t.put(e)
	default:
		return "", fmt.Errorf("cannot add %s: not a file or directory", p)
	}
	return real, nil
}

// AddHostTree adds a directory with everything below it for which keep says
// yes (nil: everything); keep gets the path.
func (t *Tree) AddHostTree(dir string, keep func(p string) bool) error {
	real, err := t.AddHost(dir)
	if err != nil {
		return err
	}
	return filepath.WalkDir(t.host(real), func(hp string, d fs.DirEntry, err error) error {
		if err != nil {
			return fmt.Errorf("cannot read %s: %w", hp, err)
		}
		rel, err := filepath.Rel(t.host(real), hp)
		if err != nil || rel == "." {
			return err
		}
		p := path.Join(real, filepath.ToSlash(rel))
		if d.IsDir() || (keep != nil && !keep(p)) {
			return nil
		}
		if d.Type()&fs.ModeSymlink != 0 {
			if _, err := os.Stat(hp); err != nil {
				return nil // a dangling link serves nobody
			}
		}
		if d.Type().IsRegular() || d.Type()&fs.ModeSymlink != 0 {
			_, err = t.AddHost(p)
		}
		return err
	})
}

// AddData adds a file with content made here.
func (t *Tree) AddData(p string, mode fs.FileMode, data []byte) {
	p = t.place(p)
	t.parents(p)
	t.put(&Entry{Path: p, Mode: mode.Perm(), Data: data, Size: machine.Bytes(len(data))})
}

// AddSource adds a file whose content comes from a path of this process.
func (t *Tree) AddSource(p string, mode fs.FileMode, source string) error {
	fi, err := os.Stat(source)
	if err != nil {
		return fmt.Errorf("cannot add %s: %w", p, err)
	}
	p = t.place(p)
	t.parents(p)
	t.put(&Entry{Path: p, Mode: mode.Perm(), Source: source, Size: machine.Bytes(fi.Size())})
	return nil
}

// AddDir adds an empty directory.
func (t *Tree) AddDir(p string, mode fs.FileMode) {
	p = t.place(p)
	t.parents(p)
	t.put(&Entry{Path: p, Mode: fs.ModeDir | mode&(fs.ModePerm|fs.ModeSticky)})
}

// AddLink adds a symbolic link.
func (t *Tree) AddLink(p, target string) {
	p = t.place(p)
	t.parents(p)
	t.put(&Entry{Path: p, Mode: fs.ModeSymlink | 0o777, Link: target})
}

// AddChar adds a character device.
func (t *Tree) AddChar(p string, mode fs.FileMode, major, minor uint32) {
	t.parents(p)
	t.put(&Entry{Path: p, Mode: fs.ModeDevice | fs.ModeCharDevice | mode.Perm(), Major: major, Minor: minor})
}

// Has says whether a path, with links followed inside the tree, is there.
func (t *Tree) Has(p string) bool { return t.entries[t.follow(p)] != nil }

// place is where a made file goes: its directory with the links of the tree
// followed, so that /bin/x lands in /usr/bin on a machine with merged /usr.
func (t *Tree) place(p string) string {
	p = path.Clean(p)
	return path.Join(t.follow(path.Dir(p)), path.Base(p))
}

// follow resolves a path inside the tree; parts that do not exist stay as they are.
func (t *Tree) follow(p string) string {
	rest := strings.Split(strings.Trim(path.Clean(p), "/"), "/")
	cur := "/"
	for n := 0; len(rest) > 0 && n < maxLinks; {
		next := path.Join(cur, rest[0])
		rest = rest[1:]
		e := t.entries[next]
		if e == nil || e.Link == "" {
			cur = next
			continue
		}
		n++
		if path.IsAbs(e.Link) {
			cur = "/"
		}
		rest = append(strings.Split(strings.Trim(e.Link, "/"), "/"), rest...)
	}
	return cur
}

func (t *Tree) parents(p string) {
	for d := path.Dir(p); d != "/"; d = path.Dir(d) {
		if t.entries[d] == nil {
			t.put(&Entry{Path: d, Mode: fs.ModeDir | 0o755})
		}
	}
}

// Size is the sum of the sizes of all files; one with several names counts once.
func (t *Tree) Size() machine.Bytes {
	var n machine.Bytes
	seen := map[inode]bool{}
	for _, e := range t.entries {
		if e.inode == (inode{}) || !seen[e.inode] {
			n += e.Size
		}
		seen[e.inode] = true
	}
	return n
}

// readHost reads a file of the machine, with links followed below Root.
func readHost(t *Tree, p string) ([]byte, error) {
	real, _, err := t.Resolve(p)
	if err != nil {
		return nil, err
	}
	return os.ReadFile(t.host(real))
}

// glob are the paths of the machine that a pattern matches, sorted. Links in
// the part before the first wildcard are followed below Root.
func (t *Tree) glob(pattern string) (out []string) {
	dir, rest := path.Split(path.Clean(pattern))
	for strings.ContainsAny(dir, `*?[`) {
		up, last := path.Split(strings.TrimSuffix(dir, "/"))
		dir, rest = up, path.Join(last, rest)
	}
	real, _, err := t.Resolve(dir)
	if err != nil {
		return nil
	}
	m, _ := filepath.Glob(t.host(path.Join(real, rest))) // its only error is a bad pattern, which matches nothing
	for _, hp := range m {
		if rel, err := filepath.Rel(t.host(real), hp); err == nil {
			out = append(out, path.Join(dir, filepath.ToSlash(rel)))
		}
	}
	sort.Strings(out)
	return out
}

// isFile says that a path of the machine, with links followed, is a regular file.
func isFile(t *Tree, p string) bool {
	fi, err := t.stat(p)
	return err == nil && fi.Mode().IsRegular()
}

// isDir says the same of a directory.
func isDir(t *Tree, p string) bool {
	fi, err := t.stat(p)
	return err == nil && fi.IsDir()
}

// stat looks at a path of the machine, with links followed below Root.
func (t *Tree) stat(p string) (fs.FileInfo, error) {
	real, _, err := t.Resolve(p)
	if err != nil {
		return nil, err
	}
	return os.Lstat(t.host(real))
}
