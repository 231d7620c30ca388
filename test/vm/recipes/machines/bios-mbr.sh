# shellcheck shell=bash disable=SC2154
# Read by build.sh.

sfdisk -q /dev/vdb <<-END
	label: dos
	size=256M, type=83, bootable
	type=5
	size=3G, type=83
	size=300M, type=83
END
udevadm settle
mkfs.ext4 -q -L boot /dev/vdb1
mkfs.ext4 -q -L root /dev/vdb5
mkfs.ext4 -q -L srv -I 256 -m 1 /dev/vdb6
mount /dev/vdb5 /target
mkdir -p /target/boot /target/srv
mount /dev/vdb1 /target/boot
mount /dev/vdb6 /target/srv
copy_base
fallocate -l 128M /target/swapfile
chmod 600 /target/swapfile
mkswap /target/swapfile
cat >/target/etc/fstab <<-END
	# file system, mount point, type, options, dump, pass
	UUID=$(uuid /dev/vdb5) / ext4 errors=remount-ro 0 1
	UUID=$(uuid /dev/vdb1) /boot ext4 defaults 0 2
	LABEL=srv /srv ext4 noatime,nodev 0 2
	/swapfile none swap sw 0 0
END
metadata /target/srv/metadata
metadata /target/opt/metadata
install_grub i386-pc /dev/vdb
