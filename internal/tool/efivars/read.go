// Package efivars reads boot entries and the state of Secure Boot from
// efivarfs. It reads files only; entries are written by way of efibootmgr.
package efivars

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"sort"
	"strings"
	"unicode/utf16"

	"github.com/mkcdrec/mkcdrec/internal/machine"
)

// Global is the vendor GUID of the variables that the UEFI specification defines.
const Global = "8be4df61-93ca-11d2-aa0d-00e098032b8c"

// maxVariable bounds what is read of one variable, in bytes.
const maxVariable = 64 << 10

// Read reads the boot entries in boot order, then those that are not in it,
// and whether Secure Boot is on. fsys is /sys/firmware/efi/efivars. Entries
// that cannot be understood are left out and named in the error, next to the
// others.
func Read(fsys fs.FS) (entries []machine.EFIEntry, secureBoot bool, err error) {
	list, err := fs.ReadDir(fsys, ".")
	if err != nil {
		return nil, false, fmt.Errorf("cannot read EFI variables: %w", err)
	}
	if b, err := variable(fsys, "SecureBoot"); err == nil {
		secureBoot = len(b) > 0 && b[0] == 1
	}
	var order []string
	if b, err := variable(fsys, "BootOrder"); err == nil {
		for ; len(b) >= 2; b = b[2:] {
			order = append(order, fmt.Sprintf("%04X", binary.LittleEndian.Uint16(b)))
		}
	}
	var problems []error
	for _, f := range list {
		number, ok := bootNumber(f.Name())
		if !ok {
			continue
		}
		b, err := variable(fsys, "Boot"+number)
		if err == nil {
			var e machine.EFIEntry
			if e, err = ParseLoadOption(b); err == nil {
				e.Number, e.Unlisted = number, !slices.Contains(order, number)
				entries = append(entries, e)
			}
		}
		if err != nil {
			problems = append(problems, fmt.Errorf("cannot read EFI boot entry %s: %w", number, err))
		}
	}
	rank := func(n string) int {
		if i := slices.Index(order, n); i >= 0 {
			return i
		}
		return len(order)
	}
	sort.SliceStable(entries, func(i, j int) bool { return rank(entries[i].Number) < rank(entries[j].Number) })
	return entries, secureBoot, errors.Join(problems...)
}

func bootNumber(file string) (string, bool) {
	number, ok := strings.CutSuffix(file, "-"+Global)
	if !ok {
		return "", false
	}
	number, ok = strings.CutPrefix(number, "Boot")
	return number, ok && len(number) == 4 && strings.Trim(number, "0123456789ABCDEF") == ""
}

// variable reads one variable without the four bytes of attributes that
// efivarfs puts in front.
func variable(fsys fs.FS, name string) ([]byte, error) {
	b, err := fs.ReadFile(fsys, name+"-"+Global)
	if err != nil {
		return nil, err
	}
	if len(b) < 4 || len(b) > maxVariable {
		return nil, fmt.Errorf("variable of %d bytes", len(b))
	}
	return b[4:], nil
}

// ParseLoadOption reads an EFI_LOAD_OPTION (UEFI specification 2.10, 3.1.3):
// label, active, of the device path the partition and the loader's path, and
// what the loader is given.
func ParseLoadOption(b []byte) (machine.EFIEntry, error) {
	if len(b) < 6 {
		return machine.EFIEntry{}, errors.New("load option is too short")
	}
	pathLen := int(binary.LittleEndian.Uint16(b[4:]))
	e := machine.EFIEntry{Active: binary.LittleEndian.Uint32(b)&1 != 0}
	label, rest, ok := ucs2(b[6:])
	if !ok {
		return machine.EFIEntry{}, errors.New("label has no end")
	}
	if pathLen > len(rest) {
		return machine.EFIEntry{}, fmt.Errorf("device path of %d bytes in %d", pathLen, len(rest))
	}
	e.Label = label
	if pathLen < len(rest) {
		e.Data = slices.Clone(rest[pathLen:])
	}
	err := devicePath(rest[:pathLen], &e)
	return e, err
}

// devicePath reads the nodes that matter (UEFI specification 2.10, 10.3.5).
func devicePath(b []byte, e *machine.EFIEntry) error {
	const media, hardDrive, filePath, end = 4, 1, 4, 0x7F
	for len(b) >= 4 {
		kind, sub, length := b[0], b[1], int(binary.LittleEndian.Uint16(b[2:]))
		if length < 4 || length > len(b) {
			return fmt.Errorf("device path node of %d bytes in %d", length, len(b))
		}
		node := b[4:length]
		switch {
		case kind == end:
			return nil
		case kind == media && sub == hardDrive && len(node) >= 38:
			if node[37] == 2 { // signature is a GUID
				e.PartUUID = guid(node[20:36])
			} else if node[37] == 1 { // MBR disk ID
				e.PartUUID = fmt.Sprintf("%08x-%02x", binary.LittleEndian.Uint32(node[20:]), binary.LittleEndian.Uint32(node))
			}
		case kind == media && sub == filePath:
			s, _, _ := ucs2(append(slices.Clip(node), 0, 0))
			e.Loader += s
		}
		b = b[length:]
	}
	return nil
}

// ucs2 reads a string up to its NUL, and gives what follows.
func ucs2(b []byte) (s string, rest []byte, ok bool) {
	var units []uint16
	for ; len(b) >= 2; b = b[2:] {
		u := binary.LittleEndian.Uint16(b)
		if u == 0 {
			return string(utf16.Decode(units)), b[2:], true
		}
		units = append(units, u)
	}
	return "", nil, false
}

// guid writes a GUID whose first three fields are little-endian.
func guid(b []byte) string {
	le := binary.LittleEndian
	return fmt.Sprintf("%08x-%04x-%04x-%x-%x", le.Uint32(b), le.Uint16(b[4:]), le.Uint16(b[6:]), b[8:10], b[10:16])
}
