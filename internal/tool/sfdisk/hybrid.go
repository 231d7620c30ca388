package sfdisk

import (
	"bytes"
	"context"
	"encoding/hex"
	"fmt"
	"io"

	"github.com/mkcdrec/mkcdrec/internal/system"
)

// The four entries of an MBR and its signature (UEFI specification 2.10, 5.2.1).
const (
	entriesAt, entryLen, entriesLen = 446, 16, 64
	protective                      = 0xEE
)

// Hybrid reads the MBR of a disk with a GPT. Where that has entries beside the
// one that protects the GPT it returns the four entries as hex digits, else "".
func Hybrid(r io.ReaderAt) (string, error) {
	b := make([]byte, 512)
	if _, err := r.ReadAt(b, 0); err != nil {
		return "", fmt.Errorf("cannot read the MBR: %w", err)
	}
	entries := b[entriesAt : entriesAt+entriesLen]
	others, protected := false, false
	for e := entries; len(e) > 0; e = e[entryLen:] {
		protected = protected || e[4] == protective
		others = others || e[4] != protective && e[4] != 0
	}
	if !others || !protected || b[510] != 0x55 || b[511] != 0xAA {
		return "", nil
	}
	return hex.EncodeToString(entries), nil
}

// WriteHybrid puts recorded entries into the MBR of a disk that has its GPT.
func WriteHybrid(ctx context.Context, r system.Runner, disk, entries string) error {
	b, err := hex.DecodeString(entries)
	if err != nil || len(b) != entriesLen {
		return fmt.Errorf("cannot write the hybrid MBR of %s: %q are not four entries", disk, entries)
	}
	_, err = r.Run(ctx, system.Command{
		Name:  "dd",
		Args:  []string{"of=" + disk, "bs=1", fmt.Sprintf("seek=%d", entriesAt), fmt.Sprintf("count=%d", entriesLen), "conv=notrunc,fsync", "status=none"},
		Stdin: bytes.NewReader(b),
	})
	if err != nil {
		return fmt.Errorf("cannot write the hybrid MBR of %s: %w", disk, err)
	}
	return nil
}
