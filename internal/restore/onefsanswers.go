package restore

import (
	"os"
	"path"
	"slices"
	"strings"

	"github.com/BurntSushi/toml"

	"github.com/mkcdrec/mkcdrec/internal/fail"
	"github.com/mkcdrec/mkcdrec/internal/fit"
)

// RecordedPlace is the answer that means the place where a file system was
// recorded.
const RecordedPlace = "recorded"

// FSAnswers are what an answer file, or the command line, says about the
// restore of a single file system.
type FSAnswers struct {
	FileSystem string     `toml:"filesystem"` // its mount point when it was recorded
	Onto       string     `toml:"onto"`       // a device, or RecordedPlace
	NoFormat   bool       `toml:"no_format"`  // unpack over what is there
	Machine    string     `toml:"machine"`    // "same" (default) or "any"
	Backup     string     `toml:"backup"`     // ID; "": the only one
	Verify     VerifyMode `toml:"verify"`     // "": VerifyMetadata
	Keys       KeyFiles   `toml:"-"`          // luks_key = "FILE", or a table: device -> file
}

// ReadFSAnswers reads an answer file (TOML). It must name the file system and
// the device that may be overwritten; an unknown key is an error. Errors are
// of kind fail.Usage.
func ReadFSAnswers(name string) (FSAnswers, error) {
	b, err := os.ReadFile(name)
	if err != nil {
		return FSAnswers{}, fail.New(fail.Usage, "cannot read the answers: %w", err)
	}
	return ParseFSAnswers(b)
}

// ParseFSAnswers reads the content of an answer file, see ReadFSAnswers.
func ParseFSAnswers(content []byte) (FSAnswers, error) {
	var f struct {
		FSAnswers
		LUKSKey any `toml:"luks_key"`
	}
	md, err := toml.Decode(string(content), &f)
	if err != nil {
		return FSAnswers{}, fail.New(fail.Usage, "cannot read the answers: %w", err)
	}
	if u := undecoded(md); len(u) > 0 {
		return FSAnswers{}, fail.Hint(fail.New(fail.Usage, "unknown answer %q", u[0].String()),
			"known for a single file system are filesystem, onto, no_format, machine, backup, verify, luks_key")
	}
	a := f.FSAnswers
	if a.Keys, err = keyFiles(f.LUKSKey); err != nil {
		return FSAnswers{}, err
	}
	if a.Onto == "" {
		return FSAnswers{}, fail.Hint(fail.New(fail.Usage, "the answers name no device that may be overwritten"),
			`write onto = "recorded" for the place of the file system, or onto = "/dev/sdb1"`)
	}
	return a, a.Validate()
}

// Validate checks the values, whether they come from a file or from the
// command line. The errors are of kind fail.Usage.
func (a FSAnswers) Validate() error {
	if !path.IsAbs(a.FileSystem) {
		return fail.Hint(fail.New(fail.Usage, "%q is not the mount point of a file system", a.FileSystem), "write it as /home")
	}
	for _, c := range []struct {
		key, value string
		allowed    []string
	}{
		{"machine", a.Machine, []string{"same", "any"}},
		{"verify", string(a.Verify), []string{string(VerifyMetadata), string(VerifyFull)}},
	} {
		if c.value != "" && !slices.Contains(c.allowed, c.value) {
			return fail.New(fail.Usage, "%s = %q is not allowed; it may be %s", c.key, c.value, strings.Join(c.allowed, ", "))
		}
	}
	return nil
}

// Wishes are the answers as fit takes them.
func (a FSAnswers) Wishes(protected []string) fit.FSWishes {
	w := fit.FSWishes{Mount: path.Clean(a.FileSystem), Onto: a.Onto, Keep: a.NoFormat, Protected: protected}
	if w.Onto == RecordedPlace {
		w.Onto = ""
	}
	return w
}
