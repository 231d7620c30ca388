package restore

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"unicode/utf8"

	"github.com/mkcdrec/mkcdrec/internal/fail"
	"github.com/mkcdrec/mkcdrec/internal/machine"
	"github.com/mkcdrec/mkcdrec/internal/system"
	"github.com/mkcdrec/mkcdrec/internal/tool/mount"
	"github.com/mkcdrec/mkcdrec/internal/tool/udev"
)

// Key is what opens an encrypted device. It is in memory only.
type Key struct {
	Bytes  []byte
	Tested bool // it opens the copy of the header
}

// String keeps a key out of every text that is made of a struct around it.
func (Key) String() string { return "(a key)" }

// GoString is String for %#v.
func (k Key) GoString() string { return k.String() }

// KeyFiles name key files by the encrypted device; "" is for all others. A
// file is a path, or PATH:DEVICE as in crypttab(5): /luks.key:LABEL=KEYS.
type KeyFiles map[string]string

// For is the key file of a device, "" where there is none.
func (k KeyFiles) For(name string) string {
	if f := k[name]; f != "" {
		return f
	}
	return k[""]
}

// keyFiles reads luks_key of an answer file.
func keyFiles(v any) (KeyFiles, error) {
	bad := fail.New(fail.Usage, `in the answers, luks_key is a file, or a table of files: luks_key = { vda3_crypt = "/luks.key:LABEL=KEYS" }`)
	out := KeyFiles{}
	switch t := v.(type) {
	case nil:
		return nil, nil
	case string:
		out[""] = t
	case map[string]any:
		for name, f := range t {
			s, _ := f.(string)
			out[name] = s
		}
	default:
		return nil, bad
	}
	for _, f := range out {
		if !filepath.IsAbs(f) {
			return nil, bad
		}
	}
	return out, nil
}

// ParseKeyFiles reads what --luks-key was given: FILE, or NAME=FILE.
func ParseKeyFiles(flags []string) (KeyFiles, error) {
	out := KeyFiles{}
	for _, f := range flags {
		name, file, ok := strings.Cut(f, "=")
		if !ok || strings.Contains(name, "/") {
			name, file = "", f
		}
		if out[name] != "" || !filepath.IsAbs(file) {
			return nil, fail.Hint(fail.New(fail.Usage, "--luks-key %s is not an absolute path, or the second one of a device", f), "FILE, NAME=FILE, or FILE:LABEL=L on another device")
		}
		out[name] = file
	}
	return out, nil
}

// maxKey is the largest key file that cryptsetup takes (cryptsetup --help).
const maxKey = 8 << 20

// ReadKey reads a key file. One on another device is mounted for it, read-only.
func ReadKey(ctx context.Context, r system.Runner, spec string) (Key, error) {
	file, device, elsewhere := strings.Cut(spec, ":")
	if !elsewhere {
		b, err := os.ReadFile(file)
		return newKey(spec, b, err)
	}
	b, err := readFrom(ctx, r, device, strings.TrimLeft(file, "/"))
	return newKey(spec, b, err)
}

// readFrom reads a file of a file system that is not mounted.
func readFrom(ctx context.Context, r system.Runner, device, file string) (b []byte, err error) {
	if err := udev.Settle(ctx, r); err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp("", "mkcdrec-key-")
	if err != nil {
		return nil, err
	}
	defer os.Remove(dir)
	if err := mount.Mount(ctx, r, device, dir, "auto", "ro"); err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, mount.Unmount(context.WithoutCancel(ctx), r, dir)) }()
	root, err := os.OpenRoot(dir) // a link in it must not lead out of it
	if err != nil {
		return nil, err
	}
	defer root.Close()
	return root.ReadFile(file)
}

func newKey(spec string, b []byte, err error) (Key, error) {
	if err == nil && (len(b) == 0 || len(b) > maxKey) {
		err = fmt.Errorf("it has %d bytes", len(b))
	}
	if err != nil {
		return Key{}, fail.New(fail.Failed, "cannot read the key file %s: %w", spec, err)
	}
	return Key{Bytes: b}, nil
}

// Typed is a pass phrase without the newline that an editor puts behind it; ok
// is false where a key file is not one line of text.
func (k Key) Typed() (typed Key, ok bool) {
	line, cut := bytes.CutSuffix(k.Bytes, []byte("\n"))
	if !cut || len(line) == 0 || bytes.ContainsAny(line, "\n\x00") || !utf8.Valid(line) {
		return k, false
	}
	return Key{Bytes: line}, true
}

// KeyFromFile is the key of a device in a file. The file counts byte by byte;
// where it is a line of text, the newline behind it is left out if that opens
// the recorded header, and always for a new one: nobody can type it at start.
func KeyFromFile(ctx context.Context, opt Options, c machine.Crypt, spec string) (Key, error) {
	key, err := ReadKey(ctx, opt.System, spec)
	if err != nil {
		return Key{}, err
	}
	typed, isText := key.Typed()
	if c.Header == "" {
		return typed, nil
	}
	err = TestKey(ctx, opt, c, key)
	if fail.KindOf(err) == fail.WrongKey && isText {
		key, err = typed, TestKey(ctx, opt, c, typed)
	}
	key.Tested = err == nil
	return key, err
}
