package rescue

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

func TestReadObject(t *testing.T) {
	for _, class32 := range []bool{false, true} {
		b := binaryFile{interp: "/ld.so", soname: "libx.so.1", needed: []string{"liba.so", "libb.so"}, runpath: "$ORIGIN:/opt", rpath: "/old", class32: class32}
		o, err := readObject(bytes.NewReader(b.handmade()))
		if err != nil {
			t.Fatal(err)
		}
		if o.interp != b.interp || o.soname != b.soname || !slices.Equal(o.needed, b.needed) || !slices.Equal(o.runpath, []string{"$ORIGIN", "/opt"}) || o.rpath != nil {
			t.Errorf("read %+v", o)
		}
		// A file that was cut is an error, or misses nothing: the linker would not start it with less.
		whole := b.handmade()
		for n := range len(whole) {
			if o, err := readObject(bytes.NewReader(whole[:n])); err == nil && len(o.needed) > 0 && !slices.Equal(o.needed, b.needed) {
				t.Errorf("cut to %d of %d bytes, it needs %q", n, len(whole), o.needed)
			}
		}
	}
}

// dlopenNote is one note of a .note.dlopen section.
func dlopenNote(owner, desc string) []byte {
	pad := func(b []byte) []byte {
		for len(b)%4 != 0 {
			b = append(b, 0)
		}
		return b
	}
	b := binary.LittleEndian.AppendUint32(nil, uint32(len(owner)+1))
	b = binary.LittleEndian.AppendUint32(b, uint32(len(desc)+1))
	b = binary.LittleEndian.AppendUint32(b, 0x407c0c0a)
	return pad(append(pad(append(b, owner+"\x00"...)), desc+"\x00"...))
}

func TestParseDlopen(t *testing.T) {
	b := slices.Concat(
		dlopenNote("FDO", `[{"feature":"x","priority":"recommended","soname":["liba.so.1","liba.so.0"]}]`),
		dlopenNote("FDO", `[{"priority":"suggested","soname":["libno.so.1"]}]`),
		dlopenNote("FDO", `not JSON`),
		dlopenNote("FDO", `[{"priority":"required","soname":["libb.so.1"]}]`))
	want := []string{"liba.so.1", "liba.so.0", "libb.so.1"}
	if got := parseDlopen(binary.LittleEndian, b); !slices.Equal(got, want) {
		t.Errorf("read %q", got)
	}
	if got := parseDlopen(binary.LittleEndian, b[:len(b)-9]); !slices.Equal(got, want[:2]) {
		t.Errorf("cut: read %q", got)
	}
}

// Whatever a file says of itself, adding it ends, stays below the root, and
// leaves nothing behind that cannot be there.
func FuzzClosure(f *testing.F) {
	for _, b := range []binaryFile{program("liba.so"), program("../../../../etc/passwd"), program("/etc/passwd").withRUNPATH("$ORIGIN/../../../.."), {interp: "../../ld.so"}, {class32: true, needed: []string{"liba.so"}}, library("liba.so", "liba.so").withRPATH(":::")} {
		f.Add(b.handmade())
	}
	f.Add([]byte("#!/bin/prog\n"))
	f.Add([]byte("#! /usr/bin/env -S A=1 prog\n"))
	f.Add(dlopenNote("FDO", `[{"soname":["liba.so"]}]`))
	root := f.TempDir()
	for p, b := range map[string][]byte{"usr/lib/liba.so": library("liba.so").handmade(), testInterp: library("ld.so").handmade(), "usr/bin/env": []byte("#!/bin/prog")} {
		if err := os.MkdirAll(filepath.Join(root, filepath.Dir(p)), 0o755); err != nil {
			f.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(root, p), b, 0o755); err != nil {
			f.Fatal(err)
		}
	}
	if err := os.MkdirAll(filepath.Join(root, "bin"), 0o755); err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		parseDlopen(binary.LittleEndian, b)
		prog := filepath.Join(root, "bin/prog")
		if err := os.Remove(prog); err != nil && !errors.Is(err, fs.ErrNotExist) { // ext4 flushes a file that is cut and written again
			t.Fatal(err)
		}
		if err := os.WriteFile(prog, b, 0o755); err != nil {
			t.Fatal(err)
		}
		tree := NewTree(root)
		err := newClosure(tree).Add("/bin/prog")
		for _, e := range tree.Entries() {
			if err != nil {
				t.Fatalf("%v, and %s stays", err, e.Path)
			}
			if e.Source != "" && !strings.HasPrefix(e.Source, root+"/") {
				t.Fatalf("%s comes from %s", e.Path, e.Source)
			}
		}
	})
}
