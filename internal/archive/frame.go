package archive

import (
	"crypto/sha256"
	"errors"
	"io"
	"sync"

	"github.com/mkcdrec/mkcdrec/internal/archive/zstdframe"
)

// frame is one buffer on its way from the caller to the volume.
type frame struct {
	number int64
	raw    []byte
	pieces []piece  // content in raw, to be hashed
	done   []*Entry // entries that are complete with this frame

	packed []byte // the compressed frame
	buf    []byte // memory of packed
	sum    uint32
	lines  []byte // catalogue lines of done
	err    error
	ready  chan struct{}
}

func (f *frame) reset(number int64) {
	clear(f.done)
	clear(f.pieces)
	*f = frame{number: number, raw: f.raw[:0], pieces: f.pieces[:0], done: f.done[:0], buf: f.buf, lines: f.lines[:0],
		ready: make(chan struct{})}
}

// piece is a run of a file's content within a frame.
type piece struct {
	e        *Entry
	chain    *chain // nil: the whole content of a file without holes
	turn     int
	from, to int
	last     bool
}

// chain is the hash of a file that lies in several frames. Different workers
// have the frames, so they take turns.
type chain struct {
	mu    sync.Mutex
	cond  sync.Cond
	now   int // turn
	given int // turns handed out; caller's goroutine only
	h     *Hasher
}

func newChain(e *Entry) *chain {
	c := &chain{h: NewHasher(e)}
	c.cond.L = &c.mu
	return c
}

func (c *chain) turn() int {
	if c == nil {
		return 0
	}
	c.given++
	return c.given - 1
}

// hash hashes a piece. It cannot wait forever: the piece before it is in a
// frame that was handed out earlier and is being worked on.
func (p *piece) hash(raw []byte) {
	data := raw[p.from:p.to]
	if p.chain == nil {
		p.e.Hash = sha256.Sum256(data)
		return
	}
	c := p.chain
	c.mu.Lock()
	for c.now != p.turn {
		c.cond.Wait()
	}
	c.mu.Unlock()
	_, _ = c.h.Write(data)
	if p.last {
		p.e.Hash = c.h.Sum()
	}
	c.mu.Lock()
	c.now++
	c.cond.Broadcast()
	c.mu.Unlock()
}

// compressFrames is one worker.
func (w *Writer) compressFrames(enc *zstdframe.Encoder) {
	defer w.wg.Done()
	defer enc.Close()
	for f := range w.work {
		for i := range f.pieces {
			f.pieces[i].hash(f.raw)
		}
		for _, e := range f.done {
			var err error
			if f.lines, err = appendRecordLine(f.lines, e); err != nil && f.err == nil {
				f.err = err
			}
		}
		if len(f.raw) > 0 && f.err == nil {
			f.packed, f.sum, f.err = enc.Encode(f.buf, f.raw)
			if cap(f.packed) > cap(f.buf) {
				f.buf = f.packed
			}
		}
		close(f.ready)
	}
}

// writeFrames is the output: it takes the frames in order. After an error it
// only gives the buffers back, so that nobody waits for it.
func (w *Writer) writeFrames() {
	defer w.wg.Done()
	for f := range w.order {
		<-f.ready
		err := f.err
		if err == nil && w.failed() == nil {
			err = w.out.write(f)
		}
		if err != nil {
			w.setErr(err)
		}
		w.free <- f
	}
}

// contentReader gives exactly the bytes that the entry's header promised:
// what is missing is zeros, what is too much is left. The extents of the
// entry may be wider than those that r gives; the gaps are zeros, too.
type contentReader struct {
	r    io.Reader
	e    *Entry
	want []Extent // what r gives; nil: a file without holes

	ext, wide int   // index in want and in e.Sparse
	in, at    int64 // bytes of the wide extent done; bytes read in all
	failed    bool
}

func (c *contentReader) fill(b []byte) {
	if c.e.Sparse == nil {
		c.read(b)
		return
	}
	for len(b) > 0 && c.wide < len(c.e.Sparse) {
		x := c.e.Sparse[c.wide]
		pos := x.Offset + c.in // offset in the file
		n := min(int64(len(b)), x.Length-c.in)
		for c.ext < len(c.want) && c.want[c.ext].Offset+c.want[c.ext].Length <= pos {
			c.ext++
		}
		if c.ext < len(c.want) && c.want[c.ext].Offset <= pos {
			n = min(n, c.want[c.ext].Offset+c.want[c.ext].Length-pos)
			c.read(b[:n])
		} else {
			if c.ext < len(c.want) {
				n = min(n, c.want[c.ext].Offset-pos)
			}
			clear(b[:n])
		}
		b, c.in = b[n:], c.in+n
		if c.in == x.Length {
			c.wide, c.in = c.wide+1, 0
		}
	}
}

// read fills b from r, and with zeros from the first error on.
func (c *contentReader) read(b []byte) {
	if c.failed || c.r == nil {
		clear(b)
		if !c.failed && len(b) > 0 {
			c.failed = true
			problem(c.e, "no content was given; it is zeros in the archive")
		}
		return
	}
	n, err := io.ReadFull(c.r, b)
	c.at += int64(n)
	if err == nil {
		return
	}
	clear(b[n:])
	c.failed = true
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		problem(c.e, "changed while read: ends after %d bytes, the rest is zeros in the archive", c.at)
		return
	}
	problem(c.e, "cannot be read from byte %d on, the rest is zeros in the archive: %v", c.at, err)
}

// finish looks whether r has more than was promised.
func (c *contentReader) finish() {
	if c.failed || c.r == nil || c.want != nil {
		return
	}
	var one [1]byte
	if n, _ := c.r.Read(one[:]); n > 0 {
		problem(c.e, "changed while read: longer than %d bytes, cut in the archive", c.e.Size)
	}
}
