package archive

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/mkcdrec/mkcdrec/internal/archive/zstdframe"
	"github.com/mkcdrec/mkcdrec/internal/store"
)

// Limits and default of WriterOptions.FrameSize.
const (
	DefaultFrameSize = 4 << 20
	minFrameSize     = 64 << 10
)

// WriterOptions say how a backup is written. The zero value of each number
// means its default.
type WriterOptions struct {
	Prefix     string // directory in the sink: "web1/20261124T031500Z-ab12"
	BackupID   string
	Host       string
	FrameSize  int              // decompressed bytes of a frame; default 4 MiB
	Level      int              // zstd 1..19; default 3
	Workers    int              // default: one for each CPU
	VolumeSize int64            // bytes; 0: one volume
	Only       []string         // for the manifest: the paths that were asked for, absolute
	Exclude    []string         // for the manifest: the patterns that were left out
	Layout     []byte           // content of layout.json; nil: none
	Headers    []HeaderCopy     // nil: none
	WorkDir    string           // where the catalogue is spooled; "": the system's temporary directory
	Now        func() time.Time // nil: time.Now
	Tool       string           // program and version, for the manifest
}

// HeaderCopy is the copy of a LUKS header, named by HeaderName.
type HeaderCopy struct {
	Name string
	Data []byte
}

// Progress is how far a Writer or Reader has come.
type Progress struct {
	Paths   int64
	Content int64 // bytes of file content
	Stored  int64 // compressed bytes
}

// Writer writes one backup. Its methods are called by one goroutine, except
// Progress.
//
// The caller's goroutine serialises headers and contents into frame buffers;
// workers hash and compress whole frames; one goroutine writes them in order.
// The number of buffers is fixed, so memory stays the same whatever the
// backup's size.
type Writer struct {
	ctx context.Context
	opt WriterOptions
	out *volumeWriter

	cur   *frame // being filled; nil: none
	next  int64  // number of the next frame
	head  []byte // scratch for headers
	free  chan *frame
	work  chan *frame // to the workers
	order chan *frame // the same frames, to the output, in order
	wg    sync.WaitGroup

	mu  sync.Mutex
	err error // the first one

	begun  time.Time
	counts Counts
	warned int64
	warns  []Warning
	from   []Source
	closed bool

	paths, content atomic.Int64
}

// NewWriter begins a backup below opt.Prefix of sink.
func NewWriter(ctx context.Context, sink store.Sink, opt WriterOptions) (*Writer, error) {
	if opt.FrameSize == 0 {
		opt.FrameSize = DefaultFrameSize
	}
	if opt.FrameSize < minFrameSize || opt.FrameSize > zstdframe.MaxContent {
		return nil, fmt.Errorf("frame size %d is not within %d and %d bytes", opt.FrameSize, minFrameSize, zstdframe.MaxContent)
	}
	if opt.Level == 0 {
		opt.Level = zstdframe.DefaultLevel
	}
	if opt.Workers <= 0 {
		opt.Workers = runtime.GOMAXPROCS(0)
	}
	if opt.Now == nil {
		opt.Now = time.Now
	}
	if err := checkPrefix(opt.Prefix); err != nil {
		return nil, err
	}
	encoders := make([]*zstdframe.Encoder, opt.Workers)
	for i := range encoders {
		enc, err := zstdframe.NewEncoder(opt.Level)
		if err != nil {
			return nil, err
		}
		encoders[i] = enc
	}
	out, err := newVolumeWriter(ctx, sink, opt)
	if err != nil {
		return nil, err
	}
	buffers := opt.Workers + 3
	w := &Writer{
		ctx: ctx, opt: opt, out: out, begun: opt.Now(),
		free: make(chan *frame, buffers), work: make(chan *frame, buffers), order: make(chan *frame, buffers),
	}
	w.counts.Kinds = map[Kind]int64{}
	for range buffers {
		w.free <- &frame{}
	}
	w.wg.Add(opt.Workers + 1)
	for _, enc := range encoders {
		go w.compressFrames(enc)
	}
	go w.writeFrames()
	return w, nil
}

// checkPrefix accepts "" and relative names.
func checkPrefix(p string) error {
	if p == "" {
		return nil
	}
	if err := checkName(p); err != nil || p == "." {
		return fmt.Errorf("cannot use %q as a backup's directory", p)
	}
	return nil
}

// AddBytes is Add for content that is in memory. data may be reused when it returns.
func (w *Writer) AddBytes(e *Entry, data []byte) error {
	return w.Add(e, bytes.NewReader(data))
}

// Add appends one path. For a File, r gives the bytes as Content describes;
// nil otherwise. The writer owns e from here on and fills in Hash (by the
// time Close returns), Frame, FrameOffset, and Problem when the content was
// shorter or longer than Size; the extents of a sparse file are widened to
// blocks of 512 bytes. An error of r other than io.EOF that came before the
// end of the content makes the file's Problem, not an error of Add: the rest
// of the content is zeros. Errors of Add end the backup.
func (w *Writer) Add(e *Entry, r io.Reader) error {
	if err := w.failed(); err != nil {
		return err
	}
	if w.closed {
		return errors.New("cannot add to a backup that was closed")
	}
	e.Frame, e.FrameOffset = 0, 0
	original := e.Sparse
	if e.Sparse != nil {
		var err error
		if e.Sparse, err = normaliseSparse(e.Size, e.Sparse); err != nil {
			return fmt.Errorf("cannot add %s: %w", Show(e.Name), err)
		}
	}
	if err := e.check(); err != nil {
		return fmt.Errorf("cannot add %s: %w", Show(e.Name), err)
	}
	var err error
	if inTar(e) {
		err = w.addToTar(e, original, r)
	} else {
		e.Frame = -1
		if err = w.room(0); err == nil {
			w.cur.done = append(w.cur.done, e)
		}
	}
	if err != nil {
		return err
	}
	w.count(e)
	if w.cur == nil {
		return nil
	}
	if len(w.cur.raw) == w.opt.FrameSize || len(w.cur.done) >= maxDone {
		w.dispatch()
	}
	return nil
}

// maxDone bounds the entries that one frame keeps; only paths outside the tar
// stream can come near it.
const maxDone = 1 << 16

func (w *Writer) addToTar(e *Entry, original []Extent, r io.Reader) error {
	var sparseMap []byte
	if e.Sparse != nil {
		sparseMap = appendSparseMap(nil, e.Size, e.Sparse)
	}
	stored := int64(len(sparseMap)) + e.ContentSize()
	w.head = appendHeader(w.head[:0], e, stored)
	if len(w.head) > maxRecords {
		e.Xattrs = nil
		problem(e, "extended attributes are too large for the archive and were left out")
		w.head = appendHeader(w.head[:0], e, stored)
	}
	w.head = append(w.head, sparseMap...)
	total := int64(len(w.head)) + e.ContentSize()
	if err := w.begin(total); err != nil {
		return err
	}
	e.Frame, e.FrameOffset = w.cur.number, int64(len(w.cur.raw))
	if err := w.put(w.head); err != nil {
		return err
	}
	if e.Kind == File {
		src := &contentReader{r: r, e: e, want: original}
		if err := w.putContent(e, src); err != nil {
			return err
		}
		src.finish()
		w.content.Add(e.ContentSize())
	}
	// Before the padding, which may go into the next frame: the record is
	// made by the worker that hashes the last piece of the content.
	w.cur.done = append(w.cur.done, e)
	return w.put(zeros[:padding(total)])
}

// begin makes sure that a header is not torn apart without need: a frame that
// is nearly full is closed when the next path does not fit into it, so that
// most frames begin with a header and damage to one costs few files.
func (w *Writer) begin(total int64) error {
	if w.cur != nil {
		space := w.opt.FrameSize - len(w.cur.raw)
		nearlyFull := space < w.opt.FrameSize/8 && total > int64(space)
		if space < len(w.head) && len(w.cur.raw) > 0 || nearlyFull {
			w.dispatch()
		}
	}
	return w.room(0)
}

// room makes sure that there is a frame with more than n bytes of space.
func (w *Writer) room(n int) error {
	if w.cur != nil && w.opt.FrameSize-len(w.cur.raw) > n {
		return nil
	}
	if w.cur != nil {
		w.dispatch()
	}
	select {
	case f := <-w.free:
		if cap(f.raw) < w.opt.FrameSize {
			f.raw = make([]byte, 0, w.opt.FrameSize)
		}
		f.reset(w.next)
		w.next++
		w.cur = f
		return w.failed()
	case <-w.ctx.Done():
		w.setErr(context.Cause(w.ctx))
		return w.failed()
	}
}

// put appends bytes to the stream.
func (w *Writer) put(b []byte) error {
	for len(b) > 0 {
		if err := w.room(0); err != nil {
			return err
		}
		n := min(len(b), w.opt.FrameSize-len(w.cur.raw))
		w.cur.raw = append(w.cur.raw, b[:n]...)
		b = b[n:]
	}
	return nil
}

// putContent reads the content of e straight into frame buffers.
func (w *Writer) putContent(e *Entry, src *contentReader) error {
	left := e.ContentSize()
	var sum *chain
	for first := true; first || left > 0; first = false {
		if err := w.room(0); err != nil {
			return err
		}
		f := w.cur
		from := len(f.raw)
		n := int(min(left, int64(w.opt.FrameSize-from)))
		f.raw = f.raw[:from+n]
		src.fill(f.raw[from:])
		left -= int64(n)
		if first && left > 0 || e.Sparse != nil && sum == nil {
			sum = newChain(e)
		}
		f.pieces = append(f.pieces, piece{e: e, chain: sum, turn: sum.turn(), from: from, to: from + n, last: left == 0})
	}
	return nil
}

// dispatch hands the current frame over.
func (w *Writer) dispatch() {
	f := w.cur
	w.cur = nil
	if len(f.raw) == 0 {
		w.next-- // only catalogue records: no frame of the archive
	}
	w.order <- f
	w.work <- f
}

func (w *Writer) count(e *Entry) {
	w.counts.Paths++
	w.counts.Kinds[e.Kind]++
	if e.Kind == File {
		w.counts.Apparent += e.Size
		w.counts.Content += e.ContentSize()
	}
	if e.Unreadable {
		w.counts.Unreadable++
	}
	if e.Problem != "" {
		w.Warn(e.Name, e.Problem)
	}
	w.paths.Add(1)
}

// Warn records a problem that belongs to no entry. An entry's own Problem is
// recorded by Add.
func (w *Writer) Warn(path, problem string) {
	w.warned++
	if len(w.warns) < MaxWarnings {
		w.warns = append(w.warns, Warning{Path: strings.ToValidUTF8(path, "\uFFFD"), Problem: problem})
	}
}

// Progress may be called from any goroutine.
func (w *Writer) Progress() Progress {
	return Progress{Paths: w.paths.Load(), Content: w.content.Load(), Stored: w.out.stored.Load()}
}

func (w *Writer) failed() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.err
}

func (w *Writer) setErr(err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.err == nil {
		w.err = err
	}
}

// stop lets the goroutines finish what they have, and waits for them.
func (w *Writer) stop() {
	w.closed = true
	if w.cur != nil {
		w.dispatch()
	}
	close(w.work)
	close(w.order)
	w.wg.Wait()
}

// Close finishes volumes and catalogue, then writes the manifest. After an
// error the files of this run are removed as by Abort.
func (w *Writer) Close() (*Manifest, error) {
	if w.closed {
		return nil, errors.New("cannot close a backup twice")
	}
	if w.failed() == nil && w.counts.Paths == 0 {
		w.setErr(errors.New("cannot write a backup without a single path"))
	}
	if w.failed() == nil {
		if err := w.put(zeros[:2*blockSize]); err != nil {
			w.setErr(err)
		}
	}
	w.stop()
	if err := w.failed(); err != nil {
		w.out.abort()
		return nil, err
	}
	m := &Manifest{
		Format: FormatVersion, ID: w.opt.BackupID, Host: w.opt.Host, Begun: w.begun, Tool: w.opt.Tool,
		FrameMax: int64(w.opt.FrameSize), Only: w.opt.Only, Exclude: w.opt.Exclude, ReadFrom: w.from, Counts: w.counts, Warnings: w.warns, Warned: w.warned,
	}
	if err := w.out.finish(m, w.opt); err != nil {
		w.out.abort()
		return nil, err
	}
	return m, nil
}

// ReadFrom keeps for the manifest from where each file system was read.
func (w *Writer) ReadFrom(from []Source) { w.from = from }

// Abort gives up: no manifest is written, and the files of this run are
// removed where the store can. After Close it does nothing.
func (w *Writer) Abort() error {
	if w.closed {
		return nil
	}
	w.setErr(errors.New("backup was given up"))
	w.stop()
	return w.out.abort()
}

// problem adds to an entry's Problem.
func problem(e *Entry, format string, args ...any) {
	text := fmt.Sprintf(format, args...)
	if e.Problem != "" {
		text = e.Problem + "; " + text
	}
	e.Problem = text
}

// spoolFile is a temporary file without a name.
func spoolFile(dir string) (*os.File, error) {
	f, err := os.CreateTemp(dir, "mkcdrec-catalogue-*")
	if err != nil {
		return nil, fmt.Errorf("cannot make a spool file for the catalogue: %w", err)
	}
	if err := os.Remove(f.Name()); err != nil {
		f.Close()
		return nil, fmt.Errorf("cannot make a spool file for the catalogue: %w", err)
	}
	return f, nil
}
