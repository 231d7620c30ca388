package archive

import (
	"strings"
	"unicode/utf8"
)

// quick decodes a record as appendRecordLine writes most of them: one flat
// object without blanks, escapes, attributes or extents. It says false for
// anything else, valid or not, which encoding/json decodes or refuses then. A
// catalogue is read several times in one restore, and this is much faster.
func (r *record) quick(line []byte) bool {
	if !utf8.Valid(line) {
		return false
	}
	s := quickLine{rest: string(line)}
	s.take('{')
	for s.ok() {
		if !s.field(r) {
			return false
		}
		if s.rest == "}" {
			// What outlives this must not keep the whole line in memory.
			r.Name, r.Link, r.User, r.Group = strings.Clone(r.Name), strings.Clone(r.Link), strings.Clone(r.User), strings.Clone(r.Group)
			return true
		}
		s.take(',')
	}
	return false
}

// quickLine is what is left of a line; bad: it is not as expected.
type quickLine struct {
	rest string
	bad  bool
}

func (s *quickLine) ok() bool { return !s.bad }

func (s *quickLine) take(c byte) {
	if s.bad || s.rest == "" || s.rest[0] != c {
		s.bad = true
		return
	}
	s.rest = s.rest[1:]
}

// text takes a string without escapes.
func (s *quickLine) text() string {
	s.take('"')
	for i := 0; i < len(s.rest) && !s.bad; i++ {
		switch c := s.rest[i]; {
		case c == '"':
			t := s.rest[:i]
			s.rest = s.rest[i+1:]
			return t
		case c == '\\' || c < ' ':
			s.bad = true
		}
	}
	s.bad = true
	return ""
}

// number takes an integer of at most 18 digits, in its only spelling.
func (s *quickLine) number() int64 {
	var v int64
	i, sign := 0, int64(1)
	if strings.HasPrefix(s.rest, "-") {
		i, sign = 1, -1
	}
	begin := i
	for ; i < len(s.rest) && s.rest[i] >= '0' && s.rest[i] <= '9'; i++ {
		v = v*10 + int64(s.rest[i]-'0')
		if i-begin == 18 {
			s.bad = true
			return 0
		}
	}
	if i == begin || s.rest[begin] == '0' && (i-begin > 1 || sign < 0) {
		s.bad = true
		return 0
	}
	s.rest = s.rest[i:]
	return sign * v
}

// natural is number for fields that are not negative.
func (s *quickLine) natural(limit int64) int64 {
	v := s.number()
	if v < 0 || v > limit {
		s.bad = true
	}
	return v
}

// field takes one key and its value.
func (s *quickLine) field(r *record) bool {
	const max32 = 1<<32 - 1
	key := s.text()
	s.take(':')
	switch key {
	case "name":
		r.Name = s.text()
	case "type":
		r.Kind = s.kind()
	case "mode":
		r.Mode = s.text()
	case "uid":
		r.UID = uint32(s.natural(max32))
	case "gid":
		r.GID = uint32(s.natural(max32))
	case "user":
		r.User = s.text()
	case "group":
		r.Group = s.text()
	case "size":
		r.Size = s.number()
	case "mtime":
		r.MTime = s.text()
	case "atime":
		r.ATime = s.text()
	case "ctime":
		r.CTime = s.text()
	case "link":
		r.Link = s.text()
	case "flags":
		r.Flags = uint32(s.natural(max32))
	case "project":
		r.Project = uint32(s.natural(max32))
	case "inode":
		r.Inode = uint64(s.natural(1<<62 - 1))
	case "dev":
		r.Dev = uint64(s.natural(1<<62 - 1))
	case "sha256":
		r.Hash = s.text()
	case "frame":
		r.Frame = s.number()
	case "offset":
		r.Offset = s.number()
	default:
		return false
	}
	return !s.bad
}

// kind takes one of the kinds, and gives the constant.
func (s *quickLine) kind() Kind {
	switch k := Kind(s.text()); k {
	case File:
		return File
	case Dir:
		return Dir
	case Symlink:
		return Symlink
	case Hardlink:
		return Hardlink
	}
	s.bad = true
	return ""
}
