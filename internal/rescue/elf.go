package rescue

import (
	"bytes"
	"debug/elf"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
)

// object is what the dynamic linker goes by in an ELF file (elf(5), ld.so(8)).
type object struct {
	class   elf.Class
	machine elf.Machine
	interp  string   // the dynamic linker; "": a library, or a static program
	soname  string   // the name that others ask for it by
	needed  []string // libraries without which it does not start
	rpath   []string // where they are looked for, with $ORIGIN and the like as written
	runpath []string
	dlopen  []string // libraries that it says it may open later
}

// Limits for what is read of a file that may be damaged.
const (
	maxDynamic = 1 << 20 // bytes of the dynamic section
	maxName    = 4096    // bytes of a path (PATH_MAX)
)

// readObject reads an ELF file by its program headers, as the kernel and the
// dynamic linker do: a file without section headers runs, too.
func readObject(r io.ReaderAt) (*object, error) {
	f, err := elf.NewFile(r)
	if err != nil {
		return nil, err
	}
	o := &object{class: f.Class, machine: f.Machine, dlopen: dlopenNotes(f)}
	for _, p := range f.Progs {
		switch p.Type {
		case elf.PT_INTERP:
			if o.interp, err = text(p, 0); err != nil {
				return nil, fmt.Errorf("interpreter: %w", err)
			}
		case elf.PT_DYNAMIC:
			if err := o.dynamic(f, p); err != nil {
				return nil, fmt.Errorf("dynamic section: %w", err)
			}
		}
	}
	return o, nil
}

// dynamic reads the entries of a dynamic section, and their names from the
// string table that it points to.
func (o *object) dynamic(f *elf.File, p *elf.Prog) error {
	b, err := io.ReadAll(io.LimitReader(p.Open(), maxDynamic))
	if err != nil {
		return err
	}
	type entry struct {
		tag elf.DynTag
		val uint64
	}
	var named []entry
	var table, size uint64
	for len(b) > 0 {
		var e entry
		if e.tag, e.val, b = dynEntry(f.Class, f.ByteOrder, b); e.tag == elf.DT_NULL {
			break
		}
		switch e.tag {
		case elf.DT_STRTAB:
			table = e.val
		case elf.DT_STRSZ:
			size = e.val
		case elf.DT_NEEDED, elf.DT_SONAME, elf.DT_RPATH, elf.DT_RUNPATH:
			named = append(named, e)
		}
	}
	strs := loaded(f, table, size)
	for _, e := range named {
		if e.val >= size || strs == nil {
			return errors.New("a name lies outside of the string table")
		}
		s, err := text(strs, int64(e.val))
		if err != nil {
			return err
		}
		switch e.tag {
		case elf.DT_NEEDED:
			o.needed = append(o.needed, s)
		case elf.DT_SONAME:
			o.soname = s
		case elf.DT_RPATH:
			o.rpath = strings.Split(s, ":")
		case elf.DT_RUNPATH:
			o.runpath = strings.Split(s, ":")
		}
	}
	if o.runpath != nil {
		o.rpath = nil // both: RPATH does not count (ld.so(8))
	}
	return nil
}

func dynEntry(class elf.Class, order binary.ByteOrder, b []byte) (tag elf.DynTag, val uint64, rest []byte) {
	switch {
	case class == elf.ELFCLASS64 && len(b) >= 16:
		return elf.DynTag(order.Uint64(b)), order.Uint64(b[8:]), b[16:]
	case class == elf.ELFCLASS32 && len(b) >= 8:
		return elf.DynTag(order.Uint32(b)), uint64(order.Uint32(b[4:])), b[8:]
	}
	return elf.DT_NULL, 0, nil
}

// loaded is the part of the file that lies at an address when it runs; nil if none does.
func loaded(f *elf.File, addr, size uint64) io.ReaderAt {
	for _, p := range f.Progs {
		if p.Type == elf.PT_LOAD && addr >= p.Vaddr && addr-p.Vaddr < p.Filesz {
			off := addr - p.Vaddr
			return io.NewSectionReader(p.ReaderAt, int64(off), int64(min(size, p.Filesz-off)))
		}
	}
	return nil
}

// text reads a name that ends with a zero byte, or with its source.
func text(r io.ReaderAt, off int64) (string, error) {
	b := make([]byte, maxName)
	n, err := r.ReadAt(b, off)
	if err != nil && !errors.Is(err, io.EOF) {
		return "", err
	}
	s, _, ended := bytes.Cut(b[:n], []byte{0})
	if !ended && n == maxName {
		return "", errors.New("a name is too long")
	}
	return string(s), nil
}

// dlopenNotes reads the libraries an object says it may open, as the
// .note.dlopen of systemd 256 and newer (uapi-group.org, ELF dlopen metadata).
func dlopenNotes(f *elf.File) []string {
	s := f.Section(".note.dlopen")
	if s == nil {
		return nil
	}
	b, err := s.Data()
	if err != nil {
		return nil
	}
	return parseDlopen(f.ByteOrder, b)
}

func parseDlopen(order binary.ByteOrder, b []byte) (out []string) {
	for len(b) >= 12 {
		nameLen, descLen := int64(order.Uint32(b)), int64(order.Uint32(b[4:]))
		start := 12 + (nameLen+3)&^3
		end := start + descLen
		if end > int64(len(b)) {
			break
		}
		var notes []struct {
			Priority string   `json:"priority"`
			Soname   []string `json:"soname"`
		}
		if json.Unmarshal(bytes.TrimRight(b[start:end], "\x00"), &notes) == nil {
			for _, n := range notes {
				if n.Priority != "suggested" {
					out = append(out, n.Soname...)
				}
			}
		}
		b = b[min(int64(len(b)), (end+3)&^3):]
	}
	return out
}
