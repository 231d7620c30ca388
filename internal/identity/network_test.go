package identity

import (
	"bytes"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/txtar"
)

var update = flag.Bool("update", false, "write the golden files anew")

// golden is a machine's network configuration, a wish (in the comment: "address
// A", "gateway G", "card MAC"), and what comes out: in/ and out/ are files, an
// out/ that is not there is a file that stays as it is.
type golden struct {
	files []File
	wish  Wish
	text  string // the comment
}

func readGolden(t testing.TB, path string) (golden, *txtar.Archive) {
	t.Helper()
	a, err := txtar.ParseFile(path)
	if err != nil {
		t.Fatal(err)
	}
	g := golden{text: string(a.Comment)}
	for line := range strings.SplitSeq(g.text, "\n") {
		switch f := strings.Fields(line); {
		case len(f) != 2:
		case f[0] == "address":
			g.wish.CIDR = append(g.wish.CIDR, f[1])
		case f[0] == "gateway":
			g.wish.Gateway = f[1]
		case f[0] == "card":
			g.wish.Cards = append(g.wish.Cards, f[1])
		}
	}
	for _, f := range a.Files {
		if name, ok := strings.CutPrefix(f.Name, "in/"); ok {
			g.files = append(g.files, File{Name: name, Content: f.Data})
		}
	}
	return g, a
}

func TestNetwork(t *testing.T) {
	paths, err := filepath.Glob("testdata/network/*.txtar")
	if err != nil || len(paths) < 15 {
		t.Fatalf("%d files, %v", len(paths), err)
	}
	for _, path := range paths {
		t.Run(strings.TrimSuffix(filepath.Base(path), ".txtar"), func(t *testing.T) {
			g, a := readGolden(t, path)
			n := Network(g.files, g.wish)
			got := &txtar.Archive{Comment: a.Comment}
			for _, f := range a.Files {
				if strings.HasPrefix(f.Name, "in/") {
					got.Files = append(got.Files, f)
				}
			}
			var changes strings.Builder
			for _, e := range n.Edits {
				got.Files = append(got.Files, txtar.File{Name: "out/" + e.Name, Data: e.Content})
				fmt.Fprintf(&changes, "/%s: %s\n", e.Name, e.What)
			}
			if changes.Len() > 0 {
				got.Files = append(got.Files, txtar.File{Name: "changes", Data: []byte(changes.String())})
			}
			if len(n.Warnings) > 0 {
				got.Files = append(got.Files, txtar.File{Name: "warnings", Data: []byte(strings.Join(n.Warnings, "\n") + "\n")})
			}
			if *update {
				if err := os.WriteFile(path, txtar.Format(got), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			if want := txtar.Format(a); !bytes.Equal(txtar.Format(got), want) && !*update {
				t.Errorf("%s: got\n%s", path, txtar.Format(got))
			}
			// A second time there is nothing to change any more.
			again := slices.Clone(g.files)
			for i, f := range again {
				for _, e := range n.Edits {
					if e.Name == f.Name {
						again[i].Content = e.Content
					}
				}
			}
			for _, e := range Network(again, g.wish).Edits {
				t.Errorf("a second time, %s is changed again (%s):\n%s", e.Name, e.What, e.Content)
			}
		})
	}
}
