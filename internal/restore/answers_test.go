package restore

import (
	"strings"
	"testing"

	"github.com/mkcdrec/mkcdrec/internal/fail"
	"github.com/mkcdrec/mkcdrec/internal/machine"
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

// Flags go through the same check as the file.
func TestValidateAnswers(t *testing.T) {
	for _, a := range []Answers{
		{Verify: "everything"}, {Machine: "mine"}, {Then: "dance"}, {Clone: true, Hostname: "-web"},
		{Clone: true, Addresses: []string{"192.0.2.7"}}, {Clone: true, Gateway: "192.0.2.1"},
		{Clone: true, Addresses: []string{"192.0.2.7/24"}, Gateway: "router"},
	} {
		if err := a.Validate(); fail.KindOf(err) != fail.Usage || err == nil {
			t.Errorf("%+v: %v", a, err)
		}
	}
	good := Answers{Clone: true, Hostname: "web2", Addresses: []string{"192.0.2.7/24", "2001:db8::7/64"}, Gateway: "192.0.2.1", Verify: VerifyFull}
	if err := good.Validate(); err != nil {
		t.Error(err)
	}
	if w := good.CloneWishes(); w == nil || w.Hostname != "web2" || w.Gateway != "192.0.2.1" {
		t.Errorf("the wishes are %+v", w)
	}
	if (Answers{}).CloneWishes() != nil {
		t.Error("a restore became a clone")
	}
}

func TestGatewayAloneIsACloneAndRefused(t *testing.T) {
	if _, err := ParseAnswers([]byte("disks = 'only'\ngateway = '192.0.2.1'\n")); fail.KindOf(err) != fail.Usage || err == nil {
		t.Errorf("a gateway without an address was accepted: %v", err)
	}
}

func TestSameMachine(t *testing.T) {
	board := func(uuid, serial, name string, macs ...string) (m machine.Machine) {
		m.Product = machine.Product{UUID: uuid, Serial: serial, Name: name}
		for _, mac := range macs {
			m.Network.Interfaces = append(m.Network.Interfaces, machine.Interface{Name: "eth0", MAC: mac})
		}
		return m
	}
	for _, c := range []struct {
		what     string
		was, is  machine.Machine
		same     bool
		whyNames string
	}{
		{"UUID in another case", board("AB-1", "", ""), board("ab-1", "", ""), true, ""},
		{"another UUID, the same card", board("a", "", "", "m"), board("b", "", "", "m"), false, "UUID b"},
		{"the same serial number", board("", "S1", "R740"), board("", "S1", "R740"), true, ""},
		{"the serial number on another product", board("", "S1", "R740"), board("", "S1", "R640"), false, "R640"},
		{"only a card, the same", board("", "", "", "AA:BB"), board("", "", "", "aa:bb"), true, ""},
		{"only a card, another", board("", "", "", "aa:bb"), board("", "", "", "cc:dd"), false, "cc:dd"},
		{"nothing to tell by", board("", "", ""), board("", "", ""), false, "none"},
	} {
		same, why := SameMachine(c.was, c.is)
		if same != c.same || !same && !strings.Contains(why, c.whyNames) {
			t.Errorf("%s: %v, %q", c.what, same, why)
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
