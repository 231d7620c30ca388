package unpack

import (
	"iter"

	"github.com/mkcdrec/mkcdrec/internal/archive"
)

// Choice is a selection of paths in which every hard link has its content. In
// an archive the content goes with the first name of a file; when further
// names are selected and the first is not, one of them takes its place.
type Choice struct {
	selected func(*archive.Entry) bool
	heirs    map[string]string // first name, not selected itself -> the selected name that takes its place
}

// Choose makes a Choice of what selected picks, which goes by Entry.Name
// alone. The catalogue is read once; the error is the catalogue's.
func Choose(catalogue iter.Seq2[*archive.Entry, error], selected func(*archive.Entry) bool) (*Choice, error) {
	c := &Choice{selected: selected, heirs: map[string]string{}}
	for e, err := range catalogue {
		if err != nil {
			return nil, err
		}
		if e.Kind != archive.Hardlink || !selected(e) {
			continue
		}
		if _, ok := c.heirs[e.Link]; !ok && !selected(&archive.Entry{Name: e.Link}) {
			c.heirs[e.Link] = e.Name
		}
	}
	return c, nil
}

// Select picks what has to be read: for archive.ReadOptions. Options.Select
// is not needed beside it.
func (c *Choice) Select(e *archive.Entry) bool {
	if c.selected(e) {
		return true
	}
	_, ok := c.heirs[e.Name]
	return ok
}

// Items renames the content of a first name that was not selected to the name
// that takes its place, and makes the other names links to that one.
func (c *Choice) Items(items iter.Seq2[*archive.Item, error]) iter.Seq2[*archive.Item, error] {
	return func(yield func(*archive.Item, error) bool) {
		for item, err := range items {
			if err != nil {
				yield(nil, err)
				return
			}
			if c.drop(item) {
				item.Release()
				continue
			}
			if !yield(item, nil) {
				return
			}
		}
	}
}

// drop gives an item its new name; true: it is the link that became the file.
func (c *Choice) drop(item *archive.Item) bool {
	e := *item.Entry
	if heir, ok := c.heirs[e.Name]; ok {
		e.Name = heir
	} else if heir, ok := c.heirs[e.Link]; ok && e.Kind == archive.Hardlink {
		if e.Name == heir {
			return true
		}
		e.Link = heir
	}
	item.Entry = &e
	return false
}
