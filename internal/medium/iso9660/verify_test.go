package iso9660

import (
	"bytes"
	"crypto/sha256"
	"os"
	"slices"
	"testing"
)

// A file that the caller checks is not read, but its digest has to be that of
// SHA256SUMS; everything else is read and compared as ever.
func TestVerifyBut(t *testing.T) {
	files := map[string][]byte{"a": noise(1, 50000), "dir/b": noise(2, 3000), "c": noise(3, 10)}
	good, err := os.ReadFile(write(t, files, testOptions()))
	if err != nil {
		t.Fatal(err)
	}
	sum := sha256.Sum256(files["a"])
	other := sha256.Sum256(files["c"])
	for _, c := range []struct {
		name    string
		damage  string // file with a flipped bit
		known   []byte
		damaged []string
	}{
		{"whole", "", sum[:], nil},
		{"known and damaged", "a", sum[:], nil},
		{"known with another digest", "", other[:], []string{SumsName}},
		{"another is damaged", "dir/b", sum[:], []string{"dir/b"}},
	} {
		image := bytes.Clone(good)
		d, err := Open(bytes.NewReader(image), int64(len(image)), "x")
		if err != nil {
			t.Fatal(err)
		}
		if c.damage != "" {
			image[d.files[c.damage].extents[0].offset] ^= 1
		}
		var last, of int64
		rep, err := d.VerifyBut(t.Context(), map[string][]byte{"a": c.known}, func(done, total int64) { last, of = done, total })
		if err != nil || !slices.Equal(rep.Damaged, c.damaged) || !rep.Signed || rep.OK() != (c.damaged == nil) {
			t.Errorf("%s: %+v, %v", c.name, rep, err)
		}
		if want := d.size - 50000; rep.Bytes != want || last != want || of != want {
			t.Errorf("%s: read %d bytes, progress %d of %d, want %d", c.name, rep.Bytes, last, of, want)
		}
	}
}
