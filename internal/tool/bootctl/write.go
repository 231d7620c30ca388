// Package bootctl calls bootctl(1), the installer of systemd-boot, inside a
// restored system.
package bootctl

import (
	"context"
	"fmt"

	"github.com/mkcdrec/mkcdrec/internal/system"
)

// Package is what Debian calls the package of systemd-boot.
const Package = "systemd-boot"

// Program is the installer.
const Program = "bootctl"

// Loaders are what it installs for an architecture's suffix ("x64"), relative to
// the root; the signed one where there is one.
func Loaders(suffix string) []string {
	name := "usr/lib/systemd/boot/efi/systemd-boot" + suffix + ".efi"
	return []string{name, name + ".signed"}
}

// Label is what bootctl calls the firmware's boot entry.
const Label = "Linux Boot Manager"

// Install writes systemd-boot to the ESP mounted at esp, as seen inside root. The
// firmware's boot entry is made separately (efibootmgr).
func Install(ctx context.Context, r system.Runner, root, esp string) error {
	_, err := r.Run(ctx, system.Command{Name: Program, Args: []string{"--esp-path=" + esp, "--no-variables", "install"}, Chroot: root,
		Env: []string{"SYSTEMD_RELAX_ESP_CHECKS=1"}}) // udev does not run in there
	if err != nil {
		return fmt.Errorf("cannot install systemd-boot: %w", err)
	}
	return nil
}
