package restore

import (
	"fmt"
	"maps"
	"os"
	"path"
	"slices"
	"strings"

	"github.com/BurntSushi/toml"
	"github.com/mkcdrec/mkcdrec/internal/config"
	"github.com/mkcdrec/mkcdrec/internal/fail"
	"github.com/mkcdrec/mkcdrec/internal/fit"
	"github.com/mkcdrec/mkcdrec/internal/machine"
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
	Drop      []string          // mount points whose file systems are left out
	NoSwap    bool              // no swap is made
	Size      map[string]string // mount point, or fit.Swap -> size
	FS        map[string]string // mount point -> kind
	Flatten   []string          // flatten = true, or a list of arrays
	Mirror    string            // mirror = true, or the disk that takes the second half
	OntoOne   bool              // all disks go onto one
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
	Drop      []string          `toml:"drop"`
	NoSwap    bool              `toml:"no_swap"`
	Size      map[string]string `toml:"size"`
	FS        map[string]string `toml:"fs"`
	Flatten   any               `toml:"flatten"`
	Mirror    any               `toml:"mirror"`
	OntoOne   bool              `toml:"onto_one"`
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
	if u := undecoded(md); len(u) > 0 {
		return Answers{}, fail.Hint(fail.New(fail.Usage, "unknown answer %q", u[0].String()),
			"known are disks, machine, then, backup, verify, clone, hostname, addresses, gateway, map, luks_key, drop, no_swap, size, fs, flatten, mirror, onto_one")
	}
	a := Answers{
		Machine: f.Machine, Then: f.Then, Backup: f.Backup, Verify: VerifyMode(f.Verify), Hostname: f.Hostname,
		Addresses: f.Addresses, Gateway: f.Gateway, Map: f.Map, Clone: f.Clone || f.Hostname != "" || len(f.Addresses) > 0 || f.Gateway != "",
		Drop: f.Drop, NoSwap: f.NoSwap, Size: f.Size, FS: f.FS, OntoOne: f.OntoOne,
	}
	if err := a.setShape(f); err != nil {
		return Answers{}, err
	}
	if err := a.setDisks(f.Disks); err != nil {
		return Answers{}, err
	}
	if a.Keys, err = keyFiles(f.LUKSKey); err != nil {
		return Answers{}, err
	}
	return a, a.Validate()
}

// undecoded are the keys that nobody knows. A value of any type leaves what is
// in it undecoded; keyFiles looks at it.
func undecoded(md toml.MetaData) []toml.Key {
	return slices.DeleteFunc(md.Undecoded(), func(k toml.Key) bool { return k[0] == "luks_key" })
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
	if err := a.validWishes(); err != nil {
		return err
	}
	return a.wishes().Validate()
}

// validWishes checks what can be checked without a recorded machine.
func (a Answers) validWishes() error {
	var targets []string
	for _, m := range []map[string]string{a.Size, a.FS} {
		targets = slices.AppendSeq(targets, maps.Keys(m))
	}
	for _, t := range slices.Concat(a.Drop, targets) {
		if _, ofSize := a.Size[t]; !path.IsAbs(t) && !(t == fit.Swap && ofSize) {
			return fail.Hint(fail.New(fail.Usage, "%q is not the mount point of a file system", t), "write it as /home")
		}
	}
	for t, s := range a.Size {
		if _, err := config.ParseSize(s); err != nil {
			return fail.Hint(fail.New(fail.Usage, "the size of %s: %w", t, err), "write it as 40G")
		}
	}
	for t, k := range a.FS {
		if err := fit.CheckKind(machine.FSKind(k)); err != nil {
			return fmt.Errorf("%s: %w", t, err)
		}
	}
	return a.Wishes(nil).Consistent()
}

// setShape takes the answers about the number of disks: true, or what is meant.
func (a *Answers) setShape(f answerFile) error {
	switch v := f.Flatten.(type) {
	case nil:
	case bool:
		if v {
			a.Flatten = []string{fit.FlattenAll}
		}
	case string:
		a.Flatten = []string{v}
	case []any:
		for _, e := range v {
			s, ok := e.(string)
			if !ok || s == "" {
				return fail.New(fail.Usage, "in the answers' flatten, %v is not an array", e)
			}
			a.Flatten = append(a.Flatten, s)
		}
	default:
		return fail.New(fail.Usage, "in the answers, flatten = %v is not allowed; it may be true or a list of arrays", v)
	}
	switch v := f.Mirror.(type) {
	case nil:
	case bool:
		if v {
			a.Mirror = fit.MirrorAny
		}
	case string:
		a.Mirror = v
	default:
		return fail.New(fail.Usage, "in the answers, mirror = %v is not allowed; it may be true or a disk", v)
	}
	return nil
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
	w := fit.Wishes{Disks: a.Disks, Only: a.Only, Map: a.Map, Protected: protected, Drop: a.Drop, NoSwap: a.NoSwap,
		Flatten: a.Flatten, Mirror: a.Mirror, OntoOne: a.OntoOne, Sizes: map[string]machine.Bytes{}, Kinds: map[string]machine.FSKind{}}
	for t, s := range a.Size {
		if n, err := config.ParseSize(s); err == nil { // Validate has refused others
			w.Sizes[t] = machine.Bytes(n)
		}
	}
	for t, k := range a.FS {
		w.Kinds[t] = machine.FSKind(k)
	}
	return w
}
