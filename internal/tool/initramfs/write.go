// Package initramfs lists and rebuilds the initramfs of a restored system by
// that system's own tools: initramfs-tools, dracut or mkinitcpio.
package initramfs

import (
	"context"
	"fmt"
	"strings"

	"github.com/mkcdrec/mkcdrec/internal/system"
)

// Build says what is to be made.
type Build struct {
	Kernel string
	Image  string // path as seen inside the root
	// Drivers must be in it. Makers that cannot be told take what they find on
	// this machine.
	Drivers []string
	// Cmdline is not "" for a unified kernel image, which has it inside.
	Cmdline string
}

// Maker is one family of tools: how to list an initramfs, how to rebuild it.
type Maker struct {
	Name    string
	List    string // program, takes the image's path
	Program string // makes it
	// Direct says that it writes to the path that it is told, and not to its own.
	Direct bool
	args   func(b Build) []string
}

// Makers are the known families in the order in which they are looked for.
var Makers = []Maker{
	{Name: "initramfs-tools", List: "lsinitramfs", Program: "update-initramfs", args: func(b Build) []string { return []string{"-u", "-k", b.Kernel} }},
	{Name: "dracut", List: "lsinitrd", Program: "dracut", Direct: true, args: dracut},
	// All of its presets: which of them is of a kernel only they say.
	{Name: "mkinitcpio", List: "lsinitcpio", Program: "mkinitcpio", args: func(Build) []string { return []string{"-P"} }},
}

// dracut(8). The drivers are named because it looks for them by itself only where
// it is set to the machine's own (hostonly).
func dracut(b Build) []string {
	args := []string{"--force"}
	if len(b.Drivers) > 0 {
		args = append(args, "--add-drivers", strings.Join(b.Drivers, " "))
	}
	if b.Cmdline != "" {
		args = append(args, "--uefi", "--kernel-cmdline", b.Cmdline)
	}
	return append(args, b.Image, b.Kernel)
}

// Listing is what an image has.
type Listing struct {
	Modules map[string]bool // names of kernel modules, with "_" for "-"
	Names   map[string]bool // of its files, without their directories
}

// List asks the root's own tool about an image.
func List(ctx context.Context, r system.Runner, root string, m Maker, image string) (Listing, error) {
	res, err := r.Run(ctx, system.Command{Name: m.List, Args: []string{image}, Chroot: root})
	if err != nil {
		return Listing{}, fmt.Errorf("cannot list %s: %w", image, err)
	}
	return ParseListing(string(res.Stdout)), nil
}

// ParseListing reads a listing of paths, or of lines as "ls -l" prints them.
func ParseListing(listing string) Listing {
	l := Listing{Modules: map[string]bool{}, Names: map[string]bool{}}
	for line := range strings.SplitSeq(listing, "\n") {
		line, _, _ = strings.Cut(line, " -> ") // where a link leads to
		base := line[max(strings.LastIndexByte(line, '/'), strings.LastIndexByte(line, ' '))+1:]
		if base == "" {
			continue
		}
		l.Names[base] = true
		if name, ending, ok := strings.Cut(base, ".ko"); ok && (ending == "" || ending[0] == '.') {
			l.Modules[strings.ReplaceAll(name, "-", "_")] = true
		}
	}
	return l
}

// Rebuild makes an initramfs anew.
func Rebuild(ctx context.Context, r system.Runner, root string, m Maker, b Build) error {
	if _, err := r.Run(ctx, system.Command{Name: m.Program, Args: m.args(b), Chroot: root}); err != nil {
		return fmt.Errorf("cannot rebuild the initramfs of kernel %s: %w", b.Kernel, err)
	}
	return nil
}

// KernelInstall is the program that puts kernel and initramfs where the boot
// loader finds them, and makes a unified kernel image of both where it is set so
// (kernel-install(8)).
const KernelInstall = "kernel-install"

// UnifiedLayout says whether a configuration of kernel-install asks for unified
// kernel images.
func UnifiedLayout(installConf []byte) bool {
	for line := range strings.Lines(string(installConf)) {
		if k, v, ok := strings.Cut(strings.TrimSpace(line), "="); ok && k == "layout" && v == "uki" {
			return true
		}
	}
	return false
}

// Install has a kernel and its initramfs put in place. initrd is "" where it makes
// that, too.
func Install(ctx context.Context, r system.Runner, root, kernel, vmlinuz, initrd string) error {
	args := []string{"add", kernel, vmlinuz}
	if initrd != "" {
		args = append(args, initrd)
	}
	if _, err := r.Run(ctx, system.Command{Name: KernelInstall, Args: args, Chroot: root}); err != nil {
		return fmt.Errorf("cannot make the unified image of kernel %s: %w", kernel, err)
	}
	return nil
}
