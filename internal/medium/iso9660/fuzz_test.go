package iso9660

import (
	"bytes"
	"context"
	"io"
	"os"
	"testing"

	"github.com/mkcdrec/mkcdrec/internal/fail"
)

// FuzzOpen reads images of any bytes: an error or the files, never a panic, an
// endless loop or a read outside of the image. The input replaces the
// directories and descriptors of a good image from a place on.
func FuzzOpen(f *testing.F) {
	files := map[string][]byte{"a/b/c": noise(1, 3000), "long" + string(bytes.Repeat([]byte("x"), 200)): noise(2, 10), "e": nil}
	good, err := os.ReadFile(write(f, files, testOptions()))
	if err != nil {
		f.Fatal(err)
	}
	root := good[pvdSector*SectorSize+156:]
	rootAt := uint32(root[2]) | uint32(root[3])<<8 | uint32(root[4])<<16
	f.Add(uint32(pvdSector*SectorSize), good[pvdSector*SectorSize:pvdSector*SectorSize+200])
	for s := rootAt; s < rootAt+6; s++ { // directories and continuation area
		f.Add(s*SectorSize, good[s*SectorSize:s*SectorSize+400])
	}
	f.Fuzz(func(t *testing.T, at uint32, data []byte) {
		b := bytes.Clone(good)
		at %= uint32(len(b))
		copy(b[at:], data)
		d, err := Open(bytes.NewReader(b), int64(len(b)), "fuzz")
		if err != nil {
			if fail.KindOf(err) != fail.Damaged {
				t.Errorf("error of another kind: %v", err)
			}
			return
		}
		list, _ := d.List(context.Background(), "")
		for _, i := range list {
			o, err := d.Open(context.Background(), i.Name)
			if err != nil {
				t.Fatalf("%q is listed and cannot be opened: %v", i.Name, err)
			}
			if n, err := io.Copy(io.Discard, io.NewSectionReader(o, 0, min(i.Size, 1<<20))); err != nil {
				t.Fatalf("%q: %d bytes, %v", i.Name, n, err)
			}
		}
		if _, err := d.Verify(context.Background(), nil); err != nil && fail.KindOf(err) != fail.Damaged {
			t.Fatal(err)
		}
	})
}
