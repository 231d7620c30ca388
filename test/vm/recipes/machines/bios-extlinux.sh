# shellcheck shell=bash disable=SC2154
# Read by build.sh.

# 83 with the flag of the active partition, whose boot sector mbr.bin starts.
sfdisk -q /dev/vdb <<-END
	label: dos
	size=400M, type=83, bootable
	type=83
END
udevadm settle
# EXTLINUX reads no ext4 with 64bit, checksums or a file of orphans.
mkfs.ext4 -q -L boot -O ^64bit,^metadata_csum,^orphan_file /dev/vdb1
mkfs.ext4 -q -L system /dev/vdb2
mount /dev/vdb2 /target
mkdir /target/boot
mount /dev/vdb1 /target/boot
copy_base
rm /target/builder
cat >/target/etc/fstab <<-END
	# file system, mount point, type, options, dump, pass
	UUID=$(uuid /dev/vdb2) / ext4 errors=remount-ro 0 1
	UUID=$(uuid /dev/vdb1) /boot ext4 defaults 0 2
END
metadata /target/srv/metadata
say installing EXTLINUX
k=$(ls /target/lib/modules)
mkdir /target/boot/extlinux
cat >/target/boot/extlinux/extlinux.conf <<-END
	SERIAL 0 115200
	DEFAULT linux
	TIMEOUT 10
	LABEL linux
	LINUX /vmlinuz-$k
	INITRD /initrd.img-$k
	APPEND root=UUID=$(uuid /dev/vdb2) ro $(cat /target/etc/kernel/cmdline)
END
cat /target/boot/extlinux/extlinux.conf
for d in dev proc sys; do mount --rbind --make-rslave /$d /target/$d; done
chroot /target extlinux --install /boot/extlinux
for d in dev proc sys; do umount -R -l /target/$d; done
dd if=/target/usr/lib/syslinux/mbr/mbr.bin of=/dev/vdb bs=440 count=1 conv=notrunc
lsattr /target/boot/extlinux
