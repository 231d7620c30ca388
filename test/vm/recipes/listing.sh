#!/bin/bash
# Says by find, sha256sum, getfattr and getfacl what a tree of the machine of
# luck.sh is: listing.sh ROOT. Runs in that machine, and in the rescue system.
export LC_ALL=C TZ=UTC
cd "$1" || exit 1
for top in . boot boot/efi home srv; do
	# What runs changes these; /usr is not in the backup.
	cut=(-path ./usr -o -path ./proc -o -path ./sys -o -path ./dev -o -path ./run -o -path ./out -o -path ./tmp -o -path ./var/tmp -o -path ./mnt
		-o -path ./var/lib/mkcdrec -o -path ./etc/lvm/backup -o -path ./etc/lvm/archive)
	find "$top" -xdev \( "${cut[@]}" \) -prune -o -type d -printf '%p d %m %U:%G %T@\n' -o -type l -printf '%p l %U:%G %T@ %l\n' -o -printf '%p %y %m %U:%G %T@ %s %n\n' | sort
	find "$top" -xdev \( "${cut[@]}" \) -prune -o -type f -print0 | sort -z | xargs -0 sha256sum
done
getfattr -Rhd -m 'user\..*' -e hex root home srv 2>/dev/null
getfacl -RPnp root home srv
