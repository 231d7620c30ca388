package iso9660

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"unicode/utf16"
)

// Platform is what a boot image is for (El Torito specification, 2.1).
type Platform byte

// The platforms.
const (
	PlatformBIOS Platform = 0x00
	PlatformUEFI Platform = 0xEF
)

// BootImage is an El Torito boot image without emulation.
type BootImage struct {
	Platform Platform
	Name     string // of the file in the image
	Data     []byte
	// PatchGRUB writes the image's own place into it, as GRUB's cdboot.img
	// and diskboot.img need it (mkisofs -boot-info-table, xorriso grub2_boot_info).
	PatchGRUB bool
}

type placedBoot struct {
	platform Platform
	lba      int64
	size     int64
}

// espAlign is where the ESP begins: partitions of a disk start at whole MiB.
const espAlign = 1 << 20

// AddBootImage writes a boot image as the next file. The BIOS image comes
// before the UEFI one; there is at most one of each.
func (w *Writer) AddBootImage(ctx context.Context, b BootImage) error {
	align := int64(SectorSize)
	if b.Platform == PlatformUEFI {
		align = espAlign
	}
	for _, o := range w.boots {
		if o.platform == b.Platform || o.platform == PlatformUEFI {
			return errors.New("cannot add a boot image: one for BIOS, then one for UEFI is all there can be")
		}
	}
	f, err := w.create(ctx, b.Name, align)
	if err != nil {
		return err
	}
	data := append([]byte(nil), b.Data...)
	if b.PatchGRUB {
		if err := patchGRUB(data, f.start/SectorSize); err != nil {
			return errors.Join(fmt.Errorf("cannot use boot image %s: %w", b.Name, err), f.Abort())
		}
	}
	if _, err := f.Write(data); err != nil {
		return errors.Join(err, f.Abort())
	}
	if err := f.Commit(); err != nil {
		return err
	}
	w.boots = append(w.boots, placedBoot{b.Platform, f.start / SectorSize, f.size})
	return nil
}

// patchGRUB fills in the boot information table at byte 8 (mkisofs(8), "EL
// TORITO BOOT INFORMATION TABLE"), by which cdboot.img finds the rest of the
// image on a CD, and the block list of diskboot.img at byte 2548, by which
// the same image is read from a disk: GRUB's boot/i386/pc/diskboot.S.
func patchGRUB(data []byte, lba int64) error {
	const (
		table     = 8
		tableEnd  = 64
		blockList = 2548
	)
	if len(data) < blockList+12 {
		return errors.New("too small for a GRUB image made for El Torito")
	}
	binary.LittleEndian.PutUint64(data[blockList:], uint64(lba)*(SectorSize/diskSector)+5)
	var sum uint32
	for i := tableEnd; i < len(data); i += 4 {
		var word [4]byte
		copy(word[:], data[i:])
		sum += binary.LittleEndian.Uint32(word[:])
	}
	clear(data[table:tableEnd])
	binary.LittleEndian.PutUint32(data[table:], pvdSector)
	binary.LittleEndian.PutUint32(data[table+4:], uint32(lba))
	binary.LittleEndian.PutUint32(data[table+8:], uint32(len(data)))
	binary.LittleEndian.PutUint32(data[table+12:], sum)
	return nil
}

// head encodes everything before the first file: MBR and GPT, descriptors and
// boot catalogue.
func (w *Writer) head(v volume, size int64) ([]byte, error) {
	b := make([]byte, firstDataSector*SectorSize)
	sector := func(n int) []byte { return b[n*SectorSize : (n+1)*SectorSize] }
	w.descriptor(sector(pvdSector), 1, v.primary, size)
	joliet := pvdSector + 1
	if len(w.boots) > 0 { // the boot record has to be in sector 17
		boot := sector(bootSector)
		copy(boot, "\x00CD001\x01EL TORITO SPECIFICATION")
		binary.LittleEndian.PutUint32(boot[71:], catalogSector)
		w.catalog(sector(catalogSector))
		joliet++
	}
	w.descriptor(sector(joliet), 2, v.joliet, size)
	copy(sector(joliet+1), "\xffCD001\x01")
	w.hybrid(b, size)
	return b, nil
}

// descriptor writes the primary or the supplementary volume descriptor
// (ECMA-119 8.4, 8.5; Joliet specification).
func (w *Writer) descriptor(b []byte, kind byte, h *hierarchy, size int64) {
	joliet := kind == 2
	text := func(at, length int, s string) {
		f := b[at : at+length]
		if !joliet {
			copy(f, fmt.Sprintf("%-*s", length, s))
			return
		}
		for i := 0; i+1 < length; i += 2 {
			f[i+1] = ' '
		}
		for i, u := range utf16.Encode([]rune(s)) {
			if 2*i+1 < length {
				binary.BigEndian.PutUint16(f[2*i:], u)
			}
		}
	}
	b[0] = kind
	copy(b[1:], "CD001\x01")
	text(8, 32, "")
	text(40, 32, w.opt.Label)
	both32(b[80:], uint32(size/SectorSize))
	if joliet {
		copy(b[88:], "%/E") // UCS-2 level 3
	}
	both16(b[120:], 1)
	both16(b[124:], 1)
	both16(b[128:], SectorSize)
	both32(b[132:], uint32(h.pathSize))
	binary.LittleEndian.PutUint32(b[140:], uint32(h.pathL))
	binary.BigEndian.PutUint32(b[148:], uint32(h.pathM))
	root := record{id: []byte{0}, node: h.dirs[0].node}
	h.encodeRecord(b[156:190], &root)
	text(190, 128, "")                // volume set
	text(318, 128, "")                // publisher
	text(446, 128, "")                // preparer
	text(574, 128, w.opt.Application) // application
	text(702, 37, "")
	text(739, 37, "")
	text(776, 37, "")
	copy(b[813:], longTime(w.opt.Time))
	copy(b[830:], longTime(w.opt.Time))
	never := append([]byte("0000000000000000"), 0)
	copy(b[847:], never)
	copy(b[864:], never)
	b[881] = 1
}

// catalog writes the boot catalogue (El Torito specification, section 2).
func (w *Writer) catalog(b []byte) {
	b[0] = 1
	b[1] = byte(w.boots[0].platform)
	copy(b[4:28], "MKCDREC")
	b[30], b[31] = 0x55, 0xAA
	var sum uint16
	for i := 0; i < 32; i += 2 {
		sum += binary.LittleEndian.Uint16(b[i:])
	}
	binary.LittleEndian.PutUint16(b[28:], -sum)
	at := 32
	for i, o := range w.boots {
		if i > 0 {
			b[at] = 0x91 // the last section header
			b[at+1] = byte(o.platform)
			binary.LittleEndian.PutUint16(b[at+2:], 1)
			at += 32
		}
		b[at] = 0x88 // bootable, no emulation
		// A BIOS loads the first 2 KiB, and GRUB's cdboot.img the rest. UEFI
		// takes the count as the size of the ESP; 0 where it does not fit.
		count := int64(4)
		if o.platform == PlatformUEFI {
			if count = (o.size + diskSector - 1) / diskSector; count > 0xFFFF {
				count = 0
			}
		}
		binary.LittleEndian.PutUint16(b[at+6:], uint16(count))
		binary.LittleEndian.PutUint32(b[at+8:], uint32(o.lba))
		at += 32
	}
}
