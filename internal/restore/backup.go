package restore

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"

	"github.com/mkcdrec/mkcdrec/internal/archive"
	"github.com/mkcdrec/mkcdrec/internal/fail"
	"github.com/mkcdrec/mkcdrec/internal/inode"
	"github.com/mkcdrec/mkcdrec/internal/unpack"
	"golang.org/x/sys/unix"
)

// maxListed bounds the paths that a report names one by one.
const maxListed = 1000

// FromArchive makes an opened backup into what Run needs.
func FromArchive(b *archive.Backup) Backup { return fromArchive{b} }

type fromArchive struct{ b *archive.Backup }

// Check reads and verifies every byte: a damaged backup is found out while the
// disks still hold what they held.
func (a fromArchive) Check(ctx context.Context) error {
	if err := a.b.CheckPresence(ctx); err != nil {
		return err
	}
	r, err := a.b.Verify(ctx, nil)
	if err != nil {
		return err
	}
	if r.Paths == 0 {
		return fail.New(fail.Damaged, "the backup has no paths")
	}
	return nil
}

func (a fromArchive) Unpack(ctx context.Context, root string, progress func(int64)) (Unpacked, error) {
	r, err := unpack.Run(ctx, a.b.Entries(ctx, archive.ReadOptions{}), root, unpack.Options{
		OnPath: func(_ *archive.Entry, done int64) {
			if progress != nil {
				progress(done)
			}
		},
	})
	u := Unpacked{Paths: r.Paths, Files: r.Files, Bytes: r.Bytes}
	for i, p := range r.Problems {
		if i == maxListed {
			u.Problems = append(u.Problems, fmt.Sprintf("and %d more", len(r.Problems)-i))
			break
		}
		u.Problems = append(u.Problems, archive.Show(p.Path)+": "+p.Err.Error())
	}
	return u, err
}

// Compare looks at every path of the catalogue below root. It does not look
// for paths that the catalogue does not have.
func (a fromArchive) Compare(ctx context.Context, root string, mode VerifyMode, ignore func(string) bool) (Verified, error) {
	tree, err := inode.OpenTree(root)
	if err != nil {
		return Verified{}, err
	}
	defer tree.Close()
	var v Verified
	for e, err := range a.b.Catalogue(ctx) {
		if err == nil {
			err = ctx.Err()
		}
		if err != nil {
			return v, err
		}
		if e.Kind == archive.Socket || e.Unreadable || ignore(e.Name) {
			continue
		}
		v.Paths++
		what, err := differs(tree, e, mode)
		if err != nil {
			what = err.Error()
		}
		if what != "" {
			v.Differences = append(v.Differences, archive.Show(e.Name)+": "+what)
		}
	}
	return v, nil
}

// differs says in what a path is not as recorded, or "".
func differs(tree *inode.Tree, e *archive.Entry, mode VerifyMode) (string, error) {
	dir, base, err := tree.Parent(e.Name)
	if err != nil {
		return "", err
	}
	defer dir.Release()
	var st unix.Stat_t
	if err := unix.Fstatat(dir.FD, base, &st, unix.AT_SYMLINK_NOFOLLOW); err != nil {
		if errors.Is(err, unix.ENOENT) {
			return "is not there", nil
		}
		return "", err
	}
	is, err := inode.Stat(e.Name, &st)
	if err != nil {
		return "", err
	}
	kind := e.Kind
	if kind == archive.Subvolume {
		kind = archive.Dir
	}
	switch {
	case kind == archive.Hardlink:
		if st.Nlink < 2 {
			return "has no second name", nil
		}
		return "", nil // the first name is compared
	case is.Kind != kind:
		return fmt.Sprintf("is a %s, was a %s", is.Kind, kind), nil
	case is.UID != e.UID || is.GID != e.GID:
		return fmt.Sprintf("belongs to %d:%d, belonged to %d:%d", is.UID, is.GID, e.UID, e.GID), nil
	case kind != archive.Symlink && is.Mode != e.Mode:
		return fmt.Sprintf("mode %04o, was %04o", is.Mode, e.Mode), nil
	case kind == archive.File && is.Size != e.Size:
		return fmt.Sprintf("%d bytes, had %d", is.Size, e.Size), nil
	case is.DevMajor != e.DevMajor || is.DevMinor != e.DevMinor:
		return fmt.Sprintf("device %d:%d, was %d:%d", is.DevMajor, is.DevMinor, e.DevMajor, e.DevMinor), nil
	case kind != archive.Dir && !sameTime(dir.FD, is, e):
		return fmt.Sprintf("changed at %s, was %s", is.MTime, e.MTime), nil
	}
	if kind == archive.Symlink {
		if link, err := inode.Readlink(dir.FD, base); err != nil || link != e.Link {
			return fmt.Sprintf("points to %q, pointed to %q", link, e.Link), err
		}
	}
	x, err := inode.XattrsAt(dir.FD, base)
	if err != nil {
		return "", err
	}
	if !maps.Equal(x, e.Xattrs) {
		return "other extended attributes", nil
	}
	if kind == archive.File && mode == VerifyFull {
		return content(dir.FD, base, e)
	}
	return "", nil
}

// sameTime compares modification times; a vfat keeps every second second only.
func sameTime(dirfd int, is, e *archive.Entry) bool {
	if is.MTime.Equal(e.MTime) {
		return true
	}
	var fs unix.Statfs_t
	if err := unix.Fstatfs(dirfd, &fs); err != nil || fs.Type != unix.MSDOS_SUPER_MAGIC {
		return false
	}
	d := is.MTime.Sub(e.MTime)
	return d.Seconds() > -2 && d.Seconds() < 2
}

// content compares a file with the hash in the catalogue.
func content(dirfd int, base string, e *archive.Entry) (string, error) {
	fd, err := unix.Openat(dirfd, base, unix.O_RDONLY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if err != nil {
		return "", err
	}
	f := os.NewFile(uintptr(fd), base)
	defer f.Close()
	sum := sha256.New()
	if _, err := io.Copy(sum, f); err != nil {
		return "", err
	}
	if [32]byte(sum.Sum(nil)) != e.Hash {
		return "other content", nil
	}
	return "", nil
}
