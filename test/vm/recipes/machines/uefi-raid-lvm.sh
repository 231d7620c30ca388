# shellcheck shell=bash disable=SC2154
# Read by build.sh.
#
# Two disks that mirror each other: the ESP with its superblock at the end, so
# that the firmware sees a plain vfat on both; /boot; LVM for the rest.

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
