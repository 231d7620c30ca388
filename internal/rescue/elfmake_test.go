package rescue

import (
	"bytes"
	"debug/elf"
	"encoding/binary"
	"fmt"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"strings"
	"testing"
)

// binaryFile is a program or library that a test makes: by hand, or with gcc.
type binaryFile struct {
	interp  string // "": a library
	soname  string
	needed  []string
	rpath   string
	runpath string
	class32 bool     // by hand only
	dlopen  []string // libraries of its .note.dlopen; gcc only
}

const testInterp = "/lib64/ld-linux-x86-64.so.2"

// handmade is an ELF file with program headers and nothing else: no section
// headers, as the kernel and the dynamic linker need none.
func (b binaryFile) handmade() []byte {
	order := binary.LittleEndian
	strs := []byte{0}
	str := func(s string) uint64 {
		strs = append(append(strs, s...), 0)
		return uint64(len(strs) - len(s) - 1)
	}
	type dyn struct{ tag, val uint64 }
	var dyns []dyn
	for _, n := range b.needed {
		dyns = append(dyns, dyn{uint64(elf.DT_NEEDED), str(n)})
	}
	for _, v := range []struct {
		tag elf.DynTag
		s   string
	}{{elf.DT_SONAME, b.soname}, {elf.DT_RPATH, b.rpath}, {elf.DT_RUNPATH, b.runpath}} {
		if v.s != "" {
			dyns = append(dyns, dyn{uint64(v.tag), str(v.s)})
		}
	}
	const base = 0x10000 // addresses are not file offsets
	ehsize, phsize, class, machine := 64, 56, elf.ELFCLASS64, elf.EM_X86_64
	if b.class32 {
		ehsize, phsize, class, machine = 52, 32, elf.ELFCLASS32, elf.EM_386
	}
	interpAt := ehsize + 3*phsize
	strAt := interpAt + len(b.interp) + 1
	dynAt := strAt + len(strs)
	dyns = append(dyns, dyn{uint64(elf.DT_STRTAB), uint64(base + strAt)}, dyn{uint64(elf.DT_STRSZ), uint64(len(strs))}, dyn{})
	var w bytes.Buffer
	put := func(v any) { _ = binary.Write(&w, order, v) } // into memory
	dynSize := len(dyns) * ehsize / 4                     // 16 bytes an entry, or 8
	if b.class32 {
		dynSize = len(dyns) * 8
	}
	total := dynAt + dynSize
	ident := [elf.EI_NIDENT]byte{0x7f, 'E', 'L', 'F', byte(class), byte(elf.ELFDATA2LSB), byte(elf.EV_CURRENT)}
	progs := []struct {
		kind      elf.ProgType
		off, size int
	}{{elf.PT_LOAD, 0, total}, {elf.PT_INTERP, interpAt, len(b.interp) + 1}, {elf.PT_DYNAMIC, dynAt, dynSize}}
	if b.interp == "" {
		progs[1].kind = elf.PT_NULL
	}
	if b.class32 {
		put(elf.Header32{Ident: ident, Type: uint16(elf.ET_DYN), Machine: uint16(machine), Version: 1, Phoff: uint32(ehsize), Ehsize: uint16(ehsize), Phentsize: uint16(phsize), Phnum: 3})
		for _, p := range progs {
			put(elf.Prog32{Type: uint32(p.kind), Off: uint32(p.off), Vaddr: uint32(base + p.off), Filesz: uint32(p.size), Memsz: uint32(p.size)})
		}
	} else {
		put(elf.Header64{Ident: ident, Type: uint16(elf.ET_DYN), Machine: uint16(machine), Version: 1, Phoff: uint64(ehsize), Ehsize: uint16(ehsize), Phentsize: uint16(phsize), Phnum: 3})
		for _, p := range progs {
			put(elf.Prog64{Type: uint32(p.kind), Off: uint64(p.off), Vaddr: uint64(base + p.off), Filesz: uint64(p.size), Memsz: uint64(p.size)})
		}
	}
	w.WriteString(b.interp + "\x00")
	w.Write(strs)
	for _, d := range dyns {
		if b.class32 {
			put([2]uint32{uint32(d.tag), uint32(d.val)})
		} else {
			put(d)
		}
	}
	return w.Bytes()
}

// compiled makes the same with gcc, at a path. What it needs is linked from
// empty libraries of that name: where the real ones lie is for run time.
func (b binaryFile) compiled(t *testing.T, at string) {
	t.Helper()
	dir := t.TempDir()
	object := filepath.Join(dir, "x.o")
	source := "int x;\n"
	if b.interp != "" {
		source = "int main(void) { return 0; }\n"
	}
	if len(b.dlopen) > 0 {
		desc := `[{\"soname\":[\"` + strings.Join(b.dlopen, `\",\"`) + `\"],\"priority\":\"recommended\"}]`
		source += "static const struct { unsigned n, d, t; char name[4], desc[256]; } note __attribute__((used, section(\".note.dlopen\"), aligned(4))) = " +
			"{ 4, 256, 0x407c0c0a, \"FDO\", \"" + desc + "\" };\n"
	}
	tool(t, source, "gcc", "-fPIC", "-c", "-x", "c", "-", "-o", object)
	link := []string{"--no-as-needed", "--allow-shlib-undefined"}
	if b.soname != "" {
		link = append(link, "-soname", b.soname)
	}
	switch {
	case b.rpath != "":
		link = append(link, "--disable-new-dtags", "-rpath", b.rpath)
	case b.runpath != "":
		link = append(link, "--enable-new-dtags", "-rpath", b.runpath)
	}
	for i, n := range b.needed {
		stub := filepath.Join(dir, fmt.Sprint(i), path.Base(n))
		if err := os.MkdirAll(filepath.Dir(stub), 0o755); err != nil {
			t.Fatal(err)
		}
		tool(t, "", "ld", "-shared", "-soname", n, "-o", stub, object)
		link = append(link, stub)
	}
	if b.interp == "" {
		tool(t, "", "ld", append(link, "-shared", "-o", at, object)...)
		return
	}
	args := []string{"-o", at, object, "-Wl,--dynamic-linker=" + b.interp}
	for _, l := range link {
		args = append(args, "-Xlinker", l)
	}
	tool(t, "", "gcc", args...)
}

// tool runs gcc or ld, with a source text on standard input.
func tool(t *testing.T, source, name string, args ...string) {
	t.Helper()
	cmd := exec.Command(name, args...)
	cmd.Stdin = strings.NewReader(source)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%s %v: %v\n%s", name, args, err, out)
	}
}

// needGCC skips a test where there is no compiler.
func needGCC(t *testing.T) {
	t.Helper()
	if _, err := exec.LookPath("gcc"); err != nil {
		t.Skip("needs gcc to make programs and libraries")
	}
}
