package archive

import (
	"crypto/sha256"
	"hash"

	"github.com/mkcdrec/mkcdrec/internal/fail"
)

// maxHashedHoles is how many bytes of holes the hash of a sparse file covers.
// With more, only the data is hashed: a file of some exabytes that is one
// hole would take years.
const maxHashedHoles = 16 << 30

// hashesHoles says whether e.Hash covers the holes as zeros (true) or only
// the bytes of the extents.
func hashesHoles(e *Entry) bool {
	return e.Sparse != nil && e.Size-dataSize(e.Sparse) <= maxHashedHoles
}

// ContentSize is how many bytes of content the archive has of e: of a file with
// holes only its data.
func (e *Entry) ContentSize() int64 {
	if e.Kind != File || e.Unreadable {
		return 0
	}
	if e.Sparse != nil {
		return dataSize(e.Sparse)
	}
	return e.Size
}

func hashZeros(h hash.Hash, n int64) {
	for ; n > int64(len(zeros)); n -= int64(len(zeros)) {
		h.Write(zeros[:])
	}
	h.Write(zeros[:n])
}

// A Hasher computes the hash of a content that is written to it, as
// Entry.Hash has it: the holes of a sparse file are put in as zeros.
type Hasher struct {
	e    *Entry
	h    hash.Hash
	ext  int   // index in e.Sparse
	in   int64 // bytes of that extent that were written
	at   int64 // offset in the file of what was hashed last
	seen int64
}

// NewHasher begins the hash of e's content.
func NewHasher(e *Entry) *Hasher { return &Hasher{e: e, h: sha256.New()} }

// Write takes the next bytes of the content.
func (h *Hasher) Write(p []byte) (int, error) {
	n := len(p)
	h.seen += int64(n)
	if !hashesHoles(h.e) {
		return h.h.Write(p)
	}
	for len(p) > 0 && h.ext < len(h.e.Sparse) {
		x := h.e.Sparse[h.ext]
		if h.in == 0 {
			hashZeros(h.h, x.Offset-h.at)
		}
		k := min(int64(len(p)), x.Length-h.in)
		h.h.Write(p[:k])
		p, h.in, h.at = p[k:], h.in+k, x.Offset+h.in+k
		if h.in == x.Length {
			h.ext, h.in = h.ext+1, 0
		}
	}
	return n, nil
}

// Sum is the hash once all bytes were written.
func (h *Hasher) Sum() (sum [32]byte) {
	if hashesHoles(h.e) {
		hashZeros(h.h, h.e.Size-h.at)
		h.at = h.e.Size
	}
	h.h.Sum(sum[:0])
	return sum
}

// Check compares the number of bytes written and their hash with the entry.
// A difference is an error of kind fail.Damaged.
func (h *Hasher) Check() error {
	if want := h.e.ContentSize(); h.seen != want {
		return fail.New(fail.Damaged, "%s: %d bytes of content instead of %d", Show(h.e.Name), h.seen, want)
	}
	if h.Sum() != h.e.Hash {
		return fail.New(fail.Damaged, "%s: content differs from the hash in the catalogue", Show(h.e.Name))
	}
	return nil
}
