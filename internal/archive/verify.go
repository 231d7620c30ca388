package archive

import (
	"context"
	"errors"
	"fmt"
	"io"
	"runtime"
	"sync"

	"github.com/mkcdrec/mkcdrec/internal/fail"
	"github.com/mkcdrec/mkcdrec/internal/wording"
)

// Report says what Verify has checked.
type Report struct {
	Volumes int64 `json:"volumes"` // whose SHA-256 was compared
	Frames  int64 `json:"frames"`  // whose checksum was compared
	Paths   int64 `json:"paths"`   // headers compared with the catalogue, and paths outside the tar stream
	Files   int64 `json:"files"`   // files whose content hash was checked
	Bytes   int64 `json:"bytes"`   // bytes of content that were hashed
	Stored  int64 `json:"stored"`  // compressed bytes read
	// Damage lists what is wrong, at most MaxWarnings; Lost the paths concerned.
	Damage []string `json:"damage,omitempty"`
	Lost   []string `json:"lost,omitempty"`
	// Damaged and LostPaths count all of them.
	Damaged   int64 `json:"damaged"`
	LostPaths int64 `json:"lost_paths"`
}

// Verify reads everything and checks volumes, frames, structure, counts and
// the content of each file. Damage is an error of kind fail.Damaged; the
// report is valid also then. progress may be nil.
func (b *Backup) Verify(ctx context.Context, progress func(Progress)) (*Report, error) {
	v := &verifier{b: b, progress: progress}
	err := v.run(ctx)
	if err == nil && v.other != nil {
		err = v.other
	}
	v.report.Stored = v.stored()
	if err != nil && fail.KindOf(err) != fail.Damaged {
		return &v.report, err
	}
	if err != nil {
		v.damage(err)
	}
	if v.report.Damaged > 0 {
		return &v.report, fail.Hint(fail.New(fail.Damaged, "backup %s is damaged: %s (%s, %s concerned)",
			b.Manifest.ID, v.report.Damage[0], wording.Count(v.report.Damaged, "problem"), wording.Count(v.report.LostPaths, "path")),
			"what is not concerned can still be restored; make a new backup")
	}
	if v.report.Paths == 0 || v.report.Frames == 0 || v.report.Volumes != int64(len(b.Manifest.Volumes)) {
		return &v.report, fail.New(fail.Damaged, "not all of backup %s was checked", b.Manifest.ID)
	}
	return &v.report, nil
}

type verifier struct {
	b        *Backup
	progress func(Progress)
	open     *contentFromFrames // the file in hand, of openSize bytes; nil: none
	openSize int64
	f        *fetcher
	mu       sync.Mutex // report.Damage, report.Volumes
	report   Report
	other    error // of the store, from the volume hashes
	counts   Counts
	whole    bool // the position in the stream is known: no damage since the last entry
}

func (v *verifier) stored() int64 {
	if v.f == nil {
		return 0
	}
	return v.f.read.Load()
}

func (v *verifier) damage(err error) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.report.Damaged++
	if len(v.report.Damage) < MaxWarnings {
		v.report.Damage = append(v.report.Damage, err.Error())
	}
}

func (v *verifier) lose(e *Entry, err error) {
	v.damage(fmt.Errorf("%s: %w", Show(e.Name), err))
	v.report.LostPaths++
	if len(v.report.Lost) < MaxWarnings {
		v.report.Lost = append(v.report.Lost, e.Name)
	}
	v.whole = false
}

// volume takes the result of one volume's hash.
func (v *verifier) volume(err error) {
	if err == nil {
		v.mu.Lock()
		v.report.Volumes++
		v.mu.Unlock()
		return
	}
	if fail.KindOf(err) == fail.Damaged {
		v.damage(err)
		return
	}
	v.mu.Lock()
	v.other = err
	v.mu.Unlock()
}

func (v *verifier) run(ctx context.Context) error {
	if _, err := v.b.Layout(ctx); err != nil {
		if fail.KindOf(err) != fail.Damaged {
			return err
		}
		v.damage(err)
	}
	for _, h := range v.b.Manifest.Headers {
		if _, err := v.b.Header(ctx, h.Name); err != nil {
			if fail.KindOf(err) != fail.Damaged {
				return err
			}
			v.damage(err)
		}
	}
	places, err := v.b.index(ctx, v.damage)
	if err != nil {
		return err
	}
	v.f = &fetcher{b: v.b, places: places, hashed: v.volume}
	workers := runtime.GOMAXPROCS(0)
	if err := v.f.start(ctx, workers, 2*workers+2); err != nil {
		return err
	}
	defer v.f.stop()
	c := &cursor{src: v}
	defer c.close()
	v.counts.Kinds = map[Kind]int64{}
	v.whole = true
	for e, err := range v.b.Catalogue(ctx) {
		if err != nil {
			return errors.Join(err, v.rest(c))
		}
		if err := v.entry(c, e); err != nil {
			return err
		}
	}
	if err := v.end(c); err != nil {
		return err
	}
	v.tell()
	return v.sums()
}

// tell says how far it is, of a large file the part that was read too.
func (v *verifier) tell() {
	if v.progress == nil {
		return
	}
	content := v.report.Bytes
	if v.open != nil {
		content += v.openSize - v.open.left
	}
	v.progress(Progress{Paths: v.report.Paths, Content: content, Stored: v.f.read.Load()})
}

// next counts the good frames that pass.
func (v *verifier) next() (*rawFrame, error) {
	v.tell()
	r, err := v.f.next()
	if r != nil && r.err == nil {
		v.report.Frames++
	}
	if r != nil && r.err != nil {
		v.damage(r.err)
	}
	return r, err
}

func (v *verifier) entry(c *cursor, e *Entry) error {
	v.counts.Paths++
	v.counts.Kinds[e.Kind]++
	if e.Kind == File {
		v.counts.Apparent += e.Size
		v.counts.Content += e.ContentSize()
	}
	if e.Frame < 0 {
		v.report.Paths++
		return nil
	}
	if v.whole && c.frame != nil && !v.follows(c, e) {
		v.damage(fmt.Errorf("archive has bytes before %s that the catalogue does not know", Show(e.Name)))
	}
	err := c.seek(e.Frame, e.FrameOffset)
	if err == nil {
		_, err = v.b.header(c, e)
	}
	if err == nil && e.Kind == File {
		h := NewHasher(e)
		v.openSize = e.ContentSize()
		v.open = &contentFromFrames{c: c, left: v.openSize}
		_, err = io.Copy(h, v.open)
		v.open = nil
		if err == nil {
			err = h.Check()
		}
		if err == nil {
			v.report.Files++
			v.report.Bytes += e.ContentSize()
		}
	}
	if err == nil && e.Kind == File {
		var pad []byte
		pad, err = c.take(padding(e.ContentSize()))
		for _, z := range pad {
			if z != 0 {
				err = fmt.Errorf("%w: padding is not zero", errTar)
			}
		}
	}
	if err = damaged(err); err == nil {
		v.report.Paths++
		v.whole = true
		return nil
	}
	if fail.KindOf(err) != fail.Damaged {
		return err
	}
	v.lose(e, err)
	return nil
}

// follows says whether e begins where the stream stands.
func (v *verifier) follows(c *cursor, e *Entry) bool {
	if c.frame.number == e.Frame {
		return int64(c.at) == e.FrameOffset
	}
	return c.at == len(c.frame.data) && e.Frame == c.frame.number+1 && e.FrameOffset == 0
}

// end checks that the archive ends behind the last entry, as tar does.
func (v *verifier) end(c *cursor) error {
	if !v.whole {
		return v.rest(c)
	}
	b, err := c.take(2 * blockSize)
	if err == nil && string(b) != string(zeros[:2*blockSize]) {
		err = fmt.Errorf("%w: archive goes on behind the last path of the catalogue", errTar)
	}
	if err == nil {
		if _, more := c.some(1); !errors.Is(more, errEnd) {
			err = fmt.Errorf("%w: archive goes on behind its end", errTar)
		}
	}
	if err = damaged(err); err != nil && fail.KindOf(err) != fail.Damaged {
		return err
	}
	if err != nil {
		v.damage(err)
	}
	return v.rest(c)
}

// rest reads what is left, so that each frame and volume is checked.
func (v *verifier) rest(c *cursor) error {
	for {
		err := c.advance()
		if errors.Is(err, errEnd) {
			return nil
		}
		if err != nil {
			return err
		}
	}
}

// sums compares what was counted with the manifest.
func (v *verifier) sums() error {
	m := v.b.Manifest.Counts
	if v.counts.Content != m.Content || v.counts.Apparent != m.Apparent || v.counts.Paths != m.Paths {
		return fail.New(fail.Damaged, "catalogue has %d bytes of content, manifest %d", v.counts.Content, m.Content)
	}
	for k, n := range m.Kinds {
		if v.counts.Kinds[k] != n {
			return fail.New(fail.Damaged, "catalogue has %d paths of type %s, manifest %d", v.counts.Kinds[k], k, n)
		}
	}
	if want := int64(len(v.f.places)); v.report.Frames != want && v.report.Damaged == 0 {
		return fail.New(fail.Damaged, "%d frames of %d were checked", v.report.Frames, want)
	}
	return nil
}
