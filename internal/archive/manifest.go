package archive

import (
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/mkcdrec/mkcdrec/internal/archive/zstdframe"
	"github.com/mkcdrec/mkcdrec/internal/fail"
)

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
	FrameMax int64     `json:"frame_max"`         // largest frame, decompressed bytes
	Only     []string  `json:"only,omitempty"`    // the paths that were asked for, absolute; none: the whole machine
	Exclude  []string  `json:"exclude,omitempty"` // the patterns that were left out
	// ReadFrom says of each file system from where it was read. Backups of
	// earlier versions do not say, and were read live.
	ReadFrom []Source  `json:"read_from,omitempty"`
	Volumes  []Volume  `json:"volumes"`          // in order
	Cat      FileInfo  `json:"catalogue"`        //
	Layout   *FileInfo `json:"layout,omitempty"` // nil: recorded without a layout
	// Headers are copies of LUKS headers, where they were asked for.
	Headers  []FileInfo `json:"luks_headers,omitempty"`
	Counts   Counts     `json:"counts"`            //
	Warnings []Warning  `json:"warnings"`          // at most MaxWarnings of them
	Warned   int64      `json:"warnings_in_total"` // how many there were
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

// Source says from where a file system was read, and as of when.
type Source struct {
	Mount string `json:"mount"` // absolute
	// By is "live", "lvm-snapshot", "lvm-thin-snapshot", "btrfs-snapshot" or "frozen".
	By string `json:"by"`
	// At is the moment whose content was read; nil: several, as it was read live.
	At  *time.Time `json:"at,omitempty"`
	Why string     `json:"why,omitempty"` // why it was read live
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

// maxHeader is the largest copy of a LUKS header, in bytes: LUKS2 keeps at most
// 128 MiB for key slots (cryptsetup(8)).
const maxHeader = 256 << 20

// maxManifest is the largest manifest that is read, in bytes.
const maxManifest = 64 << 20

// digestKey begins the last line of a manifest. The digest covers all bytes
// before that line.
const digestKey = "  \"sha256\": \""

// encodeManifest is the file's content: JSON with the digest of itself as its last key.
func encodeManifest(m *Manifest) ([]byte, error) {
	if m.Warnings == nil {
		m.Warnings = []Warning{}
	}
	b, err := json.MarshalIndent(m, "", "  ")
	if err != nil {
		return nil, fmt.Errorf("cannot encode the manifest: %w", err)
	}
	b = append(bytes.TrimSuffix(b, []byte("\n}")), ",\n"...)
	sum := sha256.Sum256(b)
	return fmt.Appendf(b, "%s%x\"\n}\n", digestKey, sum), nil
}

// decodeManifest checks digest, version and plausibility. Its errors are of
// kind fail.Damaged, or fail.Unsupported for a later version.
func decodeManifest(b []byte) (*Manifest, error) {
	i := bytes.LastIndex(b, []byte("\n"+digestKey))
	if i < 0 {
		return nil, fail.New(fail.Damaged, "manifest has no digest at its end: it is not complete")
	}
	want := fmt.Sprintf("%s%x\"\n}\n", digestKey, sha256.Sum256(b[:i+1]))
	if string(b[i+1:]) != want {
		return nil, fail.New(fail.Damaged, "manifest does not match its own digest")
	}
	var version struct {
		Format int `json:"format"`
	}
	if err := json.Unmarshal(b, &version); err != nil {
		return nil, fail.New(fail.Damaged, "cannot decode the manifest: %w", err)
	}
	if version.Format != FormatVersion {
		return nil, fail.Hint(fail.New(fail.Unsupported, "backup has format version %d; this program reads %d", version.Format, FormatVersion),
			"use the program version on the backup's own medium, or a newer one")
	}
	m := new(Manifest)
	if err := json.Unmarshal(b, m); err != nil {
		return nil, fail.New(fail.Damaged, "cannot decode the manifest: %w", err)
	}
	if err := m.check(); err != nil {
		return nil, fail.New(fail.Damaged, "manifest is not plausible: %w", err)
	}
	return m, nil
}

// IsPart says whether a Writer gives this name to a file of a backup that is
// not finished: volume, catalogue or layout.
func IsPart(name string) bool {
	var n int
	if _, err := fmt.Sscanf(name, "data.%d.tar.zst", &n); err == nil {
		return n > 0 && name == volumeName(n)
	}
	return name == CatalogueName || name == LayoutName || isHeader(name)
}

// HeaderName names the copy of the header of a LUKS device.
func HeaderName(uuid string) string { return "luks-" + strings.ToLower(uuid) + ".header" }

var headerName = regexp.MustCompile(`^luks-[0-9a-f-]{36}\.header$`)

func isHeader(name string) bool { return headerName.MatchString(name) }

// Files are all files of the backup but the manifest itself. Verify compares
// the SHA-256 of each.
func (m *Manifest) Files() []FileInfo {
	files := []FileInfo{m.Cat}
	if m.Layout != nil {
		files = append(files, *m.Layout)
	}
	files = append(files, m.Headers...)
	for _, v := range m.Volumes {
		files = append(files, v.FileInfo)
	}
	return files
}

// Partial says whether only some paths of the machine were asked for: no
// machine can be made anew from such a backup.
func (m *Manifest) Partial() bool { return len(m.Only) > 0 && !slices.Contains(m.Only, "/") }

// check looks for values that no Writer writes.
func (m *Manifest) check() error {
	if m.FrameMax < 1 || m.FrameMax > zstdframe.MaxContent {
		return fmt.Errorf("frames of %d bytes", m.FrameMax)
	}
	if len(m.Volumes) == 0 || m.Counts.Paths < 1 {
		return errors.New("an empty backup")
	}
	var raw, stored int64
	for i, v := range m.Volumes {
		if v.Name != volumeName(i+1) {
			return fmt.Errorf("volume %d is named %q", i+1, v.Name)
		}
		if v.Frames < 1 || v.Frames > 1<<24 || v.RawSize < v.Frames || v.RawSize > v.Frames*m.FrameMax || v.Size < zstdframe.TableLen(0) ||
			v.Frames > (v.Size-zstdframe.TableLen(0))/12 {
			return fmt.Errorf("volume %d with %d frames in %d bytes", i+1, v.Frames, v.Size)
		}
		raw, stored = raw+v.RawSize, stored+v.Size
	}
	for _, f := range m.Files() {
		if checkName(f.Name) != nil || strings.Contains(f.Name, "/") || f.Size < 0 || len(f.SHA256) != 64 {
			return fmt.Errorf("file %q of %d bytes", f.Name, f.Size)
		}
	}
	for _, h := range m.Headers {
		if !isHeader(h.Name) || h.Size > maxHeader {
			return fmt.Errorf("LUKS header %q of %d bytes", h.Name, h.Size)
		}
	}
	if raw != m.Counts.Tar || stored != m.Counts.Stored {
		return errors.New("sizes do not add up")
	}
	var paths int64
	for _, n := range m.Counts.Kinds {
		paths += n
	}
	if paths != m.Counts.Paths {
		return errors.New("counts do not add up")
	}
	return nil
}
