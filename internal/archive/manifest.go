package archive

import "time"

// FormatVersion is the version of the backup format this program writes.
const FormatVersion = 1

// File names within a backup's directory.
const (
	ManifestName  = "manifest.json"
	CatalogueName = "catalogue.zst"
	LayoutName    = "layout.json"
)

// Manifest describes one finished backup. It is written last: a directory
// without one holds no backup.
type Manifest struct {
	Format   int       `json:"format"`
	ID       string    `json:"id"`
	Host     string    `json:"host"`
	Begun    time.Time `json:"begun"`
	Ended    time.Time `json:"ended"`
	Tool     string    `json:"tool"`              // program and version that wrote it
	Based    string    `json:"based,omitempty"`   // ID of an earlier backup; not used by format 1
	FrameMax int64     `json:"frame_max"`         // largest frame, decompressed bytes
	Volumes  []Volume  `json:"volumes"`           // in order
	Cat      FileInfo  `json:"catalogue"`         //
	Layout   *FileInfo `json:"layout,omitempty"`  // nil: recorded without a layout
	Counts   Counts    `json:"counts"`            //
	Warnings []Warning `json:"warnings"`          // at most MaxWarnings of them
	Warned   int64     `json:"warnings_in_total"` // how many there were
}

// FileInfo is one file of the backup.
type FileInfo struct {
	Name   string `json:"name"`
	Size   int64  `json:"size"`   // bytes
	SHA256 string `json:"sha256"` // lower-case hex
}

// Volume is one file of the tar stream.
type Volume struct {
	FileInfo
	Frames    int64  `json:"frames"`
	RawSize   int64  `json:"raw_size"`     // decompressed bytes
	SeekTable string `json:"index_sha256"` // SHA-256 of the seek table's skippable frame
}

// Counts says how much is in the backup.
type Counts struct {
	Paths      int64          `json:"paths"` // records in the catalogue
	Kinds      map[Kind]int64 `json:"kinds"`
	Unreadable int64          `json:"unreadable"` // files without content
	Content    int64          `json:"content"`    // bytes of file content, without holes
	Apparent   int64          `json:"apparent"`   // bytes of file sizes, with holes
	Tar        int64          `json:"tar"`        // bytes of the tar stream
	Stored     int64          `json:"stored"`     // bytes of all volumes
}

// MaxWarnings is how many warnings a manifest lists; further ones are counted.
const MaxWarnings = 1000

// Warning is one problem met while the backup was made.
type Warning struct {
	Path    string `json:"path"`
	Problem string `json:"problem"`
}
