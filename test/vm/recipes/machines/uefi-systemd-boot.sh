# shellcheck shell=bash disable=SC2154
# Read by build.sh.

sgdisk -n1:0:+256M -t1:ef00 -c1:'EFI system' -n2:0:0 -t2:8304 -c2:system /dev/vdb
udevadm settle
mkfs.vfat -F 32 -n ESP /dev/vdb1
mkfs.ext4 -q -L system /dev/vdb2
mount /dev/vdb2 /target
mkdir -p /target/boot/efi
mount /dev/vdb1 /target/boot/efi
copy_base
rm /target/builder
cat >/target/etc/fstab <<-END
	# file system, mount point, type, options, dump, pass
	UUID=$(uuid /dev/vdb2) / ext4 errors=remount-ro 0 1
	UUID=$(uuid /dev/vdb1) /boot/efi vfat umask=0077 0 1
END
metadata /target/srv/metadata
say installing systemd-boot
sed -i "s/^/root=UUID=$(uuid /dev/vdb2) ro /" /target/etc/kernel/cmdline
rm -f /target/etc/machine-id
for d in dev proc sys; do mount --rbind --make-rslave /$d /target/$d; done
chroot /target systemd-machine-id-setup
SYSTEMD_RELAX_ESP_CHECKS=1 chroot /target bootctl --esp-path=/boot/efi --no-variables install
printf 'timeout 1\nconsole-mode keep\n' >/target/boot/efi/loader/loader.conf
k=$(ls /target/lib/modules)
# Its initramfs is there: dracut would take minutes to make it again.
chroot /target kernel-install --verbose --esp-path=/boot/efi add "$k" "/boot/vmlinuz-$k" "/boot/initrd.img-$k"
for d in dev proc sys; do umount -R -l /target/$d; done
find /target/boot/efi -type f | sort
cat /target/boot/efi/loader/entries/*.conf
[ -s /target/boot/efi/*/"$k"/initrd* ]
