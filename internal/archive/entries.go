package archive

import (
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"runtime"

	"github.com/mkcdrec/mkcdrec/internal/fail"
	"github.com/mkcdrec/mkcdrec/internal/wording"
)

// Entries yields the paths in the order of the archive with their content.
// Catalogue-only entries (sockets, unreadable files) are yielded without.
// The catalogue leads; each header of the tar stream must agree with it.
func (b *Backup) Entries(ctx context.Context, opt ReadOptions) iter.Seq2[*Item, error] {
	return func(yield func(*Item, error) bool) {
		r := &entryReader{b: b, opt: opt, yield: yield}
		if err := r.run(ctx); err != nil && !errors.Is(err, errStop) {
			yield(nil, err)
		}
	}
}

type entryReader struct {
	b       *Backup
	opt     ReadOptions
	yield   func(*Item, error) bool
	lost    int64
	unknown int64 // paths that the catalogue has lost
	first   error // damage
}

func (r *entryReader) run(ctx context.Context) error {
	var lost func(error)
	if r.opt.SkipDamaged {
		lost = r.note
	}
	places, err := r.b.index(ctx, lost)
	if err != nil {
		return err
	}
	f := &fetcher{b: r.b, places: places}
	if r.opt.Select != nil {
		if f.wanted, err = r.frames(ctx, int64(len(places))); err != nil {
			return err
		}
	}
	workers := r.opt.Workers
	if workers <= 0 {
		workers = runtime.GOMAXPROCS(0)
	}
	if err := f.start(ctx, workers, 2*workers+2); err != nil {
		return err
	}
	defer f.stop()
	c := &cursor{src: f}
	defer c.close()
	known := int64(0)
	for e, err := range r.catalogue(ctx) {
		if err != nil && r.opt.SkipDamaged && fail.KindOf(err) == fail.Damaged {
			r.note(err)
			r.unknown = max(r.b.Manifest.Counts.Paths-known, 0)
			break
		}
		if err != nil {
			return err
		}
		known++
		if r.opt.Select != nil && !r.opt.Select(e) {
			continue
		}
		if err := r.entry(c, e); err != nil {
			return err
		}
	}
	return r.outcome()
}

// catalogue is what leads: with SkipDamaged what is left of it.
func (r *entryReader) catalogue(ctx context.Context) iter.Seq2[*Entry, error] {
	if r.opt.SkipDamaged {
		return r.b.catalogue(ctx, r.b.openAny)
	}
	return r.b.Catalogue(ctx)
}

// outcome is the damage that was met, or nil.
func (r *entryReader) outcome() error {
	if r.first == nil {
		return nil
	}
	lost := wording.Count(r.lost, "path") + " lost"
	if r.unknown > 0 {
		lost += fmt.Sprintf(", %d of all %s not known", r.unknown, wording.Count(r.b.Manifest.Counts.Paths, "path"))
	}
	return fail.New(fail.Damaged, "backup %s is damaged, %s: %w", r.b.Manifest.ID, lost, r.first)
}

func (r *entryReader) note(err error) {
	if r.first == nil {
		r.first = err
	}
}

// frames finds the frames that the selected entries need.
func (r *entryReader) frames(ctx context.Context, total int64) (func(int64) bool, error) {
	need := make([]uint64, total/64+1)
	from := int64(-1) // of the last selected entry; its end is where the next one begins
	mark := func(to int64) {
		for n := from; from >= 0 && n <= to && n < total; n++ {
			need[n/64] |= 1 << (n % 64)
		}
		from = -1
	}
	for e, err := range r.catalogue(ctx) {
		if err != nil && r.opt.SkipDamaged && fail.KindOf(err) == fail.Damaged {
			break // run will say so
		}
		if err != nil {
			return nil, err
		}
		if e.Frame < 0 {
			continue
		}
		mark(e.Frame)
		if r.opt.Select(e) {
			from = e.Frame
		}
	}
	mark(total - 1)
	return func(n int64) bool { return need[n/64]&(1<<(n%64)) != 0 }, nil
}

// entry positions, checks and yields one entry.
func (r *entryReader) entry(c *cursor, e *Entry) error {
	it := &Item{Entry: e}
	if e.Frame < 0 {
		return r.give(it)
	}
	err := c.seek(e.Frame, e.FrameOffset)
	if err == nil {
		_, err = r.b.header(c, e)
	}
	var stream *contentFromFrames
	if err == nil && e.Kind == File {
		size := e.ContentSize()
		if data, ok := c.whole(size); ok {
			it.Data = data
			if size > 0 {
				it.held = c.frame
				c.frame.hold()
			}
		} else {
			stream = &contentFromFrames{c: c, left: size}
			it.Content = stream
		}
	}
	if err != nil {
		err = damaged(err)
		if fail.KindOf(err) != fail.Damaged {
			return err
		}
		err = fail.New(fail.Damaged, "%s is lost: %w", Show(e.Name), err)
		if !r.opt.SkipDamaged {
			return err
		}
		r.note(err)
		r.lost++
		it.Lost = err
	}
	if err := r.give(it); err != nil {
		return err
	}
	if stream == nil {
		return nil
	}
	// What the caller did not read is passed over by the next seek. Damage
	// that it met counts; what it did with it is its own business.
	if errors.Is(stream.err, io.EOF) || stream.err == nil {
		return nil
	}
	if fail.KindOf(stream.err) != fail.Damaged || !r.opt.SkipDamaged {
		return stream.err
	}
	r.note(fail.New(fail.Damaged, "%s is lost: %w", Show(e.Name), stream.err))
	r.lost++
	return nil
}

func (r *entryReader) give(it *Item) error {
	if !r.yield(it, nil) {
		return errStop
	}
	return nil
}
