package superblock

import (
	"encoding/binary"
	"fmt"
	"io"
	"strconv"
	"strings"

	"github.com/mkcdrec/mkcdrec/internal/machine"
)

// The feature flags as e2fsprogs names them (lib/e2p/feature.c). Flags with
// an empty name are states of a mounted file system, not something to make.
var (
	extCompat = []bit{
		{0x1, "dir_prealloc"}, {0x2, "imagic_inodes"}, {0x4, "has_journal"}, {0x8, "ext_attr"}, {0x10, "resize_inode"},
		{0x20, "dir_index"}, {0x40, "lazy_bg"}, {0x80, "snapshot_bitmap"}, {0x200, "sparse_super2"},
		{0x400, "fast_commit"}, {0x800, "stable_inodes"}, {0x1000, "orphan_file"},
	}
	extIncompat = []bit{
		{0x1, "compression"}, {0x2, "filetype"}, {0x4, ""}, {0x8, "journal_dev"}, {0x10, "meta_bg"}, {0x40, "extent"},
		{0x80, "64bit"}, {0x100, "mmp"}, {0x200, "flex_bg"}, {0x400, "ea_inode"}, {0x1000, "dirdata"},
		{0x2000, "metadata_csum_seed"}, {0x4000, "large_dir"}, {0x8000, "inline_data"}, {0x10000, "encrypt"}, {0x20000, "casefold"},
	}
	extROCompat = []bit{
		{0x1, "sparse_super"}, {0x2, "large_file"}, {0x8, "huge_file"}, {0x10, "uninit_bg"}, {0x20, "dir_nlink"},
		{0x40, "extra_isize"}, {0x80, "snapshot"}, {0x100, "quota"}, {0x200, "bigalloc"}, {0x400, "metadata_csum"},
		{0x800, "replica"}, {0x1000, "read-only"}, {0x2000, "project"}, {0x4000, "shared_blocks"}, {0x8000, "verity"}, {0x10000, ""},
	}
	extMountOptions = []bit{
		{0x1, "debug"}, {0x2, "bsdgroups"}, {0x4, "user_xattr"}, {0x8, "acl"}, {0x10, "uid16"},
		{0x100, "nobarrier"}, {0x200, "block_validity"}, {0x400, "discard"}, {0x800, "nodelalloc"},
	}
)

// Flags by which ext2, ext3 and ext4 are told apart, as libblkid does it.
const (
	extHasJournal  = 0x4
	extOldIncompat = 0x2 | 0x4 | 0x10
	extOldROCompat = 0x1 | 0x2
	extJournalDev  = 0x8
)

// Ext reads the superblock of ext2, ext3 or ext4 (kernel documentation,
// filesystems/ext4/super). Options: reserved_percent, reserved_blocks,
// hash_seed, hash_alg, default_mount_options, errors, and where they are set
// journal_size (bytes), journal=external, stride, stripe_width (blocks),
// flex_bg_groups, cluster_size (bytes), quotas (usrquota:grpquota:prjquota),
// encoding_flags=strict.
func Ext(r io.ReaderAt) (machine.FileSystem, error) {
	b, err := readAt(r, 1024, 1024)
	if err != nil {
		return machine.FileSystem{}, err
	}
	le := binary.LittleEndian
	compat, incompat, ro := le.Uint32(b[0x5C:]), le.Uint32(b[0x60:]), le.Uint32(b[0x64:])
	logBlock := le.Uint32(b[0x18:])
	if le.Uint16(b[0x38:]) != 0xEF53 || incompat&extJournalDev != 0 {
		return machine.FileSystem{}, fmt.Errorf("ext: %w", ErrNot)
	}
	if logBlock > 6 {
		return machine.FileSystem{}, fmt.Errorf("ext: block size of 2^%d bytes: %w", uint64(logBlock)+10, ErrNot)
	}
	block := int64(1024) << logBlock
	blocks, reserved := uint64(le.Uint32(b[4:])), uint64(le.Uint32(b[8:]))
	if incompat&0x80 != 0 {
		blocks |= uint64(le.Uint32(b[0x150:])) << 32
		reserved |= uint64(le.Uint32(b[0x154:])) << 32
	}
	if blocks == 0 || blocks > uint64(1<<62)/uint64(block) || reserved > blocks {
		return machine.FileSystem{}, fmt.Errorf("ext: %d blocks, %d of them reserved: %w", blocks, reserved, ErrNot)
	}
	fs := machine.FileSystem{
		Kind: extKind(compat, incompat, ro), UUID: uuid(b[0x68:0x78]), Label: text(b[0x78:0x88]),
		Size: machine.Bytes(blocks) * machine.Bytes(block), BlockSize: machine.Bytes(block),
		Inodes: int64(le.Uint32(b[0:])), InodeSize: 128, Options: map[string]string{},
	}
	if le.Uint32(b[0x4C:]) > 0 {
		fs.InodeSize = machine.Bytes(le.Uint16(b[0x58:]))
	}
	fs.Features = append(names(uint64(compat), extCompat, "FEATURE_C"), names(uint64(incompat), extIncompat, "FEATURE_I")...)
	fs.Features = append(fs.Features, names(uint64(ro), extROCompat, "FEATURE_R")...)
	fs.Options["reserved_percent"] = percent(reserved, blocks)
	fs.Options["reserved_blocks"] = strconv.FormatUint(reserved, 10)
	extOptions(b, fs.Options, compat, incompat, ro)
	return fs, nil
}

func extKind(compat, incompat, ro uint32) machine.FSKind {
	switch {
	case incompat&^extOldIncompat != 0 || ro&^extOldROCompat != 0:
		return "ext4"
	case compat&extHasJournal != 0:
		return "ext3"
	}
	return "ext2"
}

func extOptions(b []byte, o map[string]string, compat, incompat, ro uint32) {
	le := binary.LittleEndian
	if s := uuid(b[0xEC:0xFC]); s != "" {
		o["hash_seed"] = s
	}
	if alg := map[byte]string{0: "legacy", 1: "half_md4", 2: "tea", 6: "siphash"}[b[0xFC]]; alg != "" {
		o["hash_alg"] = alg
	}
	mount := le.Uint32(b[0x100:])
	list := names(uint64(mount&0xF0F), extMountOptions, "MNTOPT")
	if mount&0x10 != 0 {
		list = append(list, "uid16")
	}
	if mode := map[uint32]string{0x20: "journal_data", 0x40: "journal_data_ordered", 0x60: "journal_data_writeback"}[mount&0x60]; mode != "" {
		list = append(list, mode)
	}
	o["default_mount_options"] = strings.Join(list, ",")
	if e := map[uint16]string{1: "continue", 2: "remount-ro", 3: "panic"}[le.Uint16(b[0x3C:])]; e != "" {
		o["errors"] = e
	}
	if compat&extHasJournal != 0 {
		// s_jnl_blocks keeps the journal inode's size in its last two words.
		size := uint64(le.Uint32(b[0x148:]))<<32 | uint64(le.Uint32(b[0x14C:]))
		switch {
		case le.Uint32(b[0xE4:]) != 0 || le.Uint32(b[0xE0:]) == 0:
			o["journal"] = "external"
		case b[0xFD] == 1 && size > 0:
			o["journal_size"] = strconv.FormatUint(size, 10)
		}
	}
	set := func(key string, n uint64) {
		if n > 0 {
			o[key] = strconv.FormatUint(n, 10)
		}
	}
	set("stride", uint64(le.Uint16(b[0x164:])))
	set("stripe_width", uint64(le.Uint32(b[0x170:])))
	if incompat&0x200 != 0 && b[0x174] < 32 {
		set("flex_bg_groups", 1<<b[0x174])
	}
	if ro&0x100 != 0 {
		var quotas []string
		for _, q := range []struct {
			at   int
			name string
		}{{0x240, "usrquota"}, {0x244, "grpquota"}, {0x26C, "prjquota"}} {
			if le.Uint32(b[q.at:]) != 0 {
				quotas = append(quotas, q.name)
			}
		}
		if len(quotas) > 0 {
			o["quotas"] = strings.Join(quotas, ":")
		}
	}
	if incompat&0x20000 != 0 && le.Uint16(b[0x27E:])&1 != 0 {
		o["encoding_flags"] = "strict"
	}
	if cluster := le.Uint32(b[0x1C:]); ro&0x200 != 0 && cluster < 32 {
		set("cluster_size", 1024<<cluster)
	}
}

// percent is n of total in percent with at most two digits behind the point.
func percent(n, total uint64) string {
	s := strconv.FormatFloat(100*float64(n)/float64(total), 'f', 2, 64)
	return strings.TrimSuffix(strings.TrimRight(s, "0"), ".")
}
