package losetup

import (
	"context"
	"slices"
	"testing"

	"github.com/mkcdrec/mkcdrec/internal/system"
)

func TestAttach(t *testing.T) {
	for said, want := range map[string]string{
		"/dev/loop3\n":  "loop3",
		"/dev/loop12\n": "loop12",
		"":              "",
		"/dev/sda\n":    "",
		"/dev/loop\n":   "",
		"/tmp/loop3\n":  "",
	} {
		r := &system.Recorder{Answers: map[string]system.Answer{"losetup *": {Stdout: said}}}
		got, err := Attach(context.Background(), r, "/srv/a.raw", Part{Offset: 1048576, Size: 512}, false)
		if got != want || (err == nil) != (want != "") {
			t.Errorf("%q: %q, %v", said, got, err)
		}
		if c := r.Commands(); !slices.Equal(c, []string{"losetup --find --show --offset 1048576 --sizelimit 512 /srv/a.raw"}) {
			t.Errorf("commands %q", c)
		}
	}
	r := &system.Recorder{Answers: map[string]system.Answer{"losetup *": {Stdout: "/dev/loop0\n"}}}
	if _, err := Attach(context.Background(), r, "/srv/a.raw", Part{}, true); err != nil {
		t.Error(err)
	}
	if c := r.Commands(); !slices.Equal(c, []string{"losetup --find --show --partscan /srv/a.raw"}) {
		t.Errorf("commands %q", c)
	}
}
