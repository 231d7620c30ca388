package archive

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"path"
	"slices"
	"strings"

	"github.com/mkcdrec/mkcdrec/internal/fail"
	"github.com/mkcdrec/mkcdrec/internal/store"
)

// Found is one backup in a store.
type Found struct {
	Prefix   string // what Open wants
	Manifest Manifest
	Err      error // the manifest cannot be read; Manifest is empty then
}

// List finds the backups of a store by their manifests, oldest first.
func List(ctx context.Context, src store.Source) ([]Found, error) {
	files, err := src.List(ctx, "")
	if err != nil {
		return nil, fmt.Errorf("cannot look for backups in %s: %w", src, err)
	}
	var found []Found
	for _, f := range files {
		if path.Base(f.Name) != ManifestName {
			continue
		}
		prefix := strings.TrimSuffix(strings.TrimSuffix(f.Name, ManifestName), "/")
		b, err := Open(ctx, src, prefix)
		if err != nil {
			found = append(found, Found{Prefix: prefix, Err: err})
			continue
		}
		found = append(found, Found{Prefix: prefix, Manifest: b.Manifest})
	}
	slices.SortStableFunc(found, func(a, b Found) int { return a.Manifest.Begun.Compare(b.Manifest.Begun) })
	return found, nil
}

// Open reads and validates the manifest of the backup below prefix. Without a
// manifest there is no backup: that is an error of kind fail.Damaged.
func Open(ctx context.Context, src store.Source, prefix string) (*Backup, error) {
	if err := checkPrefix(prefix); err != nil {
		return nil, err
	}
	name := path.Join(prefix, ManifestName)
	f, err := src.Open(ctx, name)
	if errors.Is(err, store.ErrNotExist) {
		return nil, fail.Hint(fail.New(fail.Damaged, "there is no backup at %q in %s: %s is missing: %w", prefix, src, ManifestName, err),
			"a backup that broke off has no manifest and cannot be restored")
	}
	if err != nil {
		return nil, fmt.Errorf("cannot open %s in %s: %w", name, src, err)
	}
	defer f.Close()
	if f.Size() > maxManifest {
		return nil, fail.New(fail.Damaged, "%s has %d bytes", name, f.Size())
	}
	raw := make([]byte, f.Size())
	if err := readFull(f, raw, 0, name); err != nil {
		return nil, err
	}
	m, err := decodeManifest(raw)
	if err != nil {
		return nil, fmt.Errorf("cannot use %s in %s: %w", name, src, err)
	}
	return &Backup{Manifest: *m, src: src, prefix: prefix}, nil
}

// Layout is the checked content of layout.json; nil if the backup has none.
func (b *Backup) Layout(ctx context.Context) ([]byte, error) {
	if b.Manifest.Layout == nil {
		return nil, nil
	}
	return b.small(ctx, *b.Manifest.Layout, maxManifest)
}

// Header is the checked copy of a LUKS header (HeaderName).
func (b *Backup) Header(ctx context.Context, name string) ([]byte, error) {
	for _, info := range b.Manifest.Headers {
		if info.Name == name {
			return b.small(ctx, info, maxHeader)
		}
	}
	return nil, fail.New(fail.Damaged, "the backup has no copy of a LUKS header %q", name)
}

// small reads a small file whole and compares its hash.
func (b *Backup) small(ctx context.Context, info FileInfo, limit int64) ([]byte, error) {
	if info.Size > limit {
		return nil, fail.New(fail.Damaged, "%s claims %d bytes", info.Name, info.Size)
	}
	f, err := b.openFile(ctx, info)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	raw := make([]byte, info.Size)
	if err := readFull(f, raw, 0, info.Name); err != nil {
		return nil, err
	}
	sum := sha256.Sum256(raw)
	if hex.EncodeToString(sum[:]) != info.SHA256 {
		return nil, fail.New(fail.Damaged, "%s does not match its SHA-256 in the manifest", info.Name)
	}
	return raw, nil
}

// CheckPresence checks cheaply that all files are there with the right sizes
// and belong to this backup. It reads the seek tables, not the data.
func (b *Backup) CheckPresence(ctx context.Context) error {
	if _, err := b.index(ctx, nil); err != nil {
		return err
	}
	f, err := b.openFile(ctx, b.Manifest.Cat)
	if err != nil {
		return err
	}
	f.Close()
	if _, err = b.Layout(ctx); err != nil {
		return err
	}
	return b.checkHeaders(ctx)
}

// checkHeaders reads the copies of LUKS headers.
func (b *Backup) checkHeaders(ctx context.Context) error {
	for _, h := range b.Manifest.Headers {
		if _, err := b.Header(ctx, h.Name); err != nil {
			return err
		}
	}
	return nil
}

// ReadOptions say what Entries reads.
type ReadOptions struct {
	// Select picks entries; nil: all. Frames that hold nothing wanted are not read.
	Select func(*Entry) bool
	// Workers decompress; default: one for each CPU.
	Workers int
	// SkipDamaged goes on behind a damaged frame: what is lost is yielded as
	// an Item with Lost set (or its Content fails), and the last error is a
	// fail.Damaged that counts them. Of a damaged catalogue the records before
	// the damage are read; how many are not known is in that error.
	SkipDamaged bool
}

// Item is one path out of the archive. Either Data or Content is set for a
// File with content; both are nil for everything else.
type Item struct {
	Entry *Entry
	// Data is the whole content (for a sparse file: of its extents one after
	// the other) where it lies in one frame; not nil, but may be empty. It is
	// valid until Release, also on another goroutine and after the loop has
	// gone on.
	Data []byte
	// Content is the same for larger files; it must be read before the loop
	// goes on. It ends with io.EOF only when all bytes came; damage is an
	// error of kind fail.Damaged. The hash is not checked here: Hasher
	// does.
	Content io.Reader
	// Lost says why the entry cannot be had (SkipDamaged only).
	Lost error

	held *rawFrame
}

// Release gives the memory behind Data back. It must be called once for each
// Item, from any goroutine; the archive is read on only while few frames are
// held. It must not be called by two goroutines at once.
func (it *Item) Release() {
	if it.held != nil {
		it.held.release()
		it.held, it.Data = nil, nil
	}
}

// OpenEntry opens the content of one File, as Content describes, by reading
// only the frames that it lies in.
func (b *Backup) OpenEntry(ctx context.Context, e *Entry) (io.ReadCloser, error) {
	if e.Kind != File || e.Unreadable || e.Frame < 0 {
		return nil, fmt.Errorf("cannot open %s: the archive has no content for it", Show(e.Name))
	}
	places, err := b.index(ctx, nil)
	if err != nil {
		return nil, err
	}
	if e.Frame >= int64(len(places)) {
		return nil, fail.New(fail.Damaged, "catalogue points to frame %d of %d for %s", e.Frame, len(places), Show(e.Name))
	}
	f := &fetcher{b: b, places: places, from: e.Frame}
	if err := f.start(ctx, 1, 2); err != nil {
		return nil, err
	}
	c := &cursor{src: f}
	o := &openEntry{f: f, c: c}
	err = c.seek(e.Frame, e.FrameOffset)
	if err == nil {
		_, err = b.header(c, e)
	}
	if err != nil {
		o.Close()
		return nil, fmt.Errorf("cannot open %s: %w", Show(e.Name), damaged(err))
	}
	o.Reader = &contentFromFrames{c: c, left: e.ContentSize()}
	return o, nil
}

type openEntry struct {
	io.Reader
	f *fetcher
	c *cursor
}

func (o *openEntry) Close() error {
	o.c.close()
	o.f.stop()
	return nil
}

// damaged gives the errors of header parsing and early ends their kind.
func damaged(err error) error {
	if errors.Is(err, errTar) || errors.Is(err, errEnd) {
		return fail.New(fail.Damaged, "%w", err)
	}
	return err
}

// header reads the tar header at c, which must be that of e, and leaves c at
// the begin of the content.
func (b *Backup) header(c *cursor, e *Entry) (*tarHeader, error) {
	h, err := readHeader(c)
	if err != nil {
		return nil, err
	}
	if h.end {
		return nil, fmt.Errorf("%w: the archive ends here", errTar)
	}
	if h.sparse {
		if _, err := h.readSparseMap(c); err != nil {
			return nil, err
		}
	}
	if what := h.sameAs(e); what != "" {
		return nil, fail.New(fail.Damaged, "archive and catalogue disagree about the %s of %s", what, Show(e.Name))
	}
	if !slices.Equal(h.Sparse, e.Sparse) {
		return nil, fail.New(fail.Damaged, "archive and catalogue disagree about the holes of %s", Show(e.Name))
	}
	return h, nil
}

// contentFromFrames reads a content through a cursor.
type contentFromFrames struct {
	c    *cursor
	left int64
	err  error
}

func (r *contentFromFrames) Read(p []byte) (int, error) {
	if r.err != nil {
		return 0, r.err
	}
	if r.left == 0 {
		return 0, io.EOF
	}
	if len(p) == 0 {
		return 0, nil
	}
	b, err := r.c.some(int(min(int64(len(p)), r.left)))
	if err != nil {
		r.err = damaged(err)
		return 0, r.err
	}
	r.left -= int64(len(b))
	return copy(p, b), nil
}

// WriteTo spares a copy.
func (r *contentFromFrames) WriteTo(w io.Writer) (int64, error) {
	var n int64
	for r.left > 0 && r.err == nil {
		b, err := r.c.some(int(min(1<<20, r.left)))
		if err != nil {
			r.err = damaged(err)
			break
		}
		k, err := w.Write(b)
		n += int64(k)
		if err != nil {
			return n, err
		}
		r.left -= int64(len(b))
	}
	return n, r.err
}

// lines cuts the catalogue into records.
type lines struct{ rest []byte }

func (l *lines) add(b []byte) error {
	if len(l.rest)+len(b) > maxRecord {
		return errors.New("a record is too large")
	}
	l.rest = append(l.rest, b...)
	return nil
}

func (l *lines) next() ([]byte, bool) {
	i := bytes.IndexByte(l.rest, '\n')
	if i < 0 {
		return nil, false
	}
	line := l.rest[:i]
	l.rest = l.rest[i+1:]
	return line, true
}
