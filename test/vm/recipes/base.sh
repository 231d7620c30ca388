#!/bin/bash
# Makes the base that all fixtures are copied from, and that the builder VM
# runs on: Debian with a kernel, systemd, ssh, LVM, RAID, btrfs, xfs and both GRUBs.
#
#   base.sh OUTDIR SSH-PUBLIC-KEY-FILE
#
# leaves base.ext4 (a whole-disk ext4 image), vmlinuz and initrd.img in OUTDIR.
# Needs root, mmdebstrap and e2fsprogs. Packages come from the sources that
# this machine's apt is set to use.
set -euo pipefail
out=$1 key=$2
suite=${MKCDREC_SUITE:-bookworm}
root=$out/base.root
trap 'rm -rf "$root"' EXIT
rm -rf "$root"
mkdir -p "$out"

packages=linux-image-amd64,systemd-sysv,udev,dbus,openssh-server,lvm2,mdadm,btrfs-progs,xfsprogs,dosfstools,e2fsprogs
packages+=,grub-pc-bin,grub-efi-amd64-bin,grub2-common,grub-efi-amd64-signed,shim-signed,efibootmgr,mtools
packages+=,gdisk,fdisk,parted,iproute2,iputils-ping,ifupdown,isc-dhcp-client,acl,attr,libcap2-bin
packages+=,cryptsetup,cryptsetup-initramfs
packages+=,initramfs-tools,zstd,cpio,kmod,less,nano,rsync,curl,procps,bzip2,xz-utils,ca-certificates

# The sources of this machine, whichever of apt's two formats they are in.
sources=()
for f in /etc/apt/sources.list /etc/apt/sources.list.d/*.list /etc/apt/sources.list.d/*.sources; do
	[ -s "$f" ] && grep -qE '^[[:space:]]*(deb |URIs:)' "$f" && grep -q "$suite" "$f" && grep -q debian "$f" && sources+=("$f")
done
[ ${#sources[@]} -gt 0 ] || { echo "base.sh: cannot find a source of $suite in /etc/apt" >&2; exit 1; }
# Proxies and transport settings of this machine's apt.
options=()
for f in /etc/apt/apt.conf /etc/apt/apt.conf.d/*; do
	[ -f "$f" ] && grep -qiE '^[[:space:]]*Acquire' "$f" && options+=("--aptopt=$f")
done

# cleanup of apt's lists and caches is mmdebstrap's own; documents and
# translations are left out because every file costs time in emulation.
mmdebstrap --variant=minbase --mode=root --format=directory --include="$packages" "${options[@]}" \
	--dpkgopt='path-exclude=/usr/share/doc/*' --dpkgopt='path-include=/usr/share/doc/*/copyright' \
	--dpkgopt='path-exclude=/usr/share/locale/*' --dpkgopt='path-exclude=/usr/share/info/*' \
	"$suite" "$root" "${sources[@]}"

# What every fixture has in common.
echo "root::0:0:root:/root:/bin/bash" >"$out/passwd.line"
sed -i 's|^root:[^:]*:|root::|' "$root/etc/shadow"
rm "$out/passwd.line"
install -d -m 700 "$root/root/.ssh"
install -m 600 "$key" "$root/root/.ssh/authorized_keys"
echo 'PermitRootLogin prohibit-password' >"$root/etc/ssh/sshd_config.d/fixture.conf"
# DNS look-ups of the client's address only cost time on a network without DNS.
echo 'UseDNS no' >>"$root/etc/ssh/sshd_config.d/fixture.conf"
cat >"$root/etc/network/interfaces" <<-'END'
	auto lo
	iface lo inet loopback
	allow-hotplug eth0
	auto eth0
	iface eth0 inet dhcp
END
# no_timer_check: on a busy machine the emulated timer is late, and the kernel
# takes it for a broken one.
cat >"$root/etc/default/grub" <<-'END'
	GRUB_DEFAULT=0
	GRUB_TIMEOUT=1
	GRUB_DISTRIBUTOR=Debian
	GRUB_CMDLINE_LINUX="mitigations=off net.ifnames=0 no_timer_check console=tty0 console=ttyS0,115200"
	GRUB_TERMINAL="serial console"
	GRUB_SERIAL_COMMAND="serial --unit=0 --speed=115200"
	GRUB_DISABLE_OS_PROBER=true
END
echo RESUME=none >"$root/etc/initramfs-tools/conf.d/resume"
# Units that these machines do not need and that cost a minute of emulation.
for u in apt-daily.timer apt-daily-upgrade.timer dpkg-db-backup.timer e2scrub_all.timer e2scrub_reap.service \
	fstrim.timer man-db.timer systemd-pstore.service systemd-timesyncd.service systemd-update-utmp.service \
	systemd-update-utmp-runlevel.service lvm2-monitor.service mdmonitor.service mdmonitor-oneshot.timer mdcheck_start.timer mdcheck_continue.timer systemd-binfmt.service \
	systemd-journal-flush.service grub-common.service getty@tty1.service sys-kernel-debug.mount \
	sys-kernel-tracing.mount dev-hugepages.mount dev-mqueue.mount modprobe@drm.service; do
	ln -sfn /dev/null "$root/etc/systemd/system/$u"
done

install -d "$root/src" "$root/target" "$root/in"
kernel=$(cd "$root/boot" && ls vmlinuz-* | sort -V | tail -n1)
cp "$root/boot/$kernel" "$out/vmlinuz"
cp "$root/boot/initrd.img-${kernel#vmlinuz-}" "$out/initrd.img"
rm -f "$out/base.ext4"
mke2fs -q -t ext4 -L builder -O ^metadata_csum_seed -d "$root" "$out/base.ext4" 2500M
