# shellcheck shell=bash disable=SC2154
# Read by build.sh.
#
# One btrfs over two disks, data and metadata on both, with the subvolumes of
# an openSUSE after a rollback: the root is the writable snapshot that is the
# default subvolume, and nothing in fstab or on the kernel's command line names it.

sgdisk -n1:0:+64M -t1:ef00 -c1:'EFI system' -n2:0:0 -t2:8300 -c2:system /dev/vdb
sgdisk -n1:0:0 -t1:8300 -c1:system-mirror /dev/vdc
udevadm settle
mkfs.vfat -F 32 -n ESP /dev/vdb1
mkfs.btrfs -q -L system -m raid1 -d raid1 /dev/vdb2 /dev/vdc1
mount /dev/vdb2 /target
for s in @ @/home @/srv @/.snapshots @/usr-local; do btrfs subvolume create /target/$s; done
mkdir /target/@/.snapshots/1
# A root that began as a snapshot, as after "snapper rollback".
btrfs subvolume snapshot /target/@ /target/@/.snapshots/1/snapshot
rmdir /target/@/.snapshots/1/snapshot/* 2>/dev/null || true
btrfs subvolume set-default /target/@/.snapshots/1/snapshot
umount /target
mount /dev/vdb2 /target
mkdir -p /target/boot/efi /target/home /target/srv /target/.snapshots /target/usr/local
mount /dev/vdb1 /target/boot/efi
mount -o subvol=@/home /dev/vdb2 /target/home
mount -o subvol=@/srv /dev/vdb2 /target/srv
mount -o subvol=@/.snapshots /dev/vdb2 /target/.snapshots
copy_base
u=$(uuid /dev/vdb2)
id=$(btrfs subvolume show /target/srv | sed -n 's/.*Subvolume ID:[[:space:]]*//p')
cat >/target/etc/fstab <<-END
	# file system, mount point, type, options, dump, pass
	UUID=$u / btrfs defaults 0 0
	UUID=$u /home btrfs subvol=/@/home 0 0
	UUID=$u /srv btrfs subvolid=$id,noatime 0 0
	UUID=$u /.snapshots btrfs subvol=/@/.snapshots 0 0
	UUID=$(uuid /dev/vdb1) /boot/efi vfat umask=0077 0 1
END
# As openSUSE's GRUB has it: the default subvolume is what boots.
sed -i 's/rootflags=subvol=${rootsubvol} //' /target/etc/grub.d/10_linux
metadata /target/opt/metadata
metadata /target/home/metadata
# Files without copy on write, a compressed directory, a subvolume within the root's.
mkdir -p /target/var/lib/images /target/srv/packed
chattr +C /target/var/lib/images
head -c 3000000 /dev/urandom >/target/var/lib/images/disk.raw
btrfs property set /target/srv/packed compression zstd
printf 'compresses well %.0s' {1..200000} >/target/srv/packed/text
btrfs subvolume create /target/var/lib/nested
echo within >/target/var/lib/nested/file
install_grub x86_64-efi --efi-directory=/boot/efi --bootloader-id=debian --no-nvram --force-extra-removable
# A snapshot as snapper leaves them.
mkdir /target/.snapshots/2
echo '<?xml version="1.0"?><snapshot><type>single</type><num>2</num></snapshot>' >/target/.snapshots/2/info.xml
btrfs subvolume snapshot -r /target /target/.snapshots/2/snapshot
