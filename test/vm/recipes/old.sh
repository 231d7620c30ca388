#!/bin/bash
# In the rescue system: fills /dev/sda and /dev/sdb with what used disks have,
# and leaves most of it running: old.sh ZFS, where ZFS is the words of a ZFS
# uberblock in octal, as printf takes them.
set -e
for d in sda sdb; do
	sgdisk -n1:0:+96M -n2:0:+96M -n3:0:+96M -n4:0:+96M -n5:0:+200M /dev/$d >/dev/null
done
udevadm settle
# The names are those of the recorded machine.
mdadm --create /dev/md/boot --run --assume-clean --level=1 --raid-devices=2 --metadata=1.2 --homehost=luck --name=boot /dev/sda1 /dev/sdb1 2>/dev/null
mdadm --create /dev/md/old --run --assume-clean --level=1 --raid-devices=2 --metadata=0.90 /dev/sda2 /dev/sdb2 2>/dev/null
mkfs.ext4 -q /dev/md/boot
udevadm settle
pvcreate -q -y /dev/md/old
vgcreate -q vg0 /dev/md/old
lvcreate -qy -L 16M -n root vg0
lvcreate -qy -L 16M -n more vg0
mkswap /dev/vg0/more >/dev/null
swapon /dev/vg0/more
printf other | cryptsetup luksFormat --batch-mode --pbkdf pbkdf2 --pbkdf-force-iterations 1000 --key-file=- /dev/sda3
printf other | cryptsetup open --key-file=- /dev/sda3 vault
mkfs.btrfs -q -f /dev/sda5 /dev/sdb5
# Uberblocks of ZFS in both of the labels in front, and those at the end of disk
# and partition (vdev labels of 256 KiB; the array of uberblocks begins at 128 KiB).
for dev in /dev/sdb /dev/sdb4; do
	size=$(blockdev --getsize64 $dev)
	for label in 0 1 $((size / 262144 - 2)) $((size / 262144 - 1)); do
		[ $dev = /dev/sdb ] && [ $label -lt 2 ] && continue # there is the table
		for i in 4 5 6 7 8 9; do
			printf '\014\261\272\000\000\000\000\000\050\000\000\000\000\000\000\000' | dd of=$dev bs=1024 seek=$((label * 256 + 128 + i)) conv=notrunc status=none
		done
	done
done
sync
udevadm settle
for dev in sda sdb sda1 sda2 sda3 sda5 sdb4; do echo "$dev: $(wipefs --noheadings -o TYPE /dev/$dev | xargs)"; done
