package btrfs

import (
	"os"
	"reflect"
	"testing"

	"github.com/mkcdrec/mkcdrec/internal/machine"
)

func TestParseCapture(t *testing.T) {
	var text [3]string
	for i, name := range []string{"list", "readonly", "default"} {
		b, err := os.ReadFile("testdata/" + name + ".txt")
		if err != nil {
			t.Fatal(err)
		}
		text[i] = string(b)
	}
	got, err := Parse(text[0], text[1], text[2])
	if err != nil {
		t.Fatal(err)
	}
	want := []machine.Subvolume{
		{ID: 256, Path: "@", Default: true},
		{ID: 257, Path: "@home"},
		{ID: 258, Path: "snap/one two", ReadOnly: true, Snapshot: true},
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v, want %+v", got, want)
	}
}

// Captured with @ mounted: every path counts from the top level.
func TestParseListFromASubvolume(t *testing.T) {
	b, err := os.ReadFile("testdata/list-from-subvolume.txt")
	if err != nil {
		t.Fatal(err)
	}
	got, err := Parse(string(b), "ID 259 gen 7 top level 258 path .snapshots/1/snapshot\n", "ID 5 (FS_TREE)\n")
	if err != nil {
		t.Fatal(err)
	}
	want := []machine.Subvolume{
		{ID: 256, Path: "@"}, {ID: 257, Path: "@home"}, {ID: 258, Path: "@/.snapshots"},
		{ID: 259, Path: "@/.snapshots/1/snapshot", ReadOnly: true, Snapshot: true}, {ID: 260, Path: "@/var"}, {ID: 261, Path: "@/lib/machines"},
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v, want %+v", got, want)
	}
}

func TestParse(t *testing.T) {
	if got, err := Parse("", "", "ID 5 (FS_TREE)\n"); err != nil || len(got) != 0 {
		t.Errorf("a file system without subvolumes: %v, %v", got, err)
	}
	for _, bad := range []string{"nonsense", "ID x gen 1 top level 5 path a"} {
		if _, err := Parse(bad, "", "ID 5 (FS_TREE)"); err == nil {
			t.Errorf("%q was understood", bad)
		}
	}
	if _, err := Parse("", "", ""); err == nil {
		t.Error("no default subvolume was understood")
	}
}
