#!/usr/bin/env bash
# What building needs: Go (as go.mod says) and a C compiler with a static C library.
set -euo pipefail
# shellcheck source=setup/packages.sh
. "$(dirname "$0")/packages.sh"

if [ -z "${GO:-}" ]; then
	echo "error: Go is not installed" >&2
	echo "hint:  install Go $(sed -n 's/^go //p' "$(dirname "$0")/../go.mod") or newer in /usr/local/go" >&2
	exit 1
fi
if command -v gcc >/dev/null && echo 'int main(void){return 0;}' | gcc -static -x c -o /dev/null - 2>/dev/null; then
	exit 0
fi
if command -v apt-get >/dev/null; then
	install_missing 'the build' gcc libc6-dev
else
	install_missing 'the build' gcc glibc-static
fi
