# shellcheck shell=bash disable=SC2154
# Read by build.sh.

sgdisk -n1:0:+64M -t1:ef00 -c1:'EFI system' -n2:0:0 -t2:8300 -c2:system /dev/vdb
udevadm settle
mkfs.vfat -F 32 -n ESP /dev/vdb1
mkfs.btrfs -q -L system /dev/vdb2
mount /dev/vdb2 /target
for s in @ @home @var-log; do btrfs subvolume create /target/$s; done
umount /target
mount -o subvol=@ /dev/vdb2 /target
mkdir -p /target/boot/efi /target/home /target/var/log
mount /dev/vdb1 /target/boot/efi
mount -o subvol=@home /dev/vdb2 /target/home
mount -o subvol=@var-log /dev/vdb2 /target/var/log
copy_base
u=$(uuid /dev/vdb2)
cat >/target/etc/fstab <<-END
	# file system, mount point, type, options, dump, pass
	UUID=$u / btrfs subvol=@ 0 0
	UUID=$u /home btrfs subvol=@home,compress=zstd:1 0 0
	UUID=$u /var/log btrfs subvol=@var-log,noatime 0 0
	UUID=$(uuid /dev/vdb1) /boot/efi vfat umask=0077 0 1
END
metadata /target/srv/metadata
metadata /target/home/metadata
install_grub x86_64-efi --efi-directory=/boot/efi --bootloader-id=debian --no-nvram --force-extra-removable
