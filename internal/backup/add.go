package backup

import (
	"context"

	"github.com/mkcdrec/mkcdrec/internal/archive"
	"golang.org/x/sys/unix"
)

type linkKey struct{ dev, ino uint64 }

type link struct {
	name string
	left uint64 // names not seen yet
}

func (w *walk) emit(ctx context.Context, t *task) error {
	select {
	case w.ordered <- t:
	case <-ctx.Done():
		w.drop(t)
		return errStopped
	}
	w.work <- t // readers run until it is closed
	return nil
}

// consume adds the tasks to the sink in their order.
func (w *walk) consume(ctx context.Context, sink Sink) error {
	var done int64
	for t := range w.ordered {
		<-t.done
		if err := ctx.Err(); err != nil {
			w.drop(t)
			return err
		}
		n, err := w.add(t, sink)
		w.drop(t)
		if err != nil {
			return err
		}
		done += n
		if w.opt.OnAdd != nil && t.entry != nil {
			w.opt.OnAdd(t.entry, done)
		}
	}
	return ctx.Err()
}

// add gives one task to the sink; n is how many bytes of content it had.
func (w *walk) add(t *task, sink Sink) (n int64, err error) {
	if t.kind == barrier {
		close(t.passed)
		return 0, nil
	}
	if t.kind == covered {
		sink.Warn(t.name, t.listed)
		return 0, nil
	}
	if t.skipped && !w.linked(t) {
		w.fill(t, false) // its first name went out of the table meanwhile
	}
	switch {
	case t.vanished:
		sink.Warn(t.name, "vanished before it was read")
		return 0, nil
	case t.err != nil:
		sink.Warn(t.name, t.err.Error())
		return 0, nil
	}
	e := t.entry
	if first, ok := w.link(t); ok {
		e.Kind, e.Link, e.Size, e.Sparse, e.Problem = archive.Hardlink, first, 0, nil, ""
		e.DevMajor, e.DevMinor = 0, 0 // its first name has them
		return 0, sink.Add(e, nil)
	}
	if e.Kind != archive.File || e.Unreadable {
		return 0, sink.Add(e, nil)
	}
	if t.stream != nil {
		err = sink.Add(e, t.stream)
		return t.stream.total, err
	}
	n = int64(len(t.buf))
	return n, sink.AddBytes(e, t.buf)
}

func (w *walk) linked(t *task) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	_, ok := w.links[linkKey{t.entry.Dev, t.entry.Inode}]
	return ok
}

// link gives the first name of an inode that is in the archive already, and
// keeps the name of one that is now added and has further names.
func (w *walk) link(t *task) (string, bool) {
	e := t.entry
	if t.nlink < 2 || e.Kind == archive.Dir || e.Kind == archive.Subvolume || e.Kind == archive.Socket || e.Unreadable {
		return "", false
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	key := linkKey{e.Dev, e.Inode}
	l, ok := w.links[key]
	if !ok {
		w.links[key] = &link{name: e.Name, left: t.nlink - 1}
		return "", false
	}
	if l.left--; l.left == 0 {
		delete(w.links, key) // all its names were met: the table stays small
	}
	return l.name, true
}

// drop gives back what a task holds.
func (w *walk) drop(t *task) {
	if t.stream != nil {
		_ = unix.Close(t.stream.fd)
		t.stream = nil
	}
	if t.buf != nil {
		w.ahead.Add(-int64(cap(t.buf)))
		putBuffer(t.buf)
		t.buf = nil
	}
	if t.self != nil {
		t.self.Release()
		t.self = nil
	}
	if t.parent != nil {
		t.parent.Release()
		t.parent = nil
	}
}
