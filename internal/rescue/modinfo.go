package rescue

import (
	"bytes"
	"compress/gzip"
	"debug/elf"
	"fmt"
	"io"
	"os"
	"path"
	"strings"

	"github.com/klauspost/compress/zstd"
	"github.com/ulikunitz/xz"
)

// modinfo is what a kernel module says of itself in its .modinfo section.
type modinfo struct {
	Firmware []string // names below /lib/firmware
	Softdeps []string // modules that it likes to have, by name
}

// readModinfo reads a module file: .ko, .ko.gz, .ko.xz or .ko.zst.
func readModinfo(file string) (modinfo, error) {
	f, err := os.Open(file)
	if err != nil {
		return modinfo{}, fmt.Errorf("cannot read module: %w", err)
	}
	defer f.Close()
	var r io.ReaderAt = f
	if !strings.HasSuffix(file, ".ko") {
		b, err := decompressModule(f, file)
		if err != nil {
			return modinfo{}, fmt.Errorf("cannot decompress module %s: %w", file, err)
		}
		r = bytes.NewReader(b)
	}
	e, err := elf.NewFile(r)
	if err != nil {
		return modinfo{}, fmt.Errorf("cannot read module %s: %w", file, err)
	}
	s := e.Section(".modinfo")
	if s == nil {
		return modinfo{}, nil
	}
	b, err := s.Data()
	if err != nil {
		return modinfo{}, fmt.Errorf("cannot read module %s: %w", file, err)
	}
	return parseModinfo(b), nil
}

func decompressModule(r io.Reader, name string) ([]byte, error) {
	switch path.Ext(name) {
	case ".gz":
		z, err := gzip.NewReader(r)
		if err != nil {
			return nil, err
		}
		return io.ReadAll(z)
	case ".xz":
		z, err := xz.NewReader(r)
		if err != nil {
			return nil, err
		}
		return io.ReadAll(z)
	case ".zst":
		z, err := zstd.NewReader(r, zstd.WithDecoderConcurrency(1))
		if err != nil {
			return nil, err
		}
		defer z.Close()
		return io.ReadAll(z)
	}
	return nil, fmt.Errorf("unknown suffix %s", path.Ext(name))
}

// parseModinfo takes apart a .modinfo section: "key=value" strings, each ended by a zero byte.
func parseModinfo(b []byte) modinfo {
	var m modinfo
	for kv := range bytes.SplitSeq(b, []byte{0}) {
		k, v, ok := strings.Cut(string(kv), "=")
		if !ok {
			continue
		}
		switch k {
		case "firmware":
			m.Firmware = append(m.Firmware, v)
		case "softdep":
			m.Softdeps = append(m.Softdeps, parseSoftdep(v)...)
		}
	}
	return m
}

// parseSoftdep takes the module names out of "pre: a b post: c" (modprobe.d(5)).
func parseSoftdep(v string) []string {
	var out []string
	for w := range strings.FieldsSeq(v) {
		if w != "pre:" && w != "post:" {
			out = append(out, w)
		}
	}
	return out
}
