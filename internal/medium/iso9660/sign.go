package iso9660

import (
	"crypto/sha256"
	"io"
)

// What belongs to no file is covered by three digests in the application use
// field of the primary volume descriptor (ECMA-119 8.4.32, free for us): head,
// gaps between files, tail. With SHA256SUMS they cover each byte of the image.
const (
	signMark = "MKCDREC-SUMS-1\n"
	signAt   = pvdSector*SectorSize + 883
	signLen  = len(signMark) + 3*sha256.Size + 8
)

// sign computes the digests and puts them into head.
func (w *Writer) sign(head, tail []byte) {
	field := head[signAt : signAt+signLen]
	clear(field)
	gaps := sha256.New()
	at := int64(len(head))
	for _, s := range w.spans {
		_, _ = io.CopyN(gaps, zeros{}, s.offset-at)
		at = s.offset + s.length
	}
	_, _ = io.CopyN(gaps, zeros{}, w.next-at)
	tailSum := sha256.Sum256(tail)
	n := copy(field, signMark)
	n += copy(field[n:], gaps.Sum(nil))
	n += copy(field[n:], tailSum[:])
	for i := range 8 {
		field[n+i] = byte(w.next >> (8 * i)) // where the tail begins
	}
	n += 8
	// The head's digest covers the other two, with its own place as zeros.
	headSum := sha256.Sum256(head)
	copy(field[n:], headSum[:])
}

// zeros is an endless run of zero bytes.
type zeros struct{}

func (zeros) Read(p []byte) (int, error) {
	clear(p)
	return len(p), nil
}
