package archive

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"os"
	"path"
	"sync/atomic"

	"github.com/mkcdrec/mkcdrec/internal/archive/zstdframe"
	"github.com/mkcdrec/mkcdrec/internal/fail"
	"github.com/mkcdrec/mkcdrec/internal/store"
)

// catalogueFrame is how many bytes of records make one frame of the catalogue.
const catalogueFrame = 1 << 20

// volumeName is the file name of volume n, counted from 1.
func volumeName(n int) string { return fmt.Sprintf("data.%04d.tar.zst", n) }

// volumeWriter puts frames into volumes and records into the catalogue. It is
// used by one goroutine at a time.
type volumeWriter struct {
	ctx    context.Context
	sink   store.Sink
	prefix string
	limit  int64 // bytes of a volume; 0: none

	cur     store.WriteFile // nil: none is open
	sum     hash.Hash
	vol     Volume
	table   []zstdframe.Entry
	volumes []Volume
	made    []string // committed files
	layout  *FileInfo
	headers []FileInfo
	stored  atomic.Int64

	spool   *os.File
	records []byte
	enc     *zstdframe.Encoder
	packed  []byte
	catSize int64
	catSum  hash.Hash
}

func newVolumeWriter(ctx context.Context, sink store.Sink, opt WriterOptions) (*volumeWriter, error) {
	v := &volumeWriter{ctx: ctx, sink: sink, prefix: opt.Prefix, limit: opt.VolumeSize, catSum: sha256.New()}
	var err error
	if v.enc, err = zstdframe.NewEncoder(zstdframe.DefaultLevel); err != nil {
		return nil, err
	}
	if v.spool, err = spoolFile(opt.WorkDir); err != nil {
		return nil, err
	}
	if opt.Layout != nil {
		// First, so that it is there to be read even if the backup breaks off.
		if v.layout, err = v.putFile(LayoutName, opt.Layout); err != nil {
			v.abort()
			return nil, err
		}
	}
	for _, h := range opt.Headers {
		info, err := v.putFile(h.Name, h.Data)
		if err != nil {
			v.abort()
			return nil, err
		}
		v.headers = append(v.headers, *info)
	}
	return v, nil
}

func (v *volumeWriter) name(file string) string { return path.Join(v.prefix, file) }

// putFile writes a small file.
func (v *volumeWriter) putFile(file string, content []byte) (*FileInfo, error) {
	f, err := v.create(file)
	if err != nil {
		return nil, err
	}
	if _, err := f.Write(content); err != nil {
		return nil, v.broken(file, err, f.Abort())
	}
	if err := f.Commit(); err != nil {
		return nil, v.broken(file, err, nil)
	}
	v.made = append(v.made, v.name(file))
	sum := sha256.Sum256(content)
	return &FileInfo{Name: file, Size: int64(len(content)), SHA256: hex.EncodeToString(sum[:])}, nil
}

func (v *volumeWriter) create(file string) (store.WriteFile, error) {
	f, err := v.sink.Create(v.ctx, v.name(file))
	if err != nil {
		return nil, v.broken(file, err, nil)
	}
	return f, nil
}

// broken describes a failed write.
func (v *volumeWriter) broken(file string, err, abort error) error {
	err = fmt.Errorf("cannot write %s to %s: %w", v.name(file), v.sink, errors.Join(err, abort))
	if errors.Is(err, store.ErrNoSpace) {
		return fail.Hint(err, "make room there, or choose another destination; no usable backup was made")
	}
	return err
}

// write takes the next frame and the records that come with it.
func (v *volumeWriter) write(f *frame) error {
	if len(f.raw) > 0 {
		if err := v.writeFrame(f); err != nil {
			return err
		}
	}
	v.records = append(v.records, f.lines...)
	if len(v.records) >= catalogueFrame {
		return v.flushRecords()
	}
	return nil
}

func (v *volumeWriter) writeFrame(f *frame) error {
	size := int64(len(f.packed))
	if v.cur != nil && v.limit > 0 && v.vol.Size+size+zstdframe.TableLen(len(v.table)+1) > v.limit {
		if err := v.endVolume(); err != nil {
			return err
		}
	}
	if v.cur == nil {
		v.vol = Volume{FileInfo: FileInfo{Name: volumeName(len(v.volumes) + 1)}}
		v.table = v.table[:0]
		v.sum = sha256.New()
		var err error
		if v.cur, err = v.create(v.vol.Name); err != nil {
			return err
		}
	}
	if err := v.volumeBytes(f.packed); err != nil {
		return err
	}
	v.vol.Frames++
	v.vol.RawSize += int64(len(f.raw))
	v.table = append(v.table, zstdframe.Entry{Compressed: uint32(size), Content: uint32(len(f.raw)), Checksum: f.sum})
	return nil
}

func (v *volumeWriter) volumeBytes(b []byte) error {
	if err := v.ctx.Err(); err != nil {
		return context.Cause(v.ctx)
	}
	if _, err := v.cur.Write(b); err != nil {
		return v.broken(v.vol.Name, err, nil)
	}
	v.sum.Write(b)
	v.vol.Size += int64(len(b))
	v.stored.Add(int64(len(b)))
	return nil
}

// endVolume appends the seek table and commits.
func (v *volumeWriter) endVolume() error {
	table := zstdframe.AppendTable(nil, v.table)
	if err := v.volumeBytes(table); err != nil {
		return err
	}
	cur := v.cur
	v.cur = nil
	if err := cur.Commit(); err != nil {
		return v.broken(v.vol.Name, err, nil)
	}
	v.made = append(v.made, v.name(v.vol.Name))
	v.vol.SHA256 = hex.EncodeToString(v.sum.Sum(nil))
	sum := sha256.Sum256(table)
	v.vol.SeekTable = hex.EncodeToString(sum[:])
	v.volumes = append(v.volumes, v.vol)
	return nil
}

// flushRecords makes catalogue frames of the records at hand.
func (v *volumeWriter) flushRecords() error {
	for b := v.records; len(b) > 0; {
		n := min(len(b), 8*catalogueFrame)
		var err error
		if v.packed, _, err = v.enc.Encode(v.packed, b[:n]); err != nil {
			return err
		}
		if _, err := v.spool.Write(v.packed); err != nil {
			return fail.Hint(fmt.Errorf("cannot spool the catalogue: %w", err), "the work directory needs more space")
		}
		v.catSum.Write(v.packed)
		v.catSize += int64(len(v.packed))
		b = b[n:]
	}
	v.records = v.records[:0]
	return nil
}

// finish writes what comes after the last frame: end of the volume,
// catalogue, and last of all the manifest.
func (v *volumeWriter) finish(m *Manifest, opt WriterOptions) error {
	if err := v.endVolume(); err != nil {
		return err
	}
	if err := v.flushRecords(); err != nil {
		return err
	}
	if err := v.putCatalogue(); err != nil {
		return err
	}
	m.Volumes, m.Layout, m.Headers = v.volumes, v.layout, v.headers
	m.Cat = FileInfo{Name: CatalogueName, Size: v.catSize, SHA256: hex.EncodeToString(v.catSum.Sum(nil))}
	for _, vol := range v.volumes {
		m.Counts.Tar += vol.RawSize
		m.Counts.Stored += vol.Size
	}
	m.Ended = opt.Now()
	b, err := encodeManifest(m)
	if err != nil {
		return err
	}
	_, err = v.putFile(ManifestName, b)
	v.free()
	return err
}

func (v *volumeWriter) putCatalogue() error {
	if _, err := v.spool.Seek(0, io.SeekStart); err != nil {
		return fmt.Errorf("cannot read the spooled catalogue: %w", err)
	}
	f, err := v.create(CatalogueName)
	if err != nil {
		return err
	}
	n, err := io.Copy(f, v.spool)
	if err == nil && n != v.catSize {
		err = fmt.Errorf("%d bytes of %d were spooled", n, v.catSize)
	}
	if err != nil {
		return v.broken(CatalogueName, err, f.Abort())
	}
	if err := f.Commit(); err != nil {
		return v.broken(CatalogueName, err, nil)
	}
	v.made = append(v.made, v.name(CatalogueName))
	return nil
}

func (v *volumeWriter) free() {
	v.enc.Close()
	v.spool.Close()
}

// abort ends the open volume and removes what this run has made, where the
// sink can remove.
func (v *volumeWriter) abort() error {
	var errs []error
	if v.cur != nil {
		errs = append(errs, v.cur.Abort())
		v.cur = nil
	}
	if r, ok := v.sink.(interface {
		Remove(ctx context.Context, name string) error
	}); ok {
		// The context may be what ended the backup; tidying up is still wanted.
		ctx := context.WithoutCancel(v.ctx)
		for i := len(v.made) - 1; i >= 0; i-- {
			errs = append(errs, r.Remove(ctx, v.made[i]))
		}
	}
	v.made = nil
	v.free()
	return errors.Join(errs...)
}
