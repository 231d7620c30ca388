package restore

import (
	"context"
	"fmt"
	"io"

	"github.com/mkcdrec/mkcdrec/internal/archive"
	"github.com/mkcdrec/mkcdrec/internal/compare"
	"github.com/mkcdrec/mkcdrec/internal/fail"
	"github.com/mkcdrec/mkcdrec/internal/plan"
	"github.com/mkcdrec/mkcdrec/internal/unpack"
)

// maxListed bounds the paths that a report names one by one.
const maxListed = 1000

// FromArchive makes an opened backup into what Run needs.
func FromArchive(b *archive.Backup) Backup { return fromArchive{b} }

type fromArchive struct{ b *archive.Backup }

func (a fromArchive) Header(ctx context.Context, name string) ([]byte, error) {
	return a.b.Header(ctx, name)
}

// Check reads and verifies every byte: a damaged backup is found out while the
// disks still hold what they held.
func (a fromArchive) Check(ctx context.Context, scope *plan.Scope, progress func(int64)) error {
	if err := Covers(&a.b.Manifest, scope); err != nil {
		return err
	}
	if err := a.b.CheckPresence(ctx); err != nil {
		return err
	}
	if scope != nil {
		return a.checkPart(ctx, scope, progress)
	}
	r, err := a.b.Verify(ctx, func(p archive.Progress) { progress(p.Content) })
	if err != nil {
		return err
	}
	if r.Paths == 0 {
		return fail.New(fail.Damaged, "the backup has no paths")
	}
	return nil
}

// Has goes through the catalogue: content is not read.
func (a fromArchive) Has(ctx context.Context, path string) (bool, error) {
	for e, err := range a.b.Catalogue(ctx) {
		if err != nil {
			return false, err
		}
		if e.Name == path {
			return true, nil
		}
	}
	return false, nil
}

// checkPart reads and verifies only what the scope holds: a small file system
// does not wait for terabytes of others, nor fail by their damage.
func (a fromArchive) checkPart(ctx context.Context, scope *plan.Scope, progress func(int64)) error {
	paths, bytes := 0, int64(0)
	for item, err := range a.b.Entries(ctx, reading(scope)) {
		if err != nil {
			return err
		}
		paths++
		n, err := content(item)
		item.Release()
		bytes += n
		progress(bytes)
		if err != nil {
			return err
		}
	}
	if paths == 0 {
		return fail.New(fail.Damaged, "the backup has no paths of %s", scope.Text())
	}
	return nil
}

// content reads the content of one file, compares its hash and returns its
// size without holes.
func content(item *archive.Item) (int64, error) {
	e := item.Entry
	if item.Data == nil && item.Content == nil || e.Hash == [32]byte{} {
		return 0, nil
	}
	h := archive.NewHasher(e)
	read, err := h.Write(item.Data)
	n := int64(read)
	if err == nil && item.Content != nil {
		n, err = io.Copy(h, item.Content)
	}
	if err != nil {
		return n, fmt.Errorf("cannot read %s: %w", archive.Show(e.Name), err)
	}
	if h.Sum() != e.Hash {
		return n, fail.New(fail.Damaged, "the content of %s does not match its SHA-256 in the catalogue", archive.Show(e.Name))
	}
	return n, nil
}

// reading picks what the scope holds.
func reading(scope *plan.Scope) archive.ReadOptions {
	if scope == nil {
		return archive.ReadOptions{}
	}
	return archive.ReadOptions{Select: func(e *archive.Entry) bool { return scope.Holds(e.Name) }}
}

func (a fromArchive) Unpack(ctx context.Context, root string, scope *plan.Scope, progress func(int64)) (Unpacked, error) {
	lost := &losing{scope: scope}
	entries := adapted(lost, a.b.Entries(ctx, reading(scope)), func(i *archive.Item) *archive.Entry { return i.Entry })
	r, err := unpack.Run(ctx, entries, root, unpack.Options{
		OnPath: func(_ *archive.Entry, done int64) {
			progress(done)
		},
	})
	u := Unpacked{Paths: r.Paths, Files: r.Files, Bytes: r.Bytes}
	if p := lost.problem(); p != "" {
		u.Problems = append(u.Problems, p)
	}
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
func (a fromArchive) Compare(ctx context.Context, root string, scope *plan.Scope, mode VerifyMode, ignore func(string) bool, progress func(int64)) (Verified, error) {
	o := compare.Options{Mode: compare.Meta, Progress: progress, Skip: func(e *archive.Entry) bool { return !scope.Holds(e.Name) || ignore(e.Name) }}
	if mode == VerifyFull {
		o.Mode = compare.Full
	}
	entries := adapted(&losing{scope: scope}, a.b.Catalogue(ctx), func(e *archive.Entry) *archive.Entry { return e })
	r, err := compare.Run(ctx, entries, root, o)
	v := Verified{Paths: r.Paths}
	for _, d := range r.Differences {
		v.Differences = append(v.Differences, d.String())
	}
	return v, err
}
