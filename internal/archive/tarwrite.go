package archive

import (
	"encoding/binary"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
)

// The tar stream is POSIX PAX as GNU tar writes and reads it. archive/tar of
// the standard library is not used for writing, because it allocates much
// for each header and writes neither GNU.sparse 1.0 nor raw names; the tests
// read what is written here with archive/tar and GNU tar.

const (
	blockSize   = 512
	maxOctal11  = 1<<33 - 1 // largest value of a 12 byte numeric field
	maxOctal7   = 1<<21 - 1 // largest value of an 8 byte numeric field
	maxRecords  = 32 << 20  // bytes of PAX records of one path
	xattrPrefix = "SCHILY.xattr."
	flagsKey    = "MKCDREC.flags"
	projectKey  = "MKCDREC.project"
	subvolKey   = "MKCDREC.subvol"
)

// typeFlag is the tar type of each kind; a kind that is not here is not in the tar stream.
var typeFlag = map[Kind]byte{
	File: '0', Hardlink: '1', Symlink: '2', CharDev: '3', BlockDev: '4', Dir: '5', FIFO: '6', Subvolume: '5',
}

// inTar says whether the path has a header in the tar stream.
func inTar(e *Entry) bool {
	_, ok := typeFlag[e.Kind]
	return ok && !e.Unreadable
}

// appendHeader appends the header blocks of e: extended header where one is
// needed, then the ustar block. stored is the number of content bytes that
// follow in the stream, with the sparse map and without padding.
func appendHeader(dst []byte, e *Entry, stored int64) []byte {
	name := e.Name
	if e.Kind == Dir || e.Kind == Subvolume {
		name += "/"
	}
	recs := appendRecords(nil, e, name, stored)
	if len(recs) > 0 {
		x := header{name: "PaxHeaders/mkcdrec", mode: 0o644, size: int64(len(recs)), typ: 'x'}
		dst = x.append(dst)
		dst = append(dst, recs...)
		dst = appendZeros(dst, padding(int64(len(recs))))
	}
	h := header{
		name: name, mode: e.Mode & 0o7777, uid: e.UID, gid: e.GID, size: stored, mtime: e.MTime.Unix(),
		typ: typeFlag[e.Kind], link: e.Link, user: e.User, group: e.Group, major: e.DevMajor, minor: e.DevMinor,
	}
	if e.Sparse != nil {
		h.name = sparseName(name)
	}
	if e.Kind != Symlink && e.Kind != Hardlink {
		h.link = ""
	}
	return h.append(dst)
}

// sparseName is what a tar that does not know sparse files would extract to.
func sparseName(name string) string {
	dir, base := "", name
	if i := strings.LastIndexByte(name, '/'); i >= 0 {
		dir, base = name[:i+1], name[i+1:]
	}
	return dir + "GNUSparseFile.0/" + base
}

// appendRecords appends the PAX records of e, in a fixed order.
func appendRecords(b []byte, e *Entry, name string, stored int64) []byte {
	if e.Sparse != nil {
		b = appendRecord(b, "GNU.sparse.major", "1")
		b = appendRecord(b, "GNU.sparse.minor", "0")
		b = appendRecord(b, "GNU.sparse.name", name)
		b = appendRecord(b, "GNU.sparse.realsize", strconv.FormatInt(e.Size, 10))
	} else if len(name) > 100 {
		b = appendRecord(b, "path", name)
	}
	if (e.Kind == Symlink || e.Kind == Hardlink) && len(e.Link) > 100 {
		b = appendRecord(b, "linkpath", e.Link)
	}
	if stored > maxOctal11 {
		b = appendRecord(b, "size", strconv.FormatInt(stored, 10))
	}
	if e.UID > maxOctal7 {
		b = appendRecord(b, "uid", strconv.FormatUint(uint64(e.UID), 10))
	}
	if e.GID > maxOctal7 {
		b = appendRecord(b, "gid", strconv.FormatUint(uint64(e.GID), 10))
	}
	if len(e.User) > 31 {
		b = appendRecord(b, "uname", e.User)
	}
	if len(e.Group) > 31 {
		b = appendRecord(b, "gname", e.Group)
	}
	if s := e.MTime.Unix(); e.MTime.Nanosecond() != 0 || s < 0 || s > maxOctal11 {
		b = appendTime(b, "mtime", e.MTime)
	}
	if !e.ATime.IsZero() {
		b = appendTime(b, "atime", e.ATime)
	}
	if !e.CTime.IsZero() {
		b = appendTime(b, "ctime", e.CTime)
	}
	if e.Flags != 0 {
		b = appendRecord(b, flagsKey, strconv.FormatUint(uint64(e.Flags), 16))
	}
	if e.Project != 0 {
		b = appendRecord(b, projectKey, strconv.FormatUint(uint64(e.Project), 10))
	}
	if e.Kind == Subvolume {
		b = appendRecord(b, subvolKey, "1")
	}
	if len(e.Xattrs) == 0 {
		return b
	}
	for _, k := range sortedKeys(e.Xattrs) {
		switch k {
		case "system.posix_acl_access":
			b = appendACL(b, "SCHILY.acl.access", e.Xattrs[k])
		case "system.posix_acl_default":
			b = appendACL(b, "SCHILY.acl.default", e.Xattrs[k])
		}
		b = appendRecord(b, xattrPrefix+xattrEscape.Replace(k), e.Xattrs[k])
	}
	return b
}

// GNU tar writes the two characters that a PAX keyword cannot hold like this.
var (
	xattrEscape   = strings.NewReplacer("%", "%25", "=", "%3D")
	xattrUnescape = strings.NewReplacer("%25", "%", "%3D", "=")
)

func sortedKeys(m map[string]string) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}

// appendACL appends an access control list as the text that tar programs
// expect; with --acls they do not look at the attribute itself. A list that
// is not understood is left to the attribute.
func appendACL(b []byte, key, value string) []byte {
	if text, ok := aclText([]byte(value)); ok {
		return appendRecord(b, key, text)
	}
	return b
}

// aclText is the text form of an ACL attribute (acl(5), linux/posix_acl_xattr.h).
func aclText(v []byte) (string, bool) {
	le := binary.LittleEndian
	if len(v) < 4 || (len(v)-4)%8 != 0 || le.Uint32(v) != 2 {
		return "", false
	}
	var s []string
	for p := v[4:]; len(p) > 0; p = p[8:] {
		perm := []byte("---")
		for i, c := range []byte("rwx") {
			if le.Uint16(p[2:])&(4>>i) != 0 {
				perm[i] = c
			}
		}
		var who string
		switch id := le.Uint32(p[4:]); le.Uint16(p) {
		case 0x01:
			who = "user::"
		case 0x02:
			who = fmt.Sprintf("user:%d:", id)
		case 0x04:
			who = "group::"
		case 0x08:
			who = fmt.Sprintf("group:%d:", id)
		case 0x10:
			who = "mask::"
		case 0x20:
			who = "other::"
		default:
			return "", false
		}
		s = append(s, who+string(perm))
	}
	return strings.Join(s, ","), true
}

// appendRecord appends "LENGTH KEY=VALUE\n"; LENGTH counts itself.
func appendRecord(b []byte, key, value string) []byte {
	n := len(key) + len(value) + 3 // blank, "=", newline
	total := n + len(strconv.Itoa(n))
	total = n + len(strconv.Itoa(total)) // one more digit where the first guess crossed a power of ten
	b = strconv.AppendInt(b, int64(total), 10)
	b = append(b, ' ')
	b = append(b, key...)
	b = append(b, '=')
	b = append(b, value...)
	return append(b, '\n')
}

func appendTime(b []byte, key string, t time.Time) []byte {
	var buf [40]byte
	return appendRecord(b, key, string(appendSeconds(buf[:0], t)))
}

// appendSeconds writes a time as decimal seconds since 1970, exact to the nanosecond.
func appendSeconds(b []byte, t time.Time) []byte {
	sec, ns := t.Unix(), int64(t.Nanosecond())
	if sec < 0 && ns > 0 { // -1.25 s is -2 s and 750 000 000 ns
		sec, ns = sec+1, 1e9-ns
		if sec == 0 {
			b = append(b, '-')
		}
	}
	b = strconv.AppendInt(b, sec, 10)
	if ns == 0 {
		return b
	}
	b = append(b, '.')
	frac := strconv.FormatInt(1e9+ns, 10)[1:]
	return append(b, strings.TrimRight(frac, "0")...)
}

// header is one ustar block.
type header struct {
	name         string
	mode         uint32
	uid, gid     uint32
	size, mtime  int64
	typ          byte
	link         string
	user, group  string
	major, minor uint32
}

// append writes the block. What does not fit its field is cut or zero here,
// and exact in the extended header.
func (h *header) append(dst []byte) []byte {
	n := len(dst)
	dst = appendZeros(dst, blockSize)
	b := dst[n : n+blockSize]
	copy(b[0:100], h.name)
	octal(b[100:108], int64(h.mode))
	octal(b[108:116], clamp(int64(h.uid), maxOctal7))
	octal(b[116:124], clamp(int64(h.gid), maxOctal7))
	octal(b[124:136], clamp(h.size, maxOctal11))
	octal(b[136:148], clamp(h.mtime, maxOctal11))
	copy(b[148:156], "        ")
	b[156] = h.typ
	copy(b[157:257], h.link)
	copy(b[257:265], "ustar\x0000")
	copy(b[265:296], h.user)
	copy(b[297:328], h.group)
	if h.typ == '3' || h.typ == '4' {
		octal(b[329:337], int64(h.major))
		octal(b[337:345], int64(h.minor))
	} else {
		octal(b[329:337], 0)
		octal(b[337:345], 0)
	}
	var sum int64
	for _, c := range b {
		sum += int64(c)
	}
	octal(b[148:155], sum)
	b[155] = ' '
	return dst
}

func clamp(v, limit int64) int64 {
	if v < 0 || v > limit {
		return 0
	}
	return v
}

// octal fills a field with digits and a final NUL.
func octal(field []byte, v int64) {
	for i := len(field) - 2; i >= 0; i-- {
		field[i] = '0' + byte(v&7)
		v >>= 3
	}
	field[len(field)-1] = 0
}

var zeros [64 << 10]byte

func appendZeros(b []byte, n int) []byte {
	for ; n > len(zeros); n -= len(zeros) {
		b = append(b, zeros[:]...)
	}
	return append(b, zeros[:n]...)
}

// padding is how many bytes are missing to a full block.
func padding(n int64) int { return int(-n & (blockSize - 1)) }
