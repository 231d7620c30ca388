package restore

import (
	"context"
	"fmt"
	"path"
	"strings"

	"github.com/mkcdrec/mkcdrec/internal/fail"
	"github.com/mkcdrec/mkcdrec/internal/machine"
	"github.com/mkcdrec/mkcdrec/internal/plan"
	"github.com/mkcdrec/mkcdrec/internal/tool/bootctl"
	"github.com/mkcdrec/mkcdrec/internal/tool/extlinux"
)

// loaderNeed is what the backup must have for a boot loader: one of the files, or
// the package that they are from.
type loaderNeed struct {
	files []string // relative to the root
	pkg   string   // "": they are in no package
}

// CheckLoader refuses a plan whose boot loader cannot be made from what the backup
// has: the restored system would not start. The error is of kind
// fail.Unsupported and names the package.
func CheckLoader(ctx context.Context, p plan.Plan, b Backup) error {
	x := newExecutor(Options{Plan: p})
	for _, s := range p.Steps {
		if s.Kind != plan.InstallLoader {
			continue
		}
		for _, need := range x.loaderNeeds(*s.BootLoader) {
			if err := checkNeed(ctx, b, *s.BootLoader, need); err != nil {
				return err
			}
		}
	}
	return nil
}

// loaderNeeds says what installing a boot loader needs.
func (x *executor) loaderNeeds(bl machine.BootLoader) []loaderNeed {
	onESP := func(files ...string) (out []string) {
		esp := x.esp()
		for _, f := range files {
			if esp != nil && f != "" {
				out = append(out, path.Join(strings.TrimPrefix(esp.Target, "/"), f))
			}
		}
		return out
	}
	_, suffix := efiNames(x.m.Arch)
	switch {
	case bl.Exchanged || bl.Anew:
		return []loaderNeed{{[]string{loaderFiles(bl.Kind, x.m.Arch)}, plan.LoaderPackage(bl.Kind)}}
	case bl.Kind == machine.SystemdBoot:
		return []loaderNeed{{append(bootctl.Loaders(suffix), onESP(bl.Path, "EFI/systemd/systemd-boot"+suffix+".efi")...), bootctl.Package}}
	case bl.Kind == machine.UKI || bl.Kind == machine.EFIProgram:
		return []loaderNeed{{onESP(bl.Path), ""}}
	case bl.Kind == machine.EXTLINUX:
		needs := []loaderNeed{{extlinux.Programs, extlinux.Package}}
		for _, r := range bl.Disks {
			if d := x.m.Disk(r.Body()); d != nil && d.Table != nil {
				needs = append(needs, loaderNeed{extlinux.Code(d.Table.Kind == machine.GPT), extlinux.CodePackage})
			}
		}
		return needs
	}
	return nil
}

func checkNeed(ctx context.Context, b Backup, bl machine.BootLoader, need loaderNeed) error {
	for _, f := range need.files {
		has, err := b.Has(ctx, f)
		if err != nil {
			return fmt.Errorf("cannot see whether the backup has /%s: %w", f, err)
		}
		if has {
			return nil
		}
	}
	switch {
	case len(need.files) == 0:
		return fail.New(fail.Unsupported, "the machine starts by %s on an EFI system partition, and none is restored", bl.Kind)
	case need.pkg == "":
		return fail.Hint(fail.New(fail.Unsupported, "the machine starts by /%s, which is not in the backup", need.files[0]),
			"what is left out of the backup stands in the settings of the recorded machine; make a new backup with it")
	}
	if bl.Exchanged {
		return fail.Hint(fail.New(fail.Unsupported, "this machine needs the boot loader %s, and the backup has not the package that it is installed from: %s (/%s)", bl.Kind, need.pkg, need.files[0]),
			"start this medium by the recorded machine's firmware, or install %s there and make a new backup", need.pkg)
	}
	if bl.Anew {
		return fail.Hint(fail.New(fail.Unsupported, "what is wished needs the boot loader %s to be installed anew, and the backup has not the package that it is installed from: %s (/%s)", bl.Kind, need.pkg, need.files[0]),
			"restore as it was recorded, or install %s there and make a new backup", need.pkg)
	}
	return fail.Hint(fail.New(fail.Unsupported, "the boot loader %s cannot be made: the backup has not the package that it is installed from: %s (/%s)", bl.Kind, need.pkg, need.files[0]),
		"install %s on the recorded machine and make a new backup", need.pkg)
}
