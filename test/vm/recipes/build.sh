#!/bin/bash
# Runs as process 1 of the builder VM, which stands on the base image:
# partitions /dev/vdb (and /dev/vdc), makes the file systems of one fixture, copies the base
# onto them and makes it boot by itself, as MACHINE.sh beside it says. Ends by power-off; the
# last word on the console is "BUILDER: done" or "BUILDER: failed".
#
#   build.sh MACHINE
set -uo pipefail
fixture=$1
here=$(dirname "$0")
export PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin HOME=/root LC_ALL=C

finish() {
	sync
	umount -R /target
	vgchange -an vg0 2>/dev/null
	[ -e /dev/mapper/vault ] && cryptsetup close vault
	mdadm --stop --scan 2>/dev/null
	sync
	echo "BUILDER: $1"
	sleep 1
	echo o >/proc/sysrq-trigger
	sleep 60
}

say() { echo "BUILDER: $(cut -d. -f1 /proc/uptime)s $*"; }

# copy_base copies the running base to /target and leaves out what belongs to
# the builder.
copy_base() {
	say copying the base
	mount --bind / /src
	cp -a /src/. /target/
	umount /src
	rmdir /target/src /target/target /target/in
	rm -rf /target/lost+found.builder
}

# install_grub TARGET [ARGUMENT...] runs GRUB's installer inside the target.
install_grub() {
	say installing GRUB
	for d in dev proc sys; do mount --rbind --make-rslave /$d /target/$d; done
	chroot /target grub-install --target="$1" "${@:2}"
	chroot /target update-grub
	for d in dev proc sys; do umount -R -l /target/$d; done
}

uuid() { blkid -s UUID -o value "$1"; }

# metadata DIR makes the tree of every kind of file and attribute.
metadata() {
	say making the tree of all metadata in "$1"
	mkdir -p "$(dirname "$1")"
	bash "$here/make-metadata-tree.sh" "$1"
}

# In a subshell, so that the first error ends it and not process 1.
main() (
	set -e
	say "$fixture begins"
	/lib/systemd/systemd-udevd --daemon
	udevadm trigger --action=add
	udevadm settle
	for m in vfat xfs btrfs nls_ascii nls_cp437 dm_mod dm_thin_pool dm_raid raid1 dm_crypt; do modprobe $m; done
	# shellcheck source=/dev/null
	. "$here/$fixture.sh"
	echo "fixture-$fixture" >/target/etc/hostname
	printf '127.0.0.1 localhost\n127.0.1.1 fixture-%s\n' "$fixture" >/target/etc/hosts
	say finished
)
# "main && ..." would switch off set -e inside it.
main
case $? in
0) finish done ;;
*) finish failed ;;
esac
