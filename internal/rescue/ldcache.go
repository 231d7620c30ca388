package rescue

import (
	"context"
	"fmt"
	"os"
	"path/filepath"

	"github.com/mkcdrec/mkcdrec/internal/system"
)

// ldconfig makes the dynamic linker's cache of a stage: without it libraries
// in directories that only ld.so.conf names are not found. nil if there is
// no ldconfig; the linker's built-in directories do for most then.
func (c *Contents) ldconfig(ctx context.Context, r system.Runner, root string) []byte {
	var dirs string
	for _, d := range libraryDirs(c.Tree) {
		if c.Tree.Has(d) {
			dirs += d + "\n"
		}
	}
	conf := filepath.Join(root, "etc/ld.so.conf")
	if err := os.WriteFile(conf, []byte(dirs), 0o644); err != nil {
		c.Warnings = append(c.Warnings, fmt.Sprintf("cannot index the libraries: %v", err))
		return nil
	}
	if _, err := r.Run(ctx, system.Command{Name: "ldconfig", Args: []string{"-X", "-r", root}}); err != nil {
		c.Warnings = append(c.Warnings, fmt.Sprintf("cannot index the libraries of the rescue system: %v", err))
		return nil
	}
	b, err := os.ReadFile(filepath.Join(root, "etc/ld.so.cache"))
	if err != nil {
		c.Warnings = append(c.Warnings, fmt.Sprintf("cannot index the libraries of the rescue system: %v", err))
		return nil
	}
	return b
}
