# shellcheck shell=bash
# Sourced: install packages where they are missing, with this system's package manager.

# shown_on_failure COMMAND...: says nothing where it works; else all that the command said.
shown_on_failure() {
	local log rc=0
	log=$(mktemp)
	"$@" >"$log" 2>&1 </dev/null || rc=$?
	if [ "$rc" -ne 0 ]; then
		cat "$log" >&2
		echo "error: exit code $rc: $*" >&2
	fi
	rm -f "$log"
	return "$rc"
}

# install_missing PURPOSE PACKAGE...: says what it installs and what for, and why it must be root.
install_missing() {
	local purpose=$1 missing=() p
	shift
	if command -v dpkg-query >/dev/null; then
		for p in "$@"; do
			dpkg-query -W -f='${db:Status-Status}' "$p" 2>/dev/null | grep -qx installed || missing+=("$p")
		done
	else
		missing=("$@")
	fi
	[ ${#missing[@]} -eq 0 ] && return 0
	echo "Installing for $purpose: ${missing[*]}"
	if [ "$(id -u)" -ne 0 ]; then
		echo "error: only root can install packages" >&2
		echo "hint:  run it with sudo, or install them yourself" >&2
		return 1
	fi
	if command -v apt-get >/dev/null; then
		# A machine without lists knows no package, and old lists name packages
		# that are no longer there. A mirror that is away may still be in the cache.
		shown_on_failure apt-get -q -o DPkg::Lock::Timeout=300 -o APT::Update::Error-Mode=any update ||
			echo "warning: the lists of packages are as old as they are here" >&2
		# No question can be answered in CI; the lock may be held by an unattended upgrade.
		shown_on_failure env DEBIAN_FRONTEND=noninteractive apt-get -q -o Dpkg::Use-Pty=0 -o DPkg::Lock::Timeout=300 \
			install -y --no-install-recommends "${missing[@]}"
	elif command -v dnf >/dev/null; then
		dnf -q -y install "${missing[@]}"
	elif command -v zypper >/dev/null; then
		zypper -q -n install "${missing[@]}"
	elif command -v pacman >/dev/null; then
		pacman -S --needed --noconfirm "${missing[@]}"
	else
		echo "error: no package manager that is known here (apt-get, dnf, zypper, pacman)" >&2
		return 1
	fi
}
