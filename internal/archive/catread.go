package archive

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"iter"

	"github.com/klauspost/compress/zstd"
	"github.com/mkcdrec/mkcdrec/internal/fail"
	"github.com/mkcdrec/mkcdrec/internal/store"
)

// Catalogue yields the records in the order of the archive. After an error
// there are no further ones. That the catalogue is the one that the manifest
// names is known only at the end: damage is yielded as the last error.
func (b *Backup) Catalogue(ctx context.Context) iter.Seq2[*Entry, error] {
	return b.catalogue(ctx, b.openFile)
}

// CatalogueLeft is Catalogue of what is left: of one that was cut, the records
// before the cut. Whatever damage there is ends it without a word: that is for
// Entries with SkipDamaged to say.
func (b *Backup) CatalogueLeft(ctx context.Context) iter.Seq2[*Entry, error] {
	return func(yield func(*Entry, error) bool) {
		for e, err := range b.catalogue(ctx, b.openAny) {
			if fail.KindOf(err) == fail.Damaged && err != nil || !yield(e, err) {
				return
			}
		}
	}
}

// catalogue reads the records of the file that open opens.
func (b *Backup) catalogue(ctx context.Context, open func(context.Context, FileInfo) (store.ReadFile, error)) iter.Seq2[*Entry, error] {
	return func(yield func(*Entry, error) bool) {
		f, err := open(ctx, b.Manifest.Cat)
		if err != nil {
			yield(nil, err)
			return
		}
		defer f.Close()
		c := &catReader{b: b, in: &hashedFile{ctx: ctx, f: f, sum: sha256.New()}}
		if err := c.run(yield); err != nil && !errors.Is(err, errStop) {
			yield(nil, err)
		}
	}
}

var errStop = errors.New("the caller wants no more")

type catReader struct {
	b     *Backup
	in    *hashedFile
	count int64
	frame int64 // position of the last record in the tar stream
	at    int64
}

// run decodes, checks and yields. A damaged catalogue often is seen first as
// a frame or record that cannot be decoded; a store that fails is told apart,
// but for bad sectors.
func (c *catReader) run(yield func(*Entry, error) bool) error {
	// The catalogue is small, and read as a stream: the pure Go decoder does.
	dec, err := zstd.NewReader(c.in, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxMemory(64<<20), zstd.WithDecoderMaxWindow(64<<20))
	if err != nil {
		return fmt.Errorf("cannot read the catalogue: %w", err)
	}
	defer dec.Close()
	buf := make([]byte, 256<<10)
	var l lines
	for {
		n, err := dec.Read(buf)
		if addErr := l.add(buf[:n]); addErr != nil {
			return c.damaged(addErr)
		}
		for {
			line, ok := l.next()
			if !ok {
				break
			}
			e, err := c.record(line)
			if err != nil {
				return c.damaged(fmt.Errorf("record %d: %w", c.count+1, err))
			}
			if !yield(e, nil) {
				return errStop
			}
			c.count++
		}
		if errors.Is(err, io.EOF) {
			return c.end(&l)
		}
		if err != nil {
			return c.damaged(err)
		}
	}
}

func (c *catReader) damaged(err error) error {
	if c.in.err != nil && !errors.Is(c.in.err, store.ErrUnreadable) {
		return fmt.Errorf("cannot read the catalogue: %w", c.in.err)
	}
	return fail.New(fail.Damaged, "catalogue of backup %s is damaged: %w", c.b.Manifest.ID, err)
}

func (c *catReader) record(line []byte) (*Entry, error) {
	e, err := parseRecord(line)
	if err != nil {
		return nil, err
	}
	if (e.Frame >= 0) != inTar(e) {
		return nil, fmt.Errorf("%s is in frame %d", Show(e.Name), e.Frame)
	}
	if e.Frame >= 0 {
		if e.Frame < c.frame || e.Frame == c.frame && e.FrameOffset < c.at {
			return nil, fmt.Errorf("%s is out of order", Show(e.Name))
		}
		c.frame, c.at = e.Frame, e.FrameOffset
	}
	return e, nil
}

func (c *catReader) end(l *lines) error {
	if len(l.rest) > 0 {
		return c.damaged(errors.New("the last record is not complete"))
	}
	if c.in.off != c.in.f.Size() || hex.EncodeToString(c.in.sum.Sum(nil)) != c.b.Manifest.Cat.SHA256 {
		return c.damaged(errors.New("it does not match its SHA-256 in the manifest"))
	}
	if want := c.b.Manifest.Counts.Paths; c.count != want {
		return c.damaged(fmt.Errorf("it has %d records instead of %d", c.count, want))
	}
	return nil
}

// hashedFile reads a store file as a stream and hashes it.
type hashedFile struct {
	ctx context.Context
	f   store.ReadFile
	off int64
	sum interface {
		io.Writer
		Sum([]byte) []byte
	}
	err error // of the store
}

func (h *hashedFile) Read(p []byte) (int, error) {
	if h.err = h.ctx.Err(); h.err != nil {
		return 0, h.err
	}
	n, err := h.f.ReadAt(p, h.off)
	h.sum.Write(p[:n])
	h.off += int64(n)
	if n > 0 && errors.Is(err, io.EOF) {
		err = nil
	}
	if err != nil && !errors.Is(err, io.EOF) {
		h.err = err
	}
	return n, err
}
