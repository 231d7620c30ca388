# shellcheck shell=bash disable=SC2154
# Read by build.sh.
#
# Root and home are thin volumes that promise more than their pool has; /srv is
# a mirror over a partition and a whole disk. The pool is checked before it is
# started, as Debian does it, by a program that the base does not have:
#
# packages: thin-provisioning-tools

sgdisk -n1:0:+64M -t1:ef00 -c1:'EFI system' -n2:0:+256M -t2:8300 -c2:boot -n3:0:0 -t3:8e00 -c3:lvm /dev/vdb
udevadm settle
pvcreate -q /dev/vdb3 /dev/vdc
vgcreate -q --addtag fixture vg0 /dev/vdb3 /dev/vdc
lvcreate -qy --type thin-pool -L 3700M --poolmetadatasize 8M -c 128k --discards passdown -n pool vg0 /dev/vdb3
lvcreate -qy --type thin -V 4G --thinpool pool -n root vg0
lvcreate -qy --type thin -V 6G --thinpool pool -n home --addtag data --addtag nightly vg0
lvcreate -qy --type raid1 -m 1 -R 512k -L 300M -n srv vg0
lvcreate -qy -L 128M -n swap vg0 /dev/vdc
mkfs.vfat -F 32 -n ESP /dev/vdb1
mkfs.ext4 -q -L boot /dev/vdb2
mkfs.ext4 -q -L root /dev/vg0/root
mkfs.xfs -q -L home /dev/vg0/home
mkfs.ext4 -q -L srv /dev/vg0/srv
mkswap -L swap /dev/vg0/swap
mount /dev/vg0/root /target
mkdir -p /target/boot /target/home /target/srv
mount /dev/vdb2 /target/boot
mkdir /target/boot/efi
mount /dev/vdb1 /target/boot/efi
mount /dev/vg0/home /target/home
mount /dev/vg0/srv /target/srv
copy_base
cat >/target/etc/fstab <<-END
	# file system, mount point, type, options, dump, pass
	/dev/mapper/vg0-root / ext4 errors=remount-ro 0 1
	UUID=$(uuid /dev/vdb2) /boot ext4 defaults 0 2
	UUID=$(uuid /dev/vdb1) /boot/efi vfat umask=0077 0 1
	/dev/vg0/home /home xfs defaults,nodev 0 0
	LABEL=srv /srv ext4 defaults 0 2
	/dev/mapper/vg0-swap none swap sw 0 0
END
metadata /target/srv/metadata
metadata /target/home/metadata
say making the initramfs
# All drivers would take a quarter of an hour of emulation.
printf 'MODULES=list\n' >/target/etc/initramfs-tools/conf.d/small
printf '%s\n' virtio_pci virtio_blk ext4 dm_mod dm_thin_pool dm_raid raid1 >>/target/etc/initramfs-tools/modules
for d in dev proc sys run; do mount --rbind --make-rslave /$d /target/$d; done
mkdir /target/packages
cp "$here"/*.deb /target/packages
chroot /target bash -c 'dpkg -i /packages/*.deb' # its trigger makes the initramfs
rm -r /target/packages
chroot /target bash -c 'lsinitramfs /boot/initrd.img-*' | grep thin_check
for d in dev proc sys run; do umount -R -l /target/$d; done
install_grub x86_64-efi --efi-directory=/boot/efi --bootloader-id=debian --no-nvram --force-extra-removable
