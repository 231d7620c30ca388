#!/bin/bash
# Makes a second base of fixtures, as base.sh makes the first: Debian 13 with
# dracut, systemd-networkd, and the boot loaders systemd-boot and EXTLINUX. GRUB
# is there for the medium alone.
#
#   base-dracut.sh OUTDIR SSH-PUBLIC-KEY-FILE
#
# leaves base.ext4 (a whole-disk ext4 image), vmlinuz and initrd.img in OUTDIR.
# Needs root, mmdebstrap and e2fsprogs. Packages come from the sources that
# this machine's apt is set to use, with the name of the suite exchanged.
set -euo pipefail
out=$1 key=$2
suite=trixie
# shellcheck source=/dev/null
here=$(. /etc/os-release && echo "$VERSION_CODENAME")
root=$out/base.root
trap 'rm -rf "$root" "$out/sources"' EXIT
rm -rf "$root" "$out/sources"
mkdir -p "$out/sources"

packages=linux-image-amd64,systemd-sysv,systemd-boot,udev,dbus,openssh-server,dosfstools,e2fsprogs,btrfs-progs,xfsprogs
packages+=,dracut,extlinux,syslinux-common,grub-pc-bin,grub-efi-amd64-bin,grub-common,efibootmgr,mtools
packages+=,gdisk,fdisk,parted,iproute2,iputils-ping,acl,attr,libcap2-bin
packages+=,zstd,cpio,kmod,less,nano,rsync,curl,procps,bzip2,xz-utils,ca-certificates

sources=()
for f in /etc/apt/sources.list /etc/apt/sources.list.d/*.list /etc/apt/sources.list.d/*.sources; do
	[ -s "$f" ] && grep -qE '^[[:space:]]*(deb |URIs:)' "$f" && grep -q "$here" "$f" && grep -q debian "$f" || continue
	sed "s/$here/$suite/g" "$f" >"$out/sources/${f##*/}"
	sources+=("$out/sources/${f##*/}")
done
[ ${#sources[@]} -gt 0 ] || { echo "base-dracut.sh: cannot find a source of $here in /etc/apt" >&2; exit 1; }
options=()
for f in /etc/apt/apt.conf /etc/apt/apt.conf.d/*; do
	[ -f "$f" ] && grep -qiE '^[[:space:]]*Acquire' "$f" && options+=("--aptopt=$f")
done

# The initramfs knows disks on virtio and no others, as one that was made for its
# own hardware (hostonly) does.
cat >"$out/dracut.conf" <<-'END'
	hostonly="no"
	compress="zstd -1 -q -T0"
	dracutmodules+=" base systemd systemd-initrd systemd-udevd systemd-tmpfiles systemd-journald systemd-modules-load systemd-sysctl dracut-systemd kernel-modules rootfs-block udev-rules fs-lib shutdown "
	filesystems+=" ext4 btrfs "
	drivers+=" virtio virtio_ring virtio_pci virtio_blk ext4 btrfs "
END
mmdebstrap --variant=minbase --mode=root --format=directory --include="$packages" "${options[@]}" \
	--dpkgopt='path-exclude=/usr/share/doc/*' --dpkgopt='path-include=/usr/share/doc/*/copyright' \
	--dpkgopt='path-exclude=/usr/share/locale/*' --dpkgopt='path-exclude=/usr/share/info/*' \
	--essential-hook="install -D -m 644 '$out/dracut.conf' \"\$1/etc/dracut.conf.d/fixture.conf\"" \
	--customize-hook='k=$(ls "$1/lib/modules"); [ -s "$1/boot/initrd.img-$k" ] || chroot "$1" dracut --force "/boot/initrd.img-$k" "$k"' \
	"$suite" "$root" "${sources[@]}"

# What these fixtures have in common.
sed -i 's|^root:[^:]*:|root::|' "$root/etc/shadow"
install -d -m 700 "$root/root/.ssh"
install -m 600 "$key" "$root/root/.ssh/authorized_keys"
echo 'PermitRootLogin prohibit-password' >"$root/etc/ssh/sshd_config.d/fixture.conf"
# DNS look-ups of the client's address only cost time on a network without DNS.
echo 'UseDNS no' >>"$root/etc/ssh/sshd_config.d/fixture.conf"
printf '[Match]\nName=eth0\n\n[Network]\nDHCP=ipv4\n' >"$root/etc/systemd/network/eth0.network"
systemctl --root="$root" enable systemd-networkd.service >/dev/null 2>&1
# no_timer_check: on a busy machine the emulated timer is late, and the kernel
# takes it for a broken one.
install -d "$root/etc/kernel"
echo 'mitigations=off net.ifnames=0 no_timer_check console=tty0 console=ttyS0,115200' >"$root/etc/kernel/cmdline"
# Units that these machines do not need and that cost a minute of emulation.
for u in apt-daily.timer apt-daily-upgrade.timer dpkg-db-backup.timer e2scrub_all.timer e2scrub_reap.service \
	fstrim.timer man-db.timer systemd-pstore.service systemd-timesyncd.service systemd-update-utmp.service \
	systemd-networkd-wait-online.service systemd-networkd-persistent-storage.service systemd-binfmt.service systemd-journal-flush.service \
	grub-common.service getty@tty1.service sys-kernel-debug.mount \
	sys-kernel-tracing.mount dev-hugepages.mount dev-mqueue.mount modprobe@drm.service; do
	ln -sfn /dev/null "$root/etc/systemd/system/$u"
done

# Process 1 of the builder VM. systemd in the initramfs hands the arguments of
# the kernel's command line on to nobody.
cat >"$root/builder" <<-'END'
	#!/bin/bash
	export PATH=/usr/sbin:/usr/bin
	mount -t 9p -o trans=virtio,ro recipes /in && exec bash /in/build.sh "$(sed 's/.* fixture=\([^ ]*\).*/\1/' /proc/cmdline)"
END
chmod 755 "$root/builder"
install -d "$root/src" "$root/target" "$root/in"
kernel=$(cd "$root/boot" && ls vmlinuz-* | sort -V | tail -n1)
cp "$root/boot/$kernel" "$out/vmlinuz"
cp "$root/boot/initrd.img-${kernel#vmlinuz-}" "$out/initrd.img"
rm -f "$out/base.ext4" "$out/dracut.conf"
mke2fs -q -t ext4 -L builder -O ^metadata_csum_seed,^orphan_file -d "$root" "$out/base.ext4" 2500M
