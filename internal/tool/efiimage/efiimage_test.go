package efiimage

import (
	"bytes"
	"encoding/binary"
	"errors"
	"testing"
)

// program is a PE file with sections, as little of it as is read.
func program(t testing.TB, sections map[string]string, order ...string) []byte {
	t.Helper()
	const headers = 0x400
	b := make([]byte, headers)
	copy(b, "MZ")
	le := binary.LittleEndian
	le.PutUint32(b[0x3c:], 0x80)
	copy(b[0x80:], "PE\x00\x00")
	le.PutUint16(b[0x84:], 0x8664)             // machine
	le.PutUint16(b[0x86:], uint16(len(order))) // sections
	le.PutUint16(b[0x94:], 0)                  // no optional header
	for i, name := range order {
		h := b[0x98+i*40:]
		copy(h, name)
		content := sections[name]
		le.PutUint32(h[8:], uint32(len(content)))
		raw := (len(content) + 511) / 512 * 512
		le.PutUint32(h[16:], uint32(raw))
		le.PutUint32(h[20:], uint32(len(b)))
		b = append(b, content...)
		b = append(b, make([]byte, raw-len(content))...)
	}
	return b
}

func TestKindOf(t *testing.T) {
	kernel := program(t, nil)
	copy(kernel[0x202:], "HdrS")
	for name, tt := range map[string]struct {
		b    []byte
		want Kind
	}{
		"unified": {program(t, map[string]string{".linux": "k", ".initrd": "i"}, ".linux", ".initrd"), Unified},
		"kernel":  {kernel, Kernel},
		"other":   {program(t, map[string]string{".text": "x"}, ".text"), Other},
		"text":    {[]byte("#!/bin/sh\n"), Other},
		"nothing": {nil, Other},
	} {
		if got := KindOf(bytes.NewReader(tt.b)); got != tt.want {
			t.Errorf("%s: %v, not %v", name, got, tt.want)
		}
	}
}

func TestSection(t *testing.T) {
	b := program(t, map[string]string{Cmdline: "root=UUID=x ro\x00", Initrd: "070701\x00", ".linux": "k"}, ".linux", Cmdline, Initrd)
	if got, err := Section(bytes.NewReader(b), Cmdline); err != nil || string(got) != "root=UUID=x ro" {
		t.Errorf("%q, %v", got, err)
	}
	if got, err := Section(bytes.NewReader(b), Initrd); err != nil || string(got) != "070701\x00" {
		t.Errorf("%q, %v", got, err)
	}
	if _, err := Section(bytes.NewReader(b), Uname); !errors.Is(err, ErrNoSection) {
		t.Errorf("%v", err)
	}
}

func FuzzSection(f *testing.F) {
	f.Add(program(f, map[string]string{Cmdline: "x"}, Cmdline))
	f.Fuzz(func(t *testing.T, b []byte) {
		KindOf(bytes.NewReader(b))
		_, _ = Section(bytes.NewReader(b), Cmdline)
	})
}
