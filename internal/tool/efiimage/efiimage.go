// Package efiimage looks into EFI programs (PE files, "PE Format" of Microsoft):
// unified kernel images, as the UAPI Group's specification has them, and kernels
// that firmware can start. It starts nothing and makes none.
package efiimage

import (
	"bytes"
	"debug/pe"
	"errors"
	"fmt"
	"io"
)

// Kind is what an EFI program is.
type Kind int

// The kinds.
const (
	Other   Kind = iota
	Unified      // kernel, initramfs and command line in one
	Kernel       // a kernel that takes its command line from the boot entry
)

// Sections of a unified kernel image.
const (
	Initrd  = ".initrd"
	Cmdline = ".cmdline"
	Uname   = ".uname"
	linux   = ".linux"
)

// maxSection bounds what is read of a section, in bytes.
const maxSection = 1 << 30

// ErrNoSection says that a file has no section of the name.
var ErrNoSection = errors.New("there is no such section")

// KindOf says what a program is; what cannot be read is Other.
func KindOf(r io.ReaderAt) Kind {
	f, err := pe.NewFile(r)
	if err != nil {
		return Other
	}
	if f.Section(linux) != nil {
		return Unified
	}
	// The setup header of a bzImage (Documentation/arch/x86/boot.rst).
	magic := make([]byte, 4)
	if _, err := r.ReadAt(magic, 0x202); err == nil && string(magic) == "HdrS" {
		return Kernel
	}
	return Other
}

// Section is the content of a section without the zeros that fill it up. The
// error wraps ErrNoSection where there is none.
func Section(r io.ReaderAt, name string) ([]byte, error) {
	f, err := pe.NewFile(r)
	if err != nil {
		return nil, fmt.Errorf("no EFI program: %w", err)
	}
	s := f.Section(name)
	if s == nil {
		return nil, fmt.Errorf("%s: %w", name, ErrNoSection)
	}
	// What is in memory of it, without what fills up the file's last block.
	size := min(s.Size, max(s.VirtualSize, 0))
	if size == 0 {
		size = s.Size
	}
	if size > maxSection {
		return nil, fmt.Errorf("section %s has %d bytes", name, size)
	}
	b, err := io.ReadAll(io.NewSectionReader(r, int64(s.Offset), int64(size)))
	if err != nil {
		return nil, fmt.Errorf("cannot read section %s: %w", name, err)
	}
	if name != Initrd {
		b = bytes.TrimRight(b, "\x00")
	}
	return b, nil
}
