#!/bin/sh
# Times backup and extraction of one tree beside tar|zstd, fsarchiver, restic,
# borg and squashfs, in turn, on a tmpfs of its own; then extraction onto ext4,
# with its sync. Needs root. Peers that are not installed are named.
#
#   bench/archive.sh [TREE...]      default: part of /usr, copied to the tmpfs
#   ROUNDS=5 PEERS=restic bench/archive.sh    more rounds, fewer peers
#
# Other work on the machine changes the seconds of all of them; compare rows of
# one run, and the seconds of CPU, which count the work itself.
set -eu
cd "$(dirname "$0")/.."
ROUNDS=${ROUNDS:-3}
PEERS=${PEERS-fsarchiver restic borg mksquashfs}
work=$(mktemp -d /var/tmp/mkcdrec-bench.XXXXXX)
trap 'cd /; umount "$work/ext4" 2>/dev/null || :; umount "$work" 2>/dev/null || umount -l "$work"; rmdir "$work"' EXIT
trap 'exit 1' INT TERM
mount -t tmpfs -o size=14g tmpfs "$work"
go build -o "$work/ours" ./bench/archive
CGO_ENABLED=0 go build -o "$work/ours-purego" ./bench/archive
mkdir "$work/tree"
[ $# -gt 0 ] || set -- /usr/bin /usr/sbin /usr/share/doc /usr/share/man /usr/share/locale /usr/lib/modules /usr/lib/python3 /usr/lib/x86_64-linux-gnu
for t; do [ ! -e "$t" ] || tar -c --xattrs --acls -C / "${t#/}" | tar -x -p --xattrs --acls -C "$work/tree"; done
cd "$work"
bytes=$(du -s --apparent-size -B1 tree | cut -f1)
echo "$(date +%F), $(grep -m1 '^model name' /proc/cpuinfo | cut -d: -f2-), $(nproc) CPUs, load $(cut -d' ' -f1-3 /proc/loadavg)"
echo "tree: $(find tree | wc -l) paths, $((bytes / 1000000)) MB"

export RESTIC_PASSWORD=bench RESTIC_CACHE_DIR="$work/cache"
export BORG_BASE_DIR="$work/cache" BORG_UNKNOWN_UNENCRYPTED_REPO_ACCESS_IS_OK=yes BORG_RELOCATED_REPO_ACCESS_IS_OK=yes
peers=
for p in $PEERS; do
	if command -v "$p" >/dev/null; then peers="$peers $p"; else echo "not installed, so not compared: $p"; fi
done
has() { case " $peers " in *" $1 "*) ;; *) return 1 ;; esac }

# round NAME COMMAND: wall-clock and CPU seconds, and the size of what is in
# out/, where NAME's output stays. What $prepare does is not timed.
prepare=:
round() {
	name=$1; shift
	find out -mindepth 1 -delete 2>/dev/null || mkdir -p out
	# Memory that a virtual machine has given back to its host is slow to get
	# again: whoever comes behind a large row would pay for it.
	head -c "$bytes" /dev/zero >out/memory; rm out/memory
	sh -c "$prepare" >>log 2>&1
	begin=$(date +%s.%N)
	sh -c "($*) 2>>log; code=\$?; times >cpu; exit \$code" || { echo "$name failed, see below"; tail -5 log; return; }
	end=$(date +%s.%N)
	# The second line of times(1) is that of the children: 0m1.5s 0m0.3s
	cpu=$(sed -n '2s/[ms]/ /gp' cpu | awk '{ print 60 * ($1 + $3) + $2 + $4 }')
	echo "$name $(echo "$end $begin" | awk '{printf "%.2f", $1 - $2}') $(du -s --apparent-size -B1 out | cut -f1) $cpu" >>times
}
# report TITLE: the rows by their medians; the factor is against the row tar|zstd...
report() {
	echo "$1:"
	sort -k1,1 -k2,2n times | awk -v b="$bytes" '
		{ n[$1]++; t[$1, n[$1]] = $2; size[$1] = $3; cpu[$1] += $4 }
		END { for (k in n) { m[k] = t[k, int((n[k] + 1) / 2)]; if (k ~ /^(tar\|zstd-3|zstd\|tar)/) base = m[k] }
			for (k in n) printf "  %-22s %7.2f s (best %6.2f) %5.2f of tar %7.0f MB/s  CPU %6.2f s %8.1f MB\n",
				k, m[k], t[k, 1], m[k] / base, b / m[k] / 1e6, cpu[k] / n[k], size[k] / 1e6 }' | sort -k2,2n
	rm -f times
}

for i in $(seq "$ROUNDS"); do
	round mkcdrec-3 "./ours backup tree out"
	round mkcdrec-purego-3 "./ours-purego backup tree out"
	round mkcdrec-1 "./ours -level 1 backup tree out"
	round 'tar|zstd-3-T2' "tar -c --xattrs --acls -C tree . | zstd -3 -T2 -q -o out/t"
	round 'tar|zstd-1-T2' "tar -c --xattrs --acls -C tree . | zstd -1 -T2 -q -o out/t"
	! has fsarchiver || round fsarchiver-zstd-3-j2 "fsarchiver -o -Z 3 -j2 savedir out/t tree >/dev/null"
	! has mksquashfs || round mksquashfs-zstd-3 "mksquashfs tree out/t -quiet -no-progress -comp zstd -Xcompression-level 3 >/dev/null"
	prepare="restic -q -r out/r init"
	! has restic || round restic "restic -q -r out/r backup tree"
	prepare="borg init -e none out/r"
	! has borg || round borg-zstd-3 "borg create --compression zstd,3 out/r::a tree"
	prepare=:
done
report "backup (median of $ROUNDS; size of the result)"

mkdir a; ./ours backup tree a 2>>log
tar -c --xattrs --acls -C tree . | zstd -3 -T2 -q -o t.zst
! has fsarchiver || fsarchiver -o -Z 3 -j2 savedir t.fsa tree >>log 2>&1
! has restic || { restic -q -r t.restic init; restic -q -r t.restic backup tree; } >>log 2>&1
! has borg || { borg init -e none t.borg; borg create --compression zstd,3 t.borg::a tree; } >>log 2>&1
! has mksquashfs || mksquashfs tree t.squash -quiet -no-progress -comp zstd -Xcompression-level 3 >>log 2>&1
untar="tar -x -p --xattrs --xattrs-include='*' --acls --warning=no-unknown-keyword"
for i in $(seq "$ROUNDS"); do
	round mkcdrec "./ours extract a out"
	round mkcdrec-purego "./ours-purego extract a out"
	round 'zstd|tar' "zstd -dcq t.zst | $untar -C out"
	round 'our-volumes|zstd|tar' "cat a/b/data.*.tar.zst | zstd -dcq | $untar -C out"
	! has fsarchiver || round fsarchiver "fsarchiver -j2 restdir t.fsa out >/dev/null"
	! has restic || round restic "restic -q -r t.restic restore latest --target out"
	! has borg || round borg "cd out && borg extract ../t.borg::a"
	! has mksquashfs || round unsquashfs "unsquashfs -q -n -f -d out t.squash >/dev/null"
	round 'mkcdrec-verify' "./ours verify a -"
done
report "extraction (median of $ROUNDS)"

mkdir ext4
for i in $(seq "$ROUNDS"); do
	for row in mkcdrec 'zstd|tar'; do
		rm -f image; truncate -s $((bytes * 2 + 500000000)) image
		mkfs.ext4 -q image
		mount -o loop image ext4 || { echo "cannot mount an image here: extraction onto ext4 is not compared"; break 2; }
		[ "$row" = mkcdrec ] && do="./ours extract a ext4" || do="zstd -dcq t.zst | $untar -C ext4"
		round "$row" "$do; sync -f ext4"
		umount ext4
	done
done
[ ! -e times ] || report "extraction onto ext4 in an image, with sync (median of $ROUNDS)"
