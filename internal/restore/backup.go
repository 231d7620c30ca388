package restore

import (
	"context"
	"fmt"

	"github.com/mkcdrec/mkcdrec/internal/archive"
	"github.com/mkcdrec/mkcdrec/internal/compare"
	"github.com/mkcdrec/mkcdrec/internal/fail"
	"github.com/mkcdrec/mkcdrec/internal/unpack"
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
	o := compare.Options{Mode: compare.Meta, Skip: func(e *archive.Entry) bool { return ignore(e.Name) }}
	if mode == VerifyFull {
		o.Mode = compare.Full
	}
	r, err := compare.Run(ctx, a.b.Catalogue(ctx), root, o)
	v := Verified{Paths: r.Paths}
	for _, d := range r.Differences {
		v.Differences = append(v.Differences, d.String())
	}
	return v, err
}
