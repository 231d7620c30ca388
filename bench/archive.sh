#!/bin/sh
# Times backup and extraction of one tree beside tar|zstd, fsarchiver and
# others, three rounds in turn, on a tmpfs of its own. Needs root.
# Peers that are not installed are left out.
#
#   bench/archive.sh [TREE...]      default: part of /usr, copied to the tmpfs
set -eu
cd "$(dirname "$0")/.."
work=$(mktemp -d /var/tmp/mkcdrec-bench.XXXXXX)
trap 'cd /; umount "$work" 2>/dev/null || :; rmdir "$work"' EXIT INT TERM
mount -t tmpfs -o size=12g tmpfs "$work"
go build -o "$work/ours" ./bench/archive
CGO_ENABLED=0 go build -o "$work/ours-purego" ./bench/archive
mkdir "$work/tree"
[ $# -gt 0 ] || set -- /usr/bin /usr/sbin /usr/share/doc /usr/share/man /usr/share/locale /usr/lib/modules /usr/lib/python3 /usr/lib/x86_64-linux-gnu
for t; do [ ! -e "$t" ] || tar -c --xattrs --acls -C / "${t#/}" | tar -x -p --xattrs --acls -C "$work/tree"; done
cd "$work"
bytes=$(du -s --apparent-size -B1 tree | cut -f1)
echo "tree: $(find tree | wc -l) paths, $((bytes / 1000000)) MB; $(nproc) CPUs"

has() { command -v "$1" >/dev/null; }
# round NAME COMMAND: seconds of wall-clock time; NAME's output stays in out/.
round() {
	name=$1; shift
	rm -rf out; mkdir out
	begin=$(date +%s.%N)
	sh -c "$*" 2>>log || { echo "$name failed, see below"; tail -5 log; return; }
	end=$(date +%s.%N)
	echo "$name $(echo "$end $begin" | awk '{printf "%.2f", $1 - $2}') $(du -s --apparent-size -B1 out | cut -f1)" >>times
}
report() {
	echo "$1:"
	sort -k1,1 -k2,2n times | awk -v b="$bytes" '
		{ n[$1]++; t[$1, n[$1]] = $2; size[$1] = $3 }
		END { for (k in n) { m = t[k, int((n[k] + 1) / 2)]
			printf "  %-22s %7.2f s (best %.2f) %7.0f MB/s %8.1f MB\n", k, m, t[k, 1], b / m / 1e6, size[k] / 1e6 } }' | sort -k2,2n
	rm -f times
}

for i in 1 2 3; do
	round mkcdrec-3 "./ours backup tree out"
	round mkcdrec-purego-3 "./ours-purego backup tree out"
	round mkcdrec-1 "./ours -level 1 backup tree out"
	round 'tar|zstd-3-T2' "tar -c --xattrs --acls -C tree . | zstd -3 -T2 -q -o out/t"
	round 'tar|zstd-1-T2' "tar -c --xattrs --acls -C tree . | zstd -1 -T2 -q -o out/t"
	! has fsarchiver || round fsarchiver-zstd-3-j2 "fsarchiver -o -Z 3 -j2 savedir out/t tree >/dev/null"
	! has mksquashfs || round mksquashfs-zstd-3 "mksquashfs tree out/t -quiet -no-progress -comp zstd -Xcompression-level 3 >/dev/null"
done
report "backup (median of 3; size of the result)"

mkdir a; ./ours backup tree a 2>>log
tar -c --xattrs --acls -C tree . | zstd -3 -T2 -q -o t.zst
for i in 1 2 3; do
	round mkcdrec "./ours extract a out"
	round mkcdrec-purego "./ours-purego extract a out"
	round 'zstd|tar' "zstd -dcq t.zst | tar -x -p --xattrs --xattrs-include='*' --acls -C out"
	round 'our-volumes|zstd|tar' "cat a/b/data.*.tar.zst | zstd -dcq | tar -x -p --xattrs --xattrs-include='*' --acls --warning=no-unknown-keyword -C out"
	round 'verify' "./ours verify a -"
done
report "extraction (median of 3)"
