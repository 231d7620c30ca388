package cli

import (
	"context"
	"iter"
	"maps"
	"os"
	"path"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/mkcdrec/mkcdrec/internal/archive"
	"github.com/mkcdrec/mkcdrec/internal/fail"
	"github.com/mkcdrec/mkcdrec/internal/ui"
	"github.com/mkcdrec/mkcdrec/internal/unpack"
	"github.com/mkcdrec/mkcdrec/internal/wording"
)

func (a *app) extractCommand() *cobra.Command {
	var id, into string
	var damaged bool
	c := &cobra.Command{
		Use:   "extract BACKUP [PATH...] --into DIR",
		Short: "unpack a backup, or some paths of it, into a directory",
		Long: `Unpacks into a directory, without a rescue system. A PATH is as it was on the
machine, with or without the leading slash; a directory brings what is below it.
Nothing outside DIR is touched, whatever the archive says.`,
		Example: `  mkcdrec extract web1.iso etc/nginx --into /tmp/look
  mkcdrec extract file:///mnt/nas/backups --id 20261124T031500Z-1f0e --into /srv/old`,
		Args: cobra.MinimumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if into == "" {
				return fail.Hint(fail.New(fail.Usage, "where to?"), "name a directory: --into DIR")
			}
			ctx := cmd.Context()
			b, err := openBackup(ctx, args[0], id, false)
			if err != nil {
				return err
			}
			defer b.Close()
			if err := b.CheckPresence(ctx); err != nil && !damaged {
				return goOn(err)
			}
			if err := os.MkdirAll(into, 0o755); err != nil {
				return fail.New(fail.Failed, "cannot make the directory: %w", err)
			}
			sel := newRequest(args[1:])
			a.ui.Step("Unpacking backup %s of %s into %s", b.Manifest.ID, b.Manifest.Host, into)
			pr := a.ui.Progress("extract")
			var n int64
			items, err := sel.items(ctx, b.Backup, damaged)
			if err != nil {
				pr.Done()
				return err // the catalogue: without it there is no choosing
			}
			rep, err := unpack.Run(ctx, items, into, unpack.Options{
				NoOwner: os.Geteuid() != 0,
				OnPath:  func(_ *archive.Entry, done int64) { n++; pr.Set(done, sel.total(b.Manifest.Counts.Content), n) },
			})
			pr.Done()
			if !damaged {
				err = goOn(err)
			}
			return a.extracted(rep, err, sel)
		},
	}
	c.Flags().StringVar(&into, "into", "", "directory to unpack into")
	c.Flags().StringVar(&id, "id", "", "which backup, where there are several")
	c.Flags().BoolVar(&damaged, "damaged", false, "go on behind damaged places and name what is lost")
	return c
}

// goOn names the way to the rest of a damaged backup.
func goOn(err error) error {
	if fail.KindOf(err) != fail.Damaged {
		return err
	}
	return fail.Hint(err, "see what is left with `mkcdrec verify`; --damaged unpacks what can be read")
}

// extracted says what came of an extraction.
func (a *app) extracted(rep unpack.Report, err error, sel *request) error {
	for _, p := range rep.Problems {
		a.ui.Warn("%s: %v", p.Path, p.Err)
	}
	for _, what := range slices.Sorted(maps.Keys(rep.Dropped)) {
		a.ui.Say("    not root, so left out: %s, of %s", what, wording.Count(rep.Dropped[what], "path"))
	}
	a.ui.Event("extracted", map[string]any{"paths": rep.Paths, "files": rep.Files, "bytes": rep.Bytes, "checked": rep.Checked, "problems": len(rep.Problems)})
	if err != nil {
		return err
	}
	if missing := sel.unseen(); len(missing) > 0 {
		return fail.New(fail.Failed, "not in the backup: %s", strings.Join(missing, ", "))
	}
	if rep.Paths == 0 {
		return fail.New(fail.Failed, "nothing was unpacked")
	}
	a.ui.Say("    %s, %s; content of %s checked", wording.Count(rep.Paths, "path"), ui.Size(rep.Bytes), wording.Count(rep.Checked, "file"))
	if len(rep.Problems) > 0 {
		return fail.New(fail.Warnings, "unpacked, and not all is as it was: %s", wording.Count(len(rep.Problems), "problem"))
	}
	return nil
}

// request picks paths by the names a user gave, and knows which were met.
type request struct {
	wanted map[string]bool // name -> met
}

func newRequest(paths []string) *request {
	s := &request{wanted: map[string]bool{}}
	for _, p := range paths {
		s.wanted[strings.TrimPrefix(path.Clean("/"+p), "/")] = false
	}
	return s
}

// items reads what is selected, hard links with their content. The catalogue
// is read once more for each of the two choices to be made, so not for the whole.
func (s *request) items(ctx context.Context, b *archive.Backup, damaged bool) (iter.Seq2[*archive.Item, error], error) {
	if len(s.wanted) == 0 {
		return b.Entries(ctx, archive.ReadOptions{SkipDamaged: damaged}), nil
	}
	records := b.Catalogue(ctx)
	if damaged {
		records = b.CatalogueLeft(ctx)
	}
	choice, err := unpack.Choose(records, s.matches)
	if err != nil {
		return nil, err
	}
	return choice.Items(b.Entries(ctx, archive.ReadOptions{Select: choice.Select, SkipDamaged: damaged})), nil
}

func (s *request) matches(e *archive.Entry) bool {
	if len(s.wanted) == 0 {
		return true
	}
	for name := e.Name; ; name = path.Dir(name) {
		if _, ok := s.wanted[name]; ok {
			s.wanted[name] = true
			return true
		}
		if name == "." || name == "/" || name == "" {
			_, all := s.wanted[""]
			if all {
				s.wanted[""] = true
			}
			return all
		}
	}
}

// total is the expected content: not known for a part.
func (s *request) total(all int64) int64 {
	if len(s.wanted) == 0 {
		return all
	}
	return 0
}

func (s *request) unseen() []string {
	var list []string
	for name, met := range s.wanted {
		if !met {
			list = append(list, name)
		}
	}
	return list
}
