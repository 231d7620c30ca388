package blkid

import (
	"context"
	"errors"
	"os"
	"testing"

	"github.com/mkcdrec/mkcdrec/internal/system"
)

func TestProbe(t *testing.T) {
	lvm, err := os.ReadFile("testdata/lvm.txt")
	if err != nil {
		t.Fatal(err)
	}
	btrfs, err := os.ReadFile("testdata/btrfs.txt")
	if err != nil {
		t.Fatal(err)
	}
	r := &system.Recorder{Strict: true, Answers: map[string]system.Answer{
		"blkid -p -o export /dev/vda3":   {Stdout: string(lvm)},
		"blkid -p -o export /dev/vdb5":   {Stdout: string(btrfs)},
		"blkid -p -o export /dev/empty":  {ExitCode: 2},
		"blkid -p -o export /dev/denied": {ExitCode: 2, Stderr: "blkid: error: /dev/denied: Operation not permitted"},
		"blkid -p -o export /dev/two":    {ExitCode: 8},
		"blkid -p -o export /dev/label":  {Stdout: "LABEL=my\\ disk\\=\\\\\nTYPE=ext4\n"},
	}}
	for _, c := range []struct {
		path string
		want Probed
		fail bool
	}{
		{path: "/dev/vda3", want: Probed{Type: "LVM2_member", UUID: "lkIEL2-OAwh-ho58-gxsi-s6NL-L5MJ-ycX4fU", Usage: "raid"}},
		{path: "/dev/vdb5", want: Probed{Type: "btrfs", UUID: "44444444-aaaa-4aaa-8aaa-444444444402", Label: "system", Usage: "filesystem"}},
		{path: "/dev/empty"},
		{path: "/dev/denied", fail: true},
		{path: "/dev/two", fail: true},
		{path: "/dev/label", want: Probed{Type: "ext4", Label: `my disk=\`}},
	} {
		got, err := Probe(context.Background(), r, c.path)
		if got != c.want || (err != nil) != c.fail {
			t.Errorf("%s: got %+v, %v; want %+v", c.path, got, err, c.want)
		}
		if errors.Is(err, ErrAmbivalent) != (c.path == "/dev/two") {
			t.Errorf("%s: %v", c.path, err)
		}
	}
}
