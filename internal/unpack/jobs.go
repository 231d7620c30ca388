package unpack

import (
	"fmt"
	"io"
	"iter"
	"sync"
	"sync/atomic"

	"github.com/mkcdrec/mkcdrec/internal/archive"
	"github.com/mkcdrec/mkcdrec/internal/inode"
)

// job is one path for a worker. Content comes as data, or as chunks from
// the goroutine that reads the archive and that hashes them on the way: a
// large file keeps two processors busy then.
type job struct {
	dir    *inode.Dir
	base   string
	e      *archive.Entry
	item   *archive.Item
	hash   *archive.Hasher // of chunks; nil: not to be checked, or nothing in chunks
	chunks chan []byte
	failed atomic.Pointer[error] // the archive broke off within the content
}

// send gives an item to a worker and, for large content, feeds it.
func (u *unpacker) send(item *archive.Item) {
	e := item.Entry
	dir, base, err := u.parent(e.Name)
	if err != nil {
		item.Release()
		u.problem(e.Name, fmt.Errorf("cannot open its directory: %w", err))
		return
	}
	j := &job{dir: dir, base: base, e: e, item: item}
	if item.Content == nil {
		u.add(j)
		return
	}
	j.chunks = make(chan []byte, 4)
	if e.Hash != [32]byte{} {
		j.hash = archive.NewHasher(e)
	}
	u.flush() // a worker of its own: this goroutine waits for it
	u.add(j)
	u.flush()
	if err := feed(j, item.Content); err != nil {
		j.failed.Store(&err)
	}
	close(j.chunks)
}

// What is handed over at once: waking a worker costs as much as making a
// small file.
const (
	batchJobs = 32
	batchSize = 1 << 20
)

// add puts a job into the batch. A batch never holds more than two frames of
// the archive, which is read on only while few are held: its paths begin in
// one frame, and only the content of the last one may lie in a later one.
func (u *unpacker) add(j *job) {
	if len(u.batch) > 0 && u.batch[0].e.Frame != j.e.Frame {
		u.flush()
	}
	u.busy.Add(1)
	u.batch = append(u.batch, j)
	u.size += int64(len(j.item.Data))
	if len(u.batch) >= batchJobs || u.size >= batchSize {
		u.flush()
	}
}

func (u *unpacker) flush() {
	if len(u.batch) > 0 {
		u.jobs <- u.batch
		u.batch, u.size = nil, 0
	}
}

// settle waits until everything that was sent is made.
func (u *unpacker) settle() {
	u.flush()
	u.busy.Wait()
}

const chunkSize = 256 << 10

var chunks = sync.Pool{New: func() any { b := make([]byte, chunkSize); return &b }}

func feed(j *job, r io.Reader) error {
	for {
		b := chunks.Get().(*[]byte)
		n, err := io.ReadFull(r, *b)
		if n > 0 {
			if j.hash != nil {
				_, _ = j.hash.Write((*b)[:n])
			}
			j.chunks <- (*b)[:n]
		} else {
			chunks.Put(b)
		}
		if err == io.EOF || err == io.ErrUnexpectedEOF {
			return nil
		}
		if err != nil {
			return fmt.Errorf("cannot read the content of %s: %w", j.e.Name, err)
		}
	}
}

func (u *unpacker) worker() {
	for batch := range u.jobs {
		for _, j := range batch {
			u.work(j)
		}
	}
}

func (u *unpacker) work(j *job) {
	defer u.busy.Done()
	err := u.make(j)
	for b := range j.rest() { // after an error the feeder still sends
		giveBack(b)
	}
	j.item.Release()
	j.dir.Release()
	if err != nil {
		u.problem(j.e.Name, err)
	}
}

func (j *job) rest() iter.Seq[[]byte] {
	return func(yield func([]byte) bool) {
		if j.chunks == nil {
			return
		}
		for b := range j.chunks {
			if !yield(b) {
				return
			}
		}
	}
}

func giveBack(b []byte) {
	if cap(b) == chunkSize {
		b = b[:chunkSize]
		chunks.Put(&b)
	}
}
