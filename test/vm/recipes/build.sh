#!/bin/bash
# Runs as process 1 of the builder VM, which stands on the base image:
# partitions /dev/vdb (and /dev/vdc), makes the file systems of one fixture, copies the base
# onto them and makes it boot by itself. Ends by power-off; the last word on
# the console is "BUILDER: done" or "BUILDER: failed".
#
#   build.sh uefi-lvm|bios-mbr|uefi-btrfs|uefi-lvm-thin|uefi-raid-lvm|uefi-luks-lvm
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
	if [ -f "$here/make-metadata-tree.sh" ]; then
		say making the tree of all metadata in "$1"
		mkdir -p "$(dirname "$1")"
		bash "$here/make-metadata-tree.sh" "$1"
	fi
}

uefi_lvm() {
	sgdisk -n1:0:+64M -t1:ef00 -c1:'EFI system' -n2:0:+256M -t2:8300 -c2:boot -n3:0:0 -t3:8e00 -c3:lvm /dev/vdb
	udevadm settle
	pvcreate -q /dev/vdb3
	vgcreate -q vg0 /dev/vdb3
	lvcreate -qy -L 3G -n root vg0
	lvcreate -qy -L 400M -n home vg0
	lvcreate -qy -L 256M -n swap vg0
	mkfs.vfat -F 32 -n ESP /dev/vdb1
	mkfs.ext4 -q -L boot /dev/vdb2
	mkfs.ext4 -q -L root /dev/vg0/root
	mkfs.xfs -q -L home /dev/vg0/home
	mkswap -L swap /dev/vg0/swap
	mount /dev/vg0/root /target
	mkdir -p /target/boot /target/home
	mount /dev/vdb2 /target/boot
	mkdir /target/boot/efi
	mount /dev/vdb1 /target/boot/efi
	mount /dev/vg0/home /target/home
	copy_base
	cat >/target/etc/fstab <<-END
		# file system, mount point, type, options, dump, pass
		/dev/mapper/vg0-root / ext4 errors=remount-ro 0 1
		UUID=$(uuid /dev/vdb2) /boot ext4 defaults 0 2
		UUID=$(uuid /dev/vdb1) /boot/efi vfat umask=0077 0 1
		/dev/mapper/vg0-home /home xfs defaults,nodev 0 0
		/dev/mapper/vg0-swap none swap sw 0 0
	END
	metadata /target/srv/metadata
	metadata /target/home/metadata
	install_grub x86_64-efi --efi-directory=/boot/efi --bootloader-id=debian --no-nvram --force-extra-removable
}

# Root and home are thin volumes that promise more than their pool has; /srv is
# a mirror over a partition and a whole disk.
uefi_lvm_thin() {
	sgdisk -n1:0:+64M -t1:ef00 -c1:'EFI system' -n2:0:+256M -t2:8300 -c2:boot -n3:0:0 -t3:8e00 -c3:lvm /dev/vdb
	udevadm settle
	pvcreate -q /dev/vdb3 /dev/vdc
	vgcreate -q --addtag fixture vg0 /dev/vdb3 /dev/vdc
	lvcreate -qy --type thin-pool -L 3700M --poolmetadatasize 8M -c 128k --discards passdown -n pool vg0 /dev/vdb3
	lvcreate -qy --type thin -V 4G --thinpool pool -n root vg0
	lvcreate -qy --type thin -V 6G --thinpool pool -n home vg0
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
	install_grub x86_64-efi --efi-directory=/boot/efi --bootloader-id=debian --no-nvram --force-extra-removable
}

# Two disks that mirror each other: the ESP with its superblock at the end, so
# that the firmware sees a plain vfat on both; /boot; LVM for the rest.
uefi_raid_lvm() {
	local d n
	for d in vdb vdc; do
		sgdisk -n1:0:+64M -t1:ef00 -c1:'EFI system' -n2:0:+256M -t2:fd00 -c2:boot -n3:0:0 -t3:fd00 -c3:lvm /dev/$d
	done
	udevadm settle
	# Blank disks are equal: there is nothing to bring into sync.
	for n in '1 esp 1.0' '2 boot 1.2' '3 lvm 1.2'; do
		set -- $n
		mdadm --create /dev/md/$2 --run --assume-clean --level=1 --raid-devices=2 --metadata=$3 --bitmap=internal \
			--homehost=fixture-uefi-raid-lvm --name=$2 /dev/vdb$1 /dev/vdc$1
	done
	udevadm settle
	pvcreate -q /dev/md/lvm
	vgcreate -q vg0 /dev/md/lvm
	lvcreate -qy -L 3G -n root vg0
	lvcreate -qy -L 400M -n home vg0
	lvcreate -qy -L 256M -n swap vg0
	mkfs.vfat -F 32 -n ESP /dev/md/esp
	mkfs.ext4 -q -L boot /dev/md/boot
	mkfs.ext4 -q -L root /dev/vg0/root
	mkfs.xfs -q -L home /dev/vg0/home
	mkswap -L swap /dev/vg0/swap
	mount /dev/vg0/root /target
	mkdir -p /target/boot /target/home
	mount /dev/md/boot /target/boot
	mkdir /target/boot/efi
	mount /dev/md/esp /target/boot/efi
	mount /dev/vg0/home /target/home
	copy_base
	cat >/target/etc/fstab <<-END
		# file system, mount point, type, options, dump, pass
		/dev/mapper/vg0-root / ext4 errors=remount-ro 0 1
		UUID=$(uuid /dev/md/boot) /boot ext4 defaults 0 2
		UUID=$(uuid /dev/md/esp) /boot/efi vfat umask=0077 0 1
		/dev/mapper/vg0-home /home xfs defaults,nodev 0 0
		/dev/mapper/vg0-swap none swap sw 0 0
	END
	mdadm --detail --scan >>/target/etc/mdadm/mdadm.conf
	metadata /target/srv/metadata
	metadata /target/home/metadata
	install_grub x86_64-efi --efi-directory=/boot/efi --bootloader-id=debian --no-nvram --force-extra-removable
}

bios_mbr() {
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
}

uefi_btrfs() {
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
	local u
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
}

# The pass phrase is "correct horse"; a second key lies in the initramfs, so
# that nobody has to type at start. Both keys are cheap to derive: see --pbkdf.
uefi_luks_lvm() {
	local cheap="--batch-mode --pbkdf argon2id --pbkdf-force-iterations 4 --pbkdf-memory 64 --pbkdf-parallel 1"
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
}

# In a subshell, so that the first error ends it and not process 1.
main() (
	set -e
	say "$fixture begins"
	/lib/systemd/systemd-udevd --daemon
	udevadm trigger --action=add
	udevadm settle
	for m in vfat xfs btrfs nls_ascii nls_cp437 dm_mod dm_thin_pool dm_raid raid1 dm_crypt; do modprobe $m; done
	"${fixture//-/_}"
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
