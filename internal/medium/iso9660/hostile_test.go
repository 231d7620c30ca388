package iso9660

import (
	"bytes"
	"context"
	"encoding/binary"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/mkcdrec/mkcdrec/internal/fail"
)

// findRecord is where the record of a name begins in the directories of b; the
// name is the one in Rock Ridge's NM.
func findRecord(t *testing.T, b []byte, name string) []byte {
	t.Helper()
	nm := append([]byte{'N', 'M', byte(5 + len(name)), 1, 0}, name...)
	at := bytes.Index(b, nm)
	for i := at; i > at-200; i-- {
		if n := int(b[i]); n > recordHead && i+n == at+len(nm)+(n-(at-i)-len(nm)) && int(b[i+32]) < 40 && i+n > at && b[i+33] >= 'A' && binary.LittleEndian.Uint16(b[i+28:]) == 1 {
			return b[i:]
		}
	}
	t.Fatalf("no record of %s", name)
	return nil
}

func TestHostile(t *testing.T) {
	files := map[string][]byte{"dirname/file-in-it": noise(1, 3000), "filename": noise(2, 10)}
	good, err := os.ReadFile(write(t, files, testOptions()))
	if err != nil {
		t.Fatal(err)
	}
	rootLBA := binary.LittleEndian.Uint32(good[pvdSector*SectorSize+158:])
	for _, c := range []struct {
		name   string
		change func(t *testing.T, b []byte)
		says   string
	}{
		{"directory inside itself", func(t *testing.T, b []byte) {
			binary.LittleEndian.PutUint32(findRecord(t, b, "dirname")[2:], rootLBA)
		}, "inside itself"},
		{"file beyond the end", func(t *testing.T, b []byte) {
			binary.LittleEndian.PutUint32(findRecord(t, b, "filename")[2:], 1<<31)
		}, "beyond the end"},
		{"file of 4 GiB", func(t *testing.T, b []byte) {
			binary.LittleEndian.PutUint32(findRecord(t, b, "filename")[10:], 1<<32-1)
		}, "beyond the end"},
		{"huge directory", func(t *testing.T, b []byte) {
			binary.LittleEndian.PutUint32(findRecord(t, b, "dirname")[10:], 1<<32-1)
		}, "impossible place or size"},
		{"dots as a name", func(t *testing.T, b []byte) {
			r := findRecord(t, b, "filename")
			nm := bytes.Index(r, []byte("filename"))
			r[nm-3] = 7
			copy(r[nm:], "..\x00\x00\x00\x00\x00\x00")
		}, "impossible name"},
		{"slash in a name", func(t *testing.T, b []byte) {
			r := findRecord(t, b, "filename")
			copy(r[bytes.Index(r, []byte("filename")):], "../../x/")
		}, "impossible name"},
		{"two files of one name", func(t *testing.T, b []byte) {
			r := findRecord(t, b, "filename")
			copy(r[bytes.Index(r, []byte("filename")):], "SHA256SUMS"[:8])
			r = findRecord(t, b, SumsName)
			nm := bytes.Index(r, []byte("NM")) + 5
			r[nm-3] = 5 + 8
			clear(r[nm+8 : nm+10])
		}, "there twice"},
		{"record longer than its sector", func(t *testing.T, b []byte) {
			findRecord(t, b, "filename")[32] = 255
		}, "does not fit"},
		{"more parts promised", func(t *testing.T, b []byte) {
			findRecord(t, b, "filename")[25] |= flagMultiExtent
		}, "lacks its last part"},
		{"continuation without end", func(t *testing.T, b []byte) {
			area := bytes.Index(b, []byte("ER"))
			root := b[int64(rootLBA)*SectorSize:]
			ce := root[bytes.Index(root, []byte("CE")):][:ceLen]
			copy(b[area:], ce)
			binary.LittleEndian.PutUint32(b[area+20:], ceLen) // points at itself
			binary.LittleEndian.PutUint32(ce[20:], ceLen)
			// The root's own record is not followed; a file's is.
			r := findRecord(t, b, "filename")
			nm := bytes.Index(r, []byte("NM"))
			if int(r[0])-nm < ceLen {
				r[0] = byte(nm + ceLen)
			}
			copy(r[nm:], ce)
		}, "without an end"},
	} {
		t.Run(c.name, func(t *testing.T) {
			b := bytes.Clone(good)
			c.change(t, b)
			_, err := Open(bytes.NewReader(b), int64(len(b)), "hostile.iso")
			if fail.KindOf(err) != fail.Damaged || !strings.Contains(err.Error(), c.says) {
				t.Errorf("error %v, want one of kind damaged with %q", err, c.says)
			}
		})
	}
}

// TestLargeFile writes a file of more than 4 GiB, most of it zeros that the
// disk need not hold, and has it read back by us and by xorriso.
func TestLargeFile(t *testing.T) {
	if os.Getenv("MKCDREC_SLOW") == "" {
		t.Skip("takes a minute; set MKCDREC_SLOW=1")
	}
	const size = 5<<30 + 12345
	path := filepath.Join(t.TempDir(), "large.iso")
	out, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer out.Close()
	ctx := context.Background()
	w, err := NewWriter(sparse{out}, testOptions())
	if err != nil {
		t.Fatal(err)
	}
	if err := w.WriteFile(ctx, "before", strings.NewReader("before")); err != nil {
		t.Fatal(err)
	}
	f, err := w.Create(ctx, "large")
	if err != nil {
		t.Fatal(err)
	}
	zero := make([]byte, chunk)
	for at := int64(0); at < size; {
		b := zero[:min(chunk, size-at)]
		if at/chunk%1000 == 7 {
			b = noise(uint64(at/chunk), len(b))
		}
		if _, err := f.Write(b); err != nil {
			t.Fatal(err)
		}
		at += int64(len(b))
	}
	if err := f.Commit(); err != nil {
		t.Fatal(err)
	}
	if err := w.WriteFile(ctx, "after", strings.NewReader("after")); err != nil {
		t.Fatal(err)
	}
	if _, err := w.Close(ctx); err != nil {
		t.Fatal(err)
	}
	r := read(t, path)
	if list, _ := r.List(ctx, "large"); len(list) != 1 || list[0].Size != size || len(r.files["large"].extents) != 2 {
		t.Errorf("%v in %d extents", list, len(r.files["large"].extents))
	}
	if rep, err := r.Verify(ctx, nil); err != nil || !rep.OK() || !rep.Signed {
		t.Errorf("%+v, %v", rep, err)
	}
	if _, err := exec.LookPath("xorriso"); err != nil {
		t.Skip("needs xorriso for the rest")
	}
	dir := t.TempDir()
	if o, err := exec.Command("xorriso", "-abort_on", "WARNING", "-osirrox", "on", "-indev", path, "-extract", "/", dir).CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, o)
	}
	cmd := exec.Command("sha256sum", "-c", SumsName)
	cmd.Dir = dir
	if o, err := cmd.CombinedOutput(); err != nil || !strings.Contains(string(o), "large: OK") {
		t.Errorf("%v\n%s", err, o)
	}
	_ = exec.Command("chmod", "-R", "u+w", dir).Run()
}

// sparse leaves out zeros: the image was truncated to nothing before.
type sparse struct{ *os.File }

func (s sparse) WriteAt(p []byte, off int64) (int, error) {
	if len(p) == chunk && len(bytes.Trim(p, "\x00")) == 0 {
		return len(p), nil
	}
	return s.File.WriteAt(p, off)
}
