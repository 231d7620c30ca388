package archive

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"path"
	"sync"

	"github.com/mkcdrec/mkcdrec/internal/archive/zstdframe"
	"github.com/mkcdrec/mkcdrec/internal/fail"
	"github.com/mkcdrec/mkcdrec/internal/store"
)

// place is where one frame lies.
type place struct {
	volume     int
	offset     int64
	compressed int
	content    int
	sum        uint32
}

// Backup is one finished backup, opened for reading.
type Backup struct {
	// Manifest is what the backup says about itself.
	Manifest Manifest

	src    store.Source
	prefix string

	mu      sync.Mutex
	volumes []store.ReadFile // as far as they were opened
	places  []place          // of all frames; nil: not loaded
}

// openFile opens a file of the backup and checks its size. A file that is
// missing or of another size is damage; a store that does not answer is not.
func (b *Backup) openFile(ctx context.Context, info FileInfo) (store.ReadFile, error) {
	f, err := b.openAny(ctx, info)
	if err != nil {
		return nil, err
	}
	if err := b.checkSize(f, info); err != nil {
		f.Close()
		return nil, err
	}
	return f, nil
}

// openAny opens a file of the backup, whatever its size is.
func (b *Backup) openAny(ctx context.Context, info FileInfo) (store.ReadFile, error) {
	name := path.Join(b.prefix, info.Name)
	f, err := b.src.Open(ctx, name)
	if errors.Is(err, store.ErrNotExist) {
		return nil, fail.Hint(fail.New(fail.Damaged, "backup %s is not complete: %s is missing in %s", b.Manifest.ID, name, b.src),
			"bring all files of the backup back to that place")
	}
	if err != nil {
		return nil, fmt.Errorf("cannot open %s in %s: %w", name, b.src, err)
	}
	return f, nil
}

func (b *Backup) checkSize(f store.ReadFile, info FileInfo) error {
	if f.Size() != info.Size {
		return fail.New(fail.Damaged, "%s has %d bytes instead of %d: it was cut, or belongs to another backup", path.Join(b.prefix, info.Name), f.Size(), info.Size)
	}
	return nil
}

// volume opens volume i, counted from 0, once, and checks its size.
func (b *Backup) volume(ctx context.Context, i int) (store.ReadFile, error) {
	f, err := b.part(ctx, i)
	if err == nil {
		err = b.checkSize(f, b.Manifest.Volumes[i].FileInfo)
	}
	if err != nil {
		return nil, err
	}
	return f, nil
}

// part is volume without the check: of a volume that was cut, what is left.
func (b *Backup) part(ctx context.Context, i int) (store.ReadFile, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.volumes == nil {
		b.volumes = make([]store.ReadFile, len(b.Manifest.Volumes))
	}
	if b.volumes[i] == nil {
		f, err := b.openAny(ctx, b.Manifest.Volumes[i].FileInfo)
		if err != nil {
			return nil, err
		}
		b.volumes[i] = f
	}
	return b.volumes[i], nil
}

// Close closes the files that were opened.
func (b *Backup) Close() error {
	b.mu.Lock()
	defer b.mu.Unlock()
	var errs []error
	for _, f := range b.volumes {
		if f != nil {
			errs = append(errs, f.Close())
		}
	}
	b.volumes = nil
	return errors.Join(errs...)
}

// readFull reads exactly len(p) bytes. An end of the file where there should
// be none and bad sectors are damage, another error is the store's.
func readFull(f store.ReadFile, p []byte, off int64, name string) error {
	n, err := f.ReadAt(p, off)
	if n == len(p) {
		return nil
	}
	if err == nil || errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return fail.New(fail.Damaged, "%s ends at byte %d of %d", name, off+int64(n), off+int64(len(p)))
	}
	if errors.Is(err, store.ErrUnreadable) {
		return fail.New(fail.Damaged, "cannot read %s at byte %d: %w", name, off, err)
	}
	return fmt.Errorf("cannot read %s at byte %d: %w", name, off, err)
}

// readTable reads and checks the seek table of volume i. That its digest is
// the manifest's binds the volume to this backup.
func (b *Backup) readTable(ctx context.Context, i int) ([]zstdframe.Entry, error) {
	v := b.Manifest.Volumes[i]
	f, err := b.volume(ctx, i)
	if err != nil {
		return nil, err
	}
	size := zstdframe.TableLen(int(v.Frames))
	if size > v.Size {
		return nil, fail.New(fail.Damaged, "%s is too short for its seek table", v.Name)
	}
	raw := make([]byte, size)
	if err := readFull(f, raw, v.Size-size, v.Name); err != nil {
		return nil, err
	}
	sum := sha256.Sum256(raw)
	if hex.EncodeToString(sum[:]) != v.SeekTable {
		return nil, fail.New(fail.Damaged, "seek table of %s is damaged, or the volume belongs to another backup", v.Name)
	}
	table, err := zstdframe.ParseTable(raw)
	if err != nil {
		return nil, fail.New(fail.Damaged, "cannot read %s: %w", v.Name, err)
	}
	var at, content int64
	for _, e := range table {
		at, content = at+int64(e.Compressed), content+int64(e.Content)
		if int64(e.Content) > b.Manifest.FrameMax || e.Content == 0 || e.Compressed == 0 {
			return nil, fail.New(fail.Damaged, "seek table of %s claims a frame of %d bytes", v.Name, e.Content)
		}
	}
	if int64(len(table)) != v.Frames || at+size != v.Size || content != v.RawSize {
		return nil, fail.New(fail.Damaged, "seek table of %s does not match its volume", v.Name)
	}
	return table, nil
}

// index loads the places of all frames, once. In tolerant mode the damage of a
// volume that is missing or has no usable seek table is given to lost; of its
// frames those that are found all the same have places, the others places
// without length.
func (b *Backup) index(ctx context.Context, lost func(error)) ([]place, error) {
	b.mu.Lock()
	places := b.places
	b.mu.Unlock()
	if places != nil {
		return places, nil
	}
	broken := false
	for i := range b.Manifest.Volumes {
		table, err := b.readTable(ctx, i)
		if err != nil {
			if lost == nil || fail.KindOf(err) != fail.Damaged {
				return nil, err
			}
			lost(err)
			broken = true
			if table, err = b.salvage(ctx, i); err != nil {
				return nil, err
			}
		}
		var at int64
		for _, e := range table {
			places = append(places, place{volume: i, offset: at, compressed: int(e.Compressed), content: int(e.Content), sum: e.Checksum})
			at += int64(e.Compressed)
		}
		for n := int64(len(table)); n < b.Manifest.Volumes[i].Frames; n++ {
			places = append(places, place{volume: i})
		}
	}
	if !broken {
		b.mu.Lock()
		b.places = places
		b.mu.Unlock()
	}
	return places, nil
}

// salvage finds the frames of volume i by their own headers, up to the first
// that is not whole. That they belong to this backup is not known yet: their
// content must agree with the catalogue.
func (b *Backup) salvage(ctx context.Context, i int) ([]zstdframe.Entry, error) {
	v := b.Manifest.Volumes[i]
	f, err := b.part(ctx, i)
	if err != nil {
		if fail.KindOf(err) == fail.Damaged {
			return nil, nil
		}
		return nil, err
	}
	var table []zstdframe.Entry
	for at := int64(0); int64(len(table)) < v.Frames && ctx.Err() == nil; {
		e, err := zstdframe.At(f, at, f.Size())
		if errors.Is(err, zstdframe.ErrFrame) || errors.Is(err, store.ErrUnreadable) || err == nil && (e.Content == 0 || int64(e.Content) > b.Manifest.FrameMax) {
			break
		}
		if err != nil {
			return nil, fmt.Errorf("cannot read %s: %w", v.Name, err)
		}
		table = append(table, e)
		at += int64(e.Compressed)
	}
	return table, ctx.Err()
}
