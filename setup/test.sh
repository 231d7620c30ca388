#!/usr/bin/env bash
# What the tests need on Debian: virtual machines, judges that are not ours, and the peers of the comparison.
set -euo pipefail
# shellcheck source=setup/packages.sh
. "$(dirname "$0")/packages.sh"

command -v apt-get >/dev/null || { echo "error: the tests run on Debian" >&2; exit 1; }
install_missing 'the tests' \
	qemu-system-x86 qemu-utils ovmf seabios \
	xorriso genisoimage mtools gdisk fdisk parted dosfstools \
	grub-pc-bin grub-efi-amd64-bin grub-efi-amd64-signed shim-signed linux-image-amd64 memtest86+ syslinux-common \
	mmdebstrap debian-archive-keyring \
	e2fsprogs xfsprogs btrfs-progs f2fs-tools exfatprogs lvm2 mdadm cryptsetup-bin \
	attr acl libcap2-bin zstd cpio libarchive-tools tar rsync \
	busybox-static kmod udev iproute2 openssh-client openssh-server man-db less nano procps shellcheck
