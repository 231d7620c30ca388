package iso9660

import (
	"errors"
	"fmt"
	"sort"
	"strings"
	"unicode/utf16"
	"unicode/utf8"
)

// node is a file or directory of the image being written.
type node struct {
	name     string
	parent   *node
	children map[string]*node // nil: a file
	lba      int64            // a file's first sector
	size     int64            // a file's size in bytes
}

func newDir(name string) *node { return &node{name: name, children: map[string]*node{}} }

func (n *node) isDir() bool { return n.children != nil }

// check says why a file of this name cannot be added.
func (n *node) check(name string) error {
	parts := strings.Split(name, "/")
	for i, p := range parts {
		switch {
		case p == "" || p == "." || p == "..":
			return errors.New("a name is relative, without empty, . and .. parts")
		case len(p) > 255:
			return fmt.Errorf("a part of the name has %d bytes, more than 255", len(p))
		case strings.ContainsRune(p, 0):
			return errors.New("a name cannot contain a zero byte")
		}
		if n == nil {
			continue
		}
		n = n.children[p]
		if n != nil && !n.isDir() && i < len(parts)-1 {
			return fmt.Errorf("%s is a file", strings.Join(parts[:i+1], "/"))
		}
	}
	if n != nil {
		return errors.New("it is already there")
	}
	return nil
}

// add adds a checked name.
func (n *node) add(name string, lba, size int64) {
	parts := strings.Split(name, "/")
	for _, p := range parts[:len(parts)-1] {
		c := n.children[p]
		if c == nil {
			c = newDir(p)
			c.parent = n
			n.children[p] = c
		}
		n = c
	}
	last := parts[len(parts)-1]
	n.children[last] = &node{name: last, parent: n, lba: lba, size: size}
}

// subdirs is the number of directories in n.
func (n *node) subdirs() int {
	k := 0
	for _, c := range n.children {
		if c.isDir() {
			k++
		}
	}
	return k
}

// named is a child with the name it has in one of the two hierarchies.
type named struct {
	id   []byte // as it stands in the directory record
	node *node
}

// naming turns names into identifiers of a hierarchy. try gives the identifier
// of a name; number n > 0 asks for the n-th variant of it, after a collision.
type naming func(name string, dir bool, n int) []byte

// sorted is n's children with identifiers that differ, in the order that a
// directory has them, without version numbers. It depends on the names alone,
// not on the map's order.
func (n *node) sorted(try naming) []named {
	names := make([]string, 0, len(n.children))
	for name := range n.children {
		names = append(names, name)
	}
	sort.Strings(names)
	used := map[string]bool{}
	next := map[string]int{} // where the search for a free variant goes on
	list := make([]named, 0, len(names))
	for _, name := range names {
		c := n.children[name]
		plain := string(try(name, c.isDir(), 0))
		id := plain
		for used[id] {
			next[plain]++
			id = string(try(name, c.isDir(), next[plain]))
		}
		used[id] = true
		list = append(list, named{[]byte(id), c})
	}
	sort.Slice(list, func(i, j int) bool { return string(list[i].id) < string(list[j].id) })
	return list
}

// primaryName is a name in d-characters, at most 30 with the dot (ECMA-119
// 7.5, level 2). The true name is in Rock Ridge's NM.
func primaryName(name string, dir bool, n int) []byte {
	base, ext := strings.ToUpper(name), ""
	if i := strings.LastIndexByte(base, '.'); i > 0 && !dir {
		base, ext = base[:i], base[i+1:]
	}
	clean := func(s string) string {
		b := []byte(s)
		for i, c := range b {
			if (c < 'A' || c > 'Z') && (c < '0' || c > '9') {
				b[i] = '_'
			}
		}
		return string(b)
	}
	base, ext = clean(base), clean(ext)
	if len(ext) > 8 {
		ext = ext[:8]
	}
	number := ""
	if n > 0 {
		number = fmt.Sprintf("_%d", n)
	}
	room := 29 - len(ext)
	if len(base) > room-len(number) {
		base = base[:room-len(number)]
	}
	base += number
	if dir {
		return []byte(base)
	}
	return []byte(base + "." + ext)
}

// jolietName is a name in UCS-2 with the characters that Joliet allows, at
// most 64 of them (Joliet specification, section 3).
func jolietName(name string, _ bool, n int) []byte {
	var runes []rune
	if utf8.ValidString(name) {
		runes = []rune(name)
	} else {
		for _, c := range []byte(name) {
			runes = append(runes, rune(c))
		}
	}
	for i, r := range runes {
		if r < 0x20 || r > 0xFFFF || strings.ContainsRune(`*/:;?\`, r) {
			runes[i] = '_'
		}
	}
	number := ""
	if n > 0 {
		number = fmt.Sprintf("_%d", n)
	}
	room := 62 - len(number)
	if len(runes) > room {
		runes = runes[:room]
	}
	runes = append(runes, []rune(number)...)
	var b []byte
	for _, u := range utf16.Encode(runes) {
		b = append(b, byte(u>>8), byte(u))
	}
	return b
}
