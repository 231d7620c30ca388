package iso9660

import (
	"crypto/sha256"
	"encoding/binary"
	"io"
)

// What SHA256SUMS does not cover is covered by four digests in the application
// use field of the primary volume descriptor (ECMA-119 8.4.32, free for us), in
// this order: SHA256SUMS itself, gaps between files, tail, and the head, with
// its own digest as zeros. So each byte of the image is under some digest.
const (
	signMark = "MKCDREC-SUMS-1\n"
	signAt   = pvdSector*SectorSize + 883
	signLen  = len(signMark) + 8 + 4*sha256.Size
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
	binary.LittleEndian.PutUint64(field[n:], uint64(w.next)) // where the tail begins
	n += 8
	n += copy(field[n:], w.sums[len(w.sums)-1].hash[:]) // SHA256SUMS is the last file
	n += copy(field[n:], gaps.Sum(nil))
	n += copy(field[n:], tailSum[:])
	headSum := sha256.Sum256(head)
	copy(field[n:], headSum[:])
}

// zeros is an endless run of zero bytes.
type zeros struct{}

func (zeros) Read(p []byte) (int, error) {
	clear(p)
	return len(p), nil
}
