package restore

import (
	"strings"
	"testing"

	"github.com/mkcdrec/mkcdrec/internal/fail"
)

func TestParseAnswers(t *testing.T) {
	a, err := ParseAnswers([]byte("disks = \"only\"\nthen = \"poweroff\"\nverify = \"full\"\n"))
	if err != nil || !a.Only || a.Then != "poweroff" || a.Verify != VerifyFull {
		t.Errorf("%+v, %v", a, err)
	}
	a, err = ParseAnswers([]byte("disks = [\"serial:A\", \"/dev/vdb\"]\nmap = {vda = \"nvme0n1\"}\n"))
	if err != nil || a.Only || len(a.Disks) != 2 || a.Map["vda"] != "nvme0n1" {
		t.Errorf("%+v, %v", a, err)
	}
	for text, want := range map[string]string{
		"":                               "name no disk",
		"disks = []":                     "name no disk",
		"disks = [\"\"]":                 "is not a disk",
		"disks = [\"only\"]":             "is not a disk",
		"disks = [1]":                    "is not a disk",
		"disks = 'only'\ndisk = 'vda'":   "unknown answer",
		"disks = 'only'\nthen = 'dance'": "not allowed",
		"disks = 'only'\nmachine = 'm'":  "not allowed",
		"disks = ":                       "",
	} {
		if _, err := ParseAnswers([]byte(text)); err == nil || fail.KindOf(err) != fail.Usage || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v", text, err)
		}
	}
}

func FuzzParseAnswers(f *testing.F) {
	f.Add([]byte("disks = \"only\""))
	f.Fuzz(func(t *testing.T, data []byte) {
		if a, err := ParseAnswers(data); err == nil && !a.Only && len(a.Disks) == 0 && len(a.Map) == 0 {
			t.Errorf("accepted answers that name no disk: %q", data)
		}
	})
}
