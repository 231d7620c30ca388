package plan

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"time"

	"github.com/mkcdrec/mkcdrec/internal/fail"
	"github.com/mkcdrec/mkcdrec/internal/machine"
)

// FileVersion is the version of a plan file; MaxFile the largest that is read,
// in bytes.
const (
	FileVersion = 1
	MaxFile     = 4 * machine.MaxLayout
)

const fileFormat = "mkcdrec-plan"

// File is a plan that was kept, to be reviewed and carried out later.
type File struct {
	Made     time.Time  `json:"made"`
	Program  string     `json:"program"`  // version of mkcdrec that made it
	Hardware []Hardware `json:"hardware"` // the disks that it overwrites
	Plan     Plan       `json:"plan"`
}

// envelope is the file around its content. The sum is over the content without
// the white space between its values: a file that went through a formatter is
// still the one that was reviewed, and any other edit is seen.
type envelope struct {
	Format  string          `json:"format"`
	Version int             `json:"version"`
	SHA256  string          `json:"sha256"`
	Content json.RawMessage `json:"content"`
}

// NewFile is the file of a plan for the disks of here. A plan that could not
// be carried out from a file is refused now, not then.
func NewFile(p Plan, here machine.Machine, protected []string, program string, made time.Time) (File, error) {
	f := File{Made: made.UTC(), Program: program, Plan: p}
	for _, d := range p.Target.Disks {
		f.Hardware = append(f.Hardware, hardware(d))
	}
	if err := f.valid(); err != nil {
		return File{}, err
	}
	return f, p.checkHardware(here, protected)
}

// Encode writes the file.
func (f File) Encode() ([]byte, error) {
	content, err := json.Marshal(f)
	if err != nil {
		return nil, fmt.Errorf("cannot write the plan: %w", err)
	}
	b, err := json.MarshalIndent(envelope{Format: fileFormat, Version: FileVersion, SHA256: sum(content), Content: content}, "", "  ")
	if err != nil {
		return nil, fmt.Errorf("cannot write the plan: %w", err)
	}
	return append(b, '\n'), nil
}

func sum(content []byte) string {
	s := sha256.Sum256(content)
	return hex.EncodeToString(s[:])
}

// ReadFile reads what Encode wrote. The error is of kind fail.Usage for what is
// no plan file, fail.Unsupported for that of a newer version, and fail.Refused
// for one that was changed after it was written, or contradicts itself.
func ReadFile(b []byte) (File, error) {
	if len(b) > MaxFile {
		return File{}, fail.New(fail.Usage, "cannot read the plan: %d bytes are more than the %d allowed", len(b), MaxFile)
	}
	var head struct {
		Format  string `json:"format"`
		Version int    `json:"version"`
	}
	if err := json.Unmarshal(b, &head); err != nil {
		return File{}, fail.Hint(fail.New(fail.Usage, "cannot read the plan: %w", err), "it takes the whole file that --plan-out has written")
	}
	switch {
	case head.Format != fileFormat:
		return File{}, fail.Hint(fail.New(fail.Usage, "this is no plan of mkcdrec"), "make one with --plan-out")
	case head.Version != FileVersion:
		return File{}, fail.Hint(fail.New(fail.Unsupported, "the plan file is of version %d, this program knows %d", head.Version, FileVersion),
			"make the plan with the program that is to carry it out")
	}
	var e envelope
	if err := strictly(b, &e); err != nil {
		return File{}, edited(err)
	}
	var content bytes.Buffer
	if err := json.Compact(&content, e.Content); err != nil {
		return File{}, edited(err)
	}
	if sum(content.Bytes()) != e.SHA256 {
		return File{}, edited(errors.New("its sum is another one"))
	}
	var f File
	if err := strictly(e.Content, &f); err != nil {
		return File{}, fail.Hint(fail.New(fail.Refused, "cannot use the plan: %w", err), "make the plan with the program that is to carry it out")
	}
	return f, f.valid()
}

// edited is the refusal of a file that is not as it was written.
func edited(err error) error {
	return fail.Hint(fail.New(fail.Refused, "the plan file was changed after it was written (%w): nothing of it is carried out", err),
		"make a plan that is as you want it by flags, and keep it with --plan-out")
}

// strictly decodes all of b, and nothing that v does not have.
func strictly(b []byte, v any) error {
	d := json.NewDecoder(bytes.NewReader(b))
	d.DisallowUnknownFields()
	if err := d.Decode(v); err != nil {
		return err
	}
	if _, err := d.Token(); err != io.EOF {
		return errors.New("there is more behind its end")
	}
	return nil
}

// valid says whether the plan is consistent in itself.
func (f File) valid() error {
	p := f.Plan
	if p.Version != Version {
		return fail.New(fail.Unsupported, "the plan is of version %d, this program knows %d", p.Version, Version)
	}
	if p.Scope != nil {
		return fail.New(fail.Refused, "the plan is for a single file system, and only one for a whole machine can be kept")
	}
	if err := p.Target.Validate(); err != nil {
		return fail.New(fail.Refused, "the plan contradicts itself: %w", err)
	}
	var planned []Hardware
	for _, d := range p.Target.Disks {
		planned = append(planned, hardware(d))
	}
	if !slices.Equal(planned, f.Hardware) {
		return fail.New(fail.Refused, "the plan contradicts itself: it names other disks than it overwrites")
	}
	return Validate(p)
}

// Renew is a plan that was kept as it is carried out now: the very same steps
// on the very same disks, with what the disks hold today. here is the machine
// as it is now, info.Backup, Host, Entries and Content are of the backup that
// is here. The error is of kind fail.Refused where the disks are others or
// cannot be told apart, where the backup is another, and where the steps are
// not those that Restore makes for these disks.
func (p Plan) Renew(here machine.Machine, protected []string, info Info) (Plan, error) {
	if p.Backup != info.Backup || p.Host != info.Host {
		return Plan{}, fail.New(fail.Refused, "the plan is for backup %s of %s, and this is %s of %s", p.Backup, p.Host, info.Backup, info.Host)
	}
	if err := p.checkHardware(here, protected); err != nil {
		return Plan{}, err
	}
	info.Clone, info.Changes = p.CloneWishes(), p.Changes
	now, err := Restore(p.Target, p.Choices, here, info)
	if err != nil {
		return Plan{}, err
	}
	if now.Digest() != p.Digest() {
		return Plan{}, fail.Hint(fail.New(fail.Refused, "the steps of the plan are not those that this program takes to make its disks: it was edited, or made by another version"),
			"make the plan anew with --plan-out")
	}
	return now, nil
}

// CloneWishes are those of the plan's clone; nil where it is none.
func (p Plan) CloneWishes() *CloneWishes {
	for _, s := range p.Steps {
		if s.Kind == Identity {
			return s.Clone
		}
	}
	return nil
}
