package cli

import (
	"bytes"
	"slices"
	"testing"
	"time"

	"github.com/mkcdrec/mkcdrec/internal/rescue"
)

// The rescue system explains its own verbs, and the same medium has the same pages.
func TestManualPagesOfTheVerbs(t *testing.T) {
	t.Parallel()
	made := time.Unix(1_600_000_000, 0).UTC()
	pages, err := manualPages(made)
	if err != nil {
		t.Fatal(err)
	}
	for name, words := range map[string][]string{
		"mkcdrec.8":         {".TH", "Sep 2020", "recovery medium", "mkcdrec-restore(8)"},
		"mkcdrec-restore.8": {".TH", "--plan"},
		"mkcdrec-clone.8":   {".TH"},
	} {
		i := slices.IndexFunc(pages, func(p rescue.Page) bool { return p.Name == name })
		if i < 0 {
			t.Errorf("no page %s", name)
			continue
		}
		text := bytes.ReplaceAll(pages[i].Text, []byte(`\-`), []byte("-"))
		for _, w := range words {
			if !bytes.Contains(text, []byte(w)) {
				t.Errorf("%s does not say %q:\n%s", name, w, text)
			}
		}
	}
	if slices.ContainsFunc(pages, func(p rescue.Page) bool { return p.Name == "mkcdrec-man.8" }) {
		t.Error("a hidden verb has a page")
	}
	again, err := manualPages(made)
	if err != nil || !slices.EqualFunc(pages, again, func(a, b rescue.Page) bool { return a.Name == b.Name && bytes.Equal(a.Text, b.Text) }) {
		t.Errorf("the pages differ from one time to the next, %v", err)
	}
}

// The rescue system that a job makes gets them.
func TestRescueSystemGetsItsOwnPages(t *testing.T) {
	t.Parallel()
	j := &job{app: &app{}}
	o := j.rescueOptions(nil)
	if o.OwnPages == nil {
		t.Fatal("no pages")
	}
	if pages, err := o.OwnPages(time.Unix(0, 0)); err != nil || len(pages) < 5 {
		t.Errorf("%d pages, %v", len(pages), err)
	}
}
