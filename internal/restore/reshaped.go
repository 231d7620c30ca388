package restore

import (
	"context"
	"fmt"
	"strings"

	"github.com/mkcdrec/mkcdrec/internal/fail"
	"github.com/mkcdrec/mkcdrec/internal/identity"
	"github.com/mkcdrec/mkcdrec/internal/machine"
	"github.com/mkcdrec/mkcdrec/internal/plan"
	"github.com/mkcdrec/mkcdrec/internal/tool/initramfs"
)

// programDirs are where a system has its programs.
var programDirs = []string{"usr/sbin", "usr/bin", "sbin", "bin"}

// CheckMirrors refuses a plan with arrays that the recorded machine did not have,
// when the restored system could not start them. The error is of kind
// fail.Unsupported and names the package.
func CheckMirrors(ctx context.Context, p plan.Plan, b Backup) error {
	if p.Changes == nil || !p.Changes.Mirrored {
		return nil
	}
	var makers [][]string
	for _, m := range initramfs.Makers {
		makers = append(makers, []string{m.List, m.Program})
	}
	for _, need := range []struct {
		programs  [][]string // all of one of these
		pkg, what string
	}{
		{[][]string{{"mdadm"}}, "mdadm", "starts mirrors"},
		{makers, "initramfs-tools (or dracut)", "makes the initramfs that starts them"},
	} {
		has, err := hasPrograms(ctx, b, need.programs)
		if err != nil {
			return fmt.Errorf("cannot see whether the backup has %s: %w", need.pkg, err)
		}
		if !has {
			return fail.Hint(fail.New(fail.Unsupported, "--mirror: the backup has not the package that %s: %s", need.what, need.pkg),
				"restore without --mirror, or install %s there and make a new backup", need.pkg)
		}
	}
	return nil
}

// hasPrograms says whether the backup has all programs of one of the families.
func hasPrograms(ctx context.Context, b Backup, families [][]string) (bool, error) {
	for _, names := range families {
		n := 0
		for _, name := range names {
			for _, dir := range programDirs {
				has, err := b.Has(ctx, dir+"/"+name)
				if err != nil {
					return false, err
				}
				if has {
					n++
					break
				}
			}
		}
		if n == len(names) {
			return true, nil
		}
	}
	return false, nil
}

// reshaped adapts the configuration to a machine that stands on other layers
// than recorded: arrays that are none any more, or are new; devices that are found
// by UUID now.
func (x *executor) reshaped(c *plan.Changes) error {
	if !c.Reshaped() {
		return nil
	}
	var moved []identity.Moved
	for _, m := range c.Moved {
		moved = append(moved, identity.Moved{Was: m.Was, UUID: m.UUID})
	}
	names := []string{"etc/fstab", "etc/crypttab", "etc/initramfs-tools/conf.d/resume"}
	for _, pattern := range commandLines {
		names = append(names, x.glob(pattern)...)
	}
	for _, name := range names {
		err := x.rewrite(name, func(b []byte) ([]byte, string) {
			out, replaced, left := identity.Moves(b, moved)
			for _, l := range left {
				x.warn("/%s names %s, which is another device now and has no UUID to find it by: correct it before the start", name, l)
			}
			return out, strings.Join(replaced, ", ") + " by UUID now"
		})
		if err != nil {
			return err
		}
	}
	var former []identity.FormerArray
	for _, a := range c.Flattened {
		former = append(former, identity.FormerArray{UUID: a.UUID, Names: a.Names})
	}
	for _, name := range arrayFiles {
		err := x.rewrite(name, func(b []byte) ([]byte, string) {
			out, said := identity.NoArrays(b, former, "mkcdrec")
			return out, strings.Join(said, "; ")
		})
		if err != nil {
			return err
		}
	}
	if !c.Mirrored {
		return nil
	}
	return x.nameArrays()
}

// nameArrays puts the new arrays into mdadm.conf, which is made where it is not
// there: without it they would get other names than those of the plan, and some
// initramfs starts only those that are named.
func (x *executor) nameArrays() error {
	var arrays []identity.ConfArray
	for _, a := range x.m.Arrays {
		if a.Added {
			arrays = append(arrays, identity.ConfArray{Path: a.Path, Metadata: a.Metadata, UUID: a.UUID, Label: a.Label})
		}
	}
	name := ""
	for _, n := range arrayFiles {
		if name == "" && x.exists(n) {
			name = n
		}
	}
	if name == "" {
		name = arrayFiles[1]
		if x.exists("etc/mdadm") {
			name = arrayFiles[0]
		}
		if err := x.create(name); err != nil {
			return err
		}
	}
	return x.rewrite(name, func(b []byte) ([]byte, string) {
		out, said := identity.AddArrays(b, arrays, "mkcdrec")
		return out, strings.Join(said, ", ")
	})
}

// loaderFiles are where the restored system has what its GRUB is installed from.
func loaderFiles(kind machine.BootLoaderKind, arch string) string {
	files := plan.LoaderFiles(kind)
	if arch == "arm64" {
		files = strings.Replace(files, "x86_64", "arm64", 1)
	}
	return files
}
