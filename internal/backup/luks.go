package backup

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/mkcdrec/mkcdrec/internal/archive"
	"github.com/mkcdrec/mkcdrec/internal/fail"
	"github.com/mkcdrec/mkcdrec/internal/machine"
	"github.com/mkcdrec/mkcdrec/internal/system"
	"github.com/mkcdrec/mkcdrec/internal/tool/cryptsetup"
	"github.com/mkcdrec/mkcdrec/internal/wording"
)

// LUKSHeaders copies the header of every LUKS device of a machine, and writes
// the copies' names into m. A copy lies in memory only: as a file it exists in
// a directory of root's while cryptsetup writes it.
func LUKSHeaders(ctx context.Context, r system.Runner, m *machine.Machine, dirs ...string) (files []archive.HeaderCopy, err error) {
	if len(m.Crypts) == 0 {
		return nil, nil
	}
	dir, err := memoryDir(dirs)
	if err != nil {
		return nil, fmt.Errorf("cannot copy the LUKS headers: %w", err)
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	for i := range m.Crypts {
		c := &m.Crypts[i]
		data, err := luksHeader(ctx, r, *m, *c, filepath.Join(dir, "header"))
		if err != nil {
			return nil, err
		}
		c.Header = archive.HeaderName(c.UUID)
		files = append(files, archive.HeaderCopy{Name: c.Header, Data: data})
	}
	return files, nil
}

func luksHeader(ctx context.Context, r system.Runner, m machine.Machine, c machine.Crypt, file string) (data []byte, err error) {
	dev, err := m.Resolve(c.On)
	if err != nil {
		return nil, err
	}
	defer func() {
		if rerr := os.Remove(file); rerr != nil && !errors.Is(rerr, os.ErrNotExist) {
			err = errors.Join(err, rerr)
		}
	}()
	if err := cryptsetup.BackupHeader(ctx, r, dev.Path, file); err != nil {
		return nil, err
	}
	if data, err = os.ReadFile(file); err != nil {
		return nil, fmt.Errorf("cannot read the copy of the LUKS header of %s: %w", c.Name, err)
	}
	h, err := cryptsetup.ReadHeader(bytes.NewReader(data))
	if err == nil && h.Crypt.UUID != c.UUID {
		err = fmt.Errorf("its UUID is %s, recorded %s", h.Crypt.UUID, c.UUID)
	}
	if err != nil {
		return nil, fail.New(fail.Failed, "the copy of the LUKS header of %s is not its header: %w", c.Name, err)
	}
	return data, nil
}

// memoryDir makes a directory in a file system that is in memory: what lies
// there is never written to a disk, and gone when the power goes.
func memoryDir(dirs []string) (string, error) {
	if len(dirs) == 0 {
		dirs = []string{"/run", "/dev/shm"}
	}
	for _, d := range dirs {
		var st unix.Statfs_t
		if unix.Statfs(d, &st) == nil && (st.Type == unix.TMPFS_MAGIC || st.Type == unix.RAMFS_MAGIC) {
			return os.MkdirTemp(d, "mkcdrec-luks-")
		}
	}
	return "", fail.New(fail.Failed, "there is no file system in memory: %s", strings.Join(dirs, ", "))
}

// NewKeys says of each LUKS device what does not come back without a copy of
// its header.
func NewKeys(m machine.Machine) []string {
	var out []string
	for _, c := range m.Crypts {
		if c.Header != "" {
			continue
		}
		lost := "its " + wording.Count(c.Slots, "key slot")
		if len(c.Tokens) > 0 {
			lost += " and tokens (" + strings.Join(c.Tokens, ", ") + ")"
		}
		out = append(out, fmt.Sprintf("%s (LUKS%d on %s) gets a new key and asks for a new pass phrase when it is restored; %s do not come back", c.Name, c.Version, c.On.Body(), lost))
	}
	return out
}
