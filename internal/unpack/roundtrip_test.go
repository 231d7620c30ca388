package unpack

import (
	"bytes"
	"context"
	"crypto/sha256"
	"io"
	"iter"
	"testing"

	"github.com/mkcdrec/mkcdrec/internal/archive"
	"github.com/mkcdrec/mkcdrec/internal/backup"
	"github.com/mkcdrec/mkcdrec/internal/testtree"
)

// memory is a Sink that keeps everything, and gives it back as items.
type memory struct {
	t        testing.TB
	items    []kept
	warnings []string
}

type kept struct {
	e    archive.Entry
	data []byte
}

func (m *memory) Warn(path, problem string) { m.warnings = append(m.warnings, path+": "+problem) }

func (m *memory) Add(e *archive.Entry, r io.Reader) error {
	var data []byte
	if r != nil {
		var err error
		if data, err = io.ReadAll(r); err != nil {
			return err
		}
	}
	return m.AddBytes(e, data)
}

func (m *memory) AddBytes(e *archive.Entry, data []byte) error {
	if e.Problem != "" {
		m.warnings = append(m.warnings, e.Name+": "+e.Problem)
	}
	data = bytes.Clone(data)
	if e.Kind == archive.File && e.Sparse == nil {
		e.Hash = sha256.Sum256(data)
	}
	m.items = append(m.items, kept{*e, data})
	return nil
}

// all yields the items; content above 1 MiB as a reader, as the archive does.
func (m *memory) all() iter.Seq2[*archive.Item, error] {
	return func(yield func(*archive.Item, error) bool) {
		for i := range m.items {
			e := m.items[i].e
			item := &archive.Item{Entry: &e}
			switch data := m.items[i].data; {
			case e.Kind != archive.File || e.Unreadable:
			case len(data) > 1<<20:
				item.Content = bytes.NewReader(data)
			default:
				item.Data = data
			}
			if !yield(item, nil) {
				return
			}
		}
	}
}

func walked(t testing.TB, opt backup.WalkOptions) *memory {
	t.Helper()
	m := &memory{t: t}
	if err := backup.Walk(context.Background(), m, opt); err != nil {
		t.Fatal(err)
	}
	return m
}

func unpacked(t testing.TB, m *memory, target string) Report {
	t.Helper()
	r, err := Run(context.Background(), m.all(), target, Options{})
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range r.Problems {
		t.Errorf("problem: %q: %v", p.Path, p.Err)
	}
	return r
}

func TestEverythingComesBack(t *testing.T) {
	for _, fs := range [][]string{
		{"mkfs.ext4", "-q"},
		{"mkfs.xfs", "-q"},
		{"mkfs.btrfs", "-q"},
	} {
		t.Run(fs[0], func(t *testing.T) {
			from, to := testtree.Mount(t, "400M", fs...), testtree.Mount(t, "400M", fs...)
			if not := testtree.Everything(t, from+"/src"); not != "" {
				t.Log(not)
			}
			t.Cleanup(func() { testtree.Unlock(to) })
			access, holes := testtree.DescribeAccess(t, from), testtree.DescribeHoles(t, from)
			m := walked(t, backup.WalkOptions{Root: from, Readers: 4})
			if len(m.warnings) > 0 {
				t.Errorf("warnings: %q", m.warnings)
			}
			want := testtree.Describe(t, from)
			unpacked(t, m, to)
			if d := testtree.Diff(access, testtree.DescribeAccess(t, to)); d != "" {
				t.Errorf("access times:\n%s", d)
			}
			if d := testtree.Diff(holes, testtree.DescribeHoles(t, to)); d != "" {
				t.Errorf("holes:\n%s", d)
			}
			if d := testtree.Diff(want, testtree.Describe(t, to)); d != "" {
				t.Errorf("differs:\n%s", d)
			}
			// A second run over the first must end in the same.
			unpacked(t, m, to)
			if d := testtree.Diff(want, testtree.Describe(t, to)); d != "" {
				t.Errorf("second run differs:\n%s", d)
			}
		})
	}
}
