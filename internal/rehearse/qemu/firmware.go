package qemu

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/mkcdrec/mkcdrec/internal/fail"
	"github.com/mkcdrec/mkcdrec/internal/system"
)

// ovmf is one place where distributions put OVMF: code and template of the
// variables, both for the same size of flash memory.
type ovmf struct{ code, vars string }

var ovmfPlaces = map[Firmware][]ovmf{
	UEFI: {
		{"/usr/share/OVMF/OVMF_CODE_4M.fd", "/usr/share/OVMF/OVMF_VARS_4M.fd"},           // Debian, Ubuntu
		{"/usr/share/edk2/ovmf/OVMF_CODE.fd", "/usr/share/edk2/ovmf/OVMF_VARS.fd"},       // Fedora
		{"/usr/share/edk2/x64/OVMF_CODE.4m.fd", "/usr/share/edk2/x64/OVMF_VARS.4m.fd"},   // Arch
		{"/usr/share/qemu/ovmf-x86_64-code.bin", "/usr/share/qemu/ovmf-x86_64-vars.bin"}, // SUSE
		{"/usr/share/OVMF/OVMF_CODE.fd", "/usr/share/OVMF/OVMF_VARS.fd"},                 // older ones
	},
	UEFISecureBoot: {
		{"/usr/share/OVMF/OVMF_CODE_4M.secboot.fd", "/usr/share/OVMF/OVMF_VARS_4M.ms.fd"},
		{"/usr/share/edk2/ovmf/OVMF_CODE.secboot.fd", "/usr/share/edk2/ovmf/OVMF_VARS.secboot.fd"},
		{"/usr/share/qemu/ovmf-x86_64-smm-ms-code.bin", "/usr/share/qemu/ovmf-x86_64-smm-ms-vars.bin"},
	},
}

// findOVMF is the first place that has both files.
func findOVMF(f Firmware, exists func(string) bool) (ovmf, error) {
	for _, p := range ovmfPlaces[f] {
		if exists(p.code) && exists(p.vars) {
			return p, nil
		}
	}
	return ovmf{}, fail.Hint(fail.New(fail.Unsupported, "no OVMF firmware for %s on this machine", f),
		"install ovmf (Debian), edk2-ovmf (Fedora, Arch) or qemu-ovmf-x86_64 (SUSE)")
}

// prepareFirmware finds the code and makes this machine's own variables, as
// qcow2 so that SaveVM can keep them.
func prepareFirmware(ctx context.Context, c Config, dir string) (code, vars string, err error) {
	place, err := findOVMF(c.Firmware, func(p string) bool { _, err := os.Stat(p); return err == nil })
	if err != nil {
		return "", "", err
	}
	vars = c.VarsPath
	if vars == "" {
		vars = filepath.Join(dir, "vars.qcow2")
	}
	_, err = os.Stat(vars)
	if err == nil {
		return place.code, vars, nil
	}
	if !errors.Is(err, fs.ErrNotExist) {
		return "", "", fmt.Errorf("cannot read the firmware variables: %w", err)
	}
	_, err = (&system.Host{}).Run(ctx, system.Command{Name: "qemu-img", Args: []string{"convert", "-O", "qcow2", place.vars, vars}})
	if err != nil {
		return "", "", fmt.Errorf("cannot copy the firmware variables: %w", err)
	}
	return place.code, vars, nil
}

// CreateDisk makes a qcow2 disk of size bytes. With backing, a qcow2 file, it
// is an overlay: it shows backing's content and keeps what differs; size 0
// is then backing's size.
func CreateDisk(ctx context.Context, r system.Runner, path string, size int64, backing string) error {
	args := []string{"create", "-q", "-f", "qcow2"}
	if backing != "" {
		abs, err := filepath.Abs(backing)
		if err != nil {
			return err
		}
		args = append(args, "-b", abs, "-F", "qcow2")
	} else if size == 0 {
		return fmt.Errorf("cannot make the disk %s: its size is 0", path)
	}
	args = append(args, path)
	if size != 0 {
		args = append(args, fmt.Sprint(size))
	}
	if _, err := r.Run(ctx, system.Command{Name: "qemu-img", Args: args}); err != nil {
		return fmt.Errorf("cannot make the disk %s: %w", path, err)
	}
	return nil
}
