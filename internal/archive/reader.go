package archive

import (
	"context"
	"errors"
	"io"
	"iter"

	"github.com/mkcdrec/mkcdrec/internal/store"
)

// Backup is one finished backup, opened for reading.
type Backup struct {
	// Manifest is what the backup says about itself.
	Manifest Manifest
}

// Found is one backup in a store.
type Found struct {
	Prefix   string // what Open wants
	Manifest Manifest
	Err      error // the manifest cannot be read; Manifest is empty then
}

// List finds the backups of a store by their manifests, oldest first.
func List(ctx context.Context, src store.Source) ([]Found, error) {
	return nil, errors.New("archive: not built yet")
}

// Open reads and validates the manifest of the backup below prefix.
func Open(ctx context.Context, src store.Source, prefix string) (*Backup, error) {
	return nil, errors.New("archive: not built yet")
}

// Close closes the files that were opened.
func (b *Backup) Close() error { return nil }

// Layout is the checked content of layout.json; nil if the backup has none.
func (b *Backup) Layout(ctx context.Context) ([]byte, error) {
	return nil, errors.New("archive: not built yet")
}

// Catalogue yields the records in the order of the archive. After an error
// there are no further ones.
func (b *Backup) Catalogue(ctx context.Context) iter.Seq2[*Entry, error] {
	return func(yield func(*Entry, error) bool) { yield(nil, errors.New("archive: not built yet")) }
}

// ReadOptions say what Entries reads.
type ReadOptions struct {
	// Select picks entries; nil: all. Frames that hold nothing wanted are not read.
	Select func(*Entry) bool
	// Workers decompress; default: one for each CPU.
	Workers int
	// SkipDamaged goes on behind a damaged frame: what is lost is yielded as
	// an Item with Lost set (or its Content fails), and the last error is a
	// fail.Damaged that counts them.
	SkipDamaged bool
}

// Item is one path out of the archive. Either Data or Content is set for a
// File with content; both are nil for everything else.
type Item struct {
	Entry *Entry
	// Data is the whole content (for a sparse file: of its extents one after
	// the other) where it lies in one frame. It is valid until Release, also
	// on another goroutine and after the loop has gone on.
	Data []byte
	// Content is the same for larger files; it must be read before the loop
	// goes on. It ends with io.EOF only when all bytes came; damage is an
	// error of kind fail.Damaged. The hash is not checked here: use Verifier.
	Content io.Reader
	// Lost says why the entry cannot be had (SkipDamaged only).
	Lost error
}

// Release gives the memory behind Data back. It must be called once for each
// Item, from any goroutine; the archive is read on only while few frames are held.
func (it *Item) Release() {}

// Entries yields the paths in the order of the archive with their content.
// Catalogue-only entries (sockets, unreadable files) are yielded without.
func (b *Backup) Entries(ctx context.Context, opt ReadOptions) iter.Seq2[*Item, error] {
	return func(yield func(*Item, error) bool) { yield(nil, errors.New("archive: not built yet")) }
}

// OpenEntry opens the content of one File, as Content describes.
func (b *Backup) OpenEntry(ctx context.Context, e *Entry) (io.ReadCloser, error) {
	return nil, errors.New("archive: not built yet")
}

// CheckPresence checks cheaply that all files are there with the right sizes
// and belong to this backup.
func (b *Backup) CheckPresence(ctx context.Context) error {
	return errors.New("archive: not built yet")
}

// Report says what Verify has checked.
type Report struct {
	Volumes int64
	Frames  int64
	Paths   int64
	Files   int64 // files whose content hash was checked
	Bytes   int64 // bytes of content that were hashed
	Stored  int64 // compressed bytes read
	// Damage lists what is wrong, at most MaxWarnings; Lost the paths concerned.
	Damage []string
	Lost   []string
}

// Verify reads everything and checks volumes, frames, structure, counts and
// the content of each file. Damage is an error of kind fail.Damaged; the
// report is valid also then. progress may be nil.
func (b *Backup) Verify(ctx context.Context, progress func(Progress)) (*Report, error) {
	return nil, errors.New("archive: not built yet")
}
