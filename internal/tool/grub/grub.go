// Package grub knows GRUB's image tool: how grub-mkimage is called and where
// the distributions put it and GRUB's files. It does not install GRUB on a disk.
package grub

import (
	"context"
	"fmt"
	"os"
	"path/filepath"

	"github.com/mkcdrec/mkcdrec/internal/system"
)

// Format is an image format of grub-mkimage.
type Format string

// The formats that a medium needs.
const (
	ElTorito Format = "i386-pc-eltorito"
	EFI64    Format = "x86_64-efi"
)

// platform is the directory name of a format's modules.
func (f Format) platform() string {
	if f == ElTorito {
		return "i386-pc"
	}
	return string(f)
}

// Image says what grub-mkimage shall make.
type Image struct {
	Format  Format
	Dir     string // of the modules, see ModuleDir
	Prefix  string // where GRUB looks for grub.cfg: /boot/grub
	Config  string // commands to run first; "": none
	Modules []string
}

// programs are grub-mkimage's names: Debian and Arch, then Fedora and SUSE.
var programs = []string{"grub-mkimage", "grub2-mkimage"}

// moduleDirs are the parents of the platform directories, in the same order.
var moduleDirs = []string{"usr/lib/grub", "usr/lib/grub2", "usr/share/grub2", "usr/share/grub"}

// Program finds grub-mkimage; the error wraps system.ErrNotFound.
func Program(r system.Runner) (string, error) {
	var err error
	for _, p := range programs {
		if _, err = r.LookPath(p); err == nil {
			return p, nil
		}
	}
	return "", err
}

// ModuleDir finds the directory with the modules for a format below root ("/"
// for this machine), "" where there is none.
func ModuleDir(root string, f Format) string {
	for _, d := range moduleDirs {
		p := filepath.Join(root, d, f.platform())
		if _, err := os.Stat(filepath.Join(p, "normal.mod")); err == nil {
			return p
		}
	}
	return ""
}

// MakeImage runs grub-mkimage and returns the image.
func MakeImage(ctx context.Context, r system.Runner, im Image) ([]byte, error) {
	program, err := Program(r)
	if err != nil {
		return nil, fmt.Errorf("cannot make a GRUB image: %w", err)
	}
	tmp, err := os.MkdirTemp("", "mkcdrec-grub-")
	if err != nil {
		return nil, fmt.Errorf("cannot make a GRUB image: %w", err)
	}
	defer func() { _ = os.RemoveAll(tmp) }()
	out := filepath.Join(tmp, "core.img")
	args := []string{"-O", string(im.Format), "-d", im.Dir, "-p", im.Prefix, "-o", out}
	if im.Config != "" {
		early := filepath.Join(tmp, "early.cfg")
		if err := os.WriteFile(early, []byte(im.Config), 0o600); err != nil {
			return nil, fmt.Errorf("cannot make a GRUB image: %w", err)
		}
		args = append(args, "-c", early)
	}
	if _, err := r.Run(ctx, system.Command{Name: program, Args: append(args, im.Modules...)}); err != nil {
		return nil, fmt.Errorf("cannot make a GRUB image: %w", err)
	}
	b, err := os.ReadFile(out)
	if err != nil {
		return nil, fmt.Errorf("cannot read the image that %s made: %w", program, err)
	}
	return b, nil
}
