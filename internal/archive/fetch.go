package archive

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"sync"
	"sync/atomic"

	"github.com/mkcdrec/mkcdrec/internal/archive/zstdframe"
	"github.com/mkcdrec/mkcdrec/internal/fail"
)

// rawFrame is one decompressed frame. It goes back to its pool when the last
// one who uses it has let go.
type rawFrame struct {
	number int64
	data   []byte
	err    error // fail.Damaged: this frame cannot be had; anything else ends the read

	packed []byte
	place  place
	ready  chan struct{}
	users  atomic.Int32
	pool   chan *rawFrame
}

func (f *rawFrame) hold() { f.users.Add(1) }

func (f *rawFrame) release() {
	if f.users.Add(-1) == 0 {
		f.pool <- f // has room for all
	}
}

// fetcher reads frames in order and decompresses them in parallel.
type fetcher struct {
	b      *Backup
	ctx    context.Context
	cancel context.CancelFunc
	places []place
	wanted func(int64) bool // nil: all
	from   int64
	hashed func(error) // called for each volume that is read whole, with what is wrong with it; nil: volumes are not hashed

	pool  chan *rawFrame
	work  chan *rawFrame
	order chan *rawFrame
	wg    sync.WaitGroup
	read  atomic.Int64 // compressed bytes
}

// start begins to read. The caller ends it by stop.
func (f *fetcher) start(ctx context.Context, workers, buffers int) error {
	f.ctx, f.cancel = context.WithCancel(ctx)
	f.pool = make(chan *rawFrame, buffers)
	f.work = make(chan *rawFrame, buffers)
	f.order = make(chan *rawFrame, buffers)
	for range buffers {
		f.pool <- &rawFrame{pool: f.pool}
	}
	decoders := make([]*zstdframe.Decoder, workers)
	for i := range decoders {
		d, err := zstdframe.NewDecoder()
		if err != nil {
			f.cancel()
			return err
		}
		decoders[i] = d
	}
	f.wg.Add(workers + 1)
	for _, d := range decoders {
		go f.decode(d)
	}
	go f.readFrames()
	return nil
}

// stop ends all goroutines. Frames that are still held stay valid.
func (f *fetcher) stop() {
	f.cancel()
	f.wg.Wait()
}

// next gives the next frame, held once for the caller; nil after the last one.
func (f *fetcher) next() (*rawFrame, error) {
	r, ok := <-f.order
	if !ok {
		return nil, context.Cause(f.ctx)
	}
	<-r.ready
	if r.err != nil && fail.KindOf(r.err) != fail.Damaged {
		return nil, r.err
	}
	return r, nil
}

func (f *fetcher) decode(d *zstdframe.Decoder) {
	defer f.wg.Done()
	defer d.Close()
	for r := range f.work {
		if r.err == nil && f.ctx.Err() == nil {
			if err := d.Decode(r.data, r.packed, r.place.sum); err != nil {
				r.err = fail.New(fail.Damaged, "frame %d in %s at byte %d: %w", r.number,
					f.b.Manifest.Volumes[r.place.volume].Name, r.place.offset, err)
			}
		}
		close(r.ready)
	}
}

// readFrames reads the compressed frames one after the other.
func (f *fetcher) readFrames() {
	defer f.wg.Done()
	defer close(f.work)
	defer close(f.order)
	var sum hash.Hash
	var volErr error
	for n := f.from; n < int64(len(f.places)); n++ {
		if f.wanted != nil && !f.wanted(n) {
			continue
		}
		var r *rawFrame
		select {
		case r = <-f.pool:
		case <-f.ctx.Done():
			return
		}
		p := f.places[n]
		// Compressed frames differ in size: with some room to spare the memory is soon large enough for all.
		*r = rawFrame{number: n, place: p, data: sized(r.data, p.content, 0), packed: sized(r.packed, p.compressed, p.compressed/4),
			ready: make(chan struct{}), pool: f.pool}
		r.users.Store(1)
		r.err = f.readOne(r)
		if f.hashed != nil {
			if n == 0 || f.places[n-1].volume != p.volume {
				sum, volErr = sha256.New(), nil
			}
			if r.err != nil {
				volErr = r.err
			}
			sum.Write(r.packed)
			if n+1 == int64(len(f.places)) || f.places[n+1].volume != p.volume {
				f.hashed(errors.Join(volErr, f.volumeSum(p.volume, sum)))
			}
		}
		transport := r.err != nil && fail.KindOf(r.err) != fail.Damaged
		f.order <- r
		f.work <- r
		if transport {
			return
		}
	}
}

func (f *fetcher) readOne(r *rawFrame) error {
	name := f.b.Manifest.Volumes[r.place.volume].Name
	if r.place.compressed == 0 {
		return fail.New(fail.Damaged, "frame %d is not in what is left of %s", r.number, name)
	}
	vol, err := f.b.part(f.ctx, r.place.volume)
	if err != nil {
		return err
	}
	f.read.Add(int64(len(r.packed)))
	if err := readFull(vol, r.packed, r.place.offset, name); err != nil {
		return fmt.Errorf("frame %d: %w", r.number, err)
	}
	return nil
}

// volumeSum compares the volume's digest; sum has seen all frames.
func (f *fetcher) volumeSum(i int, sum hash.Hash) error {
	v := f.b.Manifest.Volumes[i]
	vol, err := f.b.volume(f.ctx, i)
	if err != nil {
		return err
	}
	table := make([]byte, min(zstdframe.TableLen(int(v.Frames)), v.Size))
	if err := readFull(vol, table, v.Size-int64(len(table)), v.Name); err != nil {
		return err
	}
	f.read.Add(int64(len(table)))
	sum.Write(table)
	if hex.EncodeToString(sum.Sum(nil)) != v.SHA256 {
		return fail.New(fail.Damaged, "%s does not match its SHA-256 in the manifest", v.Name)
	}
	return nil
}

func sized(b []byte, n, spare int) []byte {
	if cap(b) < n {
		return make([]byte, n, n+spare)
	}
	return b[:n]
}

// cursor is a position in the tar stream.
type cursor struct {
	src   interface{ next() (*rawFrame, error) }
	frame *rawFrame // held; nil: before the first or behind the last
	at    int       // in frame.data
	join  []byte    // memory for what lies in two frames
	err   error     // sticky
}

var errEnd = errors.New("tar stream ends")

// advance goes to the next frame.
func (c *cursor) advance() error {
	c.close()
	if c.err != nil {
		return c.err
	}
	f, err := c.src.next()
	if err == nil && f == nil {
		err = errEnd
	}
	if err != nil {
		c.err = err
		return err
	}
	c.frame, c.at = f, 0
	return nil
}

func (c *cursor) close() {
	if c.frame != nil {
		c.frame.release()
		c.frame = nil
	}
}

// seek goes forward to a position. The frame need not be readable.
func (c *cursor) seek(frame, offset int64) error {
	for c.frame == nil || c.frame.number < frame {
		if err := c.advance(); err != nil {
			return err
		}
	}
	if c.frame.number > frame || c.frame.number == frame && offset < int64(c.at) {
		return fail.New(fail.Damaged, "catalogue is out of order at frame %d", frame)
	}
	if c.frame.err != nil {
		return c.frame.err
	}
	if offset > int64(len(c.frame.data)) {
		return fail.New(fail.Damaged, "catalogue points behind the end of frame %d", frame)
	}
	c.at = int(offset)
	return nil
}

// some gives at most n of the next bytes, at least one.
func (c *cursor) some(n int) ([]byte, error) {
	for c.frame == nil || c.frame.err == nil && c.at == len(c.frame.data) {
		want := int64(0)
		if c.frame != nil {
			want = c.frame.number + 1
		}
		if err := c.advance(); err != nil {
			return nil, err
		}
		if want > 0 && c.frame.number != want {
			return nil, fmt.Errorf("frame %d was not read", want)
		}
	}
	if c.frame.err != nil {
		return nil, c.frame.err
	}
	n = min(n, len(c.frame.data)-c.at)
	b := c.frame.data[c.at : c.at+n]
	c.at += n
	return b, nil
}

// take gives exactly n bytes, valid until the next call.
func (c *cursor) take(n int) ([]byte, error) {
	if n == 0 {
		return nil, nil
	}
	b, err := c.some(n)
	if err != nil || len(b) == n {
		return b, err
	}
	c.join = append(c.join[:0], b...)
	for len(c.join) < n {
		if b, err = c.some(n - len(c.join)); err != nil {
			return nil, err
		}
		c.join = append(c.join, b...)
	}
	return c.join, nil
}

// whole gives n bytes without copying if they lie in the current frame.
func (c *cursor) whole(n int64) ([]byte, bool) {
	if n == 0 {
		return []byte{}, true
	}
	if c.frame != nil && c.frame.err == nil && c.at == len(c.frame.data) {
		if err := c.advance(); err != nil {
			return nil, false
		}
	}
	if c.frame == nil || c.frame.err != nil || n > int64(len(c.frame.data)-c.at) {
		return nil, false
	}
	b := c.frame.data[c.at : c.at+int(n) : c.at+int(n)]
	c.at += int(n)
	return b, true
}
