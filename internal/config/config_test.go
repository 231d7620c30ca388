package config

import (
	"reflect"
	"regexp"
	"strings"
	"testing"

	"github.com/mkcdrec/mkcdrec/internal/fail"
)

// The shipped example must hold every setting, and uncommented it must be the defaults.
func TestExampleIsTheDefaults(t *testing.T) {
	uncommented := regexp.MustCompile(`(?m)^#([a-z_]+ = )`).ReplaceAllString(Example, "$1")
	s, err := Parse("example", []byte(uncommented))
	if err != nil {
		t.Fatal(err)
	}
	want := Default()
	for _, l := range []*[]string{&s.Freeze, &s.Rescue.ExtraModules, &s.Rescue.ExcludeModules, &s.Rescue.Programs, &s.Rescue.Files, &s.Rescue.ManualPages, &s.Rescue.AuthorizedKeys, &s.Rescue.PrivateKeys} {
		if len(*l) == 0 {
			*l = nil
		}
	}
	if !reflect.DeepEqual(s, want) {
		t.Errorf("example gives\n%+v\ndefaults are\n%+v", s, want)
	}
	for _, key := range Keys() {
		key = key[strings.LastIndexByte(key, '.')+1:]
		if !strings.Contains(Example, "\n#"+key+" = ") {
			t.Errorf("setting %s is not in the example", key)
		}
	}
}

func TestParseErrors(t *testing.T) {
	for _, c := range []struct{ text, err, hint string }{
		{"image_dri = '/x'", `unknown setting "image_dri"`, `did you mean "image_dir"?`},
		{"modules = 'all'", `unknown setting "modules"`, `did you mean "rescue.modules"?`},
		{"zzzzzzzzzzzzzzzzzzz = 1", "unknown setting", "the settings are"},
		{"image_dir = 'relative'", "image_dir", ""},
		{"level = 99", "1 to 19", ""},
		{"level = 'x'", "t.toml line 1: level = 'x' is not allowed for level: 1 to 19", ""},
		{"\n\n[rescue]\nprograms = 'vim'", `t.toml line 4: programs = 'vim' is not allowed for rescue.programs: a list of texts, such as ["one", "two"]`, ""},
		{"[rescue]\nmodules = 1", `t.toml line 2: modules = 1 is not allowed for rescue.modules: "generic", "host" or "all"`, ""},
		{"snapshots = 'no'", `snapshots = "no" is not allowed: "auto", "off" or "require"`, ""},
		{"snapshots = true", `t.toml line 1: snapshots = true is not allowed for snapshots: "auto", "off" or "require"`, ""},
		{"keep_snapshots = 'no'", "t.toml line 1: keep_snapshots = 'no' is not allowed for keep_snapshots: true or false", ""},
		{"freeze = ['srv']", `freeze = "srv" is not allowed: absolute paths of mount points`, ""},
		{"freeze_seconds = 0", "freeze_seconds = 0 is not allowed: 1 to 600 seconds", ""},
		{"backup_to = 3", "is not allowed for backup_to: a text in quotes", ""},
		{"exclude = [1]", "t.toml line 1: exclude = [1] is not allowed for exclude: a list of texts", ""},
		{"[burn]\nenabled = 'yes'", "t.toml line 2: enabled = 'yes' is not allowed for burn.enabled: true or false", ""},
		{"rescue = 3", "is not allowed for rescue: a section, such as [rescue]", ""},
		{"[rescue]\nmodules = 'some'", `"generic", "host" or "all"`, ""},
		{"volume_size = 'big'", "volume_size", ""},
		{"[boot]\ntimeout = -2", "boot.timeout", ""},
		{"level = ", "line 1", ""},
	} {
		_, err := Parse("t.toml", []byte(c.text))
		if err == nil || !strings.Contains(err.Error(), c.err) || !strings.Contains(fail.HintOf(err), c.hint) {
			t.Errorf("%q: error %v, hint %q", c.text, err, fail.HintOf(err))
		}
		if fail.KindOf(err) != fail.Usage {
			t.Errorf("%q: kind %v", c.text, fail.KindOf(err))
		}
	}
}

func TestParseSize(t *testing.T) {
	for s, want := range map[string]int64{"700MB": 700e6, "4 GiB": 4 << 30, "650000 kB": 650e6, "123": 123, "1.5G": 3 << 29} {
		if got, err := ParseSize(s); err != nil || got != want {
			t.Errorf("%q: %d, %v; want %d", s, got, err, want)
		}
	}
	for _, s := range []string{"", "x", "-1", "0", "5 parsec", "1e99"} {
		if _, err := ParseSize(s); err == nil {
			t.Errorf("%q: no error", s)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add([]byte(Example))
	f.Fuzz(func(t *testing.T, data []byte) { _, _ = Parse("fuzz", data) })
}
