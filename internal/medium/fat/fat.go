// Package fat makes small FAT file systems in memory, such as the EFI system
// partition of a recovery medium: FAT12, FAT16 or FAT32, whichever the size
// asks for, with long names. The same files and time make the same bytes. It
// does not read or change a file system that exists.
//
// Source: Microsoft, "FAT: General Overview of On-Disk Format", 1.03.
package fat

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"sort"
	"strings"
	"time"
)

const (
	sectorSize = 512
	entrySize  = 32
	// rootEntries is the size of the root directory of FAT12 and FAT16.
	rootEntries = 512
	numFATs     = 2
)

// Limits of the number of clusters (section "FAT type determination"), with the
// distance that the specification advises to keep from them.
const (
	maxFAT12 = 4084 - 16
	minFAT16 = 4085 + 16
	maxFAT16 = 65524 - 16
	minFAT32 = 65525 + 16
	maxFAT32 = 1<<28 - 16
)

// File is one file; its directories are made. Name has slashes, no leading one.
type File struct {
	Name string
	Data []byte
}

// Options are what a file system has beside its files.
type Options struct {
	Label string    // at most 11 characters, upper case
	Time  time.Time // of every file, in UTC, to two seconds; 1980 at the earliest
	// MinSize is the least size of the image in bytes; 0: what the files need.
	MinSize int64
	// Bits is 12, 16 or 32; 0: by size.
	Bits int
}

// Build makes the image of a file system that holds the files.
func Build(files []File, opt Options) ([]byte, error) {
	if len(opt.Label) > 11 || opt.Label != strings.ToUpper(opt.Label) {
		return nil, fmt.Errorf("FAT label %q must have at most 11 characters in upper case", opt.Label)
	}
	root := &dir{}
	sorted := append([]File(nil), files...)
	sort.Slice(sorted, func(i, j int) bool { return sorted[i].Name < sorted[j].Name })
	for _, f := range sorted {
		if int64(len(f.Data)) > 1<<32-1 {
			return nil, fmt.Errorf("cannot put %s into a FAT file system: larger than 4 GiB", f.Name)
		}
		if err := root.add(f); err != nil {
			return nil, fmt.Errorf("cannot put %s into a FAT file system: %w", f.Name, err)
		}
	}
	g, err := layOut(root, opt)
	if err != nil {
		return nil, err
	}
	im := &image{geometry: g, opt: opt, b: make([]byte, int64(g.sectors)*sectorSize), next: 2}
	im.bootSectors()
	im.files(root)
	im.finishFAT()
	return im.b, nil
}

// geometry says where everything is, in sectors.
type geometry struct {
	bits       int
	perCluster int
	reserved   int
	fatLen     int // of one FAT
	rootLen    int // of the fixed root directory, 0 for FAT32
	clusters   int
	sectors    int
}

func (g geometry) dataStart() int { return g.reserved + numFATs*g.fatLen + g.rootLen }

// layOut finds the smallest geometry that holds root.
func layOut(root *dir, opt Options) (geometry, error) {
	kinds := []int{16, 32}
	if opt.Bits != 0 {
		kinds = []int{opt.Bits}
	}
	for _, bits := range kinds {
		low, high := minFAT16, maxFAT16
		switch bits {
		case 12:
			low, high = 1, maxFAT12
		case 16:
		case 32:
			low, high = minFAT32, maxFAT32
		default:
			return geometry{}, fmt.Errorf("there is no FAT%d", bits)
		}
		for per := 1; per <= 64; per *= 2 {
			need := root.clusters(per*sectorSize, bits == 32)
			g := geometry{bits: bits, perCluster: per, reserved: 1, rootLen: rootEntries * entrySize / sectorSize}
			if bits == 32 {
				g.reserved, g.rootLen = 32, 0
			}
			n := max(need, low)
			if missing := opt.MinSize/sectorSize - int64(g.reserved+g.rootLen); missing/int64(per) > int64(n) {
				n = int(min(missing/int64(per)+1, int64(high)+1))
			}
			if n > high {
				continue
			}
			g.clusters = n
			g.fatLen = ((n+2)*bits + sectorSize*8 - 1) / (sectorSize * 8)
			g.sectors = g.dataStart() + n*per
			return g, nil
		}
	}
	return geometry{}, errors.New("cannot make a FAT file system: the files are too large for it")
}

// image is the file system being written.
type image struct {
	geometry
	opt  Options
	b    []byte
	fat  []uint32 // from cluster 2 on
	next uint32   // first free cluster
}

// put writes data to new clusters in a row and returns the first, 0 for no data.
func (im *image) put(data []byte) uint32 {
	if len(data) == 0 {
		return 0
	}
	first := im.next
	im.fill(im.take(len(data)), data)
	return first
}

// take reserves a chain for n bytes and returns its first cluster.
func (im *image) take(n int) uint32 {
	first := im.next
	size := im.perCluster * sectorSize
	for k := max((n+size-1)/size, 1); k > 0; k-- {
		im.next++
		link := im.next
		if k == 1 {
			link = 0x0FFFFFFF
		}
		im.fat = append(im.fat, link)
	}
	return first
}

func (im *image) fill(first uint32, data []byte) {
	at := (im.dataStart() + int(first-2)*im.perCluster) * sectorSize
	copy(im.b[at:], data)
}

// bootSectors writes the BIOS parameter block and what goes with it.
func (im *image) bootSectors() {
	b := im.b[:sectorSize]
	copy(b, "\xEB\x58\x90MKCDREC ")
	binary.LittleEndian.PutUint16(b[11:], sectorSize)
	b[13] = byte(im.perCluster)
	binary.LittleEndian.PutUint16(b[14:], uint16(im.reserved))
	b[16] = numFATs
	if im.bits != 32 {
		binary.LittleEndian.PutUint16(b[17:], rootEntries)
		binary.LittleEndian.PutUint16(b[22:], uint16(im.fatLen))
	}
	if im.sectors < 1<<16 && im.bits != 32 {
		binary.LittleEndian.PutUint16(b[19:], uint16(im.sectors))
	} else {
		binary.LittleEndian.PutUint32(b[32:], uint32(im.sectors))
	}
	b[21] = 0xF8
	binary.LittleEndian.PutUint16(b[24:], 32) // sectors per track, for those who still ask
	binary.LittleEndian.PutUint16(b[26:], 64)
	ext := b[36:]
	if im.bits == 32 {
		binary.LittleEndian.PutUint32(b[36:], uint32(im.fatLen))
		binary.LittleEndian.PutUint32(b[44:], 2) // the root's cluster
		binary.LittleEndian.PutUint16(b[48:], 1) // FSInfo
		binary.LittleEndian.PutUint16(b[50:], 6) // copy of the boot sector
		ext = b[64:]
	}
	label := im.opt.Label
	if label == "" {
		label = "NO NAME"
	}
	ext[0] = 0x80
	ext[2] = 0x29
	binary.LittleEndian.PutUint32(ext[3:], crc32.ChecksumIEEE([]byte(label+im.opt.Time.UTC().String())))
	copy(ext[7:], fmt.Sprintf("%-11s", label))
	copy(ext[18:], fmt.Sprintf("FAT%-5d", im.bits))
	b[510], b[511] = 0x55, 0xAA
}

// finishFAT writes both tables, and FSInfo and the second boot sector of FAT32.
func (im *image) finishFAT() {
	entries := append([]uint32{0x0FFFFFF8, 0x0FFFFFFF}, im.fat...)
	table := make([]byte, im.fatLen*sectorSize)
	for i, e := range entries {
		switch im.bits {
		case 12:
			at := i * 3 / 2
			v := binary.LittleEndian.Uint16(table[at:])
			if i%2 == 0 {
				v = v&0xF000 | uint16(e&0xFFF)
			} else {
				v = v&0x000F | uint16(e&0xFFF)<<4
			}
			binary.LittleEndian.PutUint16(table[at:], v)
		case 16:
			binary.LittleEndian.PutUint16(table[2*i:], uint16(e))
		default:
			binary.LittleEndian.PutUint32(table[4*i:], e)
		}
	}
	for n := range numFATs {
		copy(im.b[(im.reserved+n*im.fatLen)*sectorSize:], table)
	}
	if im.bits != 32 {
		return
	}
	info := im.b[sectorSize : 2*sectorSize]
	copy(info, "RRaA")
	copy(info[484:], "rrAa")
	binary.LittleEndian.PutUint32(info[488:], uint32(im.clusters)-(im.next-2))
	binary.LittleEndian.PutUint32(info[492:], im.next)
	binary.LittleEndian.PutUint32(info[508:], 0xAA550000)
	copy(im.b[6*sectorSize:], im.b[:2*sectorSize])
}
