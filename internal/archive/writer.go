package archive

import (
	"context"
	"errors"
	"io"
	"time"

	"github.com/mkcdrec/mkcdrec/internal/store"
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
	Layout     []byte           // content of layout.json; nil: none
	WorkDir    string           // where the catalogue is spooled; "": the system's temporary directory
	Now        func() time.Time // nil: time.Now
	Tool       string           // program and version, for the manifest
}

// Writer writes one backup. Its methods are called by one goroutine.
type Writer struct{}

// NewWriter begins a backup below opt.Prefix of sink.
func NewWriter(ctx context.Context, sink store.Sink, opt WriterOptions) (*Writer, error) {
	return nil, errors.New("archive: not built yet")
}

// Add appends one path. For a File, r gives the bytes as Content describes;
// nil otherwise. The writer owns e from here on and fills in Hash (by the
// time Close returns), Frame, FrameOffset, and Problem when the content was
// shorter or longer than Size. An error of r other than io.EOF that came
// before the end of the content makes the file's Problem, not an error of Add:
// the rest of the content is zeros. Errors of Add end the backup.
func (w *Writer) Add(e *Entry, r io.Reader) error { return errors.New("archive: not built yet") }

// AddBytes is Add for content that is in memory. data may be reused when it returns.
func (w *Writer) AddBytes(e *Entry, data []byte) error { return errors.New("archive: not built yet") }

// Warn records a problem that belongs to no entry. An entry's own Problem is
// recorded by Add.
func (w *Writer) Warn(path, problem string) {}

// Progress is how far a Writer or Reader has come.
type Progress struct {
	Paths   int64
	Content int64 // bytes of file content
	Stored  int64 // compressed bytes
}

// Progress may be called from any goroutine.
func (w *Writer) Progress() Progress { return Progress{} }

// Close finishes volumes and catalogue, then writes the manifest.
func (w *Writer) Close() (*Manifest, error) { return nil, errors.New("archive: not built yet") }

// Abort gives up: no manifest is written, and the files of this run are
// removed where the store can. After Close it does nothing.
func (w *Writer) Abort() error { return nil }
