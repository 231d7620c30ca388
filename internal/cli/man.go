package cli

import (
	"bytes"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/cobra/doc"

	"github.com/mkcdrec/mkcdrec/internal/fail"
	"github.com/mkcdrec/mkcdrec/internal/rescue"
)

// manHeader is the head of every manual page.
func manHeader() doc.GenManHeader {
	return doc.GenManHeader{Section: "8", Manual: "System Administration", Source: "mkcdrec"}
}

func (a *app) manCommand() *cobra.Command {
	return &cobra.Command{
		Use:    "man DIR",
		Short:  "write the manual pages into a directory",
		Hidden: true,
		Args:   cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			root := cmd.Root()
			root.DisableAutoGenTag = true
			if c, _, err := root.Find([]string{"completion"}); err == nil && c != root {
				c.Hidden = true // cobra's own, with a page for each shell: not for people
			}
			header := manHeader()
			if err := doc.GenManTree(root, &header, args[0]); err != nil {
				return fail.New(fail.Failed, "cannot write the manual pages: %w", err)
			}
			return nil
		},
	}
}

// manualPages are the pages of mkcdrec and its verbs for the rescue system: the
// medium's binary describes itself, whatever is installed here.
func manualPages(made time.Time) ([]rescue.Page, error) {
	root := (&app{}).rootCommand() // of its own: the flags of this run stay as they are
	root.DisableAutoGenTag = true
	var pages []rescue.Page
	for _, c := range append([]*cobra.Command{root}, root.Commands()...) {
		if c != root && !c.IsAvailableCommand() {
			continue
		}
		header := manHeader()
		header.Date = &made // the same medium has the same pages
		var b bytes.Buffer
		if err := doc.GenMan(c, &header, &b); err != nil {
			return nil, fail.New(fail.Failed, "cannot write the manual page of %s: %w", c.CommandPath(), err)
		}
		pages = append(pages, rescue.Page{Name: strings.ReplaceAll(c.CommandPath(), " ", "-") + "." + header.Section, Text: b.Bytes()})
	}
	return pages, nil
}
