# Sourced: install packages where they are missing, with this system's package manager.

# install_missing PACKAGE...: says what it installs and why it must be root.
install_missing() {
	local missing=() p
	if command -v dpkg-query >/dev/null; then
		for p in "$@"; do
			dpkg-query -W -f='${db:Status-Status}' "$p" 2>/dev/null | grep -qx installed || missing+=("$p")
		done
	else
		missing=("$@")
	fi
	[ ${#missing[@]} -eq 0 ] && return 0
	echo "Installing: ${missing[*]}"
	if [ "$(id -u)" -ne 0 ]; then
		echo "error: only root can install packages" >&2
		echo "hint:  run it with sudo, or install them yourself" >&2
		return 1
	fi
	if command -v apt-get >/dev/null; then
		# Lists that are a day old name packages that are no longer there.
		if [ -z "$(find /var/lib/apt/lists -name '*Packages*' -mtime -1 2>/dev/null | head -n 1)" ]; then
			apt-get -qq update
		fi
		DEBIAN_FRONTEND=noninteractive apt-get -qq -o Dpkg::Use-Pty=0 install -y --no-install-recommends "${missing[@]}" >/dev/null
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
