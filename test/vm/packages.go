package vm

import (
	"context"
	"fmt"
	"os"
	"strings"

	"github.com/mkcdrec/mkcdrec/internal/system"
)

// fetchPackages puts the Debian packages that a recipe names in a comment
// ("# packages: NAME ...") into dir: the builder has no network, and what only
// one fixture needs is not in the base of all.
func fetchPackages(ctx context.Context, recipe, dir string) error {
	b, err := os.ReadFile(recipe)
	if err != nil {
		return err
	}
	suite := os.Getenv("MKCDREC_SUITE")
	if suite == "" {
		suite = "bookworm"
	}
	for line := range strings.Lines(string(b)) {
		names, ok := strings.CutPrefix(line, "# packages: ")
		if !ok {
			continue
		}
		for name := range strings.FieldsSeq(names) {
			// Not sandboxed: apt's own user cannot write to dir.
			c := system.Command{Name: "apt-get", Args: []string{"-qq", "-o", "APT::Sandbox::User=root", "download", name + "/" + suite}, Dir: dir}
			if _, err := (&system.Host{}).Run(ctx, c); err != nil {
				return fmt.Errorf("cannot fetch the package %s for the fixture: %w", name, err)
			}
		}
	}
	return nil
}
