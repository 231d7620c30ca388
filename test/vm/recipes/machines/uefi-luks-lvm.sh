# shellcheck shell=bash disable=SC2154
# Read by build.sh.
#
# The pass phrase is "correct horse"; a second key lies in the initramfs, so
# that nobody has to type at start. Both keys are cheap to derive: see --pbkdf.

cheap="--batch-mode --pbkdf argon2id --pbkdf-force-iterations 4 --pbkdf-memory 64 --pbkdf-parallel 1"
sgdisk -n1:0:+64M -t1:ef00 -c1:'EFI system' -n2:0:+256M -t2:8300 -c2:boot -n3:0:0 -t3:8309 -c3:vault /dev/vdb
udevadm settle
printf 'correct horse' | cryptsetup luksFormat --type luks2 --label vault $cheap --key-file=- /dev/vdb3
head -c 512 /dev/urandom >/run/root.key
printf 'correct horse' | cryptsetup luksAddKey $cheap --key-file=- /dev/vdb3 /run/root.key
cryptsetup open --key-file=/run/root.key --allow-discards --persistent /dev/vdb3 vault
pvcreate -q /dev/mapper/vault
vgcreate -q vg0 /dev/mapper/vault
lvcreate -qy -L 3G -n root vg0
lvcreate -qy -L 256M -n swap vg0
mkfs.vfat -F 32 -n ESP /dev/vdb1
mkfs.ext4 -q -L boot /dev/vdb2
mkfs.ext4 -q -L root /dev/vg0/root
mkswap -L swap /dev/vg0/swap
mount /dev/vg0/root /target
mkdir -p /target/boot
mount /dev/vdb2 /target/boot
mkdir /target/boot/efi
mount /dev/vdb1 /target/boot/efi
copy_base
install -D -m 400 /run/root.key /target/etc/keys/root.key
echo "vault UUID=$(uuid /dev/vdb3) /etc/keys/root.key luks,discard,initramfs" >/target/etc/crypttab
echo 'KEYFILE_PATTERN=/etc/keys/*.key' >>/target/etc/cryptsetup-initramfs/conf-hook
# All drivers would take a quarter of an hour of emulation.
printf 'MODULES=list\nUMASK=0077\n' >/target/etc/initramfs-tools/conf.d/small
printf '%s\n' virtio_pci virtio_blk ext4 dm_mod dm_crypt xts ecb aesni_intel sha256_generic algif_skcipher >>/target/etc/initramfs-tools/modules
cat >/target/etc/fstab <<-END
	# file system, mount point, type, options, dump, pass
	/dev/mapper/vg0-root / ext4 errors=remount-ro 0 1
	UUID=$(uuid /dev/vdb2) /boot ext4 defaults 0 2
	UUID=$(uuid /dev/vdb1) /boot/efi vfat umask=0077 0 1
	/dev/mapper/vg0-swap none swap sw 0 0
END
metadata /target/srv/metadata
say making the initramfs
for d in dev proc sys run; do mount --rbind --make-rslave /$d /target/$d; done
chroot /target update-initramfs -u
for d in dev proc sys run; do umount -R -l /target/$d; done
install_grub x86_64-efi --efi-directory=/boot/efi --bootloader-id=debian --no-nvram --force-extra-removable
