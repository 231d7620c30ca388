#!/bin/bash
# Runs as process 1 of a VM that stands on the base image: makes a small machine
# with every layer on /dev/sda and /dev/sdb, changes over to it, and backs it up
# from within. Only /usr is the base's, as an overlay: no file system of a disk,
# and not in the backup, which therefore has some megabytes.
#
# /out is a directory of the host, from where this runs: mkcdrec is there, and there go the medium, its
# kernel and initramfs, and the listing of the machine by listing.sh. The last
# word on the console is "LUCK: done" or "LUCK: failed".
set -uo pipefail
export PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin HOME=/root LC_ALL=C

say() { echo "LUCK: $(cut -d. -f1 /proc/uptime)s $*"; }

end() {
	sync
	echo "LUCK: $1"
	sleep 1
	echo o >/proc/sysrq-trigger
	sleep 60
}

disks() {
	set -e
	/lib/systemd/systemd-udevd --daemon
	modprobe -a virtio_scsi sd_mod
	# Not all devices: the drivers of graphics and the like take long in emulation.
	udevadm trigger --action=add --subsystem-match=block
	udevadm settle
	for m in vfat xfs btrfs nls_ascii nls_cp437 dm_mod raid1 dm_crypt overlay efivarfs; do modprobe $m; done
	for d in sda sdb; do
		sgdisk -n1:0:+40M -t1:ef00 -c1:'EFI system' -n2:0:+64M -t2:fd00 -c2:boot -n3:0:+600M -t3:fd00 -c3:vault /dev/$d
	done
	sgdisk -n4:0:+128M -t4:8300 -c4:srv /dev/sda
	udevadm settle
	for n in '1 esp 1.0' '2 boot 1.2' '3 vault 1.2'; do
		set -- $n
		mdadm --create /dev/md/$2 --run --assume-clean --level=1 --raid-devices=2 --metadata=$3 --bitmap=internal \
			--homehost=luck --name=$2 /dev/sda$1 /dev/sdb$1
	done
	udevadm settle
	cheap="--batch-mode --pbkdf argon2id --pbkdf-force-iterations 4 --pbkdf-memory 64 --pbkdf-parallel 1"
	printf 'correct horse' | cryptsetup luksFormat --type luks2 --label vault $cheap --key-file=- /dev/md/vault
	printf 'correct horse' | cryptsetup open --key-file=- /dev/md/vault vault
	pvcreate -q /dev/mapper/vault
	vgcreate -q vg0 /dev/mapper/vault
	lvcreate -qy -L 160M -n root vg0
	lvcreate -qy -L 304M -n home vg0
	lvcreate -qy -L 32M -n swap vg0
	mkfs.vfat -F 32 -n ESP /dev/md/esp
	mkfs.ext4 -q -L boot /dev/md/boot
	mkfs.ext4 -q -L root /dev/vg0/root
	mkfs.xfs -q -L home /dev/vg0/home
	mkfs.btrfs -q -L srv /dev/sda4
	mkswap -L swap /dev/vg0/swap
	mount /dev/sda4 /mnt
	btrfs -q subvolume create /mnt/@srv
	umount /mnt
	mount /dev/vg0/root /target
	mkdir -p /target/{boot,home,srv,usr,proc,sys,dev,run,tmp,root,var/tmp,var/lib,out,mnt}
	mount /dev/md/boot /target/boot
	mkdir /target/boot/efi
	mount /dev/md/esp /target/boot/efi
	mount /dev/vg0/home /target/home
	mount -o subvol=@srv /dev/sda4 /target/srv
}

# tree fills the machine: paths of every common kind on each file system.
tree() {
	set -e
	cp -a /etc /target/
	for l in bin sbin lib lib64; do ln -s usr/$l /target/$l; done
	cp -a /var/lib/dpkg /var/lib/systemd /target/var/lib/ 2>/dev/null || true
	rm -rf /target/var/lib/dpkg/info
	kernel=$(cd /boot && ls vmlinuz-* | sort -V | tail -n1)
	cp -a /boot/$kernel /target/boot/
	mkdir -p /target/boot/efi/EFI/{systemd,BOOT}
	# Not a loader that anybody starts: what counts is that it is one by name.
	head -c 90000 /dev/urandom >/target/boot/efi/EFI/systemd/systemd-bootx64.efi
	cp /target/boot/efi/EFI/systemd/systemd-bootx64.efi /target/boot/efi/EFI/BOOT/BOOTX64.EFI
	for top in /target/root /target/home /target/srv; do
		mkdir $top/small $top/large
		for i in $(seq 120); do echo "$top $i $RANDOM" >$top/small/file-$i; done
		for i in 1 2 3 4; do head -c 1500000 /dev/urandom >$top/large/random-$i; done
		ln $top/small/file-1 $top/hard
		ln -s small/file-2 $top/soft
		mkfifo $top/fifo
		truncate -s 3M $top/holes
		printf end >>$top/holes
		setfattr -n user.mkcdrec -v luck $top/small/file-3
		setfacl -m u:1234:r $top/small/file-4
		chown 1234:5678 $top/small/file-5
		chmod 4711 $top/small/file-6
		touch -d '2001-02-03 04:05:06.789' $top/small/file-7
	done
	echo luck >/target/etc/hostname
	printf '127.0.0.1 localhost\n127.0.1.1 luck\n' >/target/etc/hosts
	echo "vault UUID=$(blkid -s UUID -o value /dev/md/vault) none luks" >/target/etc/crypttab
	cat >/target/etc/fstab <<-END
		/dev/mapper/vg0-root / ext4 errors=remount-ro 0 1
		UUID=$(blkid -s UUID -o value /dev/md/boot) /boot ext4 defaults 0 2
		UUID=$(blkid -s UUID -o value /dev/md/esp) /boot/efi vfat umask=0077 0 1
		/dev/mapper/vg0-home /home xfs defaults 0 0
		UUID=$(blkid -s UUID -o value /dev/sda4) /srv btrfs subvol=@srv 0 0
		/dev/mapper/vg0-swap none swap sw 0 0
	END
	mdadm --detail --scan >>/target/etc/mdadm/mdadm.conf
}

# change_over makes the new machine the root of everything that runs.
change_over() {
	set -e
	mkdir /run/upper /run/work
	mount -t overlay -o lowerdir=/usr,upperdir=/run/upper,workdir=/run/work overlay /target/usr
	mount --move /out /target/out
	for d in dev proc sys run; do mount --move /$d /target/$d; done
	cd /target
	pivot_root . mnt
	umount -l /mnt
	mount -t tmpfs tmpfs /tmp
	mount -t tmpfs tmpfs /var/tmp
	mount -t efivarfs efivarfs /sys/firmware/efi/efivars
	swapon /dev/vg0/swap
	hostname luck
}

# The second life, within the machine.
if [ "${1:-}" = within ]; then
	main() (
		set -e
		say backing up
		printf 'level = 1\n' >/run/config.toml
		mkdir /var/tmp/images
		/out/mkcdrec --config /run/config.toml backup --exclude disk:vda --luks-headers --out /var/tmp/images || { code=$?; [ $code = 3 ] || exit $code; }
		cp /var/tmp/images/*.iso /out/medium.iso
		modprobe loop
		modprobe isofs
		mount -o loop,ro /out/medium.iso /mnt
		find /mnt -maxdepth 3 | head -50
		cp "$(find /mnt -name 'vmlinuz*' | head -n1)" /out/vmlinuz
		cp "$(find /mnt -name 'init*' -size +1M | head -n1)" /out/initrd
		umount /mnt
		say listing
		bash /out/listing.sh / >/out/listing.txt
		wc -l /out/listing.txt
	)
	main
	case $? in
	0) end done ;;
	*) end failed ;;
	esac
fi

say disks
# "( ) || ..." would switch off set -e inside it.
(disks)
[ $? = 0 ] || end failed
say tree
(tree)
[ $? = 0 ] || end failed
change_over || end failed
exec chroot . /bin/bash /out/luck.sh within
