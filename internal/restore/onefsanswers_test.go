package restore

import (
	"strings"
	"testing"

	"github.com/mkcdrec/mkcdrec/internal/fail"
)

func TestParseFSAnswers(t *testing.T) {
	a, err := ParseFSAnswers([]byte("filesystem = '/home/'\nonto = 'recorded'\nno_format = true\nverify = 'full'\n"))
	if w := a.Wishes([]string{"sda"}); err != nil || w.Mount != "/home" || w.Onto != "" || !w.Keep || len(w.Protected) != 1 || a.Verify != VerifyFull {
		t.Errorf("%+v, %v", a, err)
	}
	a, err = ParseFSAnswers([]byte("filesystem = '/'\nonto = '/dev/sdb1'\nmachine = 'any'\n"))
	if w := a.Wishes(nil); err != nil || w.Mount != "/" || w.Onto != "/dev/sdb1" || w.Keep || a.Machine != "any" {
		t.Errorf("%+v, %v", a, err)
	}
	a, err = ParseFSAnswers([]byte("filesystem = '/'\nonto = 'recorded'\nluks_key = { vault = '/luks.key:LABEL=KEYS' }\n"))
	if err != nil || a.Keys.For("vault") != "/luks.key:LABEL=KEYS" || a.Keys.For("other") != "" {
		t.Errorf("%+v, %v", a, err)
	}
	for text, want := range map[string]string{
		"filesystem = '/home'":                             "no device that may be overwritten",
		"onto = 'recorded'":                                "not the mount point",
		"filesystem = 'home'\nonto = 'recorded'":           "not the mount point",
		"filesystem = '/home'\nonto = 'x'\ndisks = 'only'": "unknown answer",
		"filesystem = '/home'\nonto = 'x'\nverify = 'all'": "not allowed",
		"filesystem = '/home'\nonto = 'x'\nmachine = 'm'":  "not allowed",
		"filesystem = '/'\nonto = 'x'\nluks_key = 'k'":     "luks_key is a file",
		"filesystem = ":                                    "",
	} {
		if _, err := ParseFSAnswers([]byte(text)); err == nil || fail.KindOf(err) != fail.Usage || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v", text, err)
		}
	}
}
