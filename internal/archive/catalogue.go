package archive

import (
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"
)

// maxRecord is the largest record of the catalogue, in bytes.
const maxRecord = 128 << 20

// record is the JSON form of an Entry, one a line. A name that is not valid
// UTF-8 stands in its ...64 field, in base64; exactly one of the two is there.
type record struct {
	Name       string            `json:"name,omitempty"`
	Name64     string            `json:"name64,omitempty"`
	Kind       Kind              `json:"type"`
	Mode       string            `json:"mode"` // octal
	UID        uint32            `json:"uid"`
	GID        uint32            `json:"gid"`
	User       string            `json:"user,omitempty"`
	Group      string            `json:"group,omitempty"`
	Size       int64             `json:"size,omitempty"`
	MTime      string            `json:"mtime,omitempty"` // decimal seconds since 1970
	ATime      string            `json:"atime,omitempty"`
	CTime      string            `json:"ctime,omitempty"`
	Link       string            `json:"link,omitempty"`
	Link64     string            `json:"link64,omitempty"`
	Major      uint32            `json:"major,omitempty"`
	Minor      uint32            `json:"minor,omitempty"`
	Xattrs     map[string]string `json:"xattrs,omitempty"`   // values in base64
	Xattrs64   map[string]string `json:"xattrs64,omitempty"` // names too
	Flags      uint32            `json:"flags,omitempty"`
	Project    uint32            `json:"project,omitempty"`
	Sparse     *[]Extent         `json:"sparse,omitempty"`
	Inode      uint64            `json:"inode,omitempty"`
	Dev        uint64            `json:"dev,omitempty"`
	Hash       string            `json:"sha256,omitempty"`
	Frame      int64             `json:"frame"` // -1: not in the tar stream
	Offset     int64             `json:"offset,omitempty"`
	Problem    string            `json:"problem,omitempty"`
	Unreadable bool              `json:"unreadable,omitempty"`
}

// appendRecordLine appends the catalogue line of e.
func appendRecordLine(b []byte, e *Entry) ([]byte, error) {
	r := record{
		Kind: e.Kind, Mode: strconv.FormatUint(uint64(e.Mode), 8), UID: e.UID, GID: e.GID,
		User: e.User, Group: e.Group, Size: e.Size, Major: e.DevMajor, Minor: e.DevMinor,
		MTime: timeText(e.MTime), ATime: timeText(e.ATime), CTime: timeText(e.CTime),
		Flags: e.Flags, Project: e.Project, Inode: e.Inode, Dev: e.Dev, Frame: e.Frame, Offset: e.FrameOffset,
		Problem: e.Problem, Unreadable: e.Unreadable,
	}
	r.Name, r.Name64 = textOr64(e.Name)
	r.Link, r.Link64 = textOr64(e.Link)
	if e.Sparse != nil {
		r.Sparse = &e.Sparse
	}
	if e.Kind == File && !e.Unreadable {
		r.Hash = hex.EncodeToString(e.Hash[:])
	}
	for k, v := range e.Xattrs {
		to, key := &r.Xattrs, k
		if !utf8.ValidString(k) {
			to, key = &r.Xattrs64, base64.StdEncoding.EncodeToString([]byte(k))
		}
		if *to == nil {
			*to = map[string]string{}
		}
		(*to)[key] = base64.StdEncoding.EncodeToString([]byte(v))
	}
	line, err := json.Marshal(&r)
	if err != nil {
		return b, fmt.Errorf("cannot record %s: %w", Show(e.Name), err)
	}
	return append(append(b, line...), '\n'), nil
}

func textOr64(s string) (text, b64 string) {
	if utf8.ValidString(s) {
		return s, ""
	}
	return "", base64.StdEncoding.EncodeToString([]byte(s))
}

func timeText(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return string(appendSeconds(nil, t))
}

// parseRecord reads one line of the catalogue and checks what must hold for
// every entry, whoever wrote it.
func parseRecord(line []byte) (*Entry, error) {
	var r record
	if !r.quick(line) {
		r = record{}
		if err := json.Unmarshal(line, &r); err != nil {
			return nil, err
		}
	}
	mode, err := strconv.ParseUint(r.Mode, 8, 12)
	if err != nil {
		return nil, fmt.Errorf("mode %q", r.Mode)
	}
	e := &Entry{
		Kind: r.Kind, Mode: uint32(mode), UID: r.UID, GID: r.GID, User: r.User, Group: r.Group, Size: r.Size,
		DevMajor: r.Major, DevMinor: r.Minor, Flags: r.Flags, Project: r.Project, Inode: r.Inode, Dev: r.Dev,
		Frame: r.Frame, FrameOffset: r.Offset, Problem: r.Problem, Unreadable: r.Unreadable,
	}
	if e.Name, err = either(r.Name, r.Name64); err != nil {
		return nil, err
	}
	if e.Link, err = either(r.Link, r.Link64); err != nil {
		return nil, err
	}
	for _, t := range []struct {
		to   *time.Time
		from string
	}{{&e.MTime, r.MTime}, {&e.ATime, r.ATime}, {&e.CTime, r.CTime}} {
		if t.from == "" {
			continue
		}
		if *t.to, err = parseSeconds(t.from); err != nil {
			return nil, err
		}
	}
	for k, v := range r.Xattrs {
		if err := e.addXattr64(k, v); err != nil {
			return nil, err
		}
	}
	for k, v := range r.Xattrs64 {
		key, err := base64.StdEncoding.DecodeString(k)
		if err != nil {
			return nil, err
		}
		if err := e.addXattr64(string(key), v); err != nil {
			return nil, err
		}
	}
	if r.Sparse != nil {
		e.Sparse = append([]Extent{}, *r.Sparse...)
	}
	if r.Hash != "" {
		if n, err := hex.Decode(e.Hash[:], []byte(r.Hash[:min(len(r.Hash), 64)])); err != nil || n != 32 || len(r.Hash) != 64 {
			return nil, fmt.Errorf("sha256 %q", r.Hash)
		}
	}
	return e, e.check()
}

func (e *Entry) addXattr64(name, value string) error {
	v, err := base64.StdEncoding.DecodeString(value)
	if err != nil {
		return err
	}
	if e.Xattrs == nil {
		e.Xattrs = map[string]string{}
	}
	e.Xattrs[name] = string(v)
	return nil
}

func either(text, b64 string) (string, error) {
	if b64 == "" {
		return text, nil
	}
	if text != "" {
		return "", errors.New("a name is given twice")
	}
	b, err := base64.StdEncoding.DecodeString(b64)
	return string(b), err
}

// check says whether the entry is one that a Writer could have written. Names
// that would lead out of the target are refused here, once for all readers.
func (e *Entry) check() error {
	if err := checkName(e.Name); err != nil {
		return err
	}
	if e.Kind == Hardlink {
		if err := checkName(e.Link); err != nil {
			return fmt.Errorf("hard link: %w", err)
		}
	}
	if _, ok := typeFlag[e.Kind]; !ok && e.Kind != Socket {
		return fmt.Errorf("type %q is not known", e.Kind)
	}
	if strings.ContainsRune(e.Link, 0) {
		return errors.New("link target has a zero byte")
	}
	if e.Size < 0 || e.Size != 0 && e.Kind != File {
		return fmt.Errorf("size %d of a %s", e.Size, e.Kind)
	}
	if e.Mode > 0o7777 {
		return fmt.Errorf("mode %o", e.Mode)
	}
	if e.Frame < -1 || e.FrameOffset < 0 {
		return fmt.Errorf("position %d in frame %d", e.FrameOffset, e.Frame)
	}
	if e.Sparse != nil {
		return checkExtents(e.Size, e.Sparse)
	}
	return nil
}

// checkExtents says whether extents are in order, apart and within size.
func checkExtents(size int64, extents []Extent) error {
	if len(extents) > maxExtents+1 {
		return fmt.Errorf("%d extents", len(extents))
	}
	var end int64
	for _, x := range extents {
		if x.Offset < end || x.Length < 0 || x.Offset > size || x.Length > size-x.Offset {
			return fmt.Errorf("extents are not in order or not within %d bytes", size)
		}
		end = x.Offset + x.Length
	}
	return nil
}

// checkName accepts "." and relative names without empty, "." and ".." parts.
func checkName(name string) error {
	if name == "." {
		return nil
	}
	if name == "" || len(name) > 1<<16 || strings.ContainsRune(name, 0) {
		return fmt.Errorf("name %q", name[:min(len(name), 100)])
	}
	for part := range strings.SplitSeq(name, "/") {
		if part == "" || part == "." || part == ".." {
			return fmt.Errorf("name %q is not a plain relative one", name)
		}
	}
	return nil
}

// Show is a name as it is shown to people: quoted where it has unprintable bytes.
func Show(name string) string {
	if q := strconv.Quote(name); len(q) != len(name)+2 {
		return q
	}
	return name
}

// parseSeconds reads decimal seconds since 1970.
func parseSeconds(s string) (time.Time, error) {
	whole, frac, _ := strings.Cut(s, ".")
	sec, err := strconv.ParseInt(whole, 10, 64)
	if err != nil || len(whole) == 0 || whole[0] == '+' {
		return time.Time{}, fmt.Errorf("time %q", s)
	}
	var ns int64
	for i := range 9 {
		ns *= 10
		if i < len(frac) {
			if frac[i] < '0' || frac[i] > '9' {
				return time.Time{}, fmt.Errorf("time %q", s)
			}
			ns += int64(frac[i] - '0')
		}
	}
	if whole[0] == '-' {
		ns = -ns
	}
	return time.Unix(sec, ns), nil
}
