// Package initramfs lists and rebuilds the initramfs of a restored system by
// that system's own tools: initramfs-tools, dracut or mkinitcpio.
package initramfs

import (
	"context"
	"fmt"
	"strings"

	"github.com/mkcdrec/mkcdrec/internal/system"
)

// Maker is one family of tools: how to list an initramfs, how to rebuild it.
type Maker struct {
	Name string
	List string // program, takes the image's path
	// Rebuild is the command that makes the initramfs of a kernel anew.
	Rebuild func(kernel, image string) []string
}

// Makers are the known families in the order in which they are looked for.
var Makers = []Maker{
	{"initramfs-tools", "lsinitramfs", func(k, _ string) []string { return []string{"update-initramfs", "-u", "-k", k} }},
	{"dracut", "lsinitrd", func(k, image string) []string { return []string{"dracut", "--force", image, k} }},
	{"mkinitcpio", "lsinitcpio", func(string, string) []string { return []string{"mkinitcpio", "-P"} }},
}

// Modules are the names of the modules in an image, with "_" for "-", as far
// as the root's own tool lists them.
func Modules(ctx context.Context, r system.Runner, root string, m Maker, image string) (map[string]bool, error) {
	res, err := r.Run(ctx, system.Command{Name: m.List, Args: []string{image}, Chroot: root})
	if err != nil {
		return nil, fmt.Errorf("cannot list %s: %w", image, err)
	}
	return ParseModules(string(res.Stdout)), nil
}

// ParseModules finds the names of kernel modules in a listing of paths.
func ParseModules(listing string) map[string]bool {
	out := map[string]bool{}
	for line := range strings.SplitSeq(listing, "\n") {
		base := line[strings.LastIndexByte(line, '/')+1:]
		if name, ending, ok := strings.Cut(base, ".ko"); ok && (ending == "" || ending[0] == '.') {
			out[strings.ReplaceAll(name, "-", "_")] = true
		}
	}
	return out
}

// Rebuild makes the initramfs of a kernel anew.
func Rebuild(ctx context.Context, r system.Runner, root string, m Maker, kernel, image string) error {
	c := m.Rebuild(kernel, image)
	if _, err := r.Run(ctx, system.Command{Name: c[0], Args: c[1:], Chroot: root}); err != nil {
		return fmt.Errorf("cannot rebuild the initramfs of kernel %s: %w", kernel, err)
	}
	return nil
}
