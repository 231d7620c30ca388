// Package cryptsetup knows cryptsetup(8): the headers of LUKS devices, read
// from their documented bytes, and the commands that make, open and copy them.
// Pass phrases and keys go to the program by its standard input only.
package cryptsetup

import (
	"bytes"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"hash"
	"io"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/mkcdrec/mkcdrec/internal/machine"
)

// ErrNot says that a device has no LUKS header.
var ErrNot = errors.New("no LUKS header")

// Header is what a LUKS header says. Crypt has all that the header knows: not
// the name of the mapping, its size, nor the device.
type Header struct {
	Crypt machine.Crypt
	// Data is the fixed size of the data; 0 where it takes all of the device.
	Data machine.Bytes
	// Length is how many bytes of the device the header and its key slots take.
	Length machine.Bytes
	// Requires are what the header demands of whoever opens it: a device that
	// is being encrypted anew, hardware encryption.
	Requires []string
	// Integrity is the kind of authenticated encryption, "" for none.
	Integrity string
}

var (
	magic      = []byte("LUKS\xba\xbe")
	magicCopy  = []byte("SKUL\xba\xbe")
	uuidFormat = regexp.MustCompile(`^[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}$`)
)

// sector is the unit of offsets in headers, whatever sectors the disk has.
const sector = 512

// ReadHeader reads the header at the beginning of a device, or of a copy of
// it. The error wraps ErrNot where there is none.
//
// Sources: LUKS1 On-Disk Format Specification 1.2.3 (Fruhwirth, Broz) and
// LUKS2 On-Disk Format Specification 1.1.1 (Broz).
func ReadHeader(r io.ReaderAt) (Header, error) {
	b := make([]byte, luks1Size)
	if err := readAt(r, b, 0); err != nil {
		return Header{}, err
	}
	first := binary.BigEndian.Uint16(b[6:])
	switch {
	case bytes.HasPrefix(b, magic) && first == 1:
		return luks1(b)
	case bytes.HasPrefix(b, magic) && first == 2:
		if h, err := luks2(r, 0, magic); err == nil {
			return h, nil
		}
	}
	// The second copy stands where a first one of any allowed size ends.
	for size := int64(16 << 10); size <= maxLUKS2; size *= 2 {
		if h, err := luks2(r, size, magicCopy); err == nil {
			return h, nil
		}
	}
	if bytes.HasPrefix(b, magic) {
		return Header{}, fmt.Errorf("a LUKS header of version %d, which is damaged or not known: %w", first, ErrNot)
	}
	return Header{}, ErrNot
}

// readAt fills b; what ends before is no header.
func readAt(r io.ReaderAt, b []byte, off int64) error {
	n, err := r.ReadAt(b, off)
	switch {
	case n == len(b):
		return nil
	case err == nil || errors.Is(err, io.EOF):
		return ErrNot
	}
	return fmt.Errorf("cannot read %d bytes at %d: %w", len(b), off, err)
}

// text is a field padded with NULs, as valid UTF-8 (JSON can hold no other).
func text(b []byte) string {
	if i := bytes.IndexByte(b, 0); i >= 0 {
		b = b[:i]
	}
	return strings.ToValidUTF8(string(b), "\uFFFD")
}

// Layout of LUKS1: eight key slots of 48 bytes behind 208 bytes.
const (
	luks1Size    = 592
	luks1Slots   = 208
	luks1Enabled = 0x00AC71F3
)

func luks1(b []byte) (Header, error) {
	be := binary.BigEndian
	c := machine.Crypt{
		Version: 1, Cipher: text(b[8:40]) + "-" + text(b[40:72]), KeyBits: int(be.Uint32(b[108:])) * 8,
		SectorSize: sector, Offset: machine.Bytes(be.Uint32(b[104:])) * sector, UUID: text(b[168:208]),
	}
	for i := range 8 {
		slot := b[luks1Slots+48*i:]
		if be.Uint32(slot) != luks1Enabled {
			continue
		}
		if c.Slots++; c.Slots == 1 {
			c.KDF = machine.KDF{Kind: "pbkdf2", Hash: text(b[72:104]), Iterations: int(be.Uint32(slot[4:]))}
		}
	}
	h := Header{Crypt: c, Length: c.Offset}
	return h, h.check()
}

// check refuses what no header has; a UUID becomes a part of file names.
func (h Header) check() error {
	c := h.Crypt
	if !uuidFormat.MatchString(c.UUID) || c.KeyBits <= 0 || c.KeyBits > 8192 || c.Offset < 0 || c.Offset > 1<<50 || h.Length > 1<<30 {
		return fmt.Errorf("LUKS%d with UUID %q, a key of %d bits, data from byte %d: %w", c.Version, c.UUID, c.KeyBits, c.Offset, ErrNot)
	}
	return nil
}

const maxLUKS2 = 4 << 20 // bytes of one copy of the header

// luks2 reads one of the two copies and compares its checksum.
func luks2(r io.ReaderAt, off int64, want []byte) (Header, error) {
	bin := make([]byte, 4096)
	if err := readAt(r, bin, off); err != nil {
		return Header{}, err
	}
	be := binary.BigEndian
	size := be.Uint64(bin[8:])
	if !bytes.HasPrefix(bin, want) || be.Uint16(bin[6:]) != 2 || size < 16<<10 || size > maxLUKS2 || size&(size-1) != 0 || be.Uint64(bin[256:]) != uint64(off) {
		return Header{}, ErrNot
	}
	whole := make([]byte, size)
	if err := readAt(r, whole, off); err != nil {
		return Header{}, err
	}
	sums := map[string]func() hash.Hash{"sha256": sha256.New, "sha512": sha512.New}
	if sum := sums[text(bin[72:104])]; sum != nil {
		said := bin[448:512]
		clear(whole[448:512])
		h := sum()
		h.Write(whole)
		if is := h.Sum(nil); !bytes.Equal(is, said[:len(is)]) {
			return Header{}, fmt.Errorf("a LUKS2 header that does not match its checksum: %w", ErrNot)
		}
	}
	h, err := luks2JSON(bytes.TrimRight(whole[4096:], "\x00"))
	if err != nil {
		return Header{}, err
	}
	h.Crypt.Label, h.Crypt.Subsystem, h.Crypt.UUID = text(bin[24:72]), text(bin[208:256]), text(bin[168:208])
	h.Length += 2 * machine.Bytes(size)
	return h, h.check()
}

// number is a decimal number in quotes, as LUKS2 writes 64 bits.
type number string

func (n number) bytes() machine.Bytes {
	v, err := strconv.ParseInt(string(n), 10, 64)
	if err != nil || v < 0 {
		return -1
	}
	return machine.Bytes(v)
}

// metadata is what is read of LUKS2's JSON.
type metadata struct {
	Keyslots map[string]struct {
		KeySize int `json:"key_size"`
		AF      struct{ Hash string }
		KDF     struct {
			Type       string
			Hash       string
			Iterations int
			Time       int
			Memory     int
			CPUs       int
		}
	}
	Tokens   map[string]struct{ Type string }
	Segments map[string]struct {
		Type       string
		Offset     number
		Size       number
		Encryption string
		SectorSize machine.Bytes `json:"sector_size"`
		Integrity  struct{ Type string }
	}
	Config struct {
		KeyslotsSize number `json:"keyslots_size"`
		Flags        []string
		Requirements struct{ Mandatory []string }
	}
}

func luks2JSON(b []byte) (Header, error) {
	var m metadata
	if err := json.Unmarshal(b, &m); err != nil {
		return Header{}, fmt.Errorf("a LUKS2 header that cannot be decoded (%w): %w", err, ErrNot)
	}
	h := Header{Length: max(m.Config.KeyslotsSize.bytes(), 0), Requires: m.Config.Requirements.Mandatory}
	c := &h.Crypt
	c.Version, c.Flags = 2, m.Config.Flags
	seg, ok := m.Segments["0"]
	if !ok || seg.Type != "crypt" {
		return Header{}, fmt.Errorf("a LUKS2 header with a data segment of type %q: %w", seg.Type, ErrNot)
	}
	c.Cipher, c.SectorSize, c.Offset, h.Integrity = seg.Encryption, seg.SectorSize, seg.Offset.bytes(), seg.Integrity.Type
	if seg.Size != "dynamic" {
		if h.Data = seg.Size.bytes(); h.Data <= 0 {
			return Header{}, fmt.Errorf("a LUKS2 header with %q bytes of data: %w", seg.Size, ErrNot)
		}
	}
	// Key slots by number; "10" comes behind "9".
	slots := slices.SortedFunc(maps.Keys(m.Keyslots), func(a, b string) int {
		if len(a) != len(b) {
			return len(a) - len(b)
		}
		return strings.Compare(a, b)
	})
	c.Slots = len(slots)
	for i, n := range slots {
		s := m.Keyslots[n]
		c.KeyBits = max(c.KeyBits, s.KeySize*8)
		if i > 0 {
			continue
		}
		k := s.KDF
		c.KDF = machine.KDF{Kind: k.Type, Hash: k.Hash, Iterations: k.Iterations + k.Time, Memory: k.Memory, Threads: k.CPUs}
		if c.KDF.Hash == "" {
			c.KDF.Hash = s.AF.Hash
		}
	}
	for _, n := range slices.Sorted(maps.Keys(m.Tokens)) {
		if kind := m.Tokens[n].Type; !slices.Contains(c.Tokens, kind) {
			c.Tokens = append(c.Tokens, kind)
		}
	}
	return h, nil
}
