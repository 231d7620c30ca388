#!/usr/bin/env bash
# What making a medium of this machine needs: the program itself knows, and says it by package name.
set -euo pipefail
# shellcheck source=setup/packages.sh
. "$(dirname "$0")/packages.sh"

packages=$("$1" doctor --packages)

# Where the machine starts by UEFI, installing shim-signed runs grub-install and
# rewrites its boot entry. Where Secure Boot is on it is installed already.
if [ -d /sys/firmware/efi ] && [[ " $packages " == *" shim-signed "* ]]; then
	packages=$(tr ' ' '\n' <<<"$packages" | sed '/^shim-signed$/d' | tr '\n' ' ')
	echo "Not installing shim-signed: it would rewrite this machine's boot entry; the medium will not boot with Secure Boot."
fi
if [ -n "${packages// /}" ]; then
	# shellcheck disable=SC2086 # one word is one package
	install_missing 'the recovery medium' $packages
fi
