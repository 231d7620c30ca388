#!/bin/bash
# In the rescue system: mounts the restored machine of luck.sh by the programs
# themselves, compares it with the listing of the original, and takes it apart
# again. Says how many facts there are, the differences, and of how many arrays
# how many members are missing.
set -e
# What the restore has left running: all is to be read from the disks.
vgchange -q -an vg0 >/dev/null 2>&1 || true
cryptsetup close vault 2>/dev/null || true
mdadm --stop --scan >/dev/null 2>&1 || true
mdadm --assemble --scan --run >/dev/null 2>&1 || true
udevadm settle
md() { mdadm --detail --scan | sed -n "s|^ARRAY \([^ ]*\) .*name=[^ ]*$1 .*|\1|p"; }
head -c 13 /run/luck/key >/run/luck/key.exact
cryptsetup open --key-file=/run/luck/key.exact "$(md vault)" vault
vgchange -q -ay vg0 >/dev/null
udevadm settle
mkdir -p /mnt/x
mount -o ro /dev/vg0/root /mnt/x
mount -o ro "$(md boot)" /mnt/x/boot
mount -o ro "$(md esp)" /mnt/x/boot/efi
mount -o ro /dev/vg0/home /mnt/x/home
mount -o ro,subvol=@srv /dev/disk/by-label/srv /mnt/x/srv
bash /run/luck/listing.sh /mnt/x >/run/luck/restored.txt
wc -l </run/luck/restored.txt
diff /run/luck/listing.txt /run/luck/restored.txt | head -n 40
umount -R /mnt/x
vgchange -q -an vg0 >/dev/null
cryptsetup close vault
grep -h . /sys/block/md*/md/degraded | sort | uniq -c
mdadm --stop --scan >/dev/null 2>&1 || true
