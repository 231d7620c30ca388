package unpack

import (
	"context"
	"os"
	"path"
	"testing"

	"github.com/mkcdrec/mkcdrec/internal/archive"
	"github.com/mkcdrec/mkcdrec/internal/testtree"
)

// A selected hard link brings its content, also where its first name was not
// selected, and the target's own file of that name is left alone.
func TestSelectedHardLinksBringTheirContent(t *testing.T) {
	content := func(name, data string) kept {
		k := file(name, data)
		k.e.UID = uint32(os.Geteuid())
		return k
	}
	items := []kept{
		of(archive.Dir, "a", ""), content("a/first", "shared"), content("a/other", "other"),
		of(archive.Dir, "b", ""), of(archive.Hardlink, "b/second", "a/first"), of(archive.Hardlink, "b/third", "a/first"),
		of(archive.Dir, "c", ""), of(archive.Hardlink, "c/fourth", "a/first"), of(archive.Hardlink, "c/other", "a/other"),
	}
	b, err := archived(t, items, t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	ctx := context.Background()
	for _, tt := range []struct {
		name string
		dirs []string
		want string
	}{
		{"first name as well", []string{"a", "b"}, "a/first shared 3\na/other other 1\nb/second shared 3\nb/third shared 3\n"},
		{"further names only", []string{"b"}, "a/first mine 1\nb/second shared 2\nb/third shared 2\n"},
		{"in two directories", []string{"b", "c"}, "a/first mine 1\nb/second shared 3\nb/third shared 3\nc/fourth shared 3\nc/other other 1\n"},
		{"everything", []string{"a", "b", "c"}, "a/first shared 4\na/other other 2\nb/second shared 4\nb/third shared 4\nc/fourth shared 4\nc/other other 2\n"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			selected := func(e *archive.Entry) bool {
				for _, d := range tt.dirs {
					if e.Name == d || path.Dir(e.Name) == d {
						return true
					}
				}
				return false
			}
			target := t.TempDir()
			testtree.Shell(t, `mkdir "$1/a"; echo -n mine >"$1/a/first"`, target)
			c, err := Choose(b.Catalogue(ctx), selected)
			if err != nil {
				t.Fatal(err)
			}
			r, err := Run(ctx, c.Items(b.Entries(ctx, archive.ReadOptions{Select: c.Select})), target, Options{NoOwner: true})
			if err != nil || len(r.Problems) > 0 {
				t.Errorf("%v %v", err, r.Problems)
			}
			got := testtree.Shell(t, `cd "$1"; find . -type f -printf '%P\n' | sort | while read -r f; do echo "$f $(cat "$f") $(stat -c %h "$f")"; done`, target)
			if got != tt.want {
				t.Errorf("got:\n%swant:\n%s", got, tt.want)
			}
		})
	}
}
