package iso9660

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"hash"
	"io"
	"strings"
	"syscall"
	"time"

	"github.com/mkcdrec/mkcdrec/internal/store"
)

// SumsName is the file with the SHA-256 of every other file, as sha256sum -c
// reads it from the root of the medium.
const SumsName = "SHA256SUMS"

// Output is where an image goes; *os.File is one. Truncate(n) drops what is
// behind n, and what is written behind a gap later reads back as zeros.
type Output interface {
	io.WriterAt
	Truncate(size int64) error
}

// Options are what a writer needs to know from the start.
type Options struct {
	// Label is the volume label: at most 16 of A-Z, 0-9 and _, so that it is the
	// same in the primary and in the Joliet descriptor.
	Label string
	// Time is every file's time and the volume's. The same time and files make the same bytes.
	Time time.Time
	// Application is named in the descriptor, at most 128 characters.
	Application string
	// MBR is the boot code of the hybrid master boot record (GRUB's
	// boot_hybrid.img); empty: a disk made of this image does not boot by BIOS.
	MBR []byte
	// Name says where the image is, for people.
	Name string
	// Free is asked by Writer.Free; nil: not known.
	Free func() (int64, error)
}

// Writer writes one image. It is a store.Sink: one file after the other. It is
// not safe for use by several goroutines.
type Writer struct {
	out   Output
	opt   Options
	root  *node
	next  int64 // first free byte, a whole number of sectors
	open  bool  // a file is being written
	done  bool
	err   error // the first failed write; nothing is attempted after it
	sums  []sum
	spans []span // file contents in the order of the image
	boots []placedBoot
}

type sum struct {
	name string
	hash [sha256.Size]byte
}

// span is a run of bytes of the image that belongs to a file.
type span struct {
	offset, length int64
	name           string
}

var _ store.Sink = (*Writer)(nil)

// NewWriter begins an image. Nothing is written before the first file.
func NewWriter(out Output, opt Options) (*Writer, error) {
	if opt.Label == "" || len(opt.Label) > 16 || strings.Trim(opt.Label, "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_") != "" {
		return nil, fmt.Errorf("volume label %q must have 1 to 16 characters of A-Z, 0-9 and _", opt.Label)
	}
	if n := len(opt.MBR); n != 0 && n != diskSector {
		return nil, fmt.Errorf("boot code of the master boot record has %d bytes instead of %d", n, diskSector)
	}
	if err := out.Truncate(0); err != nil {
		return nil, fmt.Errorf("cannot begin the image: %w", err)
	}
	return &Writer{out: out, opt: opt, root: newDir(""), next: firstDataSector * SectorSize}, nil
}

// String says where the image is.
func (w *Writer) String() string { return w.opt.Name }

// Free is the space left for the image in bytes, -1 where that is not known.
func (w *Writer) Free(context.Context) (int64, error) {
	if w.opt.Free == nil {
		return -1, nil
	}
	return w.opt.Free()
}

// Create starts a file below the root of the image; the directories on its way
// are made. Its bytes go into the image while they are written.
func (w *Writer) Create(ctx context.Context, name string) (store.WriteFile, error) {
	return w.create(ctx, name, SectorSize)
}

func (w *Writer) create(ctx context.Context, name string, align int64) (*fileWriter, error) {
	switch {
	case w.err != nil:
		return nil, w.err
	case w.done:
		return nil, errors.New("cannot create a file: the image is closed")
	case w.open:
		return nil, fmt.Errorf("cannot create %s: another file is still being written", name)
	case ctx.Err() != nil:
		return nil, ctx.Err()
	}
	if err := w.root.check(name); err != nil {
		return nil, fmt.Errorf("cannot create %q in the image: %w", name, err)
	}
	w.open = true
	start := (w.next + align - 1) / align * align
	return &fileWriter{w: w, ctx: ctx, name: name, start: start, hash: sha256.New()}, nil
}

// WriteFile puts a whole file into the image.
func (w *Writer) WriteFile(ctx context.Context, name string, r io.Reader) error {
	f, err := w.Create(ctx, name)
	if err != nil {
		return err
	}
	if _, err := io.CopyBuffer(struct{ io.Writer }{f}, r, make([]byte, 256<<10)); err != nil {
		return errors.Join(fmt.Errorf("cannot write %s into the image: %w", name, err), f.Abort())
	}
	return f.Commit()
}

// writeAt writes into the image and remembers the first failure.
func (w *Writer) writeAt(p []byte, off int64) error {
	if w.err != nil {
		return w.err
	}
	if _, err := w.out.WriteAt(p, off); err != nil {
		if errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) {
			err = fmt.Errorf("%w: %w", store.ErrNoSpace, err)
		}
		w.err = fmt.Errorf("cannot write the image at byte %d: %w", off, err)
	}
	return w.err
}

// chunk is how much of a file is collected before it is written.
const chunk = 1 << 20

type fileWriter struct {
	w     *Writer
	ctx   context.Context
	name  string
	start int64 // in bytes from the start of the image
	size  int64 // bytes written, without those in buf
	buf   []byte
	hash  hash.Hash
	ended bool
}

// Write takes the next bytes of the file.
func (f *fileWriter) Write(p []byte) (int, error) {
	if f.ended {
		return 0, fmt.Errorf("cannot write %s: it is finished", f.name)
	}
	if err := f.ctx.Err(); err != nil {
		return 0, err
	}
	f.hash.Write(p)
	n := len(p)
	for len(p) > 0 {
		if len(f.buf) == 0 && len(p) >= chunk { // large pieces are not copied
			if err := f.put(p[:chunk]); err != nil {
				return 0, err
			}
			p = p[chunk:]
			continue
		}
		if f.buf == nil {
			f.buf = make([]byte, 0, chunk)
		}
		k := min(len(p), chunk-len(f.buf))
		f.buf = append(f.buf, p[:k]...)
		p = p[k:]
		if len(f.buf) == chunk {
			if err := f.flush(); err != nil {
				return 0, err
			}
		}
	}
	return n, nil
}

// put writes the next bytes of the file into the image.
func (f *fileWriter) put(p []byte) error {
	if err := f.w.writeAt(p, f.start+f.size); err != nil {
		return err
	}
	f.size += int64(len(p))
	return nil
}

func (f *fileWriter) flush() error {
	err := f.put(f.buf)
	f.buf = f.buf[:0]
	return err
}

// Commit gives the file its name in the image.
func (f *fileWriter) Commit() error {
	if f.ended {
		return fmt.Errorf("cannot commit %s: it is finished", f.name)
	}
	if err := f.flush(); err != nil {
		return errors.Join(err, f.Abort())
	}
	f.ended = true
	w := f.w
	w.open = false
	w.root.add(f.name, f.start/SectorSize, f.size)
	w.next = (f.start + sectors(f.size)*SectorSize)
	s := sum{name: f.name}
	f.hash.Sum(s.hash[:0])
	w.sums = append(w.sums, s)
	if f.size > 0 {
		w.spans = append(w.spans, span{f.start, f.size, f.name})
	}
	return nil
}

// Abort forgets the file and gives its place back.
func (f *fileWriter) Abort() error {
	if f.ended {
		return nil
	}
	f.ended = true
	f.w.open = false
	if err := f.w.out.Truncate(f.w.next); err != nil {
		err = fmt.Errorf("cannot drop %s from the image: %w", f.name, err)
		if f.w.err == nil {
			f.w.err = err
		}
		return err
	}
	return nil
}

// writeSums writes SHA256SUMS, the last file of the image.
func (w *Writer) writeSums(ctx context.Context) error {
	var b bytes.Buffer
	for _, s := range w.sums {
		mark, name := "", s.name
		if strings.ContainsAny(name, "\\\n\r") { // as sha256sum does it
			mark, name = `\`, strings.NewReplacer(`\`, `\\`, "\n", `\n`, "\r", `\r`).Replace(name)
		}
		fmt.Fprintf(&b, "%s%x  %s\n", mark, s.hash, name)
	}
	return w.WriteFile(ctx, SumsName, &b)
}

// Close writes SHA256SUMS, directories, path tables and, last of all, the
// descriptors and boot sectors. Only then is the image one. It returns the
// size of the image in bytes.
func (w *Writer) Close(ctx context.Context) (int64, error) {
	if w.open {
		return 0, errors.New("cannot finish the image: a file is still being written")
	}
	if w.done {
		return 0, errors.New("cannot finish the image twice")
	}
	if err := w.writeSums(ctx); err != nil {
		return 0, err
	}
	w.done = true
	tail, vol, err := w.layOut()
	if err != nil {
		return 0, err
	}
	size := w.next + int64(len(tail))
	head, err := w.head(vol, size)
	if err != nil {
		return 0, err
	}
	backup := w.secondGPT(size)
	copy(tail[len(tail)-len(backup):], backup)
	w.sign(head, tail)
	if err := w.writeAt(tail, w.next); err != nil {
		return 0, err
	}
	if err := w.writeAt(head, 0); err != nil {
		return 0, err
	}
	return size, nil
}
