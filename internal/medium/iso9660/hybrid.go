package iso9660

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"hash/crc32"
	"unicode/utf16"
)

// Layout of the hybrid part: the first 32 KiB of an image are free for it
// (ECMA-119 6.2.1). GPT: UEFI specification 2.10, chapter 5.
const (
	gptEntries     = 128
	gptEntrySize   = 128
	gptTableLen    = gptEntries * gptEntrySize
	gptTableBlocks = gptTableLen / diskSector
	secondGPTLen   = gptTableLen + diskSector
	firstUsable    = 2 + gptTableBlocks
	bootCode       = 440
	grubKernelAt   = 432 // in boot_hybrid.img: where the core image is, in blocks
	partitionsAt   = 446
	espType        = "\x28\x73\x2A\xC1\x1F\xF8\xD2\x11\xBA\x4B\x00\xA0\xC9\x3E\xC9\x3B"
)

// hybrid writes MBR and first GPT, so that the image also boots when it is
// copied to a disk: BIOS by the boot code, UEFI by the ESP in the GPT.
func (w *Writer) hybrid(b []byte, size int64) {
	blocks := size / diskSector
	if len(w.opt.MBR) > 0 {
		copy(b[:bootCode], w.opt.MBR)
		for _, o := range w.boots {
			if o.platform == PlatformBIOS {
				// Behind cdboot.img, which is 2 KiB (xorriso: grub2_mbr=).
				binary.LittleEndian.PutUint64(b[grubKernelAt:], uint64(o.lba)*(SectorSize/diskSector)+4)
			}
		}
	}
	b[510], b[511] = 0x55, 0xAA
	protective := b[partitionsAt:]
	copy(protective, []byte{0x00, 0x00, 0x02, 0x00, 0xEE, 0xFF, 0xFF, 0xFF})
	binary.LittleEndian.PutUint32(protective[8:], 1)
	binary.LittleEndian.PutUint32(protective[12:], uint32(min(blocks-1, 1<<32-1)))
	// Some BIOSes start only from a disk with an active partition; an empty
	// one of type 0 is that, and nobody takes it for a real one.
	active := b[partitionsAt+16:]
	copy(active, []byte{0x80, 0x00, 0x01, 0x00, 0x00, 0x00, 0x01, 0x00})
	binary.LittleEndian.PutUint32(active[12:], 1)

	table := w.gptTable()
	copy(b[diskSector:], w.gptHeader(table, 1, blocks-1, 2, blocks))
	copy(b[2*diskSector:], table)
}

// secondGPT is what the image ends with.
func (w *Writer) secondGPT(size int64) []byte {
	blocks := size / diskSector
	table := w.gptTable()
	return append(table, w.gptHeader(table, blocks-1, 1, blocks-1-gptTableBlocks, blocks)...)
}

// gptTable is the table of partitions: the ESP, where there is one.
func (w *Writer) gptTable() []byte {
	b := make([]byte, gptTableLen)
	for _, o := range w.boots {
		if o.platform != PlatformUEFI {
			continue
		}
		copy(b, espType)
		copy(b[16:], w.guid("esp"))
		first := uint64(o.lba) * (SectorSize / diskSector)
		binary.LittleEndian.PutUint64(b[32:], first)
		binary.LittleEndian.PutUint64(b[40:], first+uint64((o.size+diskSector-1)/diskSector)-1)
		for i, u := range utf16.Encode([]rune("EFI boot")) {
			binary.LittleEndian.PutUint16(b[56+2*i:], u)
		}
	}
	return b
}

func (w *Writer) gptHeader(table []byte, self, other, tableAt, blocks int64) []byte {
	b := make([]byte, diskSector)
	copy(b, "EFI PART\x00\x00\x01\x00")
	binary.LittleEndian.PutUint32(b[12:], 92)
	binary.LittleEndian.PutUint64(b[24:], uint64(self))
	binary.LittleEndian.PutUint64(b[32:], uint64(other))
	binary.LittleEndian.PutUint64(b[40:], firstUsable)
	binary.LittleEndian.PutUint64(b[48:], uint64(blocks-2-gptTableBlocks))
	copy(b[56:], w.guid("disk"))
	binary.LittleEndian.PutUint64(b[72:], uint64(tableAt))
	binary.LittleEndian.PutUint32(b[80:], gptEntries)
	binary.LittleEndian.PutUint32(b[84:], gptEntrySize)
	binary.LittleEndian.PutUint32(b[88:], crc32.ChecksumIEEE(table))
	binary.LittleEndian.PutUint32(b[16:], crc32.ChecksumIEEE(b[:92]))
	return b
}

// guid makes a GUID from label and time: the same input, the same image. It
// has the form of a random one (RFC 9562, version 4, little endian as in a GPT).
func (w *Writer) guid(what string) []byte {
	h := sha256.Sum256([]byte("mkcdrec " + what + " " + w.opt.Label + " " + w.opt.Time.UTC().String()))
	g := bytes.Clone(h[:16])
	g[7] = g[7]&0x0F | 0x40
	g[8] = g[8]&0x3F | 0x80
	return g
}
