package restore

import (
	"os"
	"slices"
	"strings"

	"github.com/BurntSushi/toml"
	"github.com/mkcdrec/mkcdrec/internal/fail"
	"github.com/mkcdrec/mkcdrec/internal/fit"
	"github.com/mkcdrec/mkcdrec/internal/plan"
)

// Answers are what an answer file, or the command line, says about a restore.
type Answers struct {
	Only      bool              // disks = "only"
	Disks     []string          // disks = ["serial:S", "wwn:W", "/dev/vda"]
	Machine   string            // "same" (default) or "any"
	Then      string            // "reboot", "poweroff" or "shell" (default)
	Backup    string            // ID; "": the only one
	Verify    VerifyMode        // "": VerifyMetadata
	Clone     bool              // clone = true, or a host name, addresses or a gateway are given
	Hostname  string            //
	Addresses []string          // CIDR
	Gateway   string            //
	Map       map[string]string // recorded disk -> disk here
	Keys      KeyFiles          // luks_key = "FILE", or a table: device -> file
}

// answerFile is the file as it is written.
type answerFile struct {
	Disks     any               `toml:"disks"`
	Machine   string            `toml:"machine"`
	Then      string            `toml:"then"`
	Backup    string            `toml:"backup"`
	Verify    string            `toml:"verify"`
	Clone     bool              `toml:"clone"`
	Hostname  string            `toml:"hostname"`
	Addresses []string          `toml:"addresses"`
	Gateway   string            `toml:"gateway"`
	Map       map[string]string `toml:"map"`
	LUKSKey   any               `toml:"luks_key"`
}

// ReadAnswers reads an answer file.
func ReadAnswers(path string) (Answers, error) {
	b, err := os.ReadFile(path)
	if err != nil {
		return Answers{}, fail.New(fail.Usage, "cannot read the answers: %w", err)
	}
	return ParseAnswers(b)
}

// ParseAnswers reads the content of an answer file (TOML). It must name the
// disks that may be overwritten; an unknown key is an error. Errors are of
// kind fail.Usage.
func ParseAnswers(content []byte) (Answers, error) {
	var f answerFile
	md, err := toml.Decode(string(content), &f)
	if err != nil {
		return Answers{}, fail.New(fail.Usage, "cannot read the answers: %w", err)
	}
	// A value of any type leaves what is in it undecoded; keyFiles looks at it.
	u := slices.DeleteFunc(md.Undecoded(), func(k toml.Key) bool { return k[0] == "luks_key" })
	if len(u) > 0 {
		return Answers{}, fail.Hint(fail.New(fail.Usage, "unknown answer %q", u[0].String()),
			"known are disks, machine, then, backup, verify, clone, hostname, addresses, gateway, map, luks_key")
	}
	a := Answers{
		Machine: f.Machine, Then: f.Then, Backup: f.Backup, Verify: VerifyMode(f.Verify), Hostname: f.Hostname,
		Addresses: f.Addresses, Gateway: f.Gateway, Map: f.Map, Clone: f.Clone || f.Hostname != "" || len(f.Addresses) > 0 || f.Gateway != "",
	}
	if err := a.setDisks(f.Disks); err != nil {
		return Answers{}, err
	}
	if a.Keys, err = keyFiles(f.LUKSKey); err != nil {
		return Answers{}, err
	}
	return a, a.Validate()
}

// Validate checks the values, whether they come from a file or from the
// command line. The errors are of kind fail.Usage.
func (a Answers) Validate() error {
	for _, c := range []struct {
		key, value string
		allowed    []string
	}{
		{"machine", a.Machine, []string{"same", "any"}},
		{"then", a.Then, []string{"reboot", "poweroff", "shell"}},
		{"verify", string(a.Verify), []string{string(VerifyMetadata), string(VerifyFull)}},
	} {
		if c.value != "" && !slices.Contains(c.allowed, c.value) {
			return fail.New(fail.Usage, "%s = %q is not allowed; it may be %s", c.key, c.value, strings.Join(c.allowed, ", "))
		}
	}
	return a.wishes().Validate()
}

// wishes are what a clone is to be; the zero value where it is none.
func (a Answers) wishes() plan.CloneWishes {
	return plan.CloneWishes{Hostname: a.Hostname, Addresses: a.Addresses, Gateway: a.Gateway}
}

// CloneWishes are the wishes for a clone; nil: no clone.
func (a Answers) CloneWishes() *plan.CloneWishes {
	if !a.Clone {
		return nil
	}
	w := a.wishes()
	return &w
}

// setDisks takes "only" or a list of disks.
func (a *Answers) setDisks(v any) error {
	noDisk := fail.Hint(fail.New(fail.Usage, "the answers name no disk that may be overwritten"),
		`write disks = "only", or disks = ["serial:...", "/dev/vda"]`)
	switch d := v.(type) {
	case string:
		if d == "only" {
			a.Only = true
			return nil
		}
		return fail.New(fail.Usage, `in the answers, disks = %q is not allowed; it may be "only" or a list`, d)
	case []any:
		for _, e := range d {
			s, ok := e.(string)
			if !ok || s == "" || s == "only" {
				return fail.New(fail.Usage, "in the answers' disks, %v is not a disk", e)
			}
			a.Disks = append(a.Disks, s)
		}
		if len(a.Disks) == 0 {
			return noDisk
		}
		return nil
	}
	return noDisk
}

// Wishes are the answers as fit takes them.
func (a Answers) Wishes(protected []string) fit.Wishes {
	return fit.Wishes{Disks: a.Disks, Only: a.Only, Map: a.Map, Protected: protected}
}
