// Package config turns the settings file and the flags into Settings. It
// checks names and values; it does not look at the machine.
package config

import (
	"bytes"
	_ "embed"
	"errors"
	"os"
	"reflect"
	"regexp"
	"sort"
	"strconv"
	"strings"

	"github.com/BurntSushi/toml"

	"github.com/mkcdrec/mkcdrec/internal/fail"
)

// Path is where the settings are looked for when no --config is given.
const Path = "/etc/mkcdrec/config.toml"

// Example is the shipped settings file: every key, commented, with its default.
//
//go:embed config.toml
var Example string

// Settings are all settings, with the defaults of Default.
type Settings struct {
	// ImageDir is where images go (--out).
	ImageDir string `toml:"image_dir"`
	// WorkDir is for temporary files; only what a run made itself is removed from it.
	WorkDir string `toml:"work_dir"`
	// BackupTo is a default for --to; "" puts the backup into the ISO.
	BackupTo string `toml:"backup_to"`
	// Exclude are patterns left out of the backup, beside the built-in ones.
	Exclude []string `toml:"exclude"`
	// Snapshots says whether the file systems are read from snapshots that are
	// taken for it: auto, off, require.
	Snapshots string `toml:"snapshots"`
	// Freeze are mount points that nobody can write to while they are read.
	Freeze []string `toml:"freeze"`
	// FreezeSeconds is how long each of them may stay so.
	FreezeSeconds int `toml:"freeze_seconds"`
	// KeepSnapshots takes the read-only btrfs snapshots that are there into the
	// backup, each in full.
	KeepSnapshots bool `toml:"keep_snapshots"`
	// LUKSHeaders takes copies of the headers of encrypted devices into the backup.
	LUKSHeaders bool `toml:"luks_headers"`
	// VolumeSize cuts the backup into volumes, e.g. "4 GiB"; "" is one volume.
	VolumeSize string `toml:"volume_size"`
	// Level is the zstd level, 1 to 19.
	Level int `toml:"level"`
	// HooksDir holds pre-backup, post-backup, pre-snapshot and post-snapshot.
	HooksDir string `toml:"hooks_dir"`

	Rescue Rescue `toml:"rescue"`
	Boot   Boot   `toml:"boot"`
	Burn   Burn   `toml:"burn"`
}

// Rescue are the settings of the rescue system.
type Rescue struct {
	Kernel         string   `toml:"kernel"`          // path; "": the running one, else the newest installed
	Modules        string   `toml:"modules"`         // generic, host, all
	ExtraModules   []string `toml:"extra_modules"`   //
	ExcludeModules []string `toml:"exclude_modules"` // to keep SAN disks out of reach
	Programs       []string `toml:"programs"`        // extra utilities
	Files          []string `toml:"files"`           // extra files and directories
	ManualPages    []string `toml:"manual_pages"`    // extra manual pages
	AuthorizedKeys []string `toml:"authorized_keys"` // ssh public keys, or files that hold them
	PrivateKeys    []string `toml:"private_keys"`    // paths of private keys that may go on the medium
	ConsoleLogin   bool     `toml:"console_login"`   // ask for root's password on the consoles; its hash goes along
	Memory         string   `toml:"memory"`          // refuse to make a rescue system that needs more
}

// Boot are the settings of the boot screen.
type Boot struct {
	Timeout    int    `toml:"timeout"`     // seconds; 0: at once, -1: wait
	Default    int    `toml:"default"`     // number of the menu entry
	Serial     string `toml:"serial"`      // "ttyS0,115200"
	KernelArgs string `toml:"kernel_args"` //
}

// Burn are the settings for writing discs.
type Burn struct {
	Enabled bool   `toml:"enabled"`
	Device  string `toml:"device"`
	Speed   int    `toml:"speed"` // 0: the drive's choice
}

// Default are the settings of a machine without a settings file.
func Default() Settings {
	return Settings{
		ImageDir:  "/var/lib/mkcdrec/images",
		WorkDir:   "/var/tmp",
		Exclude:   []string{"/tmp/*", "/var/tmp/*", "/var/cache/apt/archives/*.deb", "/var/lib/mkcdrec/images/*"},
		Snapshots: "auto", FreezeSeconds: 30,
		Level:    3,
		HooksDir: "/etc/mkcdrec/hooks.d",
		Rescue:   Rescue{Modules: "generic"},
		Boot:     Boot{Timeout: 30, Default: 1, Serial: "ttyS0,115200"},
		Burn:     Burn{Device: "/dev/sr0"},
	}
}

// Load reads a settings file over the defaults. An empty path means Path,
// which need not exist; a path that was given must.
func Load(path string) (Settings, error) {
	s := Default()
	given := path != ""
	if !given {
		path = Path
	}
	data, err := os.ReadFile(path)
	if errors.Is(err, os.ErrNotExist) && !given {
		return s, nil
	}
	if err != nil {
		return s, fail.Hint(fail.New(fail.Usage, "cannot read the settings: %w", err), "check the path given with --config")
	}
	return Parse(path, data)
}

// Parse reads settings from the text of a file called name.
func Parse(name string, data []byte) (Settings, error) {
	s := Default()
	md, err := toml.NewDecoder(bytes.NewReader(data)).Decode(&s)
	if err != nil {
		var pe toml.ParseError
		if errors.As(err, &pe) {
			return s, fail.New(fail.Usage, "%s line %d: %s", name, pe.Position.Line, pe.Message)
		}
		return s, wrongType(name, data, err)
	}
	if unknown := md.Undecoded(); len(unknown) > 0 {
		key := unknown[0].String()
		err := fail.New(fail.Usage, "%s: unknown setting %q", name, key)
		if near := Nearest(key, Keys()); near != "" {
			return s, fail.Hint(err, "did you mean %q?", near)
		}
		return s, fail.Hint(err, "the settings are: %s", strings.Join(Keys(), ", "))
	}
	return s, s.Validate(name)
}

// allowed says of each setting that not every value of its type will do for what
// will; for the others allowedType does.
var allowed = map[string]string{
	"image_dir":      "an absolute path",
	"work_dir":       "an absolute path",
	"level":          "1 to 19",
	"snapshots":      `"auto", "off" or "require"`,
	"freeze":         `absolute paths of mount points, such as ["/srv"]`,
	"freeze_seconds": "1 to 600 seconds",
	"volume_size":    `a size such as "700 MB" or "4 GiB"`,
	"rescue.memory":  `a size such as "700 MB" or "4 GiB"`,
	"rescue.modules": `"generic", "host" or "all"`,
	"boot.timeout":   "-1 (wait) to 3600 seconds",
	"boot.default":   "1 to 5",
	"burn.speed":     "0 (the drive's choice) or more",
}

// typeError is what the decoder says of a value of the wrong type.
var typeError = regexp.MustCompile(`^toml: line (\d+) \(last key "([^"]+)"\): `)

// wrongType turns the decoder's error, which speaks of Go's types, into the
// line, its text, and what may stand there.
func wrongType(name string, data []byte, err error) error {
	m := typeError.FindStringSubmatch(err.Error())
	if m == nil {
		return fail.New(fail.Usage, "%s: %w", name, err)
	}
	n, _ := strconv.Atoi(m[1])
	line := ""
	if lines := strings.Split(string(data), "\n"); n >= 1 && n <= len(lines) {
		line = strings.TrimSpace(lines[n-1])
	}
	what := allowed[m[2]]
	if what == "" {
		what = allowedType(m[2])
	}
	return fail.New(fail.Usage, "%s line %d: %s is not allowed for %s: %s", name, n, line, m[2], what)
}

// allowedType is how a value of the type of a setting is written.
func allowedType(key string) string {
	t := reflect.TypeFor[Settings]()
	for part := range strings.SplitSeq(key, ".") {
		for i := range t.NumField() {
			if f := t.Field(i); f.Tag.Get("toml") == part {
				t = f.Type
				break
			}
		}
		if t.Kind() != reflect.Struct {
			break
		}
	}
	switch t.Kind() {
	case reflect.Bool:
		return "true or false"
	case reflect.Int:
		return "a whole number"
	case reflect.Slice:
		return `a list of texts, such as ["one", "two"]`
	case reflect.Struct:
		return "a section, such as [" + key + "]"
	}
	return `a text in quotes, such as "text"`
}

// Validate names the first setting whose value cannot be used, and what is allowed.
func (s Settings) Validate(name string) error {
	bad := func(key string, value any) error {
		return fail.New(fail.Usage, "%s: %s = %v is not allowed: %s", name, key, value, allowed[key])
	}
	if !strings.HasPrefix(s.ImageDir, "/") {
		return bad("image_dir", strconv.Quote(s.ImageDir))
	}
	if !strings.HasPrefix(s.WorkDir, "/") {
		return bad("work_dir", strconv.Quote(s.WorkDir))
	}
	if !ValidSnapshots(s.Snapshots) {
		return bad("snapshots", strconv.Quote(s.Snapshots))
	}
	for _, p := range s.Freeze {
		if !strings.HasPrefix(p, "/") {
			return bad("freeze", strconv.Quote(p))
		}
	}
	if s.FreezeSeconds < 1 || s.FreezeSeconds > 600 {
		return bad("freeze_seconds", s.FreezeSeconds)
	}
	if s.Level < 1 || s.Level > 19 {
		return bad("level", s.Level)
	}
	for key, v := range map[string]string{"volume_size": s.VolumeSize, "rescue.memory": s.Rescue.Memory} {
		if _, err := ParseSize(v); v != "" && err != nil {
			return bad(key, strconv.Quote(v))
		}
	}
	switch s.Rescue.Modules {
	case "generic", "host", "all":
	default:
		return bad("rescue.modules", strconv.Quote(s.Rescue.Modules))
	}
	if s.Boot.Timeout < -1 || s.Boot.Timeout > 3600 {
		return bad("boot.timeout", s.Boot.Timeout)
	}
	if s.Boot.Default < 1 || s.Boot.Default > 5 {
		return bad("boot.default", s.Boot.Default)
	}
	if s.Burn.Speed < 0 {
		return bad("burn.speed", s.Burn.Speed)
	}
	return nil
}

// ValidSnapshots says whether a text is a value of Settings.Snapshots.
func ValidSnapshots(s string) bool { return s == "auto" || s == "off" || s == "require" }

// Keys are the names of all settings, sorted.
func Keys() []string {
	var keys []string
	var walk func(prefix string, t reflect.Type)
	walk = func(prefix string, t reflect.Type) {
		for i := range t.NumField() {
			name := prefix + t.Field(i).Tag.Get("toml")
			if t.Field(i).Type.Kind() == reflect.Struct {
				walk(name+".", t.Field(i).Type)
				continue
			}
			keys = append(keys, name)
		}
	}
	walk("", reflect.TypeFor[Settings]())
	sort.Strings(keys)
	return keys
}

// ParseSize reads "700 MB", "4 GiB", "650000 kB", "1048576": decimal and
// binary units as IEC 80000-13 has them; K, M, G, T alone are binary.
func ParseSize(s string) (int64, error) {
	t := strings.ReplaceAll(strings.TrimSpace(s), " ", "")
	i := 0
	for i < len(t) && (t[i] >= '0' && t[i] <= '9' || t[i] == '.') {
		i++
	}
	n, err := strconv.ParseFloat(t[:i], 64)
	units := map[string]float64{"": 1, "b": 1, "kb": 1e3, "mb": 1e6, "gb": 1e9, "tb": 1e12,
		"k": 1 << 10, "m": 1 << 20, "g": 1 << 30, "t": 1 << 40, "kib": 1 << 10, "mib": 1 << 20, "gib": 1 << 30, "tib": 1 << 40}
	unit, ok := units[strings.ToLower(t[i:])]
	if err != nil || !ok || n*unit < 1 || n*unit > 1<<60 {
		return 0, fail.New(fail.Usage, "%q is not a size: write a number and a unit, such as 700MB or 4GiB", s)
	}
	return int64(n * unit), nil
}

// Nearest is the candidate with the smallest edit distance to word, or ""
// where none is near enough to be meant.
func Nearest(word string, candidates []string) string {
	best, bestDist := "", max(2, len(word)/3)+1
	for _, c := range candidates {
		if d := distance(word, c); d < bestDist {
			best, bestDist = c, d
		}
		// the right name in the wrong section
		if i := strings.LastIndexByte(c, '.'); i >= 0 && c[i+1:] == word {
			return c
		}
	}
	return best
}

func distance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := 1; i <= len(a); i++ {
		prev := row[0]
		row[0] = i
		for j := 1; j <= len(b); j++ {
			cost := 1
			if a[i-1] == b[j-1] {
				cost = 0
			}
			prev, row[j] = row[j], min(row[j]+1, row[j-1]+1, prev+cost)
		}
	}
	return row[len(b)]
}
