// Package iso9660 writes and reads ISO 9660 images (ECMA-119) with Rock Ridge
// and Joliet names, El Torito boot images and a hybrid MBR/GPT, without help
// from other programs. The writer streams: a file's bytes go straight to their
// place in the image, directories and descriptors follow when it is closed.
//
// It holds regular files and directories only. It knows nothing of backups or
// boot loaders beyond the few bytes that a boot image must be patched with.
package iso9660

import (
	"encoding/binary"
	"time"
)

// SectorSize is the size of a logical sector and block in bytes (ECMA-119 6.1.2).
const SectorSize = 2048

// diskSector is the sector size of a disk that the image is copied to, which
// is what MBR, GPT and El Torito's load counts go by.
const diskSector = 512

// Where the fixed parts of our images are, in sectors.
const (
	pvdSector       = 16
	bootSector      = 17 // El Torito specification, 2.0
	catalogSector   = 20
	firstDataSector = 24
)

// maxExtent is the most bytes one directory record may describe and still be a
// whole number of sectors: its length field has 32 bits.
const maxExtent = 1<<32 - SectorSize

// Flags of a directory record (ECMA-119 9.1.6).
const (
	flagDirectory   = 0x02
	flagMultiExtent = 0x80
)

// both32 is a number in both byte orders (ECMA-119 7.3.3).
func both32(b []byte, v uint32) {
	binary.LittleEndian.PutUint32(b, v)
	binary.BigEndian.PutUint32(b[4:], v)
}

// both16 is a number in both byte orders (ECMA-119 7.2.3).
func both16(b []byte, v uint16) {
	binary.LittleEndian.PutUint16(b, v)
	binary.BigEndian.PutUint16(b[2:], v)
}

// shortTime is the seven-byte time of directory records (ECMA-119 9.1.5) and
// of Rock Ridge TF entries, in UTC. Years outside of 1900-2155 are clamped.
func shortTime(t time.Time) [7]byte {
	t = t.UTC()
	y := min(max(t.Year()-1900, 0), 255)
	return [7]byte{byte(y), byte(t.Month()), byte(t.Day()), byte(t.Hour()), byte(t.Minute()), byte(t.Second()), 0}
}

// longTime is the 17-byte time of volume descriptors (ECMA-119 8.4.26.1).
func longTime(t time.Time) []byte {
	return append([]byte(t.UTC().Format("20060102150405")+"00"), 0)
}

// sectors is the number of sectors that n bytes take.
func sectors(n int64) int64 { return (n + SectorSize - 1) / SectorSize }
