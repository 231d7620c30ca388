#!/usr/bin/env bash
# What making a medium of this machine needs: the program itself knows, and says it by package name.
set -euo pipefail
# shellcheck source=setup/packages.sh
. "$(dirname "$0")/packages.sh"

packages=$("$1" doctor --packages)
if [ -n "$packages" ]; then
	# shellcheck disable=SC2086 # one word is one package
	install_missing 'the recovery medium' $packages
fi
